#include "store_driver.h"

#include "io/disk.h"
#include "io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SILENCE_MS = 120000,
	READ_BYTES = 1 << 20,
	FLUSH_MS = 50,
	CHECKPOINT_MS = 60000,
	SETTLE_MS = 600, /* the store looks twice a second */
};

bool driver_ok(struct driver *d, const char *what, const struct fault *fault)
{
	char text[320];

	if (!fault->code)
		return true;
	return bench_fail(d->failure, "%s: %s", what, fault_text(fault, text, sizeof(text)));
}

bool driver_run(struct driver *d, const bool *done)
{
	return loop_run_until(d->loop, done, SILENCE_MS) ||
	       bench_fail(d->failure, "the store has not answered for %d s", SILENCE_MS / 1000);
}

void driver_settle(struct driver *d)
{
	const bool never = false;

	(void)loop_run_until(d->loop, &never, SETTLE_MS);
}

/* --- the topic -------------------------------------------------------------------------------- */

struct topic_call {
	struct store_topic_op op;
	bool done;
};

static void topic_made(struct store_topic_op *o)
{
	CONTAINER_OF(o, struct topic_call, op)->done = true;
}

static bool make_topic(struct driver *d)
{
	struct topic_call call = {.op = {.store = d->store, .done = topic_made}};
	struct topic_spec *spec = &call.op.spec;
	struct entropy *entropy = entropy_system();

	*spec = (struct topic_spec){.name = "bench",
	                            .partition_count = d->o.partitions,
	                            .settings = topic_settings_default(d->o.durability)};
	spec->settings.retention_bytes = d->o.retention_bytes;
	entropy->fill(entropy, spec->uuid.bytes, sizeof(spec->uuid.bytes));
	snprintf(spec->engine, sizeof(spec->engine), "%s", d->store->ops->name);
	d->store->ops->topic_create(&call.op);
	if (!driver_run(d, &call.done) || !driver_ok(d, "topic", &call.op.fault))
		return false;
	d->topic = call.op.topic;
	return true;
}

static bool find_topic(struct driver *d)
{
	const struct store_topic *const *topics;
	size_t count;

	topics = d->store->ops->topics(d->store, &count);
	if (count == 0)
		return make_topic(d);
	d->topic = topics[0];
	d->o.partitions = d->topic->spec.partition_count;
	return true;
}

/* --- open and close --------------------------------------------------------------------------- */

static bool open_store(struct driver *d)
{
	const struct store_config config = {
		.path = d->o.dir,
		.disk = disk_real(),
		.clock = clock_system(),
		.entropy = entropy_system(),
		.log = d->log,
		.loops = &d->loop,
		.shard_count = 1,
		.flush_ms = FLUSH_MS,
		.checkpoint_bytes = d->o.checkpoint_bytes,
		.checkpoint_ms = CHECKPOINT_MS,
		.memory_bytes = d->o.memory_bytes,
		.rocksdb = d->o.rocksdb,
	};
	const struct store_ops *ops =
		store_registry_find(store_registry_default(), d->o.engine ? d->o.engine : "log");
	struct fault fault = {0};

	return ops->open(&config, &d->store, &fault) == OK || driver_ok(d, d->o.dir, &fault);
}

static bool open_loop(struct driver *d)
{
	const struct loop_config config = {.clock = clock_system(),
	                                   .entropy = entropy_system(),
	                                   .log = d->log,
	                                   .metrics = &d->metrics};
	struct fault fault = {0};

	d->loop = loop_new(&config, &fault);
	return driver_ok(d, "loop", &fault);
}

bool driver_open(struct driver *d, const struct driver_options *o, struct failure *f)
{
	*d = (struct driver){.o = *o, .failure = f};
	store_batches_init(&d->batches, o->batch_events ? o->batch_events : STORE_BATCH_EVENTS);
	d->log = log_new(STDERR_FILENO, LOG_WARN, false, clock_system());
	if (d->log && open_loop(d) && open_store(d) && find_topic(d))
		return true;
	driver_close(d);
	return bench_fail(f, "no memory");
}

void driver_close(struct driver *d)
{
	if (d->store)
		d->store->ops->close(d->store);
	if (d->loop)
		loop_free(d->loop);
	if (d->log)
		log_free(d->log);
	store_batches_fini(&d->batches);
}

/* --- appending -------------------------------------------------------------------------------- */

struct appends;

struct lane {
	struct store_append append;
	struct appends *all;
};

struct appends {
	struct driver *driver;
	struct lane *lanes;                  /* owned; in_flight a partition */
	int64_t next[DRIVER_PARTITIONS_MAX]; /* batch of the partition */
	int64_t end[DRIVER_PARTITIONS_MAX];
	size_t under_way;
	bool done;
};

static void lane_append(struct lane *l);

