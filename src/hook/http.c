/* A hook over HTTP: each event is a POST, as http_event.h has it, by libcurl on the shard's loop.
 *
 *	call → waiting … (in_flight allows) → asked ─ answer → verdict
 *	                     ↑ after a while ── failed, tries left
 *
 * At most `in_flight` are asked at a time on each shard; the others wait their turn, in order. Nothing
 * here waits for an answer: verdicts come later (hook_said). */
#include "hook/carrier.h"
#include "hook/curl.h"
#include "hook/hook.h"
#include "hook/http_event.h"
#include "io/watch.h"

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
	CURLM *multi;
	struct timer timer;  /* when libcurl wants to be called */
	struct task at_once; /* the same, now */
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
	CURL *easy;                /* owned; NULL before its first */
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

/* --- one call ------------------------------------------------------------------------------------- */

static void start_waiting(struct http_instance *i);

static void ask_free(struct ask *a)
{
	if (a->easy)
		a->instance->curl->easy_cleanup(a->easy);
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
	hook_said(c, verdict);
	start_waiting(i);
}

static void ask_fail(struct ask *a, const char *why)
{
	a->call->failure = why;
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

static bool set_options(struct ask *a)
{
	const struct curl *curl = a->instance->curl;
	const struct hook_spec *spec = a->instance->spec;
	bool ok = true;

	ok &= curl->easy_setopt(a->easy, CURLOPT_URL, spec->path) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_PROXY, "") == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_USERAGENT, "bourn") == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	/* A try that ends while a name is looked up would wait for its thread. */
	ok &= curl->easy_setopt(a->easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_TIMEOUT_MS, (long)hook_spec_timeout_ms(spec)) ==
	      CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_HEADERFUNCTION, take_head) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_HEADERDATA, a) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_WRITEDATA, a) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_PRIVATE, a) == CURLE_OK;
	return ok;
}

static bool set_request(struct ask *a)
{
	const struct curl *curl = a->instance->curl;
	struct bourn_slice value = a->call->pub.value;
	bool ok = true;

	ok &= curl->easy_setopt(a->easy, CURLOPT_HTTPHEADER, a->fields) == CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)value.len) ==
	      CURLE_OK;
	ok &= curl->easy_setopt(a->easy, CURLOPT_POSTFIELDS,
	                        value.ptr ? (const char *)value.ptr : "") == CURLE_OK;
	return ok;
}

static bool make_handle(struct ask *a)
{
	if (a->easy)
		return true;
	a->easy = a->instance->curl->easy_init();
	return a->easy && set_options(a);
}

/* A try. */
static void ask_start(struct ask *a)
{
	const struct curl *curl = a->instance->curl;

	a->tries++;
	buf_clear(&a->head);
	buf_clear(&a->body);
	if (!make_handle(a) || !make_fields(a) || !set_request(a) ||
	    curl->multi_add_handle(a->instance->multi, a->easy) != CURLM_OK) {
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

	if (a->tries > i->spec->retries)
		ask_fail(a, why);
	else
		timer_start(i->loop, &a->timer, BACKOFF_MS << shift);
}

/* Its answer came, or will not. */
static void ask_answered(struct ask *a, CURLcode code)
{
	const struct curl *curl = a->instance->curl;
	struct http_event_answer answer = {.head = buf_slice(&a->head),
	                                   .body = buf_slice(&a->body)};
	long status = 0;

	a->is_trying = false;
	timer_stop(a->instance->loop, &a->timer);
	curl->easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
	curl->multi_remove_handle(a->instance->multi, a->easy);
	curl->slist_free_all(a->fields);
	a->fields = NULL;
	answer.status = (int)status;
	if (code != CURLE_OK) {
		try_again(a, a->body.failed ? "its answer is larger than 1 MiB"
		                            : curl->easy_strerror(code));
	} else if (status >= 500) {
		try_again(a, "it answered with a 5xx");
	} else {
		a->call->failure = "its answer is none that a hook can give";
		ask_end(a, http_event_verdict(a->call, &answer));
	}
}

static void ask_timer_fired(struct timer *t)
{
	struct ask *a = CONTAINER_OF(t, struct ask, timer);

	if (a->is_trying)
		ask_answered(a, CURLE_OPERATION_TIMEDOUT);
	else
		ask_start(a);
}

/* --- libcurl's wishes ----------------------------------------------------------------------------- */

/* Verdicts may have new calls made, and those added: one at a time. */
static void take_answers(struct http_instance *i)
{
	CURLMsg *message;
	struct ask *a;
	int left;

	while ((message = i->curl->multi_info_read(i->multi, &left))) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		i->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &a);
		ask_answered(a, code);
	}
}

