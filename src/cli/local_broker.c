#include "cli/local_broker.h"

#include "base/check.h"
#include "server/server.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS_MAX = 64 };

struct local_broker {
	struct config config;
	struct server_parts parts;
	struct server *server;
	pthread_t thread;
	sem_t ready;        /* posted when it serves, or has ended */
	struct fault fault; /* of the server */
	char url[64];
};

static void server_ready(void *arg, struct server *s)
{
	(void)s;
	sem_post(&((struct local_broker *)arg)->ready);
}

static void *serve(void *arg)
{
	struct local_broker *b = arg;

	if (server_run(b->server, &b->fault) != OK)
		sem_post(&b->ready);
	return NULL;
}

static enum err configure(struct local_broker *b, const char *dir, const char *engine,
                          struct fault *f)
{
	enum err err;

	config_init(&b->config);
	b->config.server.port = 0;
	b->config.log.level = LOG_WARN;
	/* Or there is a warning, where the system allows fewer than by default. */
	b->config.limits.connections = CONNECTIONS_MAX;
	err = config_set(&b->config, "storage.path", dir, f);
	if (!err && engine)
		err = config_set(&b->config, "storage.type", engine, f);
	return err;
}

static void local_broker_free(struct local_broker *b)
{
	if (b->server)
		server_free(b->server);
	config_fini(&b->config);
	sem_destroy(&b->ready);
	free(b);
}

/* Serves, or ended with b->fault. */
static void run(struct local_broker *b)
{
	CHECK(pthread_create(&b->thread, NULL, serve, b) == 0);
	while (sem_wait(&b->ready) != 0)
		continue; /* interrupted */
	if (b->fault.code)
		pthread_join(b->thread, NULL);
	else
		snprintf(b->url, sizeof(b->url), "http://localhost:%u", server_port(b->server));
}

enum err local_broker_start(const struct cli_parts *parts, const char *dir, const char *engine,
                            struct local_broker **out, struct fault *f)
{
	struct local_broker *b = calloc(1, sizeof(*b));
	enum err err;

	CHECK(b);
	sem_init(&b->ready, 0, 0);
	b->parts = (struct server_parts){
		.config = &b->config,
		.version = parts->version,
		.engines = parts->engines,
		.disk = parts->disk,
		.ready = server_ready,
		.ready_arg = b,
	};
	err = configure(b, dir, engine, f);
	if (!err)
		err = server_new(&b->parts, &b->server, f);
	if (!err) {
		run(b);
		err = b->fault.code;
		if (err)
			*f = b->fault;
	}
	if (err) {
		local_broker_free(b);
		return err;
	}
	*out = b;
	return OK;
}

const char *local_broker_url(const struct local_broker *b)
{
	return b->url;
}

void local_broker_stop(struct local_broker *b)
{
	if (!b)
		return;
	server_stop(b->server);
	pthread_join(b->thread, NULL);
	local_broker_free(b);
}
