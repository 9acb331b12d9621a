#include "broker/topic_wait.h"

#include "broker/produce_steps.h"
#include "broker/reader_steps.h"

#include <stdlib.h>

struct topic_wait *topic_wait_find(struct broker *b, struct slice name)
{
	struct topic_wait *w;

	HASH_FIND(hh, b->waits, name.ptr, (unsigned)name.len, w);
	return w;
}

struct topic_wait *topic_wait_get(struct broker *b, struct slice name)
{
	struct topic_wait *w = topic_wait_find(b, name);

	if (w)
		return w;
	CHECK(name.len < sizeof(w->name));
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->broker = b;
	list_init(&w->produces);
	list_init(&w->readers);
	memcpy(w->name, name.ptr, name.len);
	HASH_ADD_KEYPTR(hh, b->waits, w->name, (unsigned)name.len, w);
	if (hash_took(&w->hh))
		return w;
	free(w);
	return NULL;
}

void topic_wait_put(struct topic_wait *w)
{
	if (w->creating || !list_is_empty(&w->produces) || !list_is_empty(&w->readers))
		return;
	HASH_DELETE(hh, w->broker->waits, w);
	free(w);
}

void topic_wait_appeared(struct topic_wait *w, struct topic *t)
{
	struct list *node;

	while ((node = list_take_first(&w->readers)))
		reader_topic_appeared(node, t);
	while ((node = list_take_first(&w->produces)))
		produce_topic_appeared(LIST_ENTRY(node, struct produce, node), t);
	topic_wait_put(w);
}

static void fail_produces(struct topic_wait *w, const struct fault *fault)
{
	struct list *node;

	while ((node = list_take_first(&w->produces)))
		produce_topic_failed(LIST_ENTRY(node, struct produce, node), fault);
}

/* The topic appeared before this came, unless it could not be created; another shard may have been
 * first (TOPIC_EXISTS when it asked for other settings): what the table says is what counts. */
static void created(struct admin *a)
{
	struct topic_wait *w = CONTAINER_OF(a, struct topic_wait, create);
	struct topic *t = topics_find(&w->broker->topics, slice_str(w->name));
	struct fault unknown = {.code = ERR_TOPIC_UNKNOWN};

	w->creating = false;
	if (!t)
		fail_produces(w, a->fault.code ? &a->fault : &unknown);
	broker_admin_fini(a);
	if (t)
		topic_wait_appeared(w, t);
	else
		topic_wait_put(w);
}

void topic_wait_create(struct topic_wait *w, const struct caller *caller)
{
	if (w->creating)
		return;
	w->creating = true;
	w->create = (struct admin){
		.broker = w->broker,
		.caller = caller,
		.kind = ADMIN_TOPIC_CREATE,
		.name = slice_str(w->name),
		.settings = broker_default_settings(w->broker),
		.done = created,
	};
	broker_admin(&w->create);
}
