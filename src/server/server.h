/* server: the composition root, the only place that knows every part: it opens the store, makes a
 * loop, a broker and a front per shard, listens, and takes it all down again in order.
 *
 *   start: descriptors → loops → store (recovers) → brokers → fronts → listener
 *   stop:  listener → fronts (finish what was asked) → brokers (drained) → loops → store (clean) */
#ifndef BOURN_SERVER_SERVER_H
#define BOURN_SERVER_SERVER_H

#include "base/err.h"
#include "server/config.h"
#include "store/store.h"

struct server;

struct server_parts {
	const struct config *config; /* borrowed until server_free, as is all here */
	const char *version;
	const struct store_registry *engines;
	struct disk *disk;
	bool catch_signals; /* SIGTERM and SIGINT stop it */
};

/* Blocks until the store has recovered and the port is bound; nothing is served before server_run.
 * Errors: ERR_CONFIG (no such engine, a name that does not resolve), the store's, ERR_IO. */
enum err server_new(const struct server_parts *parts, struct server **out,
                    struct fault *f) MUST_CHECK;

/* Serves until stopped; the calling thread is shard 0's, the others get their own. */
void server_run(struct server *s);

/* Any thread: server_run returns when everything asked for is answered. Once. */
void server_stop(struct server *s);

/* After server_run (or instead of it): closes the store, frees all. */
void server_free(struct server *s);

uint16_t server_port(const struct server *s);
unsigned server_shard_count(const struct server *s);

#endif
