#include "front/connection.h"

#include "front/hooked.h"
#include "front/http/connection.h"
#include "front/shard.h"

#include <errno.h>
#include <stdlib.h>

enum {
	READ_BYTES_MIN = 16 << 10,
	READ_BYTES_MAX = 1 << 20,
	READ_AHEAD_BYTES = 64 << 10, /* of input that cannot be used now */
	INPUT_SLACK_BYTES = 1 << 20, /* beyond the largest request: its head, and what follows it */
	OUTPUT_BYTES_MAX = 24 << 20, /* a bug's end; the soft limit is limits.output_bytes */
	LINGER_BYTES_MAX = 32 << 20,
	REAP_SLACK_MS = 5000,
};

static const int64_t linger_us = 2000000;

static int64_t mono_us(const struct connection *c)
{
	return front_now(c->front).mono_us;
}

/* "127.0.0.1:4711" → "127.0.0.1"; none for loopback. */
static struct slice admission_key(const struct stream *s)
{
	const char *peer = stream_peer(s);
	const char *colon = strrchr(peer, ':');

	if (stream_peer_is_loopback(s) || !colon)
		return SLICE_NONE;
	return slice_of(peer, (size_t)(colon - peer));
}

/* --- readiness and deadlines ------------------------------------------------------------------ */

static void update_want(struct connection *c)
{
	unsigned want = 0;

	if (c->closed)
		return;
	if (!c->input_ended && (!c->paused || c->in.len < READ_AHEAD_BYTES || c->lingering))
		want |= STREAM_READABLE;
	if (c->out_blocked)
		want |= STREAM_WRITABLE;
	if (want == c->want)
		return;
	c->want = want;
	stream_want(c->stream, want);
}

static int64_t stall_deadline(const struct connection *c)
{
	if (!connection_is_sending(c))
		return INT64_MAX;
	return c->out_moved_us + front_limits(c->front)->stall_ms * 1000;
}

static int64_t next_deadline(const struct connection *c)
{
	int64_t stall = stall_deadline(c);
	int64_t other = c->lingering ? c->linger_until_us : c->protocol->deadline(c);

	return stall < other ? stall : other;
}

/* The timer is moved only to an earlier time; one that fires too early just looks again. So a
 * request that comes and goes within a turn costs no timer. */
void connection_arm(struct connection *c)
{
	int64_t due = next_deadline(c);
	int64_t delay_ms;

	if (c->closed || due >= c->timer_due_us)
		return;
	c->timer_due_us = due;
	delay_ms = (due - mono_us(c) + 999) / 1000;
	timer_start(c->front->loop, &c->timer, delay_ms > 0 ? delay_ms : 0);
}

static void timer_fired(struct timer *t)
{
	struct connection *c = CONTAINER_OF(t, struct connection, timer);
	int64_t now = mono_us(c);

	c->timer_due_us = INT64_MAX;
	if (now >= stall_deadline(c))
		c->protocol->stalled(c);
	else if (c->lingering && now >= c->linger_until_us)
		connection_close(c);
	else if (!c->lingering && now >= c->protocol->deadline(c))
		c->protocol->expired(c);
	connection_arm(c);
}

/* --- input ------------------------------------------------------------------------------------ */

/* Let the protocol look at `*len` bytes; returns how many are used up. */
static size_t use(struct connection *c, uint8_t *bytes, size_t *len)
{
	const struct protocol *before;
	size_t at = 0;
	size_t rest;
	size_t used;

	if (c->finishing)
		return *len;
	do {
		before = c->protocol;
		rest = *len - at;
		used = before->received(c, bytes + at, &rest);
		CHECK(used <= rest);
		*len = at + rest;
		at += used;
	} while (c->protocol != before && !c->closed && !c->finishing);
	return c->finishing ? *len : at;
}

static void use_kept(struct connection *c)
{
	size_t used = use(c, c->in.ptr, &c->in.len);

	buf_consume(&c->in, used);
	if (c->in.len == 0)
		front_buf_give(c->front, &c->in);
}

/* Behind bytes that are kept already. */
static ssize_t read_behind(struct connection *c)
{
	size_t room = c->in.len;
	ssize_t n;

	if (room < READ_BYTES_MIN)
		room = READ_BYTES_MIN;
	if (room > READ_BYTES_MAX)
		room = READ_BYTES_MAX;
	if (!buf_reserve(&c->in, room))
		return -ENOBUFS;
	n = stream_read(c->stream, c->in.ptr + c->in.len, c->in.cap - c->in.len);
	if (n <= 0)
		return n;
	c->in.len += (size_t)n;
	use_kept(c);
	return n;
}

static ssize_t read_scratch(struct connection *c)
{
	struct stream_scratch scratch = stream_scratch(c->front->loop);
	ssize_t n = stream_read(c->stream, scratch.ptr, scratch.cap);
	size_t len;
	size_t used;

	if (n <= 0)
		return n;
	len = (size_t)n;
	if (c->lingering) {
		c->linger_bytes += len;
		return c->linger_bytes > LINGER_BYTES_MAX ? -ENOBUFS : n;
	}
	used = use(c, scratch.ptr, &len);
	if (used == len || c->closed)
		return n;
	front_buf_take(c->front, &c->in);
	buf_append(&c->in, scratch.ptr + used, len - used);
	return c->in.failed ? -ENOBUFS : n;
}

