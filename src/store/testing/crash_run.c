#include "store/testing/crash_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { COMPACT_TURNS = 60, BATCH_LIMIT = 256 << 10, EVENT_LIMIT = RUN_EVENT_BYTES_MAX + 64 };

unsigned run_roll(struct crash_run *r, unsigned below)
{
	uint32_t n;

	r->rig.dice.base.fill(&r->rig.dice.base, &n, sizeof(n));
	return n % below;
}

static void write_line(struct crash_run *r, struct ledger_line line)
{
	if (r->line_count == r->line_cap) {
		r->line_cap = r->line_cap ? 2 * r->line_cap : 256;
		r->ledger = realloc(r->ledger, r->line_cap * sizeof(*r->ledger));
		CHECK(r->ledger);
	}
	r->ledger[r->line_count++] = line;
	disk_trace_mark(&r->trace);
}

static struct now ahead_now(struct clock *c)
{
	struct run_clock *clock = CONTAINER_OF(c, struct run_clock, base);
	struct now now = clock_system()->now(clock_system());

	now.wall_ms += clock->ahead_ms;
	return now;
}

void run_age_segments(struct crash_run *r)
{
	r->clock.ahead_ms += topic_settings_default(DURABILITY_COMMIT).segment_ms;
}

/* --- life ------------------------------------------------------------------------------------- */

void crash_run_init(struct crash_run *r, const struct store_ops *ops, uint64_t seed,
                    int64_t capacity_bytes)
{
	*r = (struct crash_run){.seed = seed, .settled = true};
	r->sim = disk_sim_new(seed, capacity_bytes);
	r->faults = disk_fault_new(disk_sim_disk(r->sim));
	disk_trace_init(&r->trace, disk_fault_disk(r->faults));
	rig_init(&r->rig, ops, 1, &r->trace.base, "/data", seed);
	r->clock.base.now = ahead_now;
	r->rig.clock = &r->clock.base;
	r->rig.memory_bytes = 1; /* an engine that reads from disk shall do so */
}

void crash_run_fini(struct crash_run *r)
{
	rig_fini(&r->rig);
	disk_trace_fini(&r->trace);
	disk_fault_free(r->faults);
	disk_sim_free(r->sim);
	free(r->ledger);
}

void run_open(struct crash_run *r)
{
	struct fault f = {0};

	CHECK(rig_try_open(&r->rig, &f) == OK);
	for (unsigned i = 0; i < RUN_TOPICS; i++)
		if (r->topics[i].topic)
			r->topics[i].topic = rig_find(&r->rig, r->topics[i].spec.name);
}

void run_close(struct crash_run *r)
{
	write_line(r, (struct ledger_line){.kind = RUN_SAVE_ASKED});
	rig_shut(&r->rig);
	write_line(r, (struct ledger_line){.kind = RUN_SAVE_DONE});
}

void run_die(struct crash_run *r)
{
	CHECK(r->settled);
	for (int call = 0; call < DISK_CALL_COUNT; call++)
		disk_fault_arm(r->faults, (enum disk_call)call, 1, EIO, 0, true);
	rig_shut(&r->rig);
	disk_fault_disarm(r->faults);
	disk_sim_kill(r->sim);
}

void run_kill(struct crash_run *r)
{
	write_line(r, (struct ledger_line){.kind = RUN_SAVE_ASKED});
	run_die(r);
	run_open(r);
	write_line(r, (struct ledger_line){.kind = RUN_SAVE_DONE});
}

/* --- topics ----------------------------------------------------------------------------------- */

static void create(struct crash_run *r, unsigned topic, const char *name,
                   enum durability durability, uint32_t partitions, uint8_t cleanup_policy)
{
	struct run_topic *t = &r->topics[topic];
	struct ledger_line line = {
		.kind = RUN_CREATE_ASKED,
		.topic = topic,
		.count = partitions,
	};

