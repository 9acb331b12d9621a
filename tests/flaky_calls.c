/* flaky_calls: a library to preload, under which the system's calls do what they may do and rarely
 * do.
 *
 *   BOURN_FLAKY_PERCENT=P[:SEED]  of the calls that move bytes, a third of P percent each moves
 *                                 less than it was asked to, is interrupted (EINTR), or finds that
 *                                 there is nothing to do yet (EAGAIN; non-blocking sockets only).
 *                                 Others that may be interrupted are, P percent of the time; not
 *                                 those of librocksdb, which takes that for a failure where local
 *                                 files never do it
 *   BOURN_SLOW_SYNC_MS=MS         each flush after the first accepted connection takes so much
 *                                 longer, librocksdb's too
 *   BOURN_FLAKY_MEMORY=FILE       allocations are counted, and those fail that FILE says: struct
 *                                 memory, which whoever tests maps and changes while it runs; not
 *                                 those of librocksdb and what it calls
 *
 * Not for sanitizers, which want to come first. For the suites in tests/; never installed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PARTS_MAX = 1024, ALIGNMENT = 4096 /* of O_DIRECT */ };
enum mood { WELL, SHORT, INTERRUPTED, NOT_YET };

/* Of allocations, counted from 1 since `seen` was set to 0, number `first` fails and then each
 * `every`-th, `times` in all. */
struct memory {
	_Atomic int64_t first; /* 0: none fails */
	_Atomic int64_t every;
	_Atomic int64_t times;
	_Atomic int64_t seen;
	_Atomic int64_t failed; /* so many did */
};

/* The functions of one process are one state: there is nobody to hand it to them. */
static unsigned percent;
static unsigned slow_ms;
static atomic_uint_fast64_t dice;
static atomic_bool serving;
static struct memory nowhere;
static struct memory *memory = &nowhere;
static atomic_bool has_rocksdb;

