#include "store_pace.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENT_BYTES = 1072, /* 1 KiB and what a broker writes beside it */
	BLOCK_BYTES = 4096,
	FILE_BYTES = 64 << 20,
	BUFFER_BYTES = 1 << 20,
};

struct pace {
	const struct store_pace_options *o;
	struct store_pace_result *result;
	struct failure *failure;
	uint8_t *buffer; /* owned, aligned; BUFFER_BYTES */
	char path[4096];
	int fd; /* -1: not open */
	off_t at;
	int64_t began;
};

static bool failed(struct pace *p, const char *what)
{
	return bench_fail(p->failure, "%s: %s: %s", p->path, what, strerror(errno));
}

static bool open_file(struct pace *p)
{
	snprintf(p->path, sizeof(p->path), "%s/pace", p->o->dir);
	p->fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
	if (p->fd < 0)
		return failed(p, "open");
	for (off_t at = 0; at < FILE_BYTES; at += BUFFER_BYTES)
		if (pwrite(p->fd, p->buffer, BUFFER_BYTES, at) != BUFFER_BYTES)
			return failed(p, "write");
	return fsync(p->fd) == 0 || failed(p, "fsync");
}

static int64_t due_at(const struct pace *p, int64_t number, int64_t now)
{
	if (p->o->rate == 0)
		return now;
	return p->began + (int64_t)((double)number * NS_PER_SECOND / p->o->rate);
}

static void sleep_until(int64_t at_ns)
{
	struct timespec at = {.tv_sec = at_ns / NS_PER_SECOND, .tv_nsec = at_ns % NS_PER_SECOND};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static bool write_group(struct pace *p, int64_t count)
{
	size_t bytes = (size_t)(count * EVENT_BYTES + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;

	if (p->at + (off_t)bytes > FILE_BYTES)
		p->at = 0;
	if (pwrite(p->fd, p->buffer, bytes, p->at) != (ssize_t)bytes)
		return failed(p, "write");
	p->at += (off_t)bytes;
	return fdatasync(p->fd) == 0 || failed(p, "fdatasync");
}

/* What is due now, as one group. */
static bool turn(struct pace *p)
{
	struct store_pace_result *result = p->result;
	int64_t now = bench_now_ns(), first = result->events, end = first;

	while (end - first < p->o->at_once && due_at(p, end, now) <= now)
		end++;
	if (end == first) {
		sleep_until(due_at(p, first, now));
		return true;
	}
	if (!write_group(p, end - first))
		return false;
	result->events = end;
	for (int64_t number = first; number < end; number++)
		histogram_add(&result->latency, bench_now_ns() - due_at(p, number, now));
	return true;
}

/* What was due within the time is waited for, however late. */
static bool run(struct pace *p)
{
	int64_t cpu = process_own_cpu_ns();
	int64_t ends;

	p->began = bench_now_ns();
	ends = p->began + p->o->run_ns;
	while (due_at(p, p->result->events, bench_now_ns()) < ends)
		if (!turn(p))
			return false;
	p->result->elapsed_ns = bench_now_ns() - p->began;
	p->result->cpu_ns = process_own_cpu_ns() - cpu;
	return true;
}

bool store_pace_run(const struct store_pace_options *o, struct store_pace_result *result,
                    struct failure *f)
{
	struct pace p = {.o = o, .result = result, .failure = f, .fd = -1};
	bool ok;

	if ((int64_t)o->at_once * EVENT_BYTES + BLOCK_BYTES > BUFFER_BYTES)
		return bench_fail(f, "%u events at once are too many", o->at_once);
	p.buffer = aligned_alloc(BLOCK_BYTES, BUFFER_BYTES);
	if (!p.buffer)
		return bench_fail(f, "no memory");
	memset(p.buffer, 'x', BUFFER_BYTES);
	prctl(PR_SET_TIMERSLACK, 1); /* else the kernel may wake us 50 µs late */
	ok = open_file(&p) && run(&p);
	if (p.fd >= 0) {
		close(p.fd);
		unlink(p.path);
	}
	free(p.buffer);
	return ok;
}
