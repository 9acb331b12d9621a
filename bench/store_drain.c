#include "store_drain.h"

#include "base/crc32c.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_BYTES = 256 << 10, /* stays in a core's cache: the checksum costs little */
	SEND_BYTES_MAX = 1 << 30,
};

static void *drain_run(void *arg)
{
	static _Thread_local uint8_t bytes[READ_BYTES];
	struct drain *d = arg;
	ssize_t got;

	while ((got = recv(d->from, bytes, sizeof(bytes), 0)) > 0) {
		d->crc = crc32c(d->crc, bytes, (size_t)got);
		d->bytes += got;
	}
	return NULL;
}

static bool connect_pair(struct drain *d)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	d->to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	d->from = -1;
	ok = listener >= 0 && d->to >= 0 &&
	     bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 1) == 0 &&
	     getsockname(listener, (struct sockaddr *)&at, &len) == 0 &&
	     connect(d->to, (struct sockaddr *)&at, sizeof(at)) == 0;
	if (ok)
		d->from = accept(listener, NULL, NULL);
	if (listener >= 0)
		close(listener);
	return ok && d->from >= 0;
}

static void close_pair(struct drain *d)
{
	if (d->to >= 0)
		close(d->to);
	if (d->from >= 0)
		close(d->from);
}

bool drain_open(struct drain *d, struct failure *f)
{
	*d = (struct drain){0};
	if (connect_pair(d) && pthread_create(&d->thread, NULL, drain_run, d) == 0)
		return true;
	bench_fail(f, "a pair of sockets: %s", strerror(errno));
	close_pair(d);
	return false;
}

void drain_close(struct drain *d)
{
	shutdown(d->to, SHUT_WR);
	pthread_join(d->thread, NULL);
	close_pair(d);
}

bool drain_write(struct drain *d, struct slice bytes, struct failure *f)
{
	while (bytes.len > 0) {
		ssize_t n = send(d->to, bytes.ptr, bytes.len, MSG_NOSIGNAL);

		if (n < 0)
			return bench_fail(f, "send: %s", strerror(errno));
		bytes = slice_of(bytes.ptr + n, bytes.len - (size_t)n);
	}
	return true;
}

bool drain_send(struct drain *d, int fd, off_t at, int64_t len, struct failure *f)
{
	while (len > 0) {
		size_t most = len < SEND_BYTES_MAX ? (size_t)len : SEND_BYTES_MAX;
		ssize_t n = sendfile(d->to, fd, &at, most);

		if (n <= 0)
			return bench_fail(f, "sendfile: %s", n ? strerror(errno) : "the file ends");
		len -= n;
	}
	return true;
}
