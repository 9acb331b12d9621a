/* The engine `memory`: its table of operations, opening and closing. */
#include "store/chunklog/memory.h"

#include "io/disk.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/expiry.h"

#include <stdlib.h>

/* --- open and close ---------------------------------------------------------------------------------- */

static void chunklog_free(struct chunklog *log)
{
	struct topic *t, *after;
	struct list *node;

	if (log->wal)
		wal_close(log->wal);
	HASH_ITER (hh, log->topics, t, after) {
		HASH_DELETE(hh, log->topics, t);
		chunklog_topic_free(t);
	}
	while ((node = list_take_first(&log->tombs)) != NULL)
		free(LIST_ENTRY(node, struct tomb, node));
	if (log->catalog)
		catalog_close(log->catalog);
	datadir_close(&log->dir);
	free(log->checkpoint.gathered);
	free(log->listed);
	free(log->shards);
	free(log);
}

static struct chunklog *chunklog_new(const struct store_config *config, struct datadir *dir)
{
	struct chunklog *log = calloc(1, sizeof(*log));

	CHECK(log);
	log->base.ops = &store_memory;
	log->config = *config;
	log->dir = *dir;
	log->config.path = log->dir.path;
	log->began = config->clock->now(config->clock);
	list_init(&log->graveyard);
	list_init(&log->burials);
	list_init(&log->tombs);
	log->shards = calloc(config->shard_count, sizeof(*log->shards));
	CHECK(log->shards);
	for (unsigned i = 0; i < config->shard_count; i++) {
		log->shards[i].log = log;
		log->shards[i].loop = config->loops[i];
		list_init(&log->shards[i].partitions);
	}
	return log;
}

static enum err memory_open(const struct store_config *config, struct store **out, struct fault *f)
{
	struct fault unused;
	struct datadir dir;
	struct chunklog *log;
	enum err err;

	if (!f)
		f = &unused;
	err = datadir_open(config->path, store_memory.name, config->disk, config->entropy, &dir, f);
	if (err)
		return err;
	log = chunklog_new(config, &dir);
	err = chunklog_recover(log, f);
	if (err) {
		chunklog_free(log);
		return err;
	}
	*out = &log->base;
	return OK;
}

static bool is_idle(const struct chunklog *log)
{
	for (unsigned i = 0; i < log->config.shard_count; i++)
		if (log->shards[i].expiring > 0)
			return false;
	return log->operations == 0 && !log->checkpoint.running && !log->burying &&
	       catalog_is_idle(log->catalog);
}

/* The loops' threads have ended; what is still under way is turned from here. */
static void run_until_idle(struct chunklog *log)
{
	while (!is_idle(log)) {
		for (unsigned i = 0; i < log->config.shard_count; i++) {
			const bool never = false;

			loop_run_until(log->shards[i].loop, &never, 1);
		}
	}
}

static void memory_close(struct store *s)
{
	struct chunklog *log = chunklog_of(s);

	checkpoint_stop(log);
	expiry_stop(log);
	run_until_idle(log);
	/* After a failed write only a restart knows what is on disk. */
	if (!wal_stats(log->wal).failed) {
		checkpoint_finish(log);
		run_until_idle(log);
	}
	chunklog_free(log);
}

static struct store_topic *const *memory_topics(struct store *s, size_t *count)
{
	struct chunklog *log = chunklog_of(s);
	struct topic *t, *after;
	size_t i = 0;

	free(log->listed);
	log->listed = calloc(HASH_COUNT(log->topics) + 1, sizeof(struct store_topic *));
	CHECK(log->listed);
	HASH_ITER (hh, log->topics, t, after)
		log->listed[i++] = &t->base;
	*count = i;
	return log->listed;
}

/* --- operations on a partition ----------------------------------------------------------------------- */

/* Lies in the `engine` words of the request it answers. */
struct later {
	struct task task;
	void *request;
};
_Static_assert(sizeof(struct later) <= sizeof(((struct store_read *)0)->engine), "room");
_Static_assert(sizeof(struct later) <= sizeof(((struct store_time_lookup *)0)->engine), "room");

static void answer_later(struct store_partition *p, void *engine, void *request,
                         void (*run)(struct task *t))
{
	struct later *later = engine;

	*later = (struct later){.task = {.run = run}, .request = request};
	loop_defer(partition_of(p)->shard->loop, LOOP_WORK, &later->task);
}

static void read_answer(struct task *t)
{
	struct store_read *r = CONTAINER_OF(t, struct later, task)->request;

	r->done(r);
}

static void memory_read(struct store_read *r)
{
	r->fault = (struct fault){0};
	if (partition_read(partition_of(r->partition), r->offset, r->bytes_max, &r->batches,
	                   &r->holder, &r->fault))
		r->batches = SLICE_NONE;
	answer_later(r->partition, r->engine, r, read_answer);
}

static void lookup_answer(struct task *t)
{
	struct store_time_lookup *l = CONTAINER_OF(t, struct later, task)->request;

	l->done(l);
}

static void memory_lookup_time(struct store_time_lookup *l)
{
	l->fault = (struct fault){0};
	if (partition_find_time(partition_of(l->partition), l->time_ms, &l->offset, &l->fault))
		l->offset = -1;
	answer_later(l->partition, l->engine, l, lookup_answer);
}

static void memory_append(struct store_append *a)
{
	partition_append(partition_of(a->partition), a);
}

static void memory_trim(struct store_trim *t)
{
	partition_trim(partition_of(t->partition), t);
}

static int64_t memory_epoch_end(struct store_partition *p, int32_t epoch)
{
	return partition_epoch_end(partition_of(p), epoch);
}

static void memory_checkpoint(struct store_checkpoint *c)
{
	checkpoint_ask(chunklog_of(c->store), c);
}

const struct store_ops store_memory = {
	.name = "memory",
	.capabilities = STORE_EXPECTED_OFFSET | STORE_RETENTION | STORE_CHECKPOINT | STORE_CLASSES,
	.open = memory_open,
	.close = memory_close,
	.topics = memory_topics,
	.topic_create = chunklog_topic_create,
	.topic_alter = chunklog_topic_alter,
	.topic_delete = chunklog_topic_delete,
	.checkpoint = memory_checkpoint,
	.append = memory_append,
	.read = memory_read,
	.lookup_time = memory_lookup_time,
	.trim = memory_trim,
	.epoch_end = memory_epoch_end,
};