static void read_input(struct connection *c)
{
	ssize_t n = c->in.len > 0 ? read_behind(c) : read_scratch(c);

	if (c->closed || n == -EAGAIN)
		return;
	if (n < 0 || (n == 0 && c->lingering)) {
		connection_close(c);
		return;
	}
	if (n == 0) {
		c->input_ended = true;
		if (!c->finishing)
			c->protocol->ended(c);
	}
	if (c->closed)
		return;
	update_want(c);
	connection_arm(c);
}

static void again(struct task *t)
{
	struct connection *c = CONTAINER_OF(t, struct connection, again);

	if (c->closed)
		return;
	use_kept(c);
	if (c->closed)
		return;
	update_want(c);
	connection_arm(c);
}

/* --- output ----------------------------------------------------------------------------------- */

static void all_sent(struct connection *c)
{
	c->out_sent = 0;
	buf_clear(&c->out);
	front_buf_give(c->front, &c->out);
	if (!c->finishing || c->lingering)
		return;
	if (!c->linger || c->input_ended) {
		connection_close(c);
		return;
	}
	c->lingering = true;
	c->linger_until_us = mono_us(c) + linger_us;
	front_buf_give(c->front, &c->in);
	stream_finish(c->stream);
}

/* What of the output and of `shared` behind it the socket takes now; returns how many bytes of
 * `shared`. */
static size_t write_out(struct connection *c, const struct iovec *shared, int count, bool *all)
{
	struct iovec iov[1 + CONNECTION_SPANS_MAX];
	size_t own = connection_pending(c);
	size_t total = own;
	int first = own > 0;
	ssize_t n = 0;

	CHECK(count <= CONNECTION_SPANS_MAX);
	iov[0] = (struct iovec){c->out.ptr + c->out_sent, own};
	for (int i = 0; i < count; i++) {
		iov[first + i] = shared[i];
		total += shared[i].iov_len;
	}
	if (total > 0)
		n = stream_writev(c->stream, iov, first + count);
	if (n < 0 && n != -EAGAIN) {
		connection_close(c);
		n = 0;
	}
	if (n > 0) {
		c->out_sent += (size_t)n < own ? (size_t)n : own;
		c->sent_bytes += n;
		if (c->answers)
			hooked_sent(c);
	}
	*all = n >= 0 && (size_t)n == total;
	if (n > 0 || !c->out_blocked)
		c->out_moved_us = mono_us(c);
	c->out_blocked = !*all;
	return n > 0 && (size_t)n > own ? (size_t)n - own : 0;
}

static void flush(struct task *t)
{
	struct connection *c = CONTAINER_OF(t, struct connection, flush);
	bool was_blocked = c->out_blocked;
	size_t before = connection_pending(c);
	bool all;

	if (c->closed)
		return;
	if (c->out.failed) {
		connection_close(c);
		return;
	}
	(void)write_out(c, NULL, 0, &all);
	if (c->closed)
		return;
	if (all)
		all_sent(c);
	if ((was_blocked || connection_pending(c) < before) && !c->finishing && !c->closed)
		c->protocol->drained(c);
	update_want(c);
	connection_arm(c);
}

bool connection_send(struct connection *c, const struct iovec *shared, int count, size_t *sent)
{
	bool all;

	*sent = 0;
	if (c->closed || c->finishing || c->out_blocked || c->out.failed)
		return false;
	*sent = write_out(c, shared, count, &all);
	if (c->closed)
		return false;
	if (all) {
		all_sent(c);
	} else {
		update_want(c);
		connection_arm(c);
	}
	return all;
}

struct buf *connection_output(struct connection *c)
{
	if (!c->out.ptr)
		front_buf_take(c->front, &c->out);
	if (connection_pending(c) == 0)
		c->out_moved_us = mono_us(c);
	if (c->out_sent > c->out.len / 2) {
		buf_consume(&c->out, c->out_sent);
		c->out_sent = 0;
	}
	if (!c->closed && !c->out_blocked)
		loop_defer(c->front->loop, LOOP_WRITE, &c->flush);
	return &c->out;
}

/* --- what protocols ask ----------------------------------------------------------------------- */

void connection_again(struct connection *c)
{
	if (!c->closed)
		loop_defer(c->front->loop, LOOP_WORK, &c->again);
}

void connection_pause(struct connection *c, bool paused)
{
	if (c->paused == paused)
		return;
	c->paused = paused;
	update_want(c);
}

void connection_finish(struct connection *c, bool linger)
{
	c->finishing = true;
	c->linger |= linger;
	if (!c->closed)
		loop_defer(c->front->loop, LOOP_WRITE, &c->flush);
}

