#include "store_append.h"

#include "process.h"
#include "store_copies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	FILES = 4,
	FILE_BYTES = 64 << 20, /* as a file of the WAL */
	BLOCK_BYTES = 4096,
	ZERO_BYTES = 1 << 20,
	WARM_UP_ROUNDS = 16,
	WARM_UP_BATCHES = 6 << 10, /* 600 MiB: more than is kept in memory */
};

struct append_race {
	const struct store_append_options *o;
	struct failure *failure;
	struct driver driver;
	uint8_t *zeros; /* owned; ZERO_BYTES of them */
	int files[FILES];
	size_t files_open;
	int64_t bare_batches; /* written in this round */
	int64_t warm_up_batches;
	struct copies copies;
};

/* --- the bare loop ---------------------------------------------------------------------------- */

static bool failed(struct append_race *r, const char *what)
{
	return bench_fail(r->failure, "bare: %s: %s", what, strerror(errno));
}

static int64_t blocks_of(struct slice batch)
{
	return ((int64_t)batch.len + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

static bool prewrite(struct append_race *r, int fd)
{
	for (off_t at = 0; at < FILE_BYTES; at += ZERO_BYTES)
		if (pwrite(fd, r->zeros, ZERO_BYTES, at) != ZERO_BYTES)
			return failed(r, "write");
	return fsync(fd) == 0 || failed(r, "fsync");
}

static bool open_files(struct append_race *r)
{
	char path[4096];

	for (; r->files_open < FILES; r->files_open++) {
		int fd;

		snprintf(path, sizeof(path), "%s/bare.%zu", r->o->driver.dir, r->files_open);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return failed(r, path);
		r->files[r->files_open] = fd;
		if (!prewrite(r, fd))
			return false;
	}
	return true;
}

/* Where batch `number` of a round is: its size is the same for all. */
static int place_of(const struct append_race *r, int64_t number, off_t *at)
{
	int64_t bytes = blocks_of(store_batches_get(&r->driver.batches, 0));
	int64_t a_file = FILE_BYTES / bytes;

	*at = number % a_file * bytes;
	return r->files[number / a_file % FILES];
}

static bool bare_write(struct append_race *r, int64_t number, struct slice batch)
{
	size_t padding = (size_t)blocks_of(batch) - batch.len;
	struct iovec iov[] = {{(void *)(uintptr_t)batch.ptr, batch.len}, {r->zeros, padding}};
	off_t at;
	int fd = place_of(r, number, &at);

	if (pwritev(fd, iov, 2, at) != (ssize_t)(batch.len + padding))
		return failed(r, "pwritev");
	if (r->o->driver.durability == DURABILITY_COMMIT && fdatasync(fd) != 0)
		return failed(r, "fdatasync");
	return true;
}

/* The newest are still there. */
static bool bare_check(struct append_race *r)
{
	struct slice first = store_batches_get(&r->driver.batches, 0);
	int64_t kept = FILES * (FILE_BYTES / blocks_of(first));
	int64_t number = r->bare_batches > kept ? r->bare_batches - kept : 0;
	uint8_t *bytes = malloc(first.len);
	bool ok = bytes != NULL;

	for (; ok && number < r->bare_batches; number++) {
		struct slice want = store_batches_get(&r->driver.batches, number);
		off_t at;
		int fd = place_of(r, number, &at);

		ok = want.len == first.len && pread(fd, bytes, want.len, at) == (ssize_t)want.len &&
		     memcmp(bytes, want.ptr, want.len) == 0;
	}
	free(bytes);
	return ok || bench_fail(r->failure, "bare: batch %lld is not what was written",
	                        (long long)number);
}

/* --- one side, one round ---------------------------------------------------------------------- */

static bool run_bare(struct append_race *r, struct store_figures *out)
{
	for (r->bare_batches = 0; r->bare_batches < r->o->batches; r->bare_batches++)
		if (!bare_write(r, r->bare_batches,
		                store_batches_get(&r->driver.batches, r->bare_batches)))
			return false;
	out->groups = r->o->batches;
	out->flushes = r->o->driver.durability == DURABILITY_COMMIT ? r->o->batches : 0;
	return true;
}

static bool run_ours(struct append_race *r, struct store_figures *out)
{
	(void)out;
	return driver_append(&r->driver, r->o->batches / r->o->driver.partitions);
}

static bool log_copy(void *arg, int64_t number, struct slice batch)
{
	return bare_write(arg, number, batch);
}

static bool run_copies(struct append_race *r, struct store_figures *out)
{
	out->groups = r->bare_batches = r->o->batches;
	return copies_run(&r->copies, r->o->batches, r->failure);
}

static bool measure(struct append_race *r,
                    bool (*run)(struct append_race *, struct store_figures *),
                    struct store_figures *out)
{
	int64_t cpu = process_own_cpu_ns(), began = bench_now_ns();

	if (!run(r, out))
		return false;
	out->elapsed_ns = bench_now_ns() - began;
	out->cpu_ns = process_own_cpu_ns() - cpu;
	out->bytes = r->o->batches * (int64_t)store_batches_get(&r->driver.batches, 0).len;
	return true;
}

static bool round_of_bare(struct append_race *r, struct store_figures *out)
{
	return measure(r, run_bare, out) && bare_check(r);
}

static bool round_of_copies(struct append_race *r, struct store_figures *out)
{
	return measure(r, run_copies, out) && copies_settle(&r->copies, r->failure) &&
	       bare_check(r);
}

/* The bare loop then finds an idle disk. */
static bool round_of_ours(struct append_race *r, struct store_figures *out)
{
	int64_t groups = driver_metric(&r->driver, METRIC_WAL_GROUPS);
	int64_t flushes = driver_metric(&r->driver, METRIC_WAL_FLUSHES);

	if (!measure(r, run_ours, out))
		return false;
	driver_settle(&r->driver);
	out->groups = driver_metric(&r->driver, METRIC_WAL_GROUPS) - groups;
	out->flushes = driver_metric(&r->driver, METRIC_WAL_FLUSHES) - flushes;
	return driver_check(&r->driver, r->o->batches / r->o->driver.partitions) &&
	       driver_checkpoint(&r->driver);
}

/* --- the race --------------------------------------------------------------------------------- */

/* Until memory and files of the WAL go round. */
static bool warm_up(struct append_race *r)
{
	int64_t each = r->o->batches / r->o->driver.partitions;
	struct store_figures unused;

	for (int i = 0; i < WARM_UP_ROUNDS && r->warm_up_batches < WARM_UP_BATCHES; i++) {
		if (!driver_append(&r->driver, each) || !driver_checkpoint(&r->driver))
			return false;
		r->warm_up_batches += r->o->batches;
	}
	driver_settle(&r->driver);
	return round_of_bare(r, &unused) && round_of_copies(r, &unused);
}

static bool race(struct append_race *r, struct store_append_result *result)
{
	if (!warm_up(r))
		return false;
	for (uint32_t i = 0; i < r->o->rounds; i++) {
		bool ours_first = i % 2;

		bench_progress("append: round %u of %u", i + 1, r->o->rounds);
		if (ours_first && !round_of_ours(r, &result->ours[i]))
			return false;
		if (!round_of_bare(r, &result->bare[i]) || !round_of_copies(r, &result->copies[i]))
			return false;
		if (!ours_first && !round_of_ours(r, &result->ours[i]))
			return false;
	}
	return true;
}

bool store_append_run(const struct store_append_options *o, struct store_append_result *result,
                      struct failure *f)
{
	struct append_race r = {.o = o, .failure = f, .zeros = calloc(1, ZERO_BYTES)};
	struct driver_options driver = o->driver;
	char dir[4096];
	bool ok;

	snprintf(dir, sizeof(dir), "%s/data", o->driver.dir);
	driver.dir = dir;
	driver.retention_bytes =
		2 * o->batches / o->driver.partitions * STORE_BATCH_EVENTS * STORE_EVENT_BYTES;
	if (!r.zeros)
		return bench_fail(f, "no memory");
	ok = driver_open(&r.driver, &driver, f);
	if (ok) {
		r.copies = (struct copies){
			.dir = o->driver.dir,
			.batches = &r.driver.batches,
			.log = log_copy,
			.arg = &r,
			.saves_direct = o->driver.durability == DURABILITY_COMMIT,
		};
		ok = copies_open(&r.copies, o->driver.memory_bytes, f) && open_files(&r) &&
		     race(&r, result);
		copies_close(&r.copies);
		driver_close(&r.driver);
	}
	while (r.files_open > 0)
		close(r.files[--r.files_open]);
	free(r.zeros);
	bench_progress(" ");
	return ok;
}
