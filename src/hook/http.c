/* A hook over HTTP: each event is a POST, as http_event.h has it, by libcurl on the shard's loop.
 *
 *	call → waiting … (in_flight allows) → asked ─ answer → verdict
 *	                     ↑ after a while ── failed, tries left
 *
 * At most `in_flight` are asked at a time on each shard; the others wait their turn, in order.
 * Nothing here waits for an answer: verdicts come later (hook_said). When so many calls in a row
 * have failed, with all their tries, the breaker has the next ones fail at once, also those that
 * wait, and what is under way is not tried again; a probe is tried once. An answer of any status
 * below 500 is a success to the breaker: somebody is there. */
#include "hook/breaker.h"
#include "hook/carrier.h"
#include "hook/hook.h"
#include "hook/http_event.h"
#include "hook/transfers.h"

#include <stdlib.h>

enum {
	WAITING_MAX = 4096,
	HEAD_BYTES_MAX = 32 << 10,
	BODY_BYTES_MAX = 1 << 20,
	BODY_KEPT_BYTES_MAX = 16 << 10, /* of an answer, for the next one */
	FIELDS_BYTES_MAX = 128 << 10,
	BACKOFF_MS = 20, /* before the second try; doubles */
	BACKOFF_SHIFT_MAX = 6,
	LATE_MS = 500, /* after its time-out: without memory libcurl may forget a transfer */
};

struct http_module {
	struct hook_module base;
	struct curl curl;
};

struct http_instance {
	struct hook_instance base;
	const struct curl *curl;
	const struct hook_spec *spec;
	struct loop *loop;
	struct transfers transfers;
	struct breaker breaker;
	struct task start;   /* asks those that wait */
	struct list waiting; /* struct ask */
	struct list idle;    /* struct ask, with their handles */
	uint32_t waiting_count;
	uint32_t asked_count;
	uint64_t number; /* of calls */
};

/* One call. */
struct ask {
	struct list node;
	struct http_instance *instance;
	struct call *call;
	struct transfer transfer;  /* its handle is owned; NULL before its first try */
	struct curl_slist *fields; /* owned; while it is asked */
	struct buf head;           /* of the answer */
	struct buf body;
	struct timer timer; /* the next try; or when this one is over, whatever libcurl says */
	bool is_trying;
	int64_t tries; /* so far */
	uint64_t number;
};

static struct http_instance *instance_of(struct hook_instance *i)
{
	return CONTAINER_OF(i, struct http_instance, base);
}

/* --- one call --------------------------------------------------------------------------------- */

static int64_t now_ms(const struct http_instance *i)
{
	return loop_now(i->loop).mono_us / 1000;
}

static void ask_free(struct ask *a)
{
	if (a->transfer.easy)
		a->instance->curl->easy_cleanup(a->transfer.easy);
	buf_fini(&a->head);
	buf_fini(&a->body);
	free(a);
}

/* It may be used for the next as soon as the verdict is given. */
static void ask_end(struct ask *a, enum bourn_verdict verdict)
{
	struct http_instance *i = a->instance;
	struct call *c = a->call;

	a->call = NULL;
	if (a->body.cap > BODY_KEPT_BYTES_MAX) {
		buf_fini(&a->body);
		a->body = BUF_INIT(BODY_BYTES_MAX);
	}
	i->asked_count--;
	list_append(&i->idle, &a->node);
	loop_defer(i->loop, LOOP_WORK, &i->start);
	hook_said(c, verdict);
}

static void call_skip(struct call *c)
{
	c->failure = "it is not asked for a while, as it failed again and again";
	c->skipped = true;
}

/* Nobody is asked. */
static void ask_skip(struct ask *a)
{
	call_skip(a->call);
	ask_end(a, BOURN_FAIL);
}

static void ask_fail(struct ask *a, const char *why)
{
	struct http_instance *i = a->instance;

	a->call->failure = why;
	if (breaker_failed(&i->breaker, now_ms(i)))
		hook_pauses(a->call, i->spec->failures_max);
	ask_end(a, BOURN_FAIL);
}

