#include "store_catchup.h"

#include "process.h"
#include "store_drain.h"

#include "base/crc32c.h"
#include "record/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SEGMENT_HEADER_BYTES = 4096,
	BATCHES_BYTES = 1 << 20,
	RANGE_BYTES = 16 << 20,
	FILES_MAX = 4096,
	CHECKED_BYTES = 1 << 20,
};

/* What must come out at the other end. */
struct content {
	int64_t bytes;
	uint32_t crc;
};

struct catchup_race {
	const struct store_catchup_options *o;
	struct store_catchup_result *result;
	struct failure *failure;
	struct driver driver;
	int files[FILES_MAX]; /* the segments, in order */
	int64_t sizes[FILES_MAX];
	size_t file_count;
	struct content bare;
	struct content ours;
};

/* --- the files -------------------------------------------------------------------------------- */

static bool add_to_content(struct catchup_race *r, int fd, int64_t size)
{
	uint8_t *bytes = malloc(CHECKED_BYTES);
	int64_t at = SEGMENT_HEADER_BYTES;

	while (bytes && at < size) {
		ssize_t n = pread(fd, bytes, CHECKED_BYTES, at);

		if (n <= 0)
			break;
		r->bare.crc = crc32c(r->bare.crc, bytes, (size_t)n);
		at += n;
	}
	free(bytes);
	r->bare.bytes += size - SEGMENT_HEADER_BYTES;
	return at >= size || bench_fail(r->failure, "a segment cannot be read");
}