static void socket_ready(void *owner, int fd, unsigned ready)
{
	struct http_instance *i = owner;
	int events = 0;
	int running;

	if (ready & STREAM_READABLE)
		events |= CURL_CSELECT_IN;
	if (ready & STREAM_WRITABLE)
		events |= CURL_CSELECT_OUT;
	i->curl->multi_socket_action(i->multi, fd, events, &running);
	take_answers(i);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct http_instance *i = arg;
	struct watch *w = socket;
	unsigned want = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			watch_free(w);
		return 0;
	}
	if (what & CURL_POLL_IN)
		want |= STREAM_READABLE;
	if (what & CURL_POLL_OUT)
		want |= STREAM_WRITABLE;
	if (!w) {
		w = watch_new(i->loop, fd, socket_ready, i);
		if (!w)
			return -1;
		i->curl->multi_assign(i->multi, fd, w);
	}
	watch_want(w, want);
	return 0;
}

static int want_time(CURLM *multi, long ms, void *arg)
{
	struct http_instance *i = arg;

	(void)multi;
	if (ms < 0)
		timer_stop(i->loop, &i->timer);
	else if (ms == 0)
		loop_defer(i->loop, LOOP_WORK, &i->at_once);
	else
		timer_start(i->loop, &i->timer, ms);
	return 0;
}

static void time_has_come(struct http_instance *i)
{
	int running;

	i->curl->multi_socket_action(i->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_answers(i);
}

static void timer_fired(struct timer *t)
{
	time_has_come(CONTAINER_OF(t, struct http_instance, timer));
}

static void run_at_once(struct task *t)
{
	time_has_come(CONTAINER_OF(t, struct http_instance, at_once));
}

/* --- calls ---------------------------------------------------------------------------------------- */

static void start_waiting(struct http_instance *i)
{
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
	struct ask *a = i->waiting_count < WAITING_MAX ? ask_new(i) : NULL;

	if (!a) {
		c->failure = "too many calls wait for it";
		*verdict = BOURN_FAIL;
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

static void run_start(struct task *t)
{
	start_waiting(CONTAINER_OF(t, struct http_instance, start));
}

/* --- life ----------------------------------------------------------------------------------------- */

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

static bool set_multi(struct http_instance *i)
{
	const struct curl *curl = i->curl;
	bool ok = true;

	ok &= curl->multi_setopt(i->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK;
	ok &= curl->multi_setopt(i->multi, CURLMOPT_SOCKETDATA, i) == CURLM_OK;
	ok &= curl->multi_setopt(i->multi, CURLMOPT_TIMERFUNCTION, want_time) == CURLM_OK;
	ok &= curl->multi_setopt(i->multi, CURLMOPT_TIMERDATA, i) == CURLM_OK;
	ok &= curl->multi_setopt(i->multi, CURLMOPT_MAXCONNECTS, (long)i->spec->in_flight) ==
	      CURLM_OK;
	return ok;
}

static void http_close(struct hook_instance *base)
{
	struct http_instance *i = instance_of(base);
	struct list *node;

	CHECK(i->asked_count == 0);
	CHECK(list_is_empty(&i->waiting));
	while ((node = list_take_first(&i->idle)))
		ask_free(LIST_ENTRY(node, struct ask, node));
	if (i->multi)
		i->curl->multi_cleanup(i->multi);
	if (i->loop) {
		timer_stop(i->loop, &i->timer);
		task_cancel(&i->at_once);
		task_cancel(&i->start);
	}
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
	i->timer.fire = timer_fired;
	i->at_once.run = run_at_once;
	i->start.run = run_start;
	list_init(&i->waiting);
	list_init(&i->idle);
	i->multi = i->curl->multi_init();
	if (!i->multi || !set_multi(i)) {
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