static size_t take_head(char *bytes, size_t size, size_t count, void *arg)
{
	struct ask *a = arg;

	if (count >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
		buf_clear(&a->head); /* the status line; one of those before was of a 100 */
	else
		buf_append(&a->head, bytes, size * count);
	return a->head.failed ? 0 : size * count;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct ask *a = arg;

	buf_append(&a->body, bytes, size * count);
	return a->body.failed ? 0 : size * count;
}

static bool append_line(struct ask *a, const char *line)
{
	struct curl_slist *grown = a->instance->curl->slist_append(a->fields, line);

	if (grown)
		a->fields = grown;
	return grown != NULL;
}

static bool make_fields(struct ask *a)
{
	struct buf lines = BUF_INIT(FIELDS_BYTES_MAX);
	bool made = append_line(a, "Expect:") && append_line(a, "Accept:");

	http_event_fields(a->call, a->instance->spec->name, a->number, &lines);
	for (size_t at = 0; made && !lines.failed && at < lines.len;
	     at += strlen((const char *)lines.ptr + at) + 1)
		made = append_line(a, (const char *)lines.ptr + at);
	made = made && !lines.failed;
	buf_fini(&lines);
	return made;
}

static bool set_options(struct ask *a, CURL *easy)
{
	const struct curl *curl = a->instance->curl;
	const struct hook_spec *spec = a->instance->spec;
	long timeout_ms = (long)hook_spec_timeout_ms(spec);
	bool ok = true;

	ok &= curl->easy_setopt(easy, CURLOPT_URL, spec->path) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_USERAGENT, "bourn") == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	/* A try that ends while a name is looked up would wait for its thread. */
	ok &= curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_HEADERDATA, a) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_WRITEDATA, a) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_PRIVATE, &a->transfer) == CURLE_OK;
	return ok;
}

static bool set_request(struct ask *a)
{
	const struct curl *curl = a->instance->curl;
	CURL *easy = a->transfer.easy;
	struct bourn_slice value = a->call->pub.value;
	curl_off_t bytes = (curl_off_t)value.len;
	const char *body = value.ptr ? (const char *)value.ptr : "";
	bool ok = true;

	ok &= curl->easy_setopt(easy, CURLOPT_HTTPHEADER, a->fields) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, bytes) == CURLE_OK;
	ok &= curl->easy_setopt(easy, CURLOPT_POSTFIELDS, body) == CURLE_OK;
	return ok;
}

/* With all its options, or none is kept. */
static bool make_handle(struct ask *a)
{
	const struct curl *curl = a->instance->curl;
	CURL *easy;

	if (a->transfer.easy)
		return true;
	easy = curl->easy_init();
	if (easy && !set_options(a, easy)) {
		curl->easy_cleanup(easy);
		return false;
	}
	a->transfer.easy = easy;
	return easy != NULL;
}

/* A try. */
static void ask_start(struct ask *a)
{
	const struct curl *curl = a->instance->curl;

	if (!breaker_lets(&a->instance->breaker, now_ms(a->instance))) {
		ask_skip(a);
		return;
	}
	a->tries++;
	buf_clear(&a->head);
	buf_clear(&a->body);
	if (!make_handle(a) || !make_fields(a) || !set_request(a) ||
	    !transfers_add(&a->instance->transfers, &a->transfer)) {
		curl->slist_free_all(a->fields);
		a->fields = NULL;
		ask_fail(a, "no memory for a request");
		return;
	}
	a->is_trying = true;
	timer_start(a->instance->loop, &a->timer,
	            hook_spec_timeout_ms(a->instance->spec) + LATE_MS);
}

static void try_again(struct ask *a, const char *why)
{
	struct http_instance *i = a->instance;
	int64_t shift = a->tries - 1 < BACKOFF_SHIFT_MAX ? a->tries - 1 : BACKOFF_SHIFT_MAX;

	if (a->tries > i->spec->retries || i->breaker.state != BREAKER_CLOSED)
		ask_fail(a, why);
	else
		timer_start(i->loop, &a->timer, BACKOFF_MS << shift);
}

static void ask_answered(struct ask *a, int status)
{
	const struct http_event_answer answer = {
		.status = status, .head = buf_slice(&a->head), .body = buf_slice(&a->body)};

	if (breaker_succeeded(&a->instance->breaker))
		hook_resumes(a->call);
	a->call->failure = "its answer is none that a hook can give";
	ask_end(a, http_event_verdict(a->call, &answer));
}

