#include "store/testing/store_rig.h"

#include "io/disk.h"
#include "io/testing/loops_wait.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RUN_MS_MAX = 60000, /* generous: no test waits to see that nothing comes */
	TURN_MS = 1,
	QUICK_TURNS = 4,
	NAME_BYTES_MAX = 64,
	NFTW_DESCRIPTORS = 16
};

/* --- the rig --------------------------------------------------------------------------------- */

static void loops_new(struct store_rig *r)
{
	struct fault f = {.code = OK};

	CHECK(r->shard_count <= RIG_SHARDS_MAX);
	for (unsigned i = 0; i < r->shard_count; i++) {
		r->loops[i] = loop_new(
			&(struct loop_config){
				.index = i,
				.clock = r->clock,
				.entropy = r->entropy,
				.log = r->log,
				.metrics = &r->metrics[i],
			},
			&f);
		CHECK(r->loops[i] != NULL);
	}
}

static void loops_free(struct store_rig *r)
{
	for (unsigned i = 0; i < r->shard_count; i++)
		loop_free(r->loops[i]);
}

enum err rig_try_open(struct store_rig *r, struct fault *f)
{
	const struct store_config config = {
		.path = r->dir,
		.disk = r->disk,
		.clock = r->clock,
		.entropy = r->entropy,
		.log = r->log,
		.loops = r->loops,
		.shard_count = r->shard_count,
		.flush_ms = 50,
		.checkpoint_bytes = r->checkpoint_bytes,
		.checkpoint_ms = 60000,
		.wal_file_bytes = r->wal_file_bytes,
		.memory_bytes = r->memory_bytes,
	};
	enum err err;

	loops_new(r);
	err = r->ops->open(&config, &r->store, f);
	if (err) {
		loops_free(r);
		return err;
	}
	if (r->wrapped)
		r->faults = fault_store_wrap(r->store, r->loops, r->shard_count);
	return OK;
}

static void must_open(struct store_rig *r)
{
	struct fault f = {.code = OK};

	if (rig_try_open(r, &f)) {
		char text[256];

		fprintf(stderr, "%s: %s\n", r->ops->name, fault_text(&f, text, sizeof(text)));
		CHECK(f.code == OK);
	}
}

void rig_shut(struct store_rig *r)
{
	if (!r->store)
		return;
	if (r->faults)
		fault_store_unwrap(r->faults);
	r->faults = NULL;
	r->store->ops->close(r->store);
	r->store = NULL;
	loops_free(r);
}

void rig_init(struct store_rig *r, const struct store_ops *ops, unsigned shard_count,
              struct disk *disk, const char *dir, uint64_t seed)
{
	*r = (struct store_rig){.ops = ops,
	                        .shard_count = shard_count,
	                        .disk = disk,
	                        .memory_bytes = 256 << 20,
	                        .checkpoint_bytes = 256 << 20};
	CHECK(strlen(dir) < sizeof(r->dir));
	memcpy(r->dir, dir, strlen(dir));
	r->clock = clock_system();
	r->log = log_new(STDERR_FILENO, LOG_OFF, false, clock_system());
	CHECK(r->log != NULL);
	entropy_seeded_init(&r->entropy_seeded, seed);
	r->entropy = seed ? &r->entropy_seeded.base : entropy_system();
	entropy_seeded_init(&r->dice, ~seed);
}

void rig_fini(struct store_rig *r)
{
	rig_shut(r);
	log_free(r->log);
}

static void make_dir(char dir[RIG_DIR_BYTES_MAX])
{
	const char *tmp = getenv("TMPDIR");
	int len = snprintf(dir, RIG_DIR_BYTES_MAX, "%s/store-XXXXXX", tmp ? tmp : "/tmp");

	CHECK(len < RIG_DIR_BYTES_MAX);
	CHECK(mkdtemp(dir) != NULL);
}

void rig_open(struct store_rig *r, const struct store_ops *ops, unsigned shard_count, bool wrapped,
              uint64_t seed)
{
	char dir[RIG_DIR_BYTES_MAX];

	make_dir(dir);
	rig_init(r, ops, shard_count, disk_real(), dir, seed);
	log_set_level(r->log, LOG_ERROR);
	r->wrapped = wrapped;
	must_open(r);
}

