#include "io/testing/disk_poke.h"

#include "base/check.h"
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>

bool disk_poke_exists(struct disk *d, const char *path)
{
	int fd = d->ops->open(d, path, O_RDONLY);

	if (fd >= 0)
		d->ops->close(d, fd);
	CHECK(fd >= 0 || fd == -ENOENT);
	return fd >= 0;
}

int64_t disk_poke_size(struct disk *d, const char *path)
{
	int fd = d->ops->open(d, path, O_RDONLY);
	int64_t size;

	CHECK(fd >= 0);
	size = d->ops->size(d, fd);
	CHECK(size >= 0);
	d->ops->close(d, fd);
	return size;
}

void disk_poke_flip(struct disk *d, const char *path, int64_t bit)
{
	int fd = d->ops->open(d, path, O_RDWR);
	uint8_t byte;
	struct iovec iov = {&byte, 1};

	CHECK(fd >= 0);
	CHECK(d->ops->pread(d, fd, &byte, 1, bit / 8) == 1);
	byte = (uint8_t)(byte ^ 1U << bit % 8);
	CHECK(d->ops->pwritev(d, fd, &iov, 1, bit / 8) == 1);
	CHECK(d->ops->sync(d, fd) == 0);
	d->ops->close(d, fd);
}
