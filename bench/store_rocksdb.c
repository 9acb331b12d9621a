#include "store_rocksdb.h"

#include "process.h"

#include "base/endian.h"
#include "io/disk.h"
#include "store/rocksdb/database.h"
#include "store/rocksdb/row.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DESCRIPTORS = 16, MIB = 1 << 20 };

struct race {
	const struct store_rocksdb_options *o;
	struct failure *failure;
	struct store_batches batches;
	int64_t rows_a_group; /* of ours in the last round */
	char our_dir[4096];
	char bare_dir[4096];
};

static bool check(struct race *r, struct database *d, char *text, const char *what)
{
	struct fault fault;

	return !database_check(d, text, what, &fault) || bench_fail(r->failure, "%s", fault.where);
}

/* --- directories ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void empty(const char *dir)
{
	(void)nftw(dir, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

/* --- the bare loops --------------------------------------------------------------------------- */

static void put_row(struct race *r, struct database *d, rocksdb_writebatch_t *group,
                    uint32_t partition, int64_t nth)
{
	const struct row_home home = {.topic = {{1}}, .partition = partition};
	struct slice batch = store_batches_get(&r->batches, nth);
	struct row_key key = row_key(&home, nth * r->batches.events);
	uint8_t front[ROW_TOTAL_BYTES];
	const char *const keys[] = {(const char *)key.bytes};
	const char *const values[] = {(const char *)front, (const char *)batch.ptr};
	const size_t key_bytes[] = {sizeof(key.bytes)};
	const size_t value_bytes[] = {sizeof(front), batch.len};

	store_le64(front, (uint64_t)((nth + 1) * (int64_t)batch.len));
	d->lib.writebatch_putv(group, 1, keys, key_bytes, 2, values, value_bytes);
}

/* A group as the engine makes it: of each partition a frame, of several rows where there are so
 * many. Returns how many rows it has. */
static int64_t put_group(struct race *r, struct database *d, rocksdb_writebatch_t *group,
                         int64_t written)
{
	uint32_t partitions = r->o->driver.partitions;
	int64_t each = r->o->batches / partitions;
	int64_t in_a_frame = r->rows_a_group / partitions;
	int64_t rows = 0;

	if (in_a_frame == 0) { /* one row each, of some partitions in turn */
		for (; rows < r->rows_a_group && written + rows < r->o->batches; rows++)
			put_row(r, d, group, (uint32_t)((written + rows) % partitions),
			        (written + rows) / partitions);
		return rows;
	}
	for (uint32_t p = 0; p < partitions; p++) {
		int64_t first = written / partitions;

		for (int64_t i = first; i < first + in_a_frame && i < each; i++, rows++)
			put_row(r, d, group, p, i);
	}
	return rows;
}

static bool bare_append(struct race *r, struct database *d, struct store_figures *out)
{
	rocksdb_writebatch_t *group = d->lib.writebatch_create();
	bool ok = true;

	d->lib.writeoptions_set_sync(d->writing, r->o->driver.durability == DURABILITY_COMMIT);
	d->lib.writeoptions_set_no_slowdown(d->writing, 0); /* a stall is waited for here, too */
	for (int64_t written = 0; ok && written < r->o->batches;) {
		char *text = NULL;

		written += put_group(r, d, group, written);
		d->lib.write(d->db, d->writing, group, &text);
		d->lib.writebatch_clear(group);
		ok = check(r, d, text, "bare write");
		out->groups++;
	}
	d->lib.writebatch_destroy(group);
	return ok;
}

static bool bare_read(struct race *r, struct database *d, struct store_figures *out)
{
	rocksdb_iterator_t *it = d->lib.create_iterator(d->db, d->reading);
	uint8_t *into = malloc(2 * MIB);
	char *text = NULL;
	size_t at = 0;

	for (d->lib.iter_seek(it, "", 0); d->lib.iter_valid(it); d->lib.iter_next(it)) {
		size_t len;
		const char *value = d->lib.iter_value(it, &len);

		if (at + len > 2 * MIB)
			at = 0;
		memcpy(into + at, value, len);
		at += len;
		out->groups++;
		out->bytes += (int64_t)len - ROW_TOTAL_BYTES;
	}
	d->lib.iter_get_error(it, &text);
	d->lib.iter_destroy(it);
	free(into);
	if (!check(r, d, text, "bare read"))
		return false;
	return out->groups == r->o->batches ||
	       bench_fail(r->failure, "bare: %lld rows", (long long)out->groups);
}

/* --- measuring -------------------------------------------------------------------------------- */