static struct memory *map_memory(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *mapped = mmap(NULL, sizeof(struct memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || mapped == MAP_FAILED)
		abort();
	close(fd);
	return mapped;
}

__attribute__((constructor)) static void read_environment(void)
{
	const char *calls = getenv("BOURN_FLAKY_PERCENT");
	const char *slow = getenv("BOURN_SLOW_SYNC_MS");
	const char *file = getenv("BOURN_FLAKY_MEMORY");
	const char *seed = calls ? strchr(calls, ':') : NULL;

	if (file)
		memory = map_memory(file);
	if (seed)
		atomic_store(&dice, strtoull(seed + 1, NULL, 10));
	percent = calls ? (unsigned)atoi(calls) : 0;
	slow_ms = slow ? (unsigned)atoi(slow) : 0;
}

/* splitmix64 */
static uint64_t roll(void)
{
	uint64_t z = atomic_fetch_add(&dice, 0x9e3779b97f4a7c15) + 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static enum mood mood(void)
{
	static const enum mood bad[] = {SHORT, INTERRUPTED, NOT_YET};
	uint64_t n = roll();

	return n % 100 < percent ? bad[n / 100 % 3] : WELL;
}

/* -1, as the call would say it; 0: let it be done. */
static int fails(enum mood m, int fd, int flags)
{
	if (m == NOT_YET && !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return 0;
	if (m == NOT_YET || m == INTERRUPTED)
		errno = m == NOT_YET ? EAGAIN : EINTR;
	return m == NOT_YET || m == INTERRUPTED ? -1 : 0;
}

static bool interrupted(void)
{
	if (roll() % 100 >= percent)
		return false;
	errno = EINTR;
	return true;
}

/* The same, of a call that returns to `caller`. */
static bool interrupted_at(const void *caller)
{
	Dl_info at;

	if (percent == 0 ||
	    (dladdr(caller, &at) && at.dli_fname && strstr(at.dli_fname, "librocksdb")))
		return false;
	return interrupted();
}

static void dawdle(void)
{
	struct timespec time = {slow_ms / 1000, slow_ms % 1000 * 1000000L};

	if (atomic_load(&serving) && slow_ms > 0)
		nanosleep(&time, NULL);
}

/* Fewer than `len`, in whole `unit`s; at least one. */
static size_t cut(enum mood m, size_t len, size_t unit)
{
	size_t units = len / unit;

	return m == SHORT && len % unit == 0 && units > 1 ? (1 + roll() % (units - 1)) * unit : len;
}

/* What O_DIRECT asks for. */
static size_t unit_of(size_t len, int64_t at)
{
	return len % ALIGNMENT == 0 && at % ALIGNMENT == 0 ? ALIGNMENT : 1;
}

static size_t total(const struct iovec *parts, size_t count)
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += parts[i].iov_len;
	return len;
}

/* The first `len` bytes of them; returns how many parts that is. */
static size_t cut_parts(const struct iovec *parts, size_t count, size_t len, struct iovec *out)
{
	size_t n = 0;

	for (; n < count && n < PARTS_MAX && len > 0; n++) {
		out[n] = parts[n];
		if (out[n].iov_len > len)
			out[n].iov_len = len;
		len -= out[n].iov_len;
	}
	return n;
}

#define REAL(name) ((__typeof__(&(name)))real_function(#name))

static void *real_function(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

/* --- sockets --------------------------------------------------------------------------------- */

ssize_t recv(int fd, void *into, size_t len, int flags)
{
	enum mood m = mood();

	return fails(m, fd, flags) ? -1 : REAL(recv)(fd, into, cut(m, len, 1), flags);
}

ssize_t send(int fd, const void *from, size_t len, int flags)
{
	enum mood m = mood();

	return fails(m, fd, flags) ? -1 : REAL(send)(fd, from, cut(m, len, 1), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	enum mood m = mood();
	struct iovec parts[PARTS_MAX];
	struct msghdr less = *message;

	if (fails(m, fd, flags))
		return -1;
	less.msg_iovlen = cut_parts(message->msg_iov, message->msg_iovlen,
	                            cut(m, total(message->msg_iov, message->msg_iovlen), 1), parts);
	less.msg_iov = parts;
	return REAL(sendmsg)(fd, &less, flags);
}

/* The broker's own sockets are read and written by these. */
long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < 6;
	     i++) /* more than some have: what is read then is passed on unused */
		a[i] = va_arg(args, long);
	va_end(args);
	switch (number) {
	case SYS_recvfrom: return recv((int)a[0], (void *)a[1], (size_t)a[2], (int)a[3]);
	case SYS_sendto: return send((int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3]);
	case SYS_sendmsg: return sendmsg((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
	default: return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}

ssize_t sendfile(int out, int in, off_t *at, size_t len)
{
	enum mood m = mood();

	return fails(m, out, 0) ? -1 : REAL(sendfile)(out, in, at, cut(m, len, 1));
}

int accept4(int fd, struct sockaddr *peer, socklen_t *peer_len, int flags)
{
	int got = interrupted() ? -1 : REAL(accept4)(fd, peer, peer_len, flags);

	if (got >= 0)
		atomic_store(&serving, true);
	return got;
}

int poll(struct pollfd *fds, nfds_t count, int ms)
{
	return interrupted() ? -1 : REAL(poll)(fds, count, ms);
}

int epoll_pwait(int fd, struct epoll_event *events, int count, int ms, const sigset_t *mask)
{
	return interrupted() ? -1 : REAL(epoll_pwait)(fd, events, count, ms, mask);
}

/* --- files ----------------------------------------------------------------------------------- */

/* Standard streams are written a line at a time, and never cut there; what loops wake each other
 * by, eventfds and small writes to pipes, neither. */
ssize_t write(int fd, const void *from, size_t len)
{
	return fd <= STDERR_FILENO && interrupted() ? -1 : REAL(write)(fd, from, len);
}

/* Of standard input only a signal to stop interrupts it. */
ssize_t read(int fd, void *into, size_t len)
{
	bool may = fd > STDERR_FILENO && len > sizeof(uint64_t);

	return may && interrupted() ? -1 : REAL(read)(fd, into, len);
}

ssize_t pread(int fd, void *into, size_t len, off_t at)
{
	enum mood m = mood();

	if (m == INTERRUPTED)
		return fails(m, fd, 0);
	return REAL(pread)(fd, into, cut(m, len, unit_of(len, at)), at);
}

ssize_t pwritev(int fd, const struct iovec *from, int count, off_t at)
{
	return pwritev2(fd, from, count, at, 0);
}

ssize_t pwritev2(int fd, const struct iovec *from, int count, off_t at, int flags)
{
	enum mood m = mood();
	struct iovec parts[PARTS_MAX];
	size_t len = total(from, (size_t)count);
	size_t n = cut_parts(from, (size_t)count, cut(m, len, unit_of(len, at)), parts);

	if (m == INTERRUPTED)
		return fails(m, fd, 0);
	return REAL(pwritev2)(fd, parts, (int)n, at, flags);
}

int fdatasync(int fd)
{
	dawdle();
	return interrupted_at(__builtin_return_address(0)) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
	dawdle();
	return interrupted_at(__builtin_return_address(0)) ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t len)
{
	return interrupted_at(__builtin_return_address(0)) ? -1 : REAL(ftruncate)(fd, len);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return interrupted_at(__builtin_return_address(0)) ? -1 : REAL(open)(path, flags, mode);
}

/* --- memory ---------------------------------------------------------------------------------- */

static struct {
	_Atomic(void *) malloc, calloc, realloc, aligned_alloc;
} real;

/* Looked up once: memory is asked for all the time, and a look-up takes the loader's lock. */
static void *known(_Atomic(void *) *at, const char *name)
{
	void *found = *at;

	if (!found)
		*at = found = real_function(name);
	return found;
}

#define REAL_MEMORY(name) ((__typeof__(&(name)))known(&real.name, #name))

/* librocksdb and what it calls end the process when there is no memory; so once it is there, only
 * what bourn and libuv ask for is not spared. */
static bool is_spared(const void *caller)
{
	struct dl_find_object at;
	const char *name;

	if (_dl_find_object((void *)(uintptr_t)caller, &at) != 0)
		return false;
	name = at.dlfo_link_map->l_name; /* of the program "" */
	if (strstr(name, "librocksdb"))
		has_rocksdb = true;
	return has_rocksdb && *name && !strstr(name, "libuv");
}

static bool no_memory(const void *caller)
{
	int64_t first, n;

	if (memory == &nowhere || is_spared(caller))
		return false;
	first = memory->first;
	n = ++memory->seen - first;
	if (first == 0 || n < 0 || n % memory->every != 0 || n / memory->every >= memory->times)
		return false;
	memory->failed++;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return no_memory(__builtin_return_address(0)) ? NULL : REAL_MEMORY(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
	return no_memory(__builtin_return_address(0)) ? NULL : REAL_MEMORY(calloc)(count, size);
}

void *realloc(void *old, size_t size)
{
	return no_memory(__builtin_return_address(0)) ? NULL : REAL_MEMORY(realloc)(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return no_memory(__builtin_return_address(0)) ? NULL
	                                              : REAL_MEMORY(aligned_alloc)(alignment, size);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	if (flags & MAP_ANONYMOUS && no_memory(__builtin_return_address(0)))
		return MAP_FAILED;
	return REAL(mmap)(at, len, protection, flags, fd, offset);
}
