#include "client/client.h"

#include "base/check.h"
#include "wire/http_response.h"
#include "wire/json.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_BYTES = 64 << 10,
	ANSWER_MS_DEFAULT = 30000,
	CONNECT_MS = 5000,
	DETAIL_BYTES_MAX = 4096,
	STOP_POLL_MS = 100, /* how soon a stop asked for by another thread is noticed */
	/* A peer that vanished without a word is found out after 10 + 3 * 5 s of silence. */
	KEEP_ALIVE_IDLE_S = 10,
	KEEP_ALIVE_INTERVAL_S = 5,
	KEEP_ALIVE_PROBES = 3,
};

/* An answer on its way in. */
struct incoming {
	struct http_response_parser parser;
	struct client_response *response; /* borrowed; the head goes there */
	struct buf *lines;                /* the body of a 200 goes there; NULL: to the response */
	bool begun;                       /* the head is there */
	bool keep_alive;
	bool ended;
};

struct client {
	char url[512];
	char host[256];
	char port[6];
	const atomic_bool *stop; /* borrowed; NULL: none */
	int fd;                  /* -1: not connected */
	struct buf in;           /* bytes received and not parsed yet */
	struct buf out;
	struct incoming stream; /* the open one, if any */
	struct buf lines;       /* its body, what was handed out last included */
	size_t lines_given;     /* so many bytes at the front were */
	size_t lines_searched;  /* so many bytes behind them hold no LF */
};

static enum err bad_url(const char *url, struct fault *f)
{
	bool tls = slice_starts_with(slice_str(url), SLICE_LIT("https://"));

	return fault_set(f, ERR_BAD_PARAMETER, 0, "server URL '%.100s' is not http://host[:port]%s",
	                 url, tls ? "; TLS is not built yet" : "");
}

static enum err parse_url(struct client *c, const char *url, struct fault *f)
{
	struct slice rest = slice_str(url);
	struct slice host, port = SLICE_LIT("80");
	int64_t number;

	if (rest.len >= sizeof(c->url) || !slice_starts_with(rest, SLICE_LIT("http://")))
		return bad_url(url, f);
	rest = slice_of(rest.ptr + 7, rest.len - 7);
	while (rest.len && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	if (rest.len && rest.ptr[0] == '[') {
		rest = slice_of(rest.ptr + 1, rest.len - 1);
		host = slice_cut(&rest, ']');
		if (rest.len && rest.ptr[0] == ':')
			port = slice_of(rest.ptr + 1, rest.len - 1);
		else if (!rest.ptr || rest.len)
			return bad_url(url, f);
	} else {
		host = slice_cut(&rest, ':');
		if (rest.ptr)
			port = rest;
	}
	if (host.len == 0 || host.len >= sizeof(c->host) || memchr(host.ptr, '/', host.len) ||
	    !slice_to_int64(port, &number) || number < 1 || number > 65535)
		return bad_url(url, f);
	snprintf(c->url, sizeof(c->url), "%s", url);
	snprintf(c->host, sizeof(c->host), "%.*s", SLICE_FMT(host));
	snprintf(c->port, sizeof(c->port), "%d", (int)number);
	return OK;
}

enum err client_new(const char *url, const atomic_bool *stop, struct client **out, struct fault *f)
{
	struct client *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return fault_set(f, ERR_NO_MEMORY, 0, "client");
	c->fd = -1;
	c->stop = stop;
	c->in = BUF_INIT(CLIENT_BODY_BYTES_MAX);
	c->out = BUF_INIT(CLIENT_BODY_BYTES_MAX);
	c->lines = BUF_INIT(CLIENT_LINE_BYTES_MAX);
	err = parse_url(c, url, f);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	return OK;
}

static void disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_clear(&c->in);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	disconnect(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->lines);
	free(c);
}

const char *client_url(const struct client *c)
{
	return c->url;
}

void client_response_init(struct client_response *response)
{
	*response = (struct client_response){.body = BUF_INIT(CLIENT_BODY_BYTES_MAX),
	                                     .next = BUF_INIT(4096)};
}

