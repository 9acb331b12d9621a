#include "hook/buckets.h"

#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

struct bucket {
	double tokens;
	int64_t at_us; /* when it had so many */
	UT_hash_handle hh;
	size_t key_bytes;
	uint8_t key[BUCKETS_KEY_BYTES_MAX];
};

struct buckets {
	pthread_mutex_t mutex;
	struct bucket *by_key; /* uthash; the one that was used last stands last */
};

struct buckets *buckets_new(void)
{
	struct buckets *b = calloc(1, sizeof(*b));

	if (b)
		CHECK(pthread_mutex_init(&b->mutex, NULL) == 0);
	return b;
}

static void forget(struct buckets *b, struct bucket *bucket)
{
	HASH_DELETE(hh, b->by_key, bucket);
	free(bucket);
}

void buckets_free(struct buckets *b)
{
	while (b->by_key)
		forget(b, b->by_key);
	pthread_mutex_destroy(&b->mutex);
	free(b);
}

/* To the end of the order. False: no memory for the table; it is freed. */
static bool put(struct buckets *b, struct bucket *bucket)
{
	HASH_ADD_KEYPTR(hh, b->by_key, bucket->key, (unsigned)bucket->key_bytes, bucket);
	if (hash_took(&bucket->hh))
		return true;
	free(bucket);
	return false;
}

/* A full one, if there was none; NULL: no memory. */
static struct bucket *get(struct buckets *b, struct slice key, double burst, int64_t now_us)
{
	struct bucket *bucket;

	HASH_FIND(hh, b->by_key, key.ptr, (unsigned)key.len, bucket);
	if (bucket) {
		HASH_DELETE(hh, b->by_key, bucket);
		memset(&bucket->hh, 0, sizeof(bucket->hh));
		return put(b, bucket) ? bucket : NULL;
	}
	if (HASH_COUNT(b->by_key) == BUCKETS_MAX)
		forget(b, b->by_key);
	bucket = calloc(1, sizeof(*bucket));
	if (!bucket)
		return NULL;
	bucket->tokens = burst;
	bucket->at_us = now_us;
	bucket->key_bytes = key.len;
	if (key.len > 0)
		memcpy(bucket->key, key.ptr, key.len);
	return put(b, bucket) ? bucket : NULL;
}

static double take(struct bucket *bucket, double per_second, double burst, int64_t now_us)
{
	if (now_us > bucket->at_us) {
		bucket->tokens += (double)(now_us - bucket->at_us) / 1e6 * per_second;
		bucket->at_us = now_us;
	}
	if (bucket->tokens > burst)
		bucket->tokens = burst;
	if (bucket->tokens < 1)
		return (1 - bucket->tokens) / per_second;
	bucket->tokens -= 1;
	return 0;
}

double buckets_take(struct buckets *b, struct slice key, double per_second, double burst,
                    int64_t now_us)
{
	struct bucket *bucket;
	double wait = 0;

	if (key.len > BUCKETS_KEY_BYTES_MAX)
		key.len = BUCKETS_KEY_BYTES_MAX;
	CHECK(pthread_mutex_lock(&b->mutex) == 0);
	bucket = get(b, key, burst, now_us);
	if (bucket)
		wait = take(bucket, per_second, burst, now_us);
	CHECK(pthread_mutex_unlock(&b->mutex) == 0);
	return wait;
}
