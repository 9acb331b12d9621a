#include "store_copies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	RING_ALIGN = 2 << 20,
	FILE_BYTES = 64 << 20,
	BLOCK_BYTES = 4096,
	WRITE_SLOTS = 256, /* at once, into the page cache */
	DIRECT_SLOTS = 10, /* … and past it: 1 MiB */
};

static uint8_t *slot_of(const struct copies *c, int64_t number)
{
	return c->ring + (size_t)(number % c->slot_count) * c->slot_bytes;
}

static void move(struct copies *c, int64_t *counter, int64_t by)
{
	pthread_mutex_lock(&c->lock);
	*counter += by;
	if (c->taken == c->batch_count || c->taken - c->saved >= c->slot_count / 2)
		pthread_cond_signal(&c->half);
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
}

static bool give_up(struct copies *c)
{
	pthread_mutex_lock(&c->lock);
	c->failed = true;
	pthread_cond_signal(&c->half);
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
	return false;
}

/* --- one batch behind the other --------------------------------------------------------------- */

static bool wait_for_slot(struct copies *c, int64_t number)
{
	bool failed;

	pthread_mutex_lock(&c->lock);
	while (!c->failed &&
	       (number - c->saved >= c->slot_count || number - c->logged >= c->slot_count))
		pthread_cond_wait(&c->moved, &c->lock);
	failed = c->failed;
	pthread_mutex_unlock(&c->lock);
	return !failed;
}

static bool wait_for_batch(struct copies *c, int64_t number)
{
	bool failed;

	pthread_mutex_lock(&c->lock);
	while (!c->failed && c->taken <= number)
		pthread_cond_wait(&c->moved, &c->lock);
	failed = c->failed;
	pthread_mutex_unlock(&c->lock);
	return !failed;
}

static void *log_all(void *arg)
{
	struct copies *c = arg;

	for (int64_t i = 0; i < c->batch_count; i++) {
		if (!wait_for_batch(c, i))
			break;
		if (!c->log(c->arg, i, slice_of(slot_of(c, i), c->batch_bytes))) {
			give_up(c);
			break;
		}
		move(c, &c->logged, 1);
	}
	return NULL;
}

static void take_all(struct copies *c)
{
	for (int64_t i = 0; i < c->batch_count && wait_for_slot(c, i); i++) {
		struct slice batch = store_batches_get(c->batches, i);

		memcpy(slot_of(c, i), batch.ptr, batch.len);
		move(c, &c->taken, 1);
	}
}

/* --- half of the ring at a time --------------------------------------------------------------- */

/* False: nothing more has to be saved. */
static bool wait_for_half(struct copies *c)
{
	bool wanted;

	pthread_mutex_lock(&c->lock);
	while (!c->failed && c->taken < c->batch_count && c->taken - c->saved < c->slot_count / 2)
		pthread_cond_wait(&c->half, &c->lock);
	wanted = !c->failed && c->taken < c->batch_count;
	pthread_mutex_unlock(&c->lock);
	return wanted;
}

static void save_path(const struct copies *c, int64_t file, char path[4096])
{
	snprintf(path, 4096, "%s/saved.%lld", c->dir, (long long)file);
}

static int64_t slots_a_file(const struct copies *c)
{
	return FILE_BYTES / (int64_t)c->slot_bytes;
}

/* As many from `number` on as stand behind each other, in memory and in a file; 0: failed. */
static int64_t save_some(struct copies *c, int64_t number, int64_t most)
{
	int64_t a_file = slots_a_file(c), in_file = number % a_file;
	int64_t at_once = c->saves_direct ? DIRECT_SLOTS : WRITE_SLOTS;
	int64_t count = most < at_once ? most : at_once;
	char path[4096];
	size_t bytes;
	ssize_t got;
	int fd;

	if (count > c->slot_count - number % c->slot_count)
		count = c->slot_count - number % c->slot_count;
	if (count > a_file - in_file)
		count = a_file - in_file;
	bytes = (size_t)count * c->slot_bytes;
	save_path(c, number / a_file, path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (c->saves_direct ? O_DIRECT : 0), 0600);
	got = fd < 0 ? -1
	             : pwrite(fd, slot_of(c, number), bytes, (off_t)in_file * (off_t)c->slot_bytes);
	if (fd >= 0)
		close(fd);
	if (got == (ssize_t)bytes)
		return count;
	bench_fail(&c->save_failure, "copies: %s: %s", path, strerror(errno));
	give_up(c);
	return 0;
}

static void *save_halves(void *arg)
{
	struct copies *c = arg;
	int64_t saved = 0;

	while (wait_for_half(c)) {
		for (int64_t end = saved + c->slot_count / 2; saved < end;) {
			int64_t count = save_some(c, saved, end - saved);

			if (count == 0)
				return NULL;
			saved += count;
			move(c, &c->saved, count);
		}
	}
	return NULL;
}

/* --- a run ------------------------------------------------------------------------------------ */

bool copies_open(struct copies *c, int64_t memory_bytes, struct failure *f)
{
	size_t bytes = (size_t)(memory_bytes + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;

	c->batch_bytes = store_batches_get(c->batches, 0).len;
	c->slot_bytes = (c->batch_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	c->slot_count = memory_bytes / (int64_t)c->slot_bytes / 2 * 2;
	c->ring = aligned_alloc(RING_ALIGN, bytes);
	if (!c->ring || c->slot_count == 0)
		return bench_fail(f, "no memory");
	(void)madvise(c->ring, bytes, MADV_HUGEPAGE); /* as chunks are */
	memset(c->ring, 0, bytes);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->moved, NULL);
	pthread_cond_init(&c->half, NULL);
	return true;
}

void copies_close(struct copies *c)
{
	if (c->ring) {
		pthread_cond_destroy(&c->half);
		pthread_cond_destroy(&c->moved);
		pthread_mutex_destroy(&c->lock);
	}
	free(c->ring);
	c->ring = NULL;
}

bool copies_run(struct copies *c, int64_t batch_count, struct failure *f)
{
	pthread_t logger;

	c->batch_count = batch_count;
	c->taken = c->logged = c->saved = 0;
	if (pthread_create(&c->saver, NULL, save_halves, c))
		return bench_fail(f, "copies: no thread");
	if (pthread_create(&logger, NULL, log_all, c)) {
		give_up(c);
		pthread_join(c->saver, NULL);
		return bench_fail(f, "copies: no thread");
	}
	take_all(c);
	pthread_join(logger, NULL);
	return true;
}

bool copies_settle(struct copies *c, struct failure *f)
{
	char path[4096];

	pthread_join(c->saver, NULL);
	for (int64_t i = 0; i * slots_a_file(c) < c->saved; i++) {
		save_path(c, i, path);
		unlink(path);
	}
	if (c->save_failure.text[0])
		return bench_fail(f, "%s", c->save_failure.text);
	return !c->failed;
}
