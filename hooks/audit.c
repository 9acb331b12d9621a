/* audit: a line of JSON for each HTTP request and subscription, appended to a file.
 *
 *	options: {file: /var/log/bourn-audit.ndjson}
 *
 *	{"time":1767225600000,"what":"request","peer":"127.0.0.1:4711","principal":"anonymous",
 *	 "method":"POST","target":"/produce/orders","topic":"orders","status":0,"partition":0,"offset":7}
 *
 * An event loop must not wait for a disk: lines go into memory, and a thread of each loop writes
 * them. When more than 4 MiB wait the hook fails: with on_failure nothing is refused at these
 * points, but the log and the metrics say so.
 *
 *	cc -shared -fPIC -pthread -I include -o audit.so hooks/audit.c */
#include <bourn/hook.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096, WAITING_BYTES_MAX = 4 << 20 };

struct audit {
	int fd;
	pthread_t writer;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t some;
	char *waiting; /* owned: lines that are not written yet */
	size_t bytes;
	size_t cap;
	int stopping;
};

/* --- a line ----------------------------------------------------------------------------------- */

struct line {
	char text[LINE_BYTES_MAX];
	size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct line *l, const char *format, ...)
{
	va_list args;
	int more;

	va_start(args, format);
	more = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, format, args);
	va_end(args);
	l->len += (size_t)more;
	if (l->len > sizeof(l->text) - 1)
		l->len = sizeof(l->text) - 1;
}

/* What may stand in JSON and is plain; else "?". Cut to 512 bytes. */
static void add_text(struct line *l, const char *name, struct bourn_slice s)
{
	size_t len = s.len < 512 ? s.len : 512;

	if (!s.ptr)
		return;
	add(l, ",\"%s\":\"", name);
	for (size_t i = 0; i < len; i++) {
		char c = (char)s.ptr[i];

		add(l, "%c", c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c);
	}
	add(l, "\"");
}

static void describe(struct line *l, const struct bourn_call *call, const char *what)
{
	struct bourn_slice peer = {(const uint8_t *)call->caller->peer, strlen(call->caller->peer)};

	l->len = 0;
	add(l, "{\"time\":%lld,\"what\":\"%s\"", (long long)call->now_ms, what);
	add_text(l, "peer", peer);
	add_text(l, "principal", call->caller->principal);
	add_text(l, "method", call->method);
	add_text(l, "target", call->target);
	add_text(l, "topic", call->topic);
	if (call->point == BOURN_REQUEST_EXECUTED)
		add(l, ",\"status\":%d", call->status);
	if (call->partition >= 0)
		add(l, ",\"partition\":%d,\"offset\":%lld", call->partition,
		    (long long)call->offset);
	add(l, "}\n");
}

/* --- the writer ------------------------------------------------------------------------------- */

static void write_all(int fd, const char *at, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno != EINTR)
			return; /* a full disk loses lines of the audit, not events */
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		}
	}
}

static void *run_writer(void *arg)
{
	struct audit *a = arg;
	char *lines;
	size_t bytes;
	int stopping;

	do {
		pthread_mutex_lock(&a->mutex);
		while (a->bytes == 0 && !a->stopping)
			pthread_cond_wait(&a->some, &a->mutex);
		lines = a->waiting;
		bytes = a->bytes;
		a->waiting = NULL;
		a->bytes = a->cap = 0;
		stopping = a->stopping;
		pthread_mutex_unlock(&a->mutex);
		write_all(a->fd, lines, bytes);
		free(lines);
	} while (!stopping || bytes > 0);
	return NULL;
}

/* Not 0: it is full, or there is no memory. */
static int append(struct audit *a, const struct line *l)
{
	size_t cap = a->cap ? a->cap : 4096;
	char *grown;

	while (cap - a->bytes < l->len)
		cap *= 2;
	if (cap > WAITING_BYTES_MAX)
		return 1;
	if (cap != a->cap) {
		grown = realloc(a->waiting, cap);
		if (!grown)
			return 1;
		a->waiting = grown;
		a->cap = cap;
	}
	memcpy(a->waiting + a->bytes, l->text, l->len);
	a->bytes += l->len;
	return 0;
}

static enum bourn_verdict note(struct audit *a, const struct bourn_call *call, const char *what)
{
	struct line l;
	int lost;

	describe(&l, call, what);
	pthread_mutex_lock(&a->mutex);
	lost = append(a, &l);
	pthread_cond_signal(&a->some);
	pthread_mutex_unlock(&a->mutex);
	return lost ? BOURN_FAIL : BOURN_CONTINUE;
}

/* --- the hook --------------------------------------------------------------------------------- */

static enum bourn_verdict executed(void *state, struct bourn_call *call)
{
	return note(state, call, "request");
}

static enum bourn_verdict subscribe(void *state, struct bourn_call *call)
{
	return note(state, call, "subscribe");
}

/* {"file":"/var/log/x"}: the only option; a path has no escapes. */
static int take_file(const char *options, char path[1024])
{
	const char *at = strstr(options, "\"file\":\"");
	const char *end = at ? strchr(at + 8, '"') : NULL;

	if (!end || end - (at + 8) >= 1024 || end == at + 8)
		return 1;
	memcpy(path, at + 8, (size_t)(end - (at + 8)));
	path[end - (at + 8)] = '\0';
	return 0;
}

static int start(const struct bourn_start *start, void **state, char error[256])
{
	struct audit *a = calloc(1, sizeof(*a));
	char path[1024];

	if (!a || take_file(start->options, path) != 0) {
		snprintf(error, 256, "options.file is missing");
		free(a);
		return 1;
	}
	a->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (a->fd < 0) {
		snprintf(error, 256, "%.180s: %s", path, strerror(errno));
		free(a);
		return 1;
	}
	pthread_mutex_init(&a->mutex, NULL);
	pthread_cond_init(&a->some, NULL);
	if (pthread_create(&a->writer, NULL, run_writer, a) != 0) {
		snprintf(error, 256, "no thread to write with");
		close(a->fd);
		free(a);
		return 1;
	}
	*state = a;
	return 0;
}

static void stop(void *state)
{
	struct audit *a = state;

	pthread_mutex_lock(&a->mutex);
	a->stopping = 1;
	pthread_cond_signal(&a->some);
	pthread_mutex_unlock(&a->mutex);
	pthread_join(a->writer, NULL);
	close(a->fd);
	free(a);
}

const struct bourn_hook bourn_hook = {
	BOURN_HOOK_HEAD,        .start = start, .stop = stop, .request_executed = executed,
	.subscribe = subscribe,
};
