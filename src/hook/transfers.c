#include "hook/transfers.h"

#include "io/watch.h"

/* `done` may have others removed: one at a time. */
static void take_answers(struct transfers *t)
{
	CURLMsg *message;
	void *transfer;
	int left;

	while ((message = t->curl->multi_info_read(t->multi, &left))) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		t->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		t->done(transfer, code);
	}
}

static void close_multi(struct transfers *t)
{
	if (t->multi)
		t->curl->multi_cleanup(t->multi);
	t->multi = NULL;
	if (!t->loop)
		return;
	timer_stop(t->loop, &t->timer);
	task_cancel(&t->at_once);
}

/* When memory ends within libcurl it does not say for which transfer, and may keep a note of the
 * socket that the next one with that number dies of (7.88: a hash of no slots). So all are over,
 * and with the next it begins anew. */
static void give_up(struct transfers *t)
{
	while (!list_is_empty(&t->under_way))
		t->done(LIST_ENTRY(t->under_way.next, struct transfer, node), CURLE_OUT_OF_MEMORY);
	close_multi(t);
}

static void act(struct transfers *t, curl_socket_t fd, int events)
{
	int running;
	CURLMcode code = t->curl->multi_socket_action(t->multi, fd, events, &running);

	take_answers(t);
	if (code != CURLM_OK)
		give_up(t);
}

static void socket_ready(void *owner, int fd, unsigned ready)
{
	struct transfers *t = owner;
	int events = 0;

	if (ready & STREAM_READABLE)
		events |= CURL_CSELECT_IN;
	if (ready & STREAM_WRITABLE)
		events |= CURL_CSELECT_OUT;
	act(t, fd, events);
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

static void timer_fired(struct timer *timer)
{
	act(CONTAINER_OF(timer, struct transfers, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void run_at_once(struct task *task)
{
	act(CONTAINER_OF(task, struct transfers, at_once), CURL_SOCKET_TIMEOUT, 0);
}

static bool set_multi(struct transfers *t)
{
	const struct curl *curl = t->curl;
	bool ok = true;

	ok &= curl->multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, want_time) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) == CURLM_OK;
	ok &= curl->multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, t->connections_max) == CURLM_OK;
	return ok;
}

static bool open_multi(struct transfers *t)
{
	t->multi = t->curl->multi_init();
	if (t->multi && set_multi(t))
		return true;
	close_multi(t);
	return false;
}

bool transfers_open(struct transfers *t, const struct curl *curl, struct loop *loop,
                    int64_t connections_max, transfers_done *done)
{
	*t = (struct transfers){.curl = curl, .loop = loop, .done = done};
	t->connections_max = (long)connections_max;
	t->timer.fire = timer_fired;
	t->at_once.run = run_at_once;
	list_init(&t->under_way);
	return open_multi(t);
}

void transfers_close(struct transfers *t)
{
	close_multi(t);
}

bool transfers_add(struct transfers *t, struct transfer *transfer)
{
	if (!t->multi && !open_multi(t))
		return false;
	if (t->curl->multi_add_handle(t->multi, transfer->easy) != CURLM_OK)
		return false;
	list_append(&t->under_way, &transfer->node);
	return true;
}

void transfers_remove(struct transfers *t, struct transfer *transfer)
{
	list_remove(&transfer->node);
	t->curl->multi_remove_handle(t->multi, transfer->easy);
}