void client_response_fini(struct client_response *response)
{
	buf_fini(&response->body);
	buf_fini(&response->next);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int64_t mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum err unreachable(struct client *c, int os_errno, const char *step, struct fault *f)
{
	disconnect(c);
	return fault_set(f, ERR_UNREACHABLE, os_errno, "%s: %s", c->url, step);
}

/* Until the socket is ready for `events`, `deadline_ms` (monotonic) has passed, or we are told to
 * stop. */
static enum err wait_for(struct client *c, short events, int64_t deadline_ms, struct fault *f)
{
	for (;;) {
		int64_t left = deadline_ms - mono_ms();
		struct pollfd p = {.fd = c->fd, .events = events};
		int ready;

		if (c->stop && atomic_load(c->stop))
			return fault_set(f, ERR_SHUTTING_DOWN, 0, "stopped");
		if (left <= 0) {
			disconnect(c);
			return fault_set(f, ERR_REQUEST_SLOW, 0, "%s did not answer in time",
			                 c->url);
		}
		if (left > INT_MAX)
			left = INT_MAX;
		if (c->stop && left > STOP_POLL_MS)
			left = STOP_POLL_MS;
		ready = poll(&p, 1, (int)left);
		if (ready > 0)
			return OK;
		if (ready < 0 && errno != EINTR)
			return unreachable(c, errno, "waiting", f);
	}
}

static void set_option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value)); /* worse without, but it works */
}

static enum err connect_one(struct client *c, const struct addrinfo *a, struct fault *f)
{
	int error = 0;
	socklen_t len = sizeof(error);
	enum err err;

	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return unreachable(c, errno, "socket", f);
	set_option(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(c->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_IDLE_S);
	set_option(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_INTERVAL_S);
	set_option(c->fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_ALIVE_PROBES);
	if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
		return OK;
	if (errno != EINPROGRESS)
		return unreachable(c, errno, "connecting", f);
	err = wait_for(c, POLLOUT, mono_ms() + CONNECT_MS, f);
	if (err)
		return err;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error)
		return unreachable(c, error, "connecting", f);
	return OK;
}

static enum err connect_any(struct client *c, struct fault *f)
{
	/* RFC 6761: localhost is the loopback addresses, whatever /etc/hosts says or whether it
	 * is. */
	const char *host = strcasecmp(c->host, "localhost") == 0 ? NULL : c->host;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
	enum err err = ERR_UNREACHABLE;
	int failed;