struct stopwatch {
	int64_t cpu_ns;
	int64_t began_ns;
};

static struct stopwatch begin(void)
{
	return (struct stopwatch){process_own_cpu_ns(), bench_now_ns()};
}

static void end(const struct stopwatch *w, struct store_figures *out)
{
	out->elapsed_ns = bench_now_ns() - w->began_ns;
	out->cpu_ns = process_own_cpu_ns() - w->cpu_ns;
}

static bool round_of_bare(struct race *r, struct store_figures *append, struct store_figures *reads)
{
	const struct uuid nobody = {0};
	const struct store_config config = {
		.disk = disk_real(),
		.checkpoint_bytes = r->o->driver.checkpoint_bytes,
		.rocksdb = r->o->driver.rocksdb,
	};
	struct fault fault = {0};
	struct stopwatch watch;
	struct database d;
	bool ok;

	if (mkdir(r->bare_dir, 0700) != 0 ||
	    database_open(&d, r->bare_dir, &nobody, &config, &fault))
		return bench_fail(r->failure, "bare: %s: %s", r->bare_dir, fault.where);
	*append = (struct store_figures){.bytes = r->o->batches *
	                                          (int64_t)store_batches_get(&r->batches, 0).len};
	*reads = (struct store_figures){0};
	watch = begin();
	ok = bare_append(r, &d, append);
	end(&watch, append);
	ok = ok && (!database_flush(&d, &fault) || bench_fail(r->failure, "%s", fault.where));
	watch = begin();
	ok = ok && bare_read(r, &d, reads);
	end(&watch, reads);
	database_close(&d);
	empty(r->bare_dir);
	return ok;
}

static bool run_ours(struct race *r, struct driver *d, struct store_figures *append,
                     struct store_figures *reads)
{
	int64_t each = r->o->batches / r->o->driver.partitions;
	struct stopwatch watch = begin();

	if (!driver_append(d, each))
		return false;
	end(&watch, append);
	driver_settle(d);
	append->bytes = r->o->batches * (int64_t)store_batches_get(&r->batches, 0).len;
	append->groups = driver_metric(d, METRIC_WAL_GROUPS);
	append->flushes = driver_metric(d, METRIC_WAL_FLUSHES);
	r->rows_a_group = append->groups > 0 ? r->o->batches / append->groups : 1;
	if (r->rows_a_group == 0)
		r->rows_a_group = 1; /* trims have groups of their own */
	if (!driver_checkpoint(d))
		return false;
	watch = begin();
	if (!driver_scan(d, &reads->bytes))
		return false;
	end(&watch, reads);
	return driver_check(d, each);
}

static bool round_of_ours(struct race *r, struct store_figures *append, struct store_figures *reads)
{
	struct driver_options options = r->o->driver;
	struct driver d;
	bool ok;

	options.dir = r->our_dir;
	options.engine = "rocksdb";
	if (!driver_open(&d, &options, r->failure))
		return false;
	*append = (struct store_figures){0};
	*reads = (struct store_figures){0};
	ok = run_ours(r, &d, append, reads);
	driver_close(&d);
	empty(r->our_dir);
	return ok;
}

static bool race(struct race *r, struct store_rocksdb_result *result)
{
	struct store_figures unused;

	if (!round_of_ours(r, &unused, &unused))
		return false;
	for (uint32_t i = 0; i < r->o->rounds; i++) {
		bool ours_first = i % 2;

		bench_progress("rocksdb: round %u of %u", i + 1, r->o->rounds);
		if (ours_first && !round_of_ours(r, &result->ours[i], &result->our_reads[i]))
			return false;
		if (!round_of_bare(r, &result->bare[i], &result->bare_reads[i]))
			return false;
		if (!ours_first && !round_of_ours(r, &result->ours[i], &result->our_reads[i]))
			return false;
	}
	return true;
}

bool store_rocksdb_run(const struct store_rocksdb_options *o, struct store_rocksdb_result *result,
                       struct failure *f)
{
	struct race r = {.o = o, .failure = f};
	bool ok;

	store_batches_init(&r.batches,
	                   o->driver.batch_events ? o->driver.batch_events : STORE_BATCH_EVENTS);
	snprintf(r.our_dir, sizeof(r.our_dir), "%s/data", o->driver.dir);
	snprintf(r.bare_dir, sizeof(r.bare_dir), "%s/bare", o->driver.dir);
	ok = race(&r, result);
	store_batches_fini(&r.batches);
	bench_progress(" ");
	return ok;
}
