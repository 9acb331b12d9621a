#include "store_group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	EVENT_BYTES = 1072, /* 1 KiB and what a broker writes beside it */
	BLOCK_BYTES = 4096,
	FILE_BYTES = 64 << 20,
	BUFFER_BYTES = 1 << 20,
};

_Static_assert(STORE_GROUP_EVENTS_MAX *EVENT_BYTES + BLOCK_BYTES <= BUFFER_BYTES,
               "the largest group is in the buffer");

static bool failed(struct store_group *g, const char *what)
{
	return bench_fail(g->failure, "%s: %s: %s", g->path, what, strerror(errno));
}

bool store_group_open(struct store_group *g, const char *dir, struct failure *f)
{
	*g = (struct store_group){.fd = -1, .failure = f};
	snprintf(g->path, sizeof(g->path), "%s/groups", dir);
	g->buffer = aligned_alloc(BLOCK_BYTES, BUFFER_BYTES);
	if (!g->buffer)
		return bench_fail(f, "no memory");
	memset(g->buffer, 'x', BUFFER_BYTES);
	g->fd = open(g->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
	if (g->fd < 0)
		return failed(g, "open");
	for (off_t at = 0; at < FILE_BYTES; at += BUFFER_BYTES)
		if (pwrite(g->fd, g->buffer, BUFFER_BYTES, at) != BUFFER_BYTES)
			return failed(g, "write");
	return fsync(g->fd) == 0 || failed(g, "fsync");
}

bool store_group_write(struct store_group *g, int64_t count)
{
	size_t bytes = (size_t)(count * EVENT_BYTES + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;

	if (g->at + (off_t)bytes > FILE_BYTES)
		g->at = 0;
	if (pwrite(g->fd, g->buffer, bytes, g->at) != (ssize_t)bytes)
		return failed(g, "write");
	g->at += (off_t)bytes;
	return fdatasync(g->fd) == 0 || failed(g, "fdatasync");
}

void store_group_close(struct store_group *g)
{
	if (g->fd >= 0) {
		close(g->fd);
		unlink(g->path);
	}
	free(g->buffer);
}
