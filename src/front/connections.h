/* connections: what /v1/connections asks: who is connected, over all shards, and one of them
 * closed.
 *
 * A request visits one front after the other, as a message, and comes home. The whole of it belongs
 * to the shard that it is on. */
#ifndef BOURN_FRONT_CONNECTIONS_H
#define BOURN_FRONT_CONNECTIONS_H

#include "front/shard.h"

/* "<shard>-<number>": unique as long as the process lives. */
struct connection_id {
	unsigned shard;
	uint64_t number;
};

/* False when it can be the id of no connection. */
bool connection_id_parse(struct slice text, struct connection_id *out);

enum connections_kind {
	CONNECTIONS_LIST, /* in: limit. out: json, total */
	CONNECTIONS_SHOW, /* in: id. out: json, found */
	CONNECTIONS_KICK, /* in: id. out: found */
};

struct connections_request {
	/* in */
	struct front *home;
	enum connections_kind kind;
	size_t limit; /* rows; those beyond are only counted, as are those beyond 8 MiB of text */
	struct connection_id id;
	void (*done)(struct connections_request *r); /* at home, later, once */

	/* out */
	struct buf json; /* objects with commas between; the caller's to free */
	size_t total;    /* connections there are */
	bool found;

	/* its own */
	size_t rows;
	unsigned at; /* the shard that it is on */
	struct message message;
};

/* Zeroed but for what goes in. */
void connections_ask(struct connections_request *r);

/* For protocol->describe: one element of `subscriptions`. `lag`: events up to the high watermark.
 * partition < 0: the topic is not there yet. */
void connections_append_subscription(struct buf *json, struct slice topic, int64_t partition,
                                     int64_t next_offset, int64_t lag);

#endif
