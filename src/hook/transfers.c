#include "hook/transfers.h"

#include "io/watch.h"

/* `done` may have others added and removed: one at a time. */
static void take_answers(struct transfers *t)
{
	CURLMsg *message;
	void *private;
	int left;

	while ((message = t->curl->multi_info_read(t->multi, &left))) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		t->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		t->done(private, code);
	}
}

static void socket_ready(void *owner, int fd, unsigned ready)
{
	struct transfers *t = owner;
	int events = 0;
	int running;

	if (ready & STREAM_READABLE)
		events |= CURL_CSELECT_IN;
	if (ready & STREAM_WRITABLE)
		events |= CURL_CSELECT_OUT;
	t->curl->multi_socket_action(t->multi, fd, events, &running);
	take_answers(t);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct transfers *t = arg;
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
		w = watch_new(t->loop, fd, socket_ready, t);
		if (!w)
			return -1;
		t->curl->multi_assign(t->multi, fd, w);
	}
	watch_want(w, want);
	return 0;
}

static int want_time(CURLM *multi, long ms, void *arg)
{
	struct transfers *t = arg;

	(void)multi;
	if (ms < 0)
		timer_stop(t->loop, &t->timer);
	else if (ms == 0)
		loop_defer(t->loop, LOOP_WORK, &t->at_once);
	else
		timer_start(t->loop, &t->timer, ms);
	return 0;
}

static void time_has_come(struct transfers *t)
{
	int running;

	t->curl->multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_answers(t);
}

static void timer_fired(struct timer *timer)
{
	time_has_come(CONTAINER_OF(timer, struct transfers, timer));
}

static void run_at_once(struct task *task)
{
	time_has_come(CONTAINER_OF(task, struct transfers, at_once));
}

bool transfers_open(struct transfers *t, const struct curl *curl, struct loop *loop,
                    int64_t connections_max, transfers_done *done)
{
	bool ok = true;

	*t = (struct transfers){.curl = curl, .loop = loop, .done = done};
	t->timer.fire = timer_fired;
	t->at_once.run = run_at_once;
	t->multi = curl->multi_init();
	if (!t->multi)
		return false;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, want_time) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)connections_max) == CURLM_OK;
	return ok;
}

void transfers_close(struct transfers *t)
{
	if (t->multi)
		t->curl->multi_cleanup(t->multi);
	if (t->loop) {
		timer_stop(t->loop, &t->timer);
		task_cancel(&t->at_once);
	}
}

bool transfers_add(struct transfers *t, CURL *easy)
{
	return t->curl->multi_add_handle(t->multi, easy) == CURLM_OK;
}

void transfers_remove(struct transfers *t, CURL *easy)
{
	t->curl->multi_remove_handle(t->multi, easy);
}
