/* The engine's table of operations, opening and closing. */
#include "store/rocksdb/engine.h"

#include "io/log.h"
#include "io/metrics.h"
#include "store/rocksdb/rocks.h"
#include "store/rocksdb/sampler.h"

#include <stdio.h>
#include <stdlib.h>

/* --- open and close -------------------------------------------------------------------------- */

static void rocks_free(struct rocks *s)
{
	struct rocks_topic *t, *after;

	if (s->writer)
		writer_stop(s->writer);
	HASH_ITER (hh, s->topics, t, after) {
		HASH_DELETE(hh, s->topics, t);
		rocks_topic_free(t);
	}
	if (s->catalog)
		catalog_close(s->catalog);
	database_close(&s->database);
	datadir_close(&s->dir);
	free(s->path);
	free(s->backups_root);
	free(s->sampler);
	free(s->listed);
	free(s->shards);
	free(s);
}

static struct rocks *rocks_new(const struct store_config *config, const struct datadir *dir)
{
	struct rocks *s = calloc(1, sizeof(*s));
	char path[DATADIR_FILE_BYTES_MAX];

	CHECK(s);
	s->base.ops = &store_rocksdb;
	s->config = *config;
	s->dir = *dir;
	s->config.path = s->dir.path;
	snprintf(path, sizeof(path), "%s/rocksdb", s->dir.path);
	s->path = strdup(path);
	CHECK(s->path);
	CHECK(asprintf(&s->backups_root, "%s/backups", s->dir.path) > 0);
	list_init(&s->starved);
	s->began = config->clock->now(config->clock);
	s->shards = calloc(config->shard_count, sizeof(*s->shards));
	CHECK(s->shards);
	for (unsigned i = 0; i < config->shard_count; i++) {
		s->shards[i].store = s;
		s->shards[i].loop = config->loops[i];
		list_init(&s->shards[i].partitions);
	}
	return s;
}

static enum err rocks_open(const struct store_config *config, struct store **out, struct fault *f)
{
	struct fault unused;
	struct library lib;
	struct datadir dir;
	struct rocks *s;
	enum err err;

	if (!f)
		f = &unused;
	err = library_load(&lib, f); /* before anything is made */
	if (!err)
		err = datadir_open(config->path, store_rocksdb.name, NULL, config->disk,
		                   config->entropy, &dir, f);
	if (err)
		return err;
	s = rocks_new(config, &dir);
	err = rocks_recover(s, f);
	if (!err)
		err = datadir_claim(&s->dir, store_rocksdb.name, f);
	if (err) {
		rocks_free(s);
		return err;
	}
	rocks_backup_tidy(s);
	s->writer = writer_start(&s->database, s->path, &s->dir.id, &s->config);
	rocks_look_start(s);
	sampler_start(s);
	*out = &s->base;
	return OK;
}

static bool is_idle(const struct rocks *s)
{
	for (unsigned i = 0; i < s->config.shard_count; i++)
		if (s->shards[i].trims > 0)
			return false;
	return s->operations == 0 && rocks_compaction_is_idle(s) && catalog_is_idle(s->catalog);
}

/* The loops' threads have ended; what is still under way is turned from here. */
static void run_until_idle(struct rocks *s)
{
	while (!is_idle(s)) {
		for (unsigned i = 0; i < s->config.shard_count; i++)
			loop_turn(s->shards[i].loop, 1);
	}
}

static void rocks_close(struct store *base)
{
	struct rocks *s = rocks_of(base);
	struct fault f = {0};
	char text[320];
	bool failed;

	rocks_look_stop(s);
	rocks_compaction_stop(s);
	sampler_stop(s);
	run_until_idle(s);
	failed = writer_stats(s->writer).failed;
	writer_stop(s->writer);
	s->writer = NULL;
	/* After a failed write only a restart knows what is on disk. */
	if (!failed && rocks_settle(s, &f))
		log_line(s->config.log, LOG_WARN, "store", "closing %s: %s", s->path,
		         fault_text(&f, text, sizeof(text)));
	rocks_free(s);
}