void rig_reopen(struct store_rig *r)
{
	rig_shut(r);
	must_open(r);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void rig_remove_dir(const char *dir)
{
	CHECK(nftw(dir, remove_one, NFTW_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0);
}

void rig_copy_dir(const char *from, const char *to)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		execlp("cp", "cp", "-a", from, to, (char *)NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == 0);
}

void rig_kill(struct store_rig *r)
{
	char copy[RIG_DIR_BYTES_MAX + 8];

	snprintf(copy, sizeof(copy), "%s.copy", r->dir);
	rig_copy_dir(r->dir, copy);
	rig_shut(r);
	rig_remove_dir(r->dir);
	CHECK(rename(copy, r->dir) == 0);
}

void rig_close(struct store_rig *r)
{
	rig_fini(r);
	rig_remove_dir(r->dir);
}

bool rig_has_engine(const struct store_ops *ops)
{
	struct fault f = {.code = OK};
	struct store_rig r;
	char dir[RIG_DIR_BYTES_MAX];
	char text[256];
	bool has;

	make_dir(dir);
	rig_init(&r, ops, 1, disk_real(), dir, 0);
	has = rig_try_open(&r, &f) == OK;
	if (!has)
		printf("SKIPPED: engine %s: %s\n", ops->name, fault_text(&f, text, sizeof(text)));
	CHECK(has || f.code == ERR_CONFIG);
	rig_close(&r);
	return has;
}

struct turn {
	struct task task;
	bool over;
};

static void turn_over(struct task *t)
{
	CONTAINER_OF(t, struct turn, task)->over = true;
}

/* One turn that does not wait for the kernel. */
static void turn(struct loop *l)
{
	struct turn once = {.task = {.run = turn_over}};

	loop_defer(l, LOOP_WORK, &once.task);
	loop_run_until(l, &once.over, TURN_MS);
	task_cancel(&once.task);
}

bool rig_run(struct store_rig *r, const bool *until)
{
	int64_t end_us = clock_system()->now(clock_system()).mono_us + RUN_MS_MAX * 1000;

	/* What needs no disk is over in a few turns. */
	for (unsigned n = 0; !*until && clock_system()->now(clock_system()).mono_us < end_us; n++) {
		if (n >= QUICK_TURNS)
			loops_wait(r->loops, r->shard_count, TURN_MS);
		for (unsigned i = 0; i < r->shard_count && !*until; i++)
			turn(r->loops[i]);
	}
	return *until;
}

/* --- topics ---------------------------------------------------------------------------------- */

struct topic_call {
	struct store_topic_op op;
	bool done;
};

static void topic_done(struct store_topic_op *o)
{
	CONTAINER_OF(o, struct topic_call, op)->done = true;
}

static enum err topic_run(struct store_rig *r, struct topic_call *c,
                          void (*start)(struct store_topic_op *o), struct fault *f)
{
	c->op.store = r->store;
	c->op.done = topic_done;
	start(&c->op);
	CHECK(!c->done);
	CHECK(rig_run(r, &c->done));
	if (f)
		*f = c->op.fault;
	return c->op.fault.code;
}

struct topic_spec rig_spec(struct store_rig *r, const char *name, uint32_t partitions)
{
	struct topic_spec spec = {
		.partition_count = partitions,
		.created_at_ms = 1700000000000,
		.settings = topic_settings_default(DURABILITY_COMMIT),
	};
	uint8_t random[16];

	r->dice.base.fill(&r->dice.base, random, sizeof(random));
	uuid_from_random(&spec.uuid, random);
	snprintf(spec.name, sizeof(spec.name), "%s", name);
	snprintf(spec.engine, sizeof(spec.engine), "%s", r->ops->name);
	return spec;
}

enum err rig_create(struct store_rig *r, const struct topic_spec *spec,
                    const struct store_topic **out, struct fault *f)
{
	struct topic_call c = {.op = {.spec = *spec}};
	enum err err = topic_run(r, &c, r->store->ops->topic_create, f);

	if (!err)
		*out = c.op.topic;
	return err;
}

const struct store_topic *rig_topic(struct store_rig *r, const char *name, uint32_t partitions)
{
	struct topic_spec spec = rig_spec(r, name, partitions);
	const struct store_topic *topic;

	CHECK(rig_create(r, &spec, &topic, NULL) == OK);
	return topic;
}

enum err rig_alter(struct store_rig *r, const struct topic_spec *spec,
                   const struct store_topic **out, struct fault *f)
{
	struct topic_call c = {.op = {.spec = *spec}};
	enum err err = topic_run(r, &c, r->store->ops->topic_alter, f);

	if (!err && out)
		*out = c.op.topic;
	return err;
}

enum err rig_delete(struct store_rig *r, const struct store_topic *topic, struct fault *f)
{
	struct topic_call c = {.op = {.topic = topic}};

	return topic_run(r, &c, r->store->ops->topic_delete, f);
}

const struct store_topic *rig_find(struct store_rig *r, const char *name)
{
	size_t count;
	const struct store_topic *const *topics = r->store->ops->topics(r->store, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(topics[i]->spec.name, name) == 0)
			return topics[i];
	}
	return NULL;
}

/* --- partitions ------------------------------------------------------------------------------ */

struct append_call {
	struct store_append op;
	bool done;
};

static void append_done(struct store_append *a)
{
	CONTAINER_OF(a, struct append_call, op)->done = true;
}