void connection_close(struct connection *c)
{
	if (c->closed)
		return;
	c->closed = true;
	task_cancel(&c->flush);
	task_cancel(&c->again);
	timer_stop(c->front->loop, &c->timer);
	if (list_is_linked(&c->starved))
		list_remove(&c->starved);
	stream_close(c->stream);
}

void connection_kick(struct connection *c)
{
	if (c->finishing)
		connection_close(c);
	else
		c->protocol->kick(c);
}

void connection_become(struct connection *c, const struct protocol *protocol, void *state)
{
	c->protocol = protocol;
	c->state = state;
	c->caller.front = protocol->kind;
	c->paused = false;
	connection_arm(c);
}

/* --- life ------------------------------------------------------------------------------------- */

static void stream_is_ready(struct stream *s, void *owner, unsigned ready)
{
	struct connection *c = owner;

	(void)s;
	if (ready & STREAM_WRITABLE)
		loop_defer(c->front->loop, LOOP_WRITE, &c->flush);
	if (ready & STREAM_READABLE)
		read_input(c);
}

static void stream_is_closed(struct stream *s, void *owner)
{
	struct connection *c = owner;

	c->stream = NULL;
	c->caller.peer = "closed";
	if (!c->admitted) {
		connection_free(c);
		return;
	}
	admission_leave(c->front->config.admission, admission_key(s));
	metric_add(c->front->metrics, METRIC_CONNECTIONS, -1);
	front_buf_give(c->front, &c->in);
	front_buf_give(c->front, &c->out);
	c->out_sent = 0;
	c->protocol->closed(c);
}

static void ignore_ready(struct stream *s, void *owner, unsigned ready)
{
	(void)s;
	(void)owner;
	(void)ready;
}

static void ignore_closed(struct stream *s, void *owner)
{
	(void)s;
	(void)owner;
}

static const struct stream_events stream_events = {
	.ready = stream_is_ready,
	.closed = stream_is_closed,
};

static struct connection *connection_new(struct front *f)
{
	const struct front_limits *limits = front_limits(f);
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->front = f;
	c->caller = (struct caller){.principal = SLICE_LIT("anonymous"), .front = FRONT_HTTP};
	c->number = ++f->last_connection;
	c->since_ms = front_now(f).wall_ms;
	c->in.limit = limits->body_bytes + INPUT_SLACK_BYTES;
	c->out.limit = OUTPUT_BYTES_MAX;
	c->flush.run = flush;
	c->again.run = again;
	c->timer.fire = timer_fired;
	c->timer_due_us = INT64_MAX;
	list_append(&f->connections, &c->node);
	f->connection_count++;
	return c;
}

static bool admit(struct connection *c)
{
	struct slice key = admission_key(c->stream);

	if (c->front->stopping || !admission_enter(c->front->config.admission, key))
		return false;
	if (!http_attach(c)) {
		admission_leave(c->front->config.admission, key);
		return false;
	}
	return true;
}

static void say_refused(struct front *f, const char *why, const char *peer)
{
	metric_add(f->metrics, METRIC_REFUSED, 1);
	log_limited(f->log, &f->refusals, LOG_WARN, "front", "refused a connection: %s peer=%s",
	            why, peer);
}

/* For a socket that we have no memory for. */
static void discard(struct front *f, int fd)
{
	static const struct stream_events deaf = {.ready = ignore_ready, .closed = ignore_closed};
	struct stream *s = stream_open(f->loop, fd, &deaf, NULL, NULL);

	if (s)
		stream_close(s);
	say_refused(f, "no memory", "?");
}

/* Not before the front's own patience ends: who is there but slow is to be told so (4008), and has
 * pong_ms to take it. */
static void reap_vanished(struct connection *c)
{
	const struct front_limits *limits = front_limits(c->front);

	stream_reap(c->stream, limits->stall_ms + limits->pong_ms + REAP_SLACK_MS);
}

void connection_open(struct front *f, int fd)
{
	struct connection *c = connection_new(f);
	struct fault fault = {0};
	char text[256];

	if (!c) {
		discard(f, fd);
		return;
	}
	c->stream = stream_open(f->loop, fd, &stream_events, c, &fault);
	if (!c->stream) {
		say_refused(f, fault_text(&fault, text, sizeof(text)), "?");
		connection_free(c);
		return;
	}
	c->caller.peer = stream_peer(c->stream);
	reap_vanished(c);
	c->admitted = admit(c);
	if (!c->admitted) {
		say_refused(f, "too many connections, or stopping", c->caller.peer);
		connection_close(c);
		return;
	}
	metric_add(f->metrics, METRIC_CONNECTIONS, 1);
	if (!hooked_connect(c)) {
		say_refused(f, "a hook said so", c->caller.peer);
		connection_close(c);
		return;
	}
	update_want(c);
	connection_arm(c);
}

void connection_free(struct connection *c)
{
	struct front *f = c->front;

	CHECK(!c->stream);
	task_cancel(&c->flush);
	task_cancel(&c->again);
	timer_stop(f->loop, &c->timer);
	if (list_is_linked(&c->starved))
		list_remove(&c->starved);
	list_remove(&c->node);
	hooked_forget(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
	front_connection_gone(f);
}