	if (c->fd >= 0)
		return OK;
	failed = getaddrinfo(host, c->port, &hints, &all);
	if (failed)
		return fault_set(f, ERR_UNREACHABLE, 0, "%s (%s)", c->url, gai_strerror(failed));
	for (struct addrinfo *a = all; a && err; a = a->ai_next)
		err = connect_one(c, a, f);
	freeaddrinfo(all);
	return err;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err send_all(struct client *c, struct slice bytes, struct fault *f)
{
	while (bytes.len) {
		ssize_t sent = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		enum err err;

		if (sent > 0) {
			bytes = slice_of(bytes.ptr + sent, bytes.len - (size_t)sent);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return unreachable(c, errno, "sending", f);
		err = wait_for(c, POLLOUT, mono_ms() + ANSWER_MS_DEFAULT, f);
		if (err)
			return err;
	}
	return OK;
}

enum err client_send(struct client *c, const struct client_request *r, struct fault *f)
{
	bool bracketed = strchr(c->host, ':') != NULL;
	enum err err = connect_any(c, f);

	if (err)
		return err;
	buf_clear(&c->out);
	buf_printf(&c->out, "%s %.*s HTTP/1.1\r\nHost: %s%s%s:%s\r\n", r->method,
	           SLICE_FMT(r->path), bracketed ? "[" : "", c->host, bracketed ? "]" : "",
	           c->port);
	buf_append_slice(&c->out, r->fields);
	if (r->body.ptr)
		buf_printf(&c->out, "Content-Length: %zu\r\n", r->body.len);
	buf_append_lit(&c->out, "\r\n");
	buf_append_slice(&c->out, r->body);
	if (c->out.failed)
		return fault_set(f, ERR_TOO_LARGE, 0, "request of %zu bytes", r->body.len);
	return send_all(c, buf_slice(&c->out), f);
}

/* More bytes into c->in. */
static enum err receive_some(struct client *c, int64_t deadline_ms, bool *eof, struct fault *f)
{
	enum err err = wait_for(c, POLLIN, deadline_ms, f);
	ssize_t got;

	if (err)
		return err;
	if (!buf_reserve(&c->in, READ_BYTES))
		return unreachable(c, 0, "the answer is too large", f);
	got = recv(c->fd, c->in.ptr + c->in.len, c->in.cap - c->in.len, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return OK;
	if (got < 0)
		return unreachable(c, errno, "receiving", f);
	*eof = got == 0;
	c->in.len += (size_t)got;
	return OK;
}

static void take_head(struct incoming *in)
{
	const struct http_response *head = &in->parser.response;
	struct slice allow = http_fields_find(head->fields, "allow");
	struct client_response *r = in->response;

	in->begun = true;
	in->keep_alive = head->keep_alive;
	r->status = head->status;
	buf_clear(&r->body);
	buf_clear(&r->next);
	buf_append_slice(&r->next, http_fields_find(head->fields, "event-next"));
	snprintf(r->allow, sizeof(r->allow), "%.*s", SLICE_FMT(allow));
}

static enum err take_body(struct client *c, struct incoming *in, struct fault *f)
{
	bool is_stream = in->lines && in->response->status == 200;
	struct buf *body = is_stream ? in->lines : &in->response->body;

	buf_append_slice(body, in->parser.body);
	if (!body->failed)
		return OK;
	disconnect(c);
	return fault_set(f, ERR_TOO_LARGE, 0, "%s of %s is longer than %zu bytes",
	                 is_stream ? "a line" : "an answer", c->url, body->limit);
}

/* Take what c->in holds of the answer. */
static enum err parse_some(struct client *c, struct incoming *in, struct fault *f)
{
	enum http_event event;
	enum err err = OK;

	do {
		size_t len = c->in.len;

		event = http_response_parse(&in->parser, c->in.ptr, &len);
		c->in.len = len;
		switch (event) {
		case HTTP_EVENT_MORE: break;
		case HTTP_EVENT_HEAD: take_head(in); break;
		case HTTP_EVENT_BODY: err = take_body(c, in, f); break;
		case HTTP_EVENT_MESSAGE: in->ended = true; break;
		case HTTP_EVENT_REFUSED: return unreachable(c, 0, in->parser.detail, f);
		}
		if (err)
			return err;
		buf_consume(&c->in, in->parser.consumed);
	} while (event != HTTP_EVENT_MORE && !in->ended);
	return OK;
}

static void incoming_init(struct incoming *in, struct client_response *response, struct buf *lines)
{
	in->response = response;
	in->lines = lines;
	in->begun = in->keep_alive = in->ended = false;
	http_response_init(&in->parser, false);
}

/* Wait for more of the answer and take it. */
static enum err incoming_more(struct client *c, struct incoming *in, int64_t deadline_ms,
                              struct fault *f)
{
	bool eof = false;
	enum err err;

	if (c->fd < 0)
		return fault_set(f, ERR_UNREACHABLE, 0, "%s (closed the connection)", c->url);
	err = receive_some(c, deadline_ms, &eof, f);
	if (err == OK)
		err = parse_some(c, in, f);
	if (err || !eof)
		return err;
	if (!in->ended && !http_response_eof(&in->parser))
		return unreachable(c, 0, "the connection was closed before the answer was whole",
		                   f);
	in->ended = true;
	in->keep_alive = false;
	return OK;
}

/* Until the whole answer is there; of one that is a stream, until its head is. */
static enum err receive(struct client *c, struct incoming *in, int64_t wait_ms, struct fault *f)
{
	int64_t deadline = mono_ms() + (wait_ms ? wait_ms : ANSWER_MS_DEFAULT);
	enum err err = parse_some(c, in, f); /* of answers that came together */

	while (err == OK && !in->ended && !(in->lines && in->begun && in->response->status == 200))
		err = incoming_more(c, in, deadline, f);
	if (err == OK && in->ended && !in->keep_alive)
		disconnect(c);
	return err;
}

enum err client_receive(struct client *c, struct client_response *response, struct fault *f)
{
	struct incoming in;

	incoming_init(&in, response, NULL);
	return receive(c, &in, 0, f);
}

/* A kept connection that the server closed meanwhile is told by its end of file; a request sent
 * into it was not carried out, so it may be sent anew. */
static void drop_stale(struct client *c)
{
	char byte;

	if (c->fd >= 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		disconnect(c);
}

enum err client_call(struct client *c, const struct client_request *request,
                     struct client_response *response, struct fault *f)
{
	struct incoming in;
	enum err err;

	incoming_init(&in, response, NULL);
	drop_stale(c);
	err = client_send(c, request, f);
	return err ? err : receive(c, &in, request->wait_ms, f);
}

/* --- streams ---------------------------------------------------------------------------------- */

enum err client_stream_open(struct client *c, const struct client_request *request,
                            struct client_response *response, struct fault *f)
{
	enum err err;

	buf_clear(&c->lines);
	c->lines_given = c->lines_searched = 0;
	incoming_init(&c->stream, response, &c->lines);
	drop_stale(c);
	err = client_send(c, request, f);
	return err ? err : receive(c, &c->stream, request->wait_ms, f);
}

/* How many bytes of c->lines are whole lines. */
static size_t whole_lines(struct client *c)
{
	const uint8_t *last = NULL;

	if (c->lines.len > c->lines_searched)
		last = memrchr(c->lines.ptr + c->lines_searched, '\n',
		               c->lines.len - c->lines_searched);
	c->lines_searched = c->lines.len;
	return last ? (size_t)(last + 1 - c->lines.ptr) : 0;
}

enum err client_stream_lines(struct client *c, struct slice *lines, struct fault *f)
{
	buf_consume(&c->lines, c->lines_given);
	c->lines_searched -= c->lines_given;
	c->lines_given = 0;
	while ((c->lines_given = whole_lines(c)) == 0) {
		enum err err;

		if (c->stream.ended) {
			*lines = SLICE_NONE;
			return OK;
		}
		err = incoming_more(c, &c->stream, INT64_MAX, f);
		if (err)
			return err;
	}
	*lines = slice_of(c->lines.ptr, c->lines_given);
	return OK;
}

void client_stream_close(struct client *c)
{
	if (c->stream.lines && !c->stream.ended)
		disconnect(c);
	c->stream.lines = NULL;
	buf_clear(&c->lines);
	c->lines_given = c->lines_searched = 0;
}

/* --- refusals --------------------------------------------------------------------------------- */

static enum err code_of_slug(struct slice raw)
{
	for (enum err code = OK + 1; code < ERR_COUNT; code++)
		if (json_string_is(raw, err_slug(code)))
			return code;
	return ERR_INTERNAL;
}

enum err client_problem_parse(struct slice json, struct fault *f)
{
	struct json_value root = json_root(json), value;
	struct buf detail = BUF_INIT(DETAIL_BYTES_MAX);
	enum err code;

	if (json_object_get(root, "detail", &value) && value.kind == JSON_STRING)
		json_string_decode(value.raw, &detail); /* fault_set cuts it */
	code = json_object_get(root, "code", &value) ? code_of_slug(value.raw) : ERR_INTERNAL;
	fault_set(f, code, 0, "%.*s", SLICE_FMT(buf_slice(&detail)));
	buf_fini(&detail);
	return code;
}

enum err client_problem(const struct client_response *response, struct fault *f)
{
	struct slice body = buf_slice(&response->body);

	if (!json_validate(body, JSON_DEPTH_MAX, NULL) || json_root(body).kind != JSON_OBJECT)
		return fault_set(f, ERR_INTERNAL, 0, "status %d without a reason",
		                 response->status);
	return client_problem_parse(body, f);
}
