/* The engines' tables of operations, opening and closing. */
#include "store/chunklog/engine.h"

#include "io/disk.h"
#include "io/memory.h"
#include "store/chunklog/backup.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/expiry.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNKS_KEPT = 8 }; /* that were freed, for those that come: 16 MiB */

/* --- open and close --------------------------------------------------------------------------- */

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
	if (log->cold)
		cold_free(log->cold);
	memory_pool_put(log->chunk_pool);
	free(log->checkpoint.fanout);
	unpublished_fini(&log->checkpoint.unpublished, log->config.disk);
	spill_fini(log);
	free(log->backups_root);
	free(log->listed);
	free(log->shards);
	free(log);
}

static struct chunklog *chunklog_new(const struct store_ops *ops, const struct store_config *config,
                                     struct datadir *dir)
{
	struct chunklog *log = calloc(1, sizeof(*log));

	CHECK(log);
	log->base.ops = ops;
	log->cold = ops == &store_log ? cold_new(config->files_max) : NULL;
	log->chunk_pool = memory_pool_new(CHUNKS_KEPT);
	CHECK(log->chunk_pool);
	log->config = *config;
	log->dir = *dir;
	log->config.path = log->dir.path;
	CHECK(asprintf(&log->backups_root, "%s/backups", dir->path) > 0);
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

static enum err open_as(const struct store_ops *ops, const struct store_config *config,
                        struct store **out, struct fault *f)
{
	const char *heir_of = ops == &store_log ? store_memory.name : NULL;
	struct fault unused;
	struct datadir dir;
	struct chunklog *log;
	enum err err;

	if (!f)
		f = &unused;
	err = datadir_open(config->path, ops->name, heir_of, config->disk, config->entropy, &dir,
	                   f);
	if (err)
		return err;
	log = chunklog_new(ops, config, &dir);
	spill_init(log);
	err = chunklog_recover(log, f);
	if (err) {
		chunklog_free(log);
		return err;
	}
	backup_tidy(log);
	checkpoint_start(log);
	expiry_start(log);
	compaction_start(log);
	*out = &log->base;
	return OK;
}

static enum err memory_open(const struct store_config *config, struct store **out, struct fault *f)
{
	return open_as(&store_memory, config, out, f);
}

static enum err log_open(const struct store_config *config, struct store **out, struct fault *f)
{
	return open_as(&store_log, config, out, f);
}

static bool is_idle(const struct chunklog *log)
{
	for (unsigned i = 0; i < log->config.shard_count; i++)
		if (log->shards[i].expiring > 0)
			return false;
	return log->operations == 0 && checkpoint_is_idle(log) && compaction_is_idle(log) &&
	       !log->burying && catalog_is_idle(log->catalog);
}

/* The loops' threads have ended; what is still under way is turned from here. */
static void run_until_idle(struct chunklog *log)
{
	while (!is_idle(log)) {
		for (unsigned i = 0; i < log->config.shard_count; i++)
			loop_turn(log->shards[i].loop, 1);
	}
}

static void chunklog_close(struct store *s)
{
	struct chunklog *log = chunklog_of(s);

	checkpoint_stop(log);
	expiry_stop(log);
	compaction_stop(log);
	run_until_idle(log);
	/* After a failed write only a restart knows what is on disk. */
	if (!wal_stats(log->wal).failed) {
		checkpoint_finish(log);
		run_until_idle(log);
	}
	chunklog_free(log);
}

static const struct store_topic *const *chunklog_topics(struct store *s, size_t *count)
{
	struct chunklog *log = chunklog_of(s);
	struct topic *t, *after;
	size_t i = 0;

	free(log->listed);
	log->listed = calloc(HASH_COUNT(log->topics) + 1, sizeof(*log->listed));
	CHECK(log->listed);
	HASH_ITER (hh, log->topics, t, after)
		log->listed[i++] = t->now;
	*count = i;
	return log->listed;
}

/* --- operations on a partition ---------------------------------------------------------------- */

static void chunklog_read(struct store_read *r)
{
	partition_read(partition_of(r->partition), r);
}

static void chunklog_lookup_time(struct store_time_lookup *l)
{
	partition_lookup_time(partition_of(l->partition), l);
}

static void chunklog_append(struct store_append *a)
{
	partition_append(partition_of(a->partition), a);
}

static void chunklog_trim(struct store_trim *t)
{
	partition_trim(partition_of(t->partition), t);
}

static int64_t chunklog_epoch_end(struct store_partition *p, int32_t epoch)
{
	return partition_epoch_end(partition_of(p), epoch);
}

static void chunklog_checkpoint(struct store_checkpoint *c)
{
	checkpoint_ask(chunklog_of(c->store), c);
}

#define CHUNKLOG_OPS                                                                               \
	.capabilities = STORE_EXPECTED_OFFSET | STORE_RETENTION | STORE_CHECKPOINT |               \
	                STORE_CLASSES | STORE_BACKUP | STORE_COMPACTION,                           \
	.close = chunklog_close, .topics = chunklog_topics, .topic_create = chunklog_topic_create, \
	.topic_alter = chunklog_topic_alter, .topic_delete = chunklog_topic_delete,                \
	.checkpoint = chunklog_checkpoint, .backup = chunklog_backup, .append = chunklog_append,   \
	.read = chunklog_read, .lookup_time = chunklog_lookup_time, .trim = chunklog_trim,         \
	.epoch_end = chunklog_epoch_end

const struct store_ops store_memory = {.name = "memory", .open = memory_open, CHUNKLOG_OPS};
const struct store_ops store_log = {.name = "log", .open = log_open, CHUNKLOG_OPS};