	CHECK(t->spec.name[0] == '\0');
	t->spec = rig_spec(&r->rig, name, partitions);
	t->spec.settings.durability = durability;
	t->spec.settings.retention_ms = -1;
	t->spec.settings.cleanup_policy = cleanup_policy;
	t->spec.settings.dirty_ratio_ppm = 0;
	write_line(r, line);
	CHECK(rig_create(&r->rig, &t->spec, &t->topic, NULL) == OK);
	line.kind = RUN_CREATE_DONE;
	write_line(r, line);
}

void run_create_small(struct crash_run *r, unsigned topic, const char *name,
                      enum durability durability, uint32_t partitions)
{
	create(r, topic, name, durability, partitions, CLEANUP_DELETE);
}

void run_create_compacted(struct crash_run *r, unsigned topic, const char *name,
                          enum durability durability)
{
	create(r, topic, name, durability, RUN_PARTITIONS, CLEANUP_COMPACT);
}

void run_create(struct crash_run *r, unsigned topic, const char *name, enum durability durability)
{
	run_create_small(r, topic, name, durability, RUN_PARTITIONS);
}

void run_grow(struct crash_run *r, unsigned topic)
{
	struct run_topic *t = &r->topics[topic];
	struct ledger_line line = {
		.kind = RUN_GROW_ASKED,
		.topic = topic,
		.count = RUN_PARTITIONS,
	};

	write_line(r, line);
	t->spec.partition_count = RUN_PARTITIONS;
	CHECK(rig_alter(&r->rig, &t->spec, &t->topic, NULL) == OK);
	line.kind = RUN_GROW_DONE;
	write_line(r, line);
}

void run_delete(struct crash_run *r, unsigned topic)
{
	struct run_topic *t = &r->topics[topic];

	write_line(r, (struct ledger_line){.kind = RUN_DELETE_ASKED, .topic = topic});
	CHECK(rig_delete(&r->rig, t->topic, NULL) == OK);
	t->topic = NULL;
	write_line(r, (struct ledger_line){.kind = RUN_DELETE_DONE, .topic = topic});
}

void run_alter(struct crash_run *r, unsigned topic)
{
	struct run_topic *t = &r->topics[topic];

	CHECK(rig_alter(&r->rig, &t->spec, &t->topic, NULL) == OK);
}

/* --- appends ---------------------------------------------------------------------------------- */

struct shot {
	struct store_append op;
	struct crash_run *run;
	struct ledger_line line;
	struct buf batch;
};

struct slice run_event(struct buf *into, unsigned topic, uint32_t partition, int64_t number,
                       size_t bytes)
{
	static const uint8_t letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	int len;

	buf_clear(into);
	CHECK(buf_reserve(into, EVENT_LIMIT));
	len = snprintf((char *)into->ptr, EVENT_LIMIT, "%u/%u %lld ", topic, partition,
	               (long long)number);
	into->len = (size_t)len;
	for (size_t i = 0; i < bytes; i++)
		into->ptr[into->len++] =
			letters[((size_t)number * 7 + i * i) % (sizeof(letters) - 1)];
	return buf_slice(into);
}

struct slice run_key(const struct crash_run *r, unsigned topic, int64_t number)
{
	static const char *const keys[RUN_KEYS] = {"a", "b", "c", "d", "e"};

	return topic_is_compacted(&r->topics[topic].spec.settings)
	               ? slice_str(keys[number % RUN_KEYS])
	               : SLICE_NONE;
}

static struct slice make_batch(const struct crash_run *r, const struct ledger_line *line,
                               size_t bytes, struct buf *to)
{
	struct buf value = BUF_INIT(EVENT_LIMIT);
	struct batch_builder b;

	batch_begin(&b, to);
	for (int64_t i = 0; i < line->count; i++) {
		int64_t number = line->number + i;
		struct slice v = run_event(&value, line->topic, line->partition, number, bytes);

		batch_add(&b, &(struct record){.timestamp = number,
		                               .key = run_key(r, line->topic, number),
		                               .value = v});
	}
	buf_fini(&value);
	return batch_finish(&b);
}