static const struct store_topic *const *rocks_topics(struct store *base, size_t *count)
{
	struct rocks *s = rocks_of(base);
	struct rocks_topic *t, *after;
	size_t i = 0;

	free(s->listed);
	s->listed = calloc(HASH_COUNT(s->topics) + 1, sizeof(*s->listed));
	CHECK(s->listed);
	HASH_ITER (hh, s->topics, t, after)
		s->listed[i++] = t->now;
	*count = i;
	return s->listed;
}

/* --- checkpoint ------------------------------------------------------------------------------ */

struct flush {
	struct work work;
	struct rocks *store;
	struct store_checkpoint *asked;
	struct fault fault;
	int64_t bytes;
};

static void flush_run(struct work *w)
{
	struct flush *job = CONTAINER_OF(w, struct flush, work);
	const struct database *d = &job->store->database;

	job->bytes = database_number(d, "rocksdb.cur-size-all-mem-tables");
	if (!database_flush(d, &job->fault))
		job->fault = (struct fault){0};
}

static void flushed(struct work *w)
{
	struct flush *job = CONTAINER_OF(w, struct flush, work);
	struct store_checkpoint *c = job->asked;

	c->fault = job->fault;
	c->bytes = job->bytes;
	if (c->fault.code == ERR_CORRUPT || c->fault.code == ERR_BUSY)
		c->fault.code = ERR_IO;
	metric_add(loop_metrics(job->store->shards[0].loop),
	           c->fault.code ? METRIC_CHECKPOINT_FAILURES : METRIC_CHECKPOINTS, 1);
	job->store->operations--;
	free(job);
	c->done(c);
}

static void refuse_starved(struct task *t)
{
	struct rocks *s = CONTAINER_OF(t, struct rocks, starve);
	struct list starved, *node;

	list_init(&starved);
	list_move_all(&starved, &s->starved);
	while ((node = list_take_first(&starved)) != NULL) {
		struct store_checkpoint *c = LIST_ENTRY(node, struct store_checkpoint, node);

		fault_set(&c->fault, ERR_NO_MEMORY, 0, "to flush");
		c->bytes = 0;
		c->done(c);
	}
}

static void rocks_checkpoint(struct store_checkpoint *c)
{
	struct flush *job = calloc(1, sizeof(*job));

	if (!job) {
		struct rocks *s = rocks_of(c->store);

		list_append(&s->starved, &c->node);
		s->starve.run = refuse_starved;
		loop_defer(s->shards[0].loop, LOOP_WORK, &s->starve);
		return;
	}
	*job = (struct flush){
		.work = {.run = flush_run, .done = flushed},
		.store = rocks_of(c->store),
		.asked = c,
	};
	job->store->operations++;
	loop_work(job->store->shards[0].loop, &job->work);
}

static int64_t rocks_epoch_end(struct store_partition *p, int32_t epoch)
{
	return rocks_partition_epoch_end(rocks_partition_of(p), epoch);
}

const struct store_ops store_rocksdb = {
	.name = "rocksdb",
	.capabilities = STORE_EXPECTED_OFFSET | STORE_RETENTION | STORE_CHECKPOINT | STORE_CLASSES |
                        STORE_BACKUP | STORE_COMPACTION,
	.open = rocks_open,
	.close = rocks_close,
	.topics = rocks_topics,
	.topic_create = rocks_topic_create,
	.topic_alter = rocks_topic_alter,
	.topic_delete = rocks_topic_delete,
	.checkpoint = rocks_checkpoint,
	.backup = rocks_backup,
	.append = rocks_append,
	.read = rocks_read,
	.lookup_time = rocks_lookup_time,
	.trim = rocks_trim,
	.epoch_end = rocks_epoch_end,
};