static bool open_file(struct catchup_race *r, const char *path)
{
	struct stat st;
	int fd;

	if (r->file_count == FILES_MAX)
		return bench_fail(r->failure, "more than %d segments", FILES_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return bench_fail(r->failure, "%s: %s", path, strerror(errno));
	r->sizes[r->file_count] = st.st_size;
	r->files[r->file_count++] = fd;
	return add_to_content(r, fd, st.st_size);
}

/* Their names are their offsets, so they come in order. */
static bool open_files(struct catchup_race *r)
{
	char pattern[4096];
	glob_t found = {0};
	bool ok = true;

	snprintf(pattern, sizeof(pattern), "%s/topics/*/0/*.seg", r->o->driver.dir);
	if (glob(pattern, 0, NULL, &found) != 0)
		return bench_fail(r->failure, "there is no %s", pattern);
	for (size_t i = 0; i < found.gl_pathc && ok; i++)
		ok = open_file(r, found.gl_pathv[i]);
	globfree(&found);
	return ok;
}

/* --- the two sides ---------------------------------------------------------------------------------- */

static bool run_bare(struct catchup_race *r, struct drain *to, struct store_figures *out)
{
	for (size_t i = 0; i < r->file_count; i++)
		if (!drain_send(to, r->files[i], SEGMENT_HEADER_BYTES,
		                r->sizes[i] - SEGMENT_HEADER_BYTES, r->failure))
			return false;
	out->groups = (int64_t)r->file_count;
	return true;
}

struct read_call {
	struct store_read read;
	bool done;
};

static void read_done(struct store_read *read)
{
	CONTAINER_OF(read, struct read_call, read)->done = true;
}

static bool send_batches(struct catchup_race *r, const struct store_read *read, int64_t *offset,
                         struct drain *to)
{
	size_t count = read->batches.len / store_batches_get(&r->driver.batches, 0).len;

	if (count == 0)
		return bench_fail(r->failure, "nothing at offset %" PRId64, *offset);
	*offset += (int64_t)count * STORE_BATCH_EVENTS;
	return drain_write(to, read->batches, r->failure);
}

static bool send_range(struct catchup_race *r, const struct store_range *range, int64_t *offset,
                       struct drain *to)
{
	*offset = range->next_offset;
	r->result->range_bytes += range->bytes;
	return drain_send(to, range->fd, range->at, range->bytes, r->failure);
}

/* What one read brings goes out; `*offset` goes behind it. */
static bool send_some(struct catchup_race *r, int64_t *offset, struct drain *to)
{
	struct read_call call = {.read = {.partition = r->driver.topic->partitions[0],
	                                  .offset = *offset,
	                                  .bytes_max = BATCHES_BYTES,
	                                  .range_bytes_max = RANGE_BYTES,
	                                  .done = read_done}};
	const struct store_read *read = &call.read;
	bool ok;

	r->driver.store->ops->read(&call.read);
	if (!driver_run(&r->driver, &call.done) || !driver_ok(&r->driver, "read", &read->fault))
		return false;
	ok = read->range.bytes > 0 ? send_range(r, &read->range, offset, to)
	                           : send_batches(r, read, offset, to);
	if (read->holder)
		shared_put(read->holder);
	return ok;
}

static bool run_ours(struct catchup_race *r, struct drain *to, struct store_figures *out)
{
	const struct partition_state *s = &r->driver.topic->partitions[0]->state;
	int64_t offset = s->log_start;

	r->result->range_bytes = 0;
	for (out->groups = 0; offset < s->high_watermark; out->groups++)
		if (!send_some(r, &offset, to))
			return false;
	return true;
}

/* --- one side, one round ---------------------------------------------------------------------- */

typedef bool side(struct catchup_race *r, struct drain *to, struct store_figures *out);

static void forget_pages(const struct catchup_race *r)
{
	for (size_t i = 0; i < r->file_count; i++)
		posix_fadvise(r->files[i], 0, 0, POSIX_FADV_DONTNEED);
}

static bool measure(struct catchup_race *r, side *run, const struct content *want,
                    struct store_figures *out)
{
	int64_t began, cpu;
	struct drain to;
	bool ok;

	if (r->o->cold)
		forget_pages(r);
	if (!drain_open(&to, r->failure))
		return false;
	began = bench_now_ns();
	cpu = process_own_cpu_ns();
	ok = run(r, &to, out);
	drain_close(&to);
	out->elapsed_ns = bench_now_ns() - began;
	out->cpu_ns = process_own_cpu_ns() - cpu;
	out->bytes = to.bytes;
	if (ok && (to.bytes != want->bytes || to.crc != want->crc))
		ok = bench_fail(r->failure,
		                "%" PRId64 " bytes with CRC %08x came instead of %" PRId64
		                " with %08x",
		                to.bytes, to.crc, want->bytes, want->crc);
	return ok;
}

/* --- the race --------------------------------------------------------------------------------- */

/* The batches that were appended, with their offsets. */
static bool know_content(struct catchup_race *r)
{
	int32_t epoch = r->driver.topic->partitions[0]->state.leader_epoch;
	struct buf batch = BUF_INIT(BATCHES_BYTES);

	for (int64_t i = 0; i < r->o->batches && !batch.failed; i++) {
		buf_clear(&batch);
		buf_append_slice(&batch, store_batches_get(&r->driver.batches, i));
		if (batch.failed)
			break;
		batch_assign(batch.ptr, i * STORE_BATCH_EVENTS, epoch);
		r->ours.crc = crc32c(r->ours.crc, batch.ptr, batch.len);
		r->ours.bytes += (int64_t)batch.len;
	}
	buf_fini(&batch);
	return r->ours.bytes > 0 || bench_fail(r->failure, "no memory");
}

static bool race(struct catchup_race *r)
{
	struct store_figures warm_up;

	if (!measure(r, run_bare, &r->bare, &warm_up) || !measure(r, run_ours, &r->ours, &warm_up))
		return false;
	for (uint32_t i = 0; i < r->o->rounds; i++) {
		bool ours_first = i % 2;

		bench_progress("catch-up: round %u of %u", i + 1, r->o->rounds);
		if (ours_first && !measure(r, run_ours, &r->ours, &r->result->ours[i]))
			return false;
		if (!measure(r, run_bare, &r->bare, &r->result->bare[i]))
			return false;
		if (!ours_first && !measure(r, run_ours, &r->ours, &r->result->ours[i]))
			return false;
	}
	return true;
}

bool store_catchup_run(const struct store_catchup_options *o, struct store_catchup_result *result,
                       struct failure *f)
{
	struct catchup_race *r = calloc(1, sizeof(*r));
	bool ok;

	if (!r)
		return bench_fail(f, "no memory");
	*r = (struct catchup_race){.o = o, .result = result, .failure = f};
	ok = driver_open(&r->driver, &o->driver, f);
	if (ok) {
		ok = know_content(r) && open_files(r) && race(r);
		driver_close(&r->driver);
	}
	while (r->file_count > 0)
		close(r->files[--r->file_count]);
	free(r);
	bench_progress(" ");
	return ok;
}