static void shot_done(struct store_append *a)
{
	struct shot *s = CONTAINER_OF(a, struct shot, op);
	struct crash_run *r = s->run;

	s->line.kind = RUN_APPEND_REFUSED;
	if (a->fault.code == OK) {
		s->line.kind = RUN_APPEND_DONE;
		s->line.offset = a->base_offset;
		r->acked += s->line.count;
	}
	CHECK(a->fault.code == OK || a->fault.code == ERR_DISK_FULL);
	write_line(r, s->line);
	buf_fini(&s->batch);
	free(s);
	r->settled = --r->pending == 0;
}

void run_append(struct crash_run *r, unsigned topic, uint32_t partition, int64_t count,
                size_t bytes)
{
	struct run_topic *t = &r->topics[topic];
	int64_t *asked = &t->partitions[partition].asked;
	struct shot *s = calloc(1, sizeof(*s));

	CHECK(s);
	CHECK(bytes <= RUN_EVENT_BYTES_MAX && *asked + count < RUN_EVENTS_MAX);
	s->run = r;
	s->line = (struct ledger_line){
		.kind = RUN_APPEND_ASKED,
		.topic = topic,
		.partition = partition,
		.number = *asked,
		.count = count,
	};
	for (int64_t i = 0; i < count; i++)
		t->partitions[partition].bytes[(*asked)++] = bytes;
	s->batch = BUF_INIT(BATCH_LIMIT);
	s->op = (struct store_append){
		.partition = t->topic->partitions[partition],
		.batches = make_batch(r, &s->line, bytes, &s->batch),
		.expected_offset = -1,
		.done = shot_done,
	};
	r->pending++;
	r->settled = false;
	write_line(r, s->line);
	r->rig.store->ops->append(&s->op);
}

void run_settle(struct crash_run *r)
{
	CHECK(r->settled || rig_run(&r->rig, &r->settled));
}

/* --- the rest --------------------------------------------------------------------------------- */

void run_trim(struct crash_run *r, unsigned topic, uint32_t partition, int64_t upto)
{
	struct ledger_line line = {
		.kind = RUN_TRIM_ASKED,
		.topic = topic,
		.partition = partition,
		.offset = upto,
	};

	write_line(r, line);
	if (rig_trim(&r->rig, r->topics[topic].topic->partitions[partition], upto))
		return;
	line.kind = RUN_TRIM_DONE;
	write_line(r, line);
}

enum err run_checkpoint(struct crash_run *r)
{
	enum err err;

	write_line(r, (struct ledger_line){.kind = RUN_SAVE_ASKED});
	err = rig_checkpoint(&r->rig);
	if (!err)
		write_line(r, (struct ledger_line){.kind = RUN_SAVE_DONE});
	return err;
}

int64_t run_compact(struct crash_run *r)
{
	const bool never = false;

	for (int turns = 0; turns < COMPACT_TURNS; turns++)
		for (unsigned i = 0; i < r->rig.shard_count; i++)
			loop_run_until(r->rig.loops[i], &never, 1);
	return r->rig.metrics[0].values[METRIC_COMPACTIONS];
}

static void backup(struct crash_run *r, enum store_backup_verb verb, unsigned number)
{
	struct store_backup_op o = {.verb = verb};
	char name[8];

	snprintf(name, sizeof(name), "b%u", number);
	o.name = name;
	CHECK(rig_backup(&r->rig, &o) == OK);
	free(o.backups);
}

void run_backup(struct crash_run *r)
{
	struct ledger_line line = {.kind = RUN_BACKUP_ASKED, .number = r->backup_count++};

	CHECK(r->backup_count <= RUN_BACKUPS);
	write_line(r, line);
	backup(r, BACKUP_MAKE, (unsigned)line.number);
	line.kind = RUN_BACKUP_DONE;
	write_line(r, line);
}

void run_backup_remove(struct crash_run *r, unsigned number)
{
	write_line(r, (struct ledger_line){.kind = RUN_BACKUP_REMOVED, .number = number});
	backup(r, BACKUP_REMOVE, number);
}