static void lane_done(struct store_append *a)
{
	struct lane *l = CONTAINER_OF(a, struct lane, append);
	struct appends *all = l->all;

	all->under_way--;
	if (driver_ok(all->driver, "append", &a->fault))
		lane_append(l);
	all->done = all->under_way == 0;
}

static void lane_append(struct lane *l)
{
	struct store_partition *p = l->append.partition;
	struct appends *all = l->all;

	if (all->next[p->index] == all->end[p->index] || all->driver->failure->text[0])
		return;
	l->append = (struct store_append){
		.partition = p,
		.batches = store_batches_get(&all->driver->batches, all->next[p->index]++),
		.expected_offset = -1,
		.done = lane_done,
	};
	all->under_way++;
	all->driver->store->ops->append(&l->append);
}

bool driver_append(struct driver *d, int64_t count)
{
	size_t lanes = (size_t)d->o.partitions * d->o.in_flight;
	struct appends all = {.driver = d, .lanes = calloc(lanes, sizeof(struct lane))};
	bool ok;

	if (!all.lanes)
		return bench_fail(d->failure, "no memory");
	for (uint32_t i = 0; i < d->o.partitions; i++) {
		int64_t end = d->topic->partitions[i]->state.log_end;

		all.next[i] = end / d->batches.events;
		all.end[i] = all.next[i] + count;
	}
	for (size_t i = 0; i < lanes; i++) {
		all.lanes[i].all = &all;
		all.lanes[i].append.partition = d->topic->partitions[i % d->o.partitions];
		lane_append(&all.lanes[i]);
	}
	ok = driver_run(d, &all.done) && !d->failure->text[0];
	if (ok)
		free(all.lanes); /* else the store may still have some of them */
	return ok;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct read_call {
	struct store_read read;
	bool done;
};

static void read_done(struct store_read *r)
{
	CONTAINER_OF(r, struct read_call, read)->done = true;
}

/* Compare the batches from `*offset` on that one read brings; it goes behind them. */
static bool check_some(struct driver *d, struct store_partition *p, int64_t *offset)
{
	struct read_call call = {.read = {.partition = p,
	                                  .offset = *offset,
	                                  .bytes_max = READ_BYTES,
	                                  .done = read_done}};
	bool ok = true;

	d->store->ops->read(&call.read);
	if (!driver_run(d, &call.done) || !driver_ok(d, "read", &call.read.fault))
		return false;
	if (call.read.batches.len == 0)
		return bench_fail(d->failure, "nothing at offset %" PRId64, *offset);
	while (ok && call.read.batches.len > 0) {
		ok = store_batches_take(&d->batches, *offset / d->batches.events,
		                        &call.read.batches, d->failure);
		*offset += d->batches.events;
	}
	shared_put(call.read.holder);
	return ok;
}

bool driver_check(struct driver *d, int64_t count)
{
	for (uint32_t i = 0; i < d->o.partitions; i++) {
		struct store_partition *p = d->topic->partitions[i];
		int64_t end = p->state.high_watermark;
		int64_t offset = end - count * d->batches.events;

		if (offset < p->state.log_start)
			return bench_fail(d->failure,
			                  "partition %u has %" PRId64 " events of %" PRId64, i,
			                  end - p->state.log_start, count * d->batches.events);
		while (offset < end)
			if (!check_some(d, p, &offset))
				return false;
	}
	return true;
}

bool driver_scan(struct driver *d, int64_t *bytes)
{
	*bytes = 0;
	for (uint32_t i = 0; i < d->o.partitions; i++) {
		struct store_partition *p = d->topic->partitions[i];
		int64_t offset = p->state.log_start;

		while (offset < p->state.high_watermark) {
			struct read_call call = {.read = {.partition = p,
			                                  .offset = offset,
			                                  .bytes_max = READ_BYTES,
			                                  .done = read_done}};

			d->store->ops->read(&call.read);
			if (!driver_run(d, &call.done) || !driver_ok(d, "read", &call.read.fault))
				return false;
			if (!call.read.holder)
				return bench_fail(d->failure, "nothing at offset %" PRId64, offset);
			*bytes += (int64_t)call.read.batches.len;
			offset += (int64_t)(call.read.batches.len / d->batches.batches[0].len) *
			          d->batches.events;
			shared_put(call.read.holder);
		}
	}
	return true;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

struct checkpoint_call {
	struct store_checkpoint checkpoint;
	bool done;
};

static void checkpoint_done(struct store_checkpoint *c)
{
	CONTAINER_OF(c, struct checkpoint_call, checkpoint)->done = true;
}

bool driver_checkpoint(struct driver *d)
{
	struct checkpoint_call call = {.checkpoint = {.store = d->store, .done = checkpoint_done}};

	d->store->ops->checkpoint(&call.checkpoint);
	return driver_run(d, &call.done) && driver_ok(d, "checkpoint", &call.checkpoint.fault);
}
