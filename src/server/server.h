/* server: the composition root, the only place that knows every part: it makes a loop and a front
 * per shard, listens, opens the store, gives each front its broker, and takes it all down again in
 * order.
 *
 *   start: loops → fronts → listener (answers /livez; /readyz is 503) → store (recovers, on a
 *          worker) → brokers → the fronts serve
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
	bool catch_signals;                         /* SIGTERM and SIGINT stop it, SIGHUP reloads */
	void (*ready)(void *arg, struct server *s); /* on shard 0's thread, once: all is served */
	void *ready_arg;
};

/* The port is bound when this returns; nothing is answered before server_run.
 * Errors: ERR_CONFIG (no such engine), ERR_LISTEN, ERR_INTERNAL (no descriptors). */
enum err server_new(const struct server_parts *parts, struct server **out,
                    struct fault *f) MUST_CHECK;

/* Opens the store, then serves until stopped; the calling thread is shard 0's, the others get their
 * own. Once. Errors: the store's, when it could not be opened. */
enum err server_run(struct server *s, struct fault *f) MUST_CHECK;

/* Any thread: server_run returns when everything asked for is answered. Once. */
void server_stop(struct server *s);

/* After server_run (or instead of it): closes the store, frees all. */
void server_free(struct server *s);

uint16_t server_port(const struct server *s);
unsigned server_shard_count(const struct server *s);

#endif
