#include "front/front.h"

#include "front/connection.h"
#include "front/http/exchange.h"
#include "front/shard.h"
#include "front/subscription.h"

#include <stdlib.h>

enum {
	STARVED_RETRY_MS = 8,
	EVENT_SCRATCH_BYTES_MAX = 24 << 20, /* the largest event in any form */
};

static void starved_fired(struct timer *t);
static void stop_fired(struct timer *t);
static void tell_stopped(struct task *t);

struct front_limits front_limits_default(void)
{
	return (struct front_limits){
		.event_bytes = 1 << 20,
		.body_bytes = 16 << 20,
		.message_bytes = 1 << 20,
		.output_bytes = 1 << 20,
		.request_events = 65536,
		.pipelined = 64,
		.header_ms = 10000,
		.idle_ms = 75000,
		.body_window_ms = 20000,
		.body_window_bytes = 20 * 256,
		.stall_ms = 60000,
		.ping_after_ms = 20000,
		.pong_ms = 10000,
		.stop_ms = 1500,
		.future_ms = 3600000,
	};
}

static void take_chains(struct front *f)
{
	const struct front_config *config = &f->config;
	const struct hooks *hooks = config->hooks ? config->hooks[loop_index(f->loop)] : NULL;

	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		f->chains[i] = hooks_chain(hooks, (enum bourn_point)i);
	f->hooks_requests =
		f->chains[BOURN_REQUEST_RECEIVED] || f->chains[BOURN_REQUEST_EXECUTED] ||
		f->chains[BOURN_BEFORE_RESPONSE_SEND] || f->chains[BOURN_AFTER_RESPONSE_SEND];
}

struct front *front_new(struct loop *l, const struct front_config *config)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->loop = l;
	f->config = *config;
	f->metrics = loop_metrics(l);
	f->log = loop_log(l);
	f->headers.limit = config->limits.body_bytes * 2 + (64 << 10);
	f->date_second = INT64_MIN;
	f->created_head.limit = 512;
	f->produced_tail.limit = 128;
	/* Answers are put together from these: no memory shall cut one of them short. */
	CHECK(buf_reserve(&f->created_head, f->created_head.limit));
	CHECK(buf_reserve(&f->produced_tail, f->produced_tail.limit));
	f->cursor.limit = CURSOR_TEXT_BYTES_MAX;
	CHECK(buf_reserve(&f->cursor, f->cursor.limit));
	f->event.limit = EVENT_SCRATCH_BYTES_MAX;
	feeds_init(&f->feeds, f);
	list_init(&f->catching_up);
	f->catch_up.run = sources_catch_up;
	f->last_request_id = (uint64_t)loop_index(l) << 48;
	list_init(&f->connections);
	list_init(&f->idle_exchanges);
	list_init(&f->starved);
	f->starved_timer.fire = starved_fired;
	f->stop_timer.fire = stop_fired;
	f->stopped_task.run = tell_stopped;
	take_chains(f);
	return f;
}

void front_serve(struct front *f, struct broker *b)
{
	CHECK(!f->broker);
	f->broker = b;
}

void front_accept(struct front *f, int fd)
{
	connection_open(f, fd);
}

size_t front_connection_count(const struct front *f)
{
	return f->connection_count;
}

/* --- pools ------------------------------------------------------------------------------------ */

void front_buf_take(struct front *f, struct buf *b)
{
	size_t limit = b->limit;

	CHECK(!b->ptr);
	if (f->idle_buf_count == 0)
		return;
	*b = f->idle_bufs[--f->idle_buf_count];
	b->limit = limit;
	buf_clear(b);
}

/* Of its size; NULL: there are enough, or it is kept in none. */
static struct buf *place_for(struct front *f, const struct buf *b)
{
	if (!b->ptr || b->cap > FRONT_LARGE_BUF_BYTES)
		return NULL;
	if (b->cap > FRONT_POOLED_BUF_BYTES)
		return f->large_buf_count < FRONT_LARGE_BUFS ? &f->large_bufs[f->large_buf_count++]
		                                             : NULL;
	return f->idle_buf_count < FRONT_POOLED_BUFS ? &f->idle_bufs[f->idle_buf_count++] : NULL;
}

void front_buf_give(struct front *f, struct buf *b)
{
	struct buf *place = place_for(f, b);

	if (place) {
		*place = *b;
		*b = BUF_INIT(b->limit);
	} else {
		buf_fini(b);
	}
}

void front_buf_reserve(struct front *f, struct buf *b, size_t more)
{
	struct buf *large = f->large_buf_count > 0 ? &f->large_bufs[f->large_buf_count - 1] : NULL;
	struct buf small = *b;
	size_t need = b->len + more;

	if (more <= b->cap - b->len || b->failed)
		return;
	if (need <= FRONT_POOLED_BUF_BYTES || !large || large->cap < need ||
	    large->cap > b->limit) {
		(void)buf_reserve(b, more);
		return;
	}
	*b = *large;
	f->large_buf_count--;
	b->limit = small.limit;
	buf_clear(b);
	buf_append(b, small.ptr, small.len);
	front_buf_give(f, &small);
}