/* Its answer came, or will not. */
static void try_over(struct ask *a, CURLcode code)
{
	const struct curl *curl = a->instance->curl;
	long status = 0;

	a->is_trying = false;
	timer_stop(a->instance->loop, &a->timer);
	curl->easy_getinfo(a->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	transfers_remove(&a->instance->transfers, &a->transfer);
	curl->slist_free_all(a->fields);
	a->fields = NULL;
	if (code != CURLE_OK)
		try_again(a, a->body.failed ? "its answer is larger than 1 MiB"
		                            : curl->easy_strerror(code));
	else if (status >= 500)
		try_again(a, "it answered with a 5xx");
	else
		ask_answered(a, (int)status);
}

static void transfer_done(struct transfer *transfer, CURLcode code)
{
	try_over(CONTAINER_OF(transfer, struct ask, transfer), code);
}

static void ask_timer_fired(struct timer *t)
{
	struct ask *a = CONTAINER_OF(t, struct ask, timer);

	if (a->is_trying)
		try_over(a, CURLE_OPERATION_TIMEDOUT);
	else
		ask_start(a);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void start_waiting(struct task *t)
{
	struct http_instance *i = CONTAINER_OF(t, struct http_instance, start);

	while (i->asked_count < i->spec->in_flight && !list_is_empty(&i->waiting)) {
		struct ask *a = LIST_ENTRY(list_take_first(&i->waiting), struct ask, node);

		i->waiting_count--;
		i->asked_count++;
		ask_start(a);
	}
}

static struct ask *ask_new(struct http_instance *i)
{
	struct list *node = list_take_first(&i->idle);
	struct ask *a;

	if (node)
		return LIST_ENTRY(node, struct ask, node);
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->instance = i;
	a->head = BUF_INIT(HEAD_BYTES_MAX);
	a->body = BUF_INIT(BODY_BYTES_MAX);
	a->timer.fire = ask_timer_fired;
	return a;
}

static bool http_call(struct hook_instance *base, struct call *c, enum bourn_verdict *verdict)
{
	struct http_instance *i = instance_of(base);
	struct ask *a;

	*verdict = BOURN_FAIL;
	if (breaker_refuses(&i->breaker, now_ms(i))) {
		call_skip(c);
		return true;
	}
	a = i->waiting_count < WAITING_MAX ? ask_new(i) : NULL;
	if (!a) {
		c->failure = "too many calls wait for it";
		return true;
	}
	a->call = c;
	a->tries = 0;
	a->number = ++i->number;
	list_append(&i->waiting, &a->node);
	i->waiting_count++;
	loop_defer(i->loop, LOOP_WORK, &i->start);
	return false;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool is_url(const char *text)
{
	struct slice url = slice_str(text);

	return (slice_starts_with(url, SLICE_LIT("http://")) && url.len > 7) ||
	       (slice_starts_with(url, SLICE_LIT("https://")) && url.len > 8);
}

static enum err http_load(const struct hook_spec *spec, struct hook_module **out, struct fault *f)
{
	struct http_module *m;
	enum err err;

	if (!is_url(spec->path))
		return fault_set(f, ERR_CONFIG, 0, "'%s' is not an http:// or https:// address",
		                 spec->path);
	m = calloc(1, sizeof(*m));
	if (!m)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	err = curl_load(&m->curl, f);
	if (err) {
		free(m);
		return err;
	}
	m->base.points = spec->points ? hook_points_that_wait : 1u << BOURN_PRODUCE;
	*out = &m->base;
	return OK;
}

static void http_unload(struct hook_module *base)
{
	free(CONTAINER_OF(base, struct http_module, base));
}

static enum err http_refresh(struct hook_module *base, bool *fresh, struct fault *f)
{
	(void)base;
	(void)f;
	*fresh = false; /* there is nothing to read */
	return OK;
}

static void http_close(struct hook_instance *base)
{
	struct http_instance *i = instance_of(base);
	struct list *node;

	CHECK(i->asked_count == 0);
	CHECK(list_is_empty(&i->waiting));
	while ((node = list_take_first(&i->idle)))
		ask_free(LIST_ENTRY(node, struct ask, node));
	transfers_close(&i->transfers);
	task_cancel(&i->start);
	free(i);
}

static enum err http_open(struct hook_module *base, const struct hook_place *place,
                          struct hook_instance **out, struct fault *f)
{
	struct http_instance *i = calloc(1, sizeof(*i));

	if (!i)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	i->curl = &CONTAINER_OF(base, struct http_module, base)->curl;
	i->spec = base->spec;
	i->loop = place->loop;
	i->start.run = start_waiting;
	list_init(&i->waiting);
	list_init(&i->idle);
	breaker_init(&i->breaker, i->spec->failures_max);
	if (!transfers_open(&i->transfers, i->curl, i->loop, i->spec->in_flight, transfer_done)) {
		http_close(&i->base);
		return fault_set(f, ERR_CONFIG, 0, "libcurl does not start");
	}
	*out = &i->base;
	return OK;
}

const struct hook_carrier carrier_http = {
	.waits = true,
	.load = http_load,
	.unload = http_unload,
	.refresh = http_refresh,
	.open = http_open,
	.close = http_close,
	.call = http_call,
};
