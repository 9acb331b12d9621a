#include "io/watch.h"

#include "io/loop_internal.h"

#include <stdlib.h>

struct watch {
	uv_poll_t poll;
	struct loop *loop;
	int fd;
	watch_cb *ready;
	void *owner;
};

struct watch *watch_new(struct loop *l, int fd, watch_cb *ready, void *owner)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (uv_poll_init(&l->uv, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->loop = l;
	w->fd = fd;
	w->ready = ready;
	w->owner = owner;
	return w;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;

	loop_turn_begin(w->loop);
	w->ready(w->owner, w->fd,
	         status < 0 ? STREAM_READABLE | STREAM_WRITABLE : (unsigned)events);
}

void watch_want(struct watch *w, unsigned ready)
{
	if (ready)
		uv_poll_start(&w->poll, (int)ready, on_poll);
	else
		uv_poll_stop(&w->poll);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void watch_free(struct watch *w)
{
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, on_closed);
}