enum err rig_append(struct store_rig *r, struct store_partition *p, struct slice batch,
                    int64_t *base_offset)
{
	struct append_call c = {.op = {.partition = p,
	                               .batches = batch,
	                               .expected_offset = -1,
	                               .done = append_done}};

	r->store->ops->append(&c.op);
	CHECK(!c.done);
	CHECK(rig_run(r, &c.done));
	if (c.op.fault.code == OK && base_offset)
		*base_offset = c.op.base_offset;
	return c.op.fault.code;
}

struct read_call {
	struct store_read op;
	bool done;
};

static void read_done(struct store_read *r)
{
	CONTAINER_OF(r, struct read_call, op)->done = true;
}

enum { READ_BYTES = 1 << 20 };

static void read_run(struct store_rig *r, struct read_call *c)
{
	c->op.done = read_done;
	r->store->ops->read(&c->op);
	CHECK(!c->done);
	CHECK(rig_run(r, &c->done));
	CHECK(c->op.fault.code == OK || c->op.holder == NULL);
	CHECK((c->op.batches.len > 0 || c->op.range.bytes > 0) == (c->op.holder != NULL));
	CHECK(c->op.batches.len == 0 || c->op.range.bytes == 0);
}

enum err rig_read(struct store_rig *r, struct store_partition *p, int64_t offset, size_t bytes_max,
                  struct slice *batches, struct shared **holder)
{
	struct read_call c = {.op = {.partition = p, .offset = offset, .bytes_max = bytes_max}};

	read_run(r, &c);
	CHECK(c.op.range.bytes == 0);
	*batches = c.op.batches;
	*holder = c.op.holder;
	return c.op.fault.code;
}

enum err rig_read_range(struct store_rig *r, struct store_partition *p, int64_t offset,
                        int64_t range_bytes_max, struct store_range *range, struct slice *batches,
                        struct shared **holder)
{
	struct read_call c = {.op = {.partition = p,
	                             .offset = offset,
	                             .bytes_max = READ_BYTES,
	                             .range_bytes_max = range_bytes_max}};

	read_run(r, &c);
	*range = c.op.range;
	*batches = c.op.batches;
	*holder = c.op.holder;
	return c.op.fault.code;
}

struct lookup_call {
	struct store_time_lookup op;
	bool done;
};

static void lookup_done(struct store_time_lookup *t)
{
	CONTAINER_OF(t, struct lookup_call, op)->done = true;
}

enum err rig_lookup(struct store_rig *r, struct store_partition *p, int64_t time_ms,
                    int64_t *offset)
{
	struct lookup_call c = {.op = {.partition = p, .time_ms = time_ms, .done = lookup_done}};

	r->store->ops->lookup_time(&c.op);
	CHECK(!c.done);
	CHECK(rig_run(r, &c.done));
	if (c.op.fault.code == OK)
		*offset = c.op.offset;
	return c.op.fault.code;
}

struct trim_call {
	struct store_trim op;
	bool done;
};

static void trim_done(struct store_trim *t)
{
	CONTAINER_OF(t, struct trim_call, op)->done = true;
}

enum err rig_trim(struct store_rig *r, struct store_partition *p, int64_t upto)
{
	struct trim_call c = {.op = {.partition = p, .upto = upto, .done = trim_done}};

	r->store->ops->trim(&c.op);
	CHECK(!c.done);
	CHECK(rig_run(r, &c.done));
	return c.op.fault.code;
}

struct checkpoint_call {
	struct store_checkpoint op;
	bool done;
};

static void checkpoint_done(struct store_checkpoint *c)
{
	CONTAINER_OF(c, struct checkpoint_call, op)->done = true;
}

enum err rig_checkpoint(struct store_rig *r)
{
	struct checkpoint_call c = {.op = {.store = r->store, .done = checkpoint_done}};

	r->store->ops->checkpoint(&c.op);
	CHECK(!c.done);
	CHECK(rig_run(r, &c.done));
	return c.op.fault.code;
}

struct backup_call {
	struct store_backup_op op;
	bool done;
};

static void backup_done(struct store_backup_op *o)
{
	CONTAINER_OF(o, struct backup_call, op)->done = true;
}

enum err rig_backup(struct store_rig *r, struct store_backup_op *o)
{
	struct backup_call c = {.op = *o};

	c.op.store = r->store;
	c.op.done = backup_done;
	r->store->ops->backup(&c.op);
	CHECK(!c.done);
	CHECK(rig_run(r, &c.done));
	*o = c.op;
	return o->fault.code;
}

/* --- batches --------------------------------------------------------------------------------- */

struct slice rig_batch(struct buf *to, const char *value, const int64_t *timestamps, uint32_t count)
{
	struct batch_builder b;

	buf_clear(to);
	batch_begin(&b, to);
	for (uint32_t i = 0; i < count; i++) {
		char text[NAME_BYTES_MAX];
		int len = snprintf(text, sizeof(text), "%s %u", value, i);

		CHECK(len < NAME_BYTES_MAX);
		batch_add(&b, &(struct record){.timestamp = timestamps ? timestamps[i] : 0,
		                               .value = slice_of(text, (size_t)len)});
	}
	return batch_finish(&b);
}