struct front_parser *front_parser_take(struct front *f)
{
	struct front_parser *p;

	if (f->idle_parser_count > 0)
		return f->idle_parsers[--f->idle_parser_count];
	p = malloc(sizeof(*p));
	if (!p)
		return NULL;
	http_parser_init(&p->http);
	p->known.head_id = 0;
	p->known.event.head_id = 0;
	return p;
}

void front_parser_give(struct front *f, struct front_parser *p)
{
	if (f->idle_parser_count < FRONT_POOLED_PARSERS)
		f->idle_parsers[f->idle_parser_count++] = p;
	else
		free(p);
}

static void update_date(struct front *f)
{
	int64_t wall_ms = front_now(f).wall_ms;
	struct buf *head = &f->created_head;

	if (wall_ms / 1000 == f->date_second)
		return;
	f->date_second = wall_ms / 1000;
	http_date_format(wall_ms, f->date);
	buf_clear(head);
	http_head_begin(head, 201);
	http_head_date(head, f->date);
	http_head_field(head, "Content-Type", SLICE_LIT("application/json"));
	buf_append_lit(head, "Content-Length: ");
}

const char *front_date(struct front *f)
{
	update_date(f);
	return f->date;
}

struct slice front_created_head(struct front *f)
{
	update_date(f);
	return buf_slice(&f->created_head);
}

uint64_t front_next_request_id(struct front *f)
{
	return ++f->last_request_id;
}

/* --- out of credits --------------------------------------------------------------------------- */

void front_starve(struct front *f, struct connection *c)
{
	if (list_is_linked(&c->starved))
		return;
	list_append(&f->starved, &c->starved);
	if (!timer_is_running(&f->starved_timer))
		timer_start(f->loop, &f->starved_timer, STARVED_RETRY_MS);
}

static void starved_fired(struct timer *t)
{
	struct front *f = CONTAINER_OF(t, struct front, starved_timer);
	struct list *node;

	while ((node = list_take_first(&f->starved)))
		connection_again(LIST_ENTRY(node, struct connection, starved));
}

/* --- the end ---------------------------------------------------------------------------------- */

static bool is_quiet(const struct front *f)
{
	return f->connection_count == 0 && f->telling == 0;
}

static void tell_stopped(struct task *t)
{
	struct front *f = CONTAINER_OF(t, struct front, stopped_task);

	if (!is_quiet(f) || f->told)
		return;
	f->told = true;
	feeds_close(&f->feeds);
	timer_stop(f->loop, &f->stop_timer);
	timer_stop(f->loop, &f->starved_timer);
	f->stopped(f->stopped_arg);
}

void front_connection_gone(struct front *f)
{
	CHECK(f->connection_count > 0);
	f->connection_count--;
	front_quieter(f);
}

void front_quieter(struct front *f)
{
	if (f->stopping && is_quiet(f))
		loop_defer(f->loop, LOOP_WORK, &f->stopped_task);
}

static void stop_fired(struct timer *t)
{
	struct front *f = CONTAINER_OF(t, struct front, stop_timer);

	LIST_EACH_SAFE (node, after, &f->connections)
		connection_close(LIST_ENTRY(node, struct connection, node));
}

void front_stop(struct front *f, void (*stopped)(void *arg), void *arg)
{
	CHECK(!f->stopping);
	f->stopping = true;
	f->stopped = stopped;
	f->stopped_arg = arg;
	front_quieter(f);
	if (is_quiet(f))
		return;
	timer_start(f->loop, &f->stop_timer, front_limits(f)->stop_ms);
	LIST_EACH_SAFE (node, after, &f->connections) {
		struct connection *c = LIST_ENTRY(node, struct connection, node);

		if (!c->closed && !c->finishing)
			c->protocol->stop(c);
	}
}

void front_free(struct front *f)
{
	CHECK(is_quiet(f));
	timer_stop(f->loop, &f->starved_timer);
	timer_stop(f->loop, &f->stop_timer);
	task_cancel(&f->stopped_task);
	exchange_pool_free(f);
	feeds_close(&f->feeds);
	task_cancel(&f->catch_up);
	while (f->idle_parser_count > 0)
		free(f->idle_parsers[--f->idle_parser_count]);
	while (f->idle_buf_count > 0)
		buf_fini(&f->idle_bufs[--f->idle_buf_count]);
	while (f->large_buf_count > 0)
		buf_fini(&f->large_bufs[--f->large_buf_count]);
	buf_fini(&f->headers);
	buf_fini(&f->event);
	buf_fini(&f->cursor);
	buf_fini(&f->created_head);
	buf_fini(&f->produced_tail);
	free(f);
}
