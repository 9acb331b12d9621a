#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIECE_BYTES = 4096 };

enum err file_read(const char *path, struct buf *out, struct fault *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum err err = OK;
	ssize_t got = 0;

	if (fd < 0)
		return fault_set(f, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
	do {
		if (!buf_reserve(out, PIECE_BYTES)) {
			err = fault_set(f, ERR_CONFIG, 0, "%s: larger than %zu KiB", path,
			                out->limit >> 10);
			break;
		}
		got = read(fd, out->ptr + out->len, out->cap - out->len);
		if (got > 0)
			out->len += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (!err && got < 0)
		err = fault_set(f, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
	close(fd);
	return err;
}
