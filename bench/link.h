/* link: one non-blocking connection to a broker, in the language (dialect) that it speaks there.
 * Knows nothing of what is measured.
 *
 * The same for every broker: connect, say what opens it, then events in or out. Whoever owns it has
 * an epoll with the link as its data.ptr and calls
 *
 *	if (!link_ready(l, events, scratch, f)) …failed…
 *	while ((event = link_next(l, scratch, f)) != LINK_MORE) …
 *
 * All links of a thread share one scratch: a read takes what the socket has, up to 512 KiB, and
 * what is parsed is parsed where it lies. Only the beginning of a message whose rest has not come
 * is kept, and copied, until the next read. */
#ifndef BOURN_BENCH_LINK_H
#define BOURN_BENCH_LINK_H

#include "bench.h"

#include "base/buf.h"
#include "wire/http_response.h"
#include "wire/ws.h"

enum {
	LINK_SCRATCH_BYTES = 512 << 10,
	LINK_OUT_BYTES_MAX = 64 << 20,
};

enum link_event {
	LINK_MORE,    /* nothing whole is there */
	LINK_NOTHING, /* something that is not for the owner; ask again */
	LINK_OPENED,  /* the broker has said yes: once a link */
	LINK_PAYLOAD, /* l->payload is an event, or the answer to a request */
	LINK_FAILED,  /* the failure says why; the last */
};

struct link;

/* Where a link goes. Borrowed by every link to it. */
struct address {
	uint16_t port;  /* of 127.0.0.1 */
	char path[256]; /* HTTP: with the topic in it; NATS: the subject; Redis: the stream */
};

/* One protocol in one role. */
struct dialect {
	/* Append to l->out what is sent on connecting. */
	void (*open)(struct link *l);
	/* Look at in[0, *len): as the parsers of wire/ do, and with their `consumed`. Answers
	 * (pongs) go to l->out. */
	enum link_event (*next)(struct link *l, uint8_t *in, size_t *len, struct failure *f);
	/* Append one event to l->out. NULL: this end only receives. */
	void (*publish)(struct link *l, struct slice event);
	/* The bytes before and after each event on the wire, where they are always the same. NULL:
	 * they are not. */
	void (*frame)(const struct address *to, size_t event_bytes, struct buf *before,
	              struct buf *after);
};

extern const struct dialect dialect_ws_subscriber;
extern const struct dialect dialect_ws_publisher;
extern const struct dialect dialect_sse;
extern const struct dialect dialect_nats_subscriber;
extern const struct dialect dialect_nats_publisher;
extern const struct dialect dialect_http_post;
extern const struct dialect dialect_redis;

struct link {
	const struct dialect *dialect;
	const struct address *address; /* borrowed */
	int epoll;                     /* borrowed */
	int fd;                        /* -1: closed */
	bool connected;
	bool open;            /* the broker has said yes */
	bool writing;         /* epoll tells when it can be written to */
	struct buf out;       /* not sent yet */
	struct buf held;      /* received, the beginning of something */
	struct slice payload; /* at LINK_PAYLOAD; borrowed from the scratch until link_next */
	size_t consumed;      /* bytes of the scratch that `next` is done with */

	/* The dialects' own. */
	bool in_body; /* sse: `piece` came out of the body and is being read */
	struct slice piece;
	struct buf line;  /* sse: the beginning of a line */
	struct buf event; /* sse: the data of the event that is coming */
	bool has_event;   /* sse: there was a data line */
	struct http_response_parser http;
	struct ws_parser ws;
};

struct link_scratch {
	bool fresh;  /* something came since the last LINK_MORE */
	uint8_t *in; /* what is not parsed yet */
	size_t len;
	uint8_t bytes[LINK_SCRATCH_BYTES];
};

/* Begin to connect. The link must not move until link_close. */
bool link_open(struct link *l, const struct dialect *dialect, const struct address *address,
               int epoll, struct failure *f);

/* At once, without the lingering of TCP: thousands are closed after each run. */
void link_close(struct link *l);

/* The epoll said `events`: goes on sending, and reads once. False: it failed, or was closed. */
bool link_ready(struct link *l, uint32_t events, struct link_scratch *scratch, struct failure *f);

/* What came, one thing a call; at LINK_MORE the rest is kept. Answers are sent then. */
enum link_event link_next(struct link *l, struct link_scratch *scratch, struct failure *f);

/* The owner has dealt with `bytes` of the scratch by itself: whole messages, on an open link. */
static inline void link_skip(struct link_scratch *scratch, size_t bytes)
{
	scratch->in += bytes;
	scratch->len -= bytes;
}

/* Send what is in l->out as far as the socket takes it. */
bool link_flush(struct link *l, struct failure *f);

#endif
