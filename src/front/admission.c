#include "front/admission.h"

#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

enum { ADDRESS_BYTES_MAX = 64 };

struct address {
	char text[ADDRESS_BYTES_MAX];
	size_t count;
	UT_hash_handle hh;
};

struct admission {
	pthread_mutex_t lock; /* over all below; taken once per connect and disconnect */
	size_t connections_max;
	size_t per_address_max;
	size_t count;
	struct address *addresses; /* those with a connection */
};

struct admission *admission_new(size_t connections_max, size_t per_address_max)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	pthread_mutex_init(&a->lock, NULL);
	a->connections_max = connections_max;
	a->per_address_max = per_address_max;
	return a;
}

void admission_free(struct admission *a)
{
	CHECK(a->count == 0);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct address *find(struct admission *a, struct slice text)
{
	struct address *found;

	HASH_FIND(hh, a->addresses, text.ptr, text.len, found);
	return found;
}

static struct address *find_or_add(struct admission *a, struct slice text)
{
	struct address *address = find(a, text);

	if (address)
		return address;
	address = calloc(1, sizeof(*address));
	if (!address)
		return NULL;
	memcpy(address->text, text.ptr, text.len);
	HASH_ADD(hh, a->addresses, text[0], text.len, address);
	if (hash_took(&address->hh))
		return address;
	free(address);
	return NULL;
}

static bool enter_address(struct admission *a, struct slice text)
{
	struct address *address;

	if (!text.ptr)
		return true;
	CHECK(text.len < ADDRESS_BYTES_MAX);
	if (a->per_address_max == 0)
		return false;
	address = find_or_add(a, text);
	if (!address || address->count == a->per_address_max)
		return false;
	address->count++;
	return true;
}

bool admission_enter(struct admission *a, struct slice address)
{
	bool entered;

	pthread_mutex_lock(&a->lock);
	entered = a->count < a->connections_max && enter_address(a, address);
	if (entered)
		a->count++;
	pthread_mutex_unlock(&a->lock);
	return entered;
}

void admission_leave(struct admission *a, struct slice text)
{
	struct address *address;

	pthread_mutex_lock(&a->lock);
	CHECK(a->count > 0);
	a->count--;
	if (text.ptr) {
		address = find(a, text);
		CHECK(address);
		CHECK(address->count > 0);
		if (--address->count == 0) {
			HASH_DEL(a->addresses, address);
			free(address);
		}
	}
	pthread_mutex_unlock(&a->lock);
}
