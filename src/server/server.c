#include "server/server.h"

#include "broker/broker.h"
#include "front/front.h"
#include "hook/hook.h"
#include "io/disk.h"
#include "io/metrics.h"
#include "io/stream.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	SHARDS_MAX = 256,
	CAPABILITY_COUNT = 8,
	CREDITS = 4096,
	FILES_RESERVED = 512, /* descriptors that are not for connections; half are for reading */
	/* Memory from this size on is the system's again when freed. What passes through, a read of
	 * a segment or an answer in the making, is smaller, or kept by who needs it next. */
	BLOCK_BYTES = 512 << 10,
};

struct shard {
	struct server *server;
	unsigned index;
	struct metrics metrics;
	struct loop *loop;
	struct front *front;
	struct message serve;   /* home's wish to this shard, then its answer to home */
	struct message stop;    /* the same */
	struct message renew;   /* the same: of hooks that were read again */
	_Atomic int64_t handed; /* sockets on their way to it */
	pthread_t thread;
};

struct server {
	struct server_parts parts;
	struct log *log;
	uint64_t descriptors; /* that the system allows the process */
	struct loop *loops[SHARDS_MAX];
	struct metrics *metrics[SHARDS_MAX];
	struct front *fronts[SHARDS_MAX]; /* each shard's own, once more */
	struct hook_set *hook_set;
	struct hooks *hooks[SHARDS_MAX]; /* each shard's own; NULLs: there are none */
	struct shard *shards;            /* owned: shard_count of them */
	unsigned shard_count;
	unsigned fronts_waited_for;                 /* to serve, later to stop */
	bool opened;                                /* the store, or not: `fault` */
	const char *capabilities[CAPABILITY_COUNT]; /* of the engine, by name */
	char cwd[PATH_MAX];
	const char **allowed_hosts; /* owned arrays of the config's texts */
	const char **allowed_origins;
	const struct store_ops *engine;
	struct store *store; /* NULL until it has recovered */
	struct work open;
	struct fault fault;
	struct admission *admission;
	struct broker_group *brokers;
	struct listener *listener;
	struct signal_watch signals[3];
	struct work refresh;       /* SIGHUP: hooks are read again */
	unsigned renew_waited_for; /* shards */
	bool refreshing;
	bool refresh_again; /* asked for meanwhile */
	struct message stop;
	atomic_bool stopping;
};

/* An accepted socket on its way to its shard. */
struct handover {
	struct message message;
	struct shard *shard;
	int fd;
};

/* --- accepting -------------------------------------------------------------------------------- */

static void handover_deliver(struct message *m)
{
	struct handover *h = CONTAINER_OF(m, struct handover, message);

	atomic_fetch_sub_explicit(&h->shard->handed, 1, memory_order_relaxed);
	front_accept(h->shard->front, h->fd);
	free(h);
}

static int64_t shard_load(struct shard *shard)
{
	return atomic_load_explicit(&shard->metrics.values[METRIC_CONNECTIONS],
	                            memory_order_relaxed) +
	       atomic_load_explicit(&shard->handed, memory_order_relaxed);
}

/* To the shard with the fewest connections. */
static void accept_socket(void *arg, int fd, const struct sockaddr_storage *peer)
{
	struct server *s = arg;
	struct shard *least = &s->shards[0];
	struct handover *h;

	(void)peer;
	for (unsigned i = 1; i < s->shard_count; i++)
		if (shard_load(&s->shards[i]) < shard_load(least))
			least = &s->shards[i];
	if (least->index == 0) {
		front_accept(least->front, fd);
		return;
	}
	h = malloc(sizeof(*h));
	if (!h) {
		close(fd);
		return;
	}
	*h = (struct handover){.message = {.deliver = handover_deliver}, .shard = least, .fd = fd};
	atomic_fetch_add_explicit(&least->handed, 1, memory_order_relaxed);
	loop_post(least->loop, &h->message);
}

/* --- stopping --------------------------------------------------------------------------------- */

static void brokers_drained(void *arg)
{
	struct server *s = arg;

	for (unsigned i = s->shard_count; i-- > 0;)
		loop_stop(s->loops[i]);
}

static void front_is_stopped(struct message *m)
{
	struct server *s = CONTAINER_OF(m, struct shard, stop)->server;

	if (--s->fronts_waited_for > 0)
		return;
	if (s->brokers)
		broker_group_drain(s->brokers, brokers_drained, s);
	else
		brokers_drained(s);
}

static void front_stopped(void *arg)
{
	struct shard *shard = arg;

	shard->stop.deliver = front_is_stopped;
	loop_post(shard->server->loops[0], &shard->stop);
}

static void shard_stop(struct message *m)
{
	struct shard *shard = CONTAINER_OF(m, struct shard, stop);

	front_stop(shard->front, front_stopped, shard);
}

static void stop_all(struct server *s)
{
	listener_close(s->listener);
	s->listener = NULL;
	s->fronts_waited_for = s->shard_count;
	for (unsigned i = 0; i < s->shard_count; i++) {
		s->shards[i].stop.deliver = shard_stop;
		loop_post(s->loops[i], &s->shards[i].stop);
	}
}

/* A store that is being opened must be open before it can be closed: then `started` goes on. */
static void stop_on_home(struct message *m)
{
	struct server *s = CONTAINER_OF(m, struct server, stop);

	log_line(s->log, LOG_INFO, "server", "stopping: finishing what was asked for");
	if (s->opened && s->fronts_waited_for == 0)
		stop_all(s);
}

void server_stop(struct server *s)
{
	if (atomic_exchange(&s->stopping, true))
		return;
	s->stop.deliver = stop_on_home;
	loop_post(s->loops[0], &s->stop);
}

static void signal_0(struct signal_watch *w, int signum)
{
	(void)signum;
	server_stop(CONTAINER_OF(w, struct server, signals[0]));
}

static void signal_1(struct signal_watch *w, int signum)
{
	(void)signum;
	server_stop(CONTAINER_OF(w, struct server, signals[1]));
}

/* --- reading hooks again ---------------------------------------------------------------------- */

static void start_refresh(struct server *s)
{
	s->refreshing = true;
	s->refresh_again = false;
	loop_work(s->loops[0], &s->refresh);
}

static void shard_renewed(struct message *m)
{
	struct server *s = CONTAINER_OF(m, struct shard, renew)->server;

	if (--s->renew_waited_for > 0)
		return;
	s->refreshing = false;
	if (s->refresh_again)
		start_refresh(s);
}

static void shard_renew(struct message *m)
{
	struct shard *shard = CONTAINER_OF(m, struct shard, renew);
	struct server *s = shard->server;

	if (s->hooks[shard->index])
		hooks_renew(s->hooks[shard->index]);
	shard->renew.deliver = shard_renewed;
	loop_post(s->loops[0], &shard->renew);
}

static void refresh_run(struct work *w)
{
	struct server *s = CONTAINER_OF(w, struct server, refresh);

	(void)hook_set_refresh(s->hook_set, s->log);
}

static void refresh_done(struct work *w)
{
	struct server *s = CONTAINER_OF(w, struct server, refresh);

	s->renew_waited_for = s->shard_count;
	for (unsigned i = 0; i < s->shard_count; i++) {
		s->shards[i].renew.deliver = shard_renew;
		loop_post(s->loops[i], &s->shards[i].renew);
	}
}

static void signal_reload(struct signal_watch *w, int signum)
{
	struct server *s = CONTAINER_OF(w, struct server, signals[2]);

	(void)signum;
	log_line(s->log, LOG_INFO, "server",
	         "SIGHUP: scripts of hooks are read again; settings take a restart");
	if (s->refreshing)
		s->refresh_again = true;
	else
		start_refresh(s);
}

/* --- starting --------------------------------------------------------------------------------- */

static unsigned cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* Soft to hard. Returns how many descriptors there may be. */
static uint64_t raise_descriptor_limit(struct log *log)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return UINT64_MAX;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	log_line(log, LOG_INFO, "server", "at most %llu open files and connections",
	         (unsigned long long)limit.rlim_cur);
	return limit.rlim_cur;
}

/* Descriptors that are not for connections. */
static uint64_t files_reserved(const struct server *s)
{
	uint64_t quarter = s->descriptors / 4;

	return quarter < FILES_RESERVED ? quarter : FILES_RESERVED;
}

/* As configured, or fewer: connections must not take the descriptors that the store needs. */
static size_t connections_max(const struct server *s)
{
	uint64_t configured = (uint64_t)s->parts.config->limits.connections;
	uint64_t room = s->descriptors - files_reserved(s);

	if (configured <= room)
		return (size_t)configured;
	log_line(s->log, LOG_WARN, "server",
	         "at most %llu connections, not the %llu of limits.connections: this system "
	         "allows %llu open files; raise its hard limit (ulimit -Hn, LimitNOFILE=)",
	         (unsigned long long)room, (unsigned long long)configured,
	         (unsigned long long)s->descriptors);
	return (size_t)room;
}

static enum err make_loops(struct server *s, struct fault *f)
{
	int64_t wanted = s->parts.config->server.shards;

	s->shard_count = wanted ? (unsigned)wanted : cores();
	if (s->shard_count > SHARDS_MAX)
		s->shard_count = SHARDS_MAX;
	s->shards = calloc(s->shard_count, sizeof(*s->shards));
	CHECK(s->shards);
	for (unsigned i = 0; i < s->shard_count; i++) {
		struct shard *shard = &s->shards[i];
		struct loop_config config = {.index = i,
		                             .clock = clock_system(),
		                             .entropy = entropy_system(),
		                             .log = s->log,
		                             .metrics = &shard->metrics};

		shard->server = s;
		shard->index = i;
		shard->loop = loop_new(&config, f);
		if (!shard->loop)
			return f->code;
		s->loops[i] = shard->loop;
		s->metrics[i] = &shard->metrics;
	}
	return OK;
}

static void open_store(struct work *w)
{
	struct server *s = CONTAINER_OF(w, struct server, open);
	const struct config *c = s->parts.config;
	struct store_config config = {
		.path = c->storage.path,
		.disk = s->parts.disk,
		.clock = clock_system(),
		.entropy = entropy_system(),
		.log = s->log,
		.loops = s->loops,
		.shard_count = s->shard_count,
		.flush_ms = c->storage.flush_ms,
		.checkpoint_bytes = c->storage.snapshot_bytes,
		.checkpoint_ms = c->storage.snapshot_ms,
		.files_max = (unsigned)files_reserved(s) / 2,
		.memory_bytes = c->storage.memory_bytes,
		.rocksdb = {c->storage.rocksdb.block_cache_bytes,
	                    c->storage.rocksdb.write_buffer_bytes, c->storage.rocksdb.compression,
	                    c->storage.rocksdb.blob_files, c->storage.rocksdb.blob_bytes_min}};

	if (s->engine->open(&config, &s->store, &s->fault) == OK)
		s->fault.code = OK;
}

/* Every front serves. */
static void started(struct server *s)
{
	if (atomic_load(&s->stopping))
		stop_all(s);
	else if (s->parts.ready)
		s->parts.ready(s->parts.ready_arg, s);
}

static void front_serves(struct message *m)
{
	struct server *s = CONTAINER_OF(m, struct shard, serve)->server;

	if (--s->fronts_waited_for == 0)
		started(s);
}

static void shard_serve(struct message *m)
{
	struct shard *shard = CONTAINER_OF(m, struct shard, serve);
	struct server *s = shard->server;

	front_serve(shard->front, broker_of(s->brokers, shard->index));
	shard->serve.deliver = front_serves;
	loop_post(s->loops[0], &shard->serve);
}

static void serve_all(struct server *s)
{
	const struct config *c = s->parts.config;
	struct broker_config config = {.store = s->store,
	                               .loops = s->loops,
	                               .shard_count = s->shard_count,
	                               .default_partitions =
	                                       (uint32_t)c->broker.default_topic_partitions,
	                               .auto_create = c->broker.auto_create_topics,
	                               .default_durability = (enum durability)c->storage.durability,
	                               .credits = CREDITS,
	                               .hooks = s->hooks};

	s->brokers = broker_group_new(&config);
	s->fronts_waited_for = s->shard_count;
	for (unsigned i = 0; i < s->shard_count; i++) {
		s->shards[i].serve.deliver = shard_serve;
		loop_post(s->loops[i], &s->shards[i].serve);
	}
}

static void store_opened(struct work *w)
{
	struct server *s = CONTAINER_OF(w, struct server, open);

	s->opened = true;
	if (s->fault.code == OK) {
		serve_all(s);
	} else {
		atomic_store(&s->stopping, true);
		stop_all(s);
	}
}

static const char **list_array(const struct config_list *list)
{
	const char **array = calloc(list->count + 1, sizeof(*array));
	const char *text = NULL;

	CHECK(array);
	for (size_t i = 0; (text = config_list_next(list, text)); i++)
		array[i] = text;
	return array;
}

static struct front_limits limits_of(const struct config *c)
{
	struct front_limits limits = front_limits_default();

	limits.body_bytes = (size_t)c->limits.body_bytes;
	limits.output_bytes = (size_t)c->limits.output_bytes;
	limits.header_ms = c->limits.header_ms;
	limits.idle_ms = c->limits.idle_ms;
	limits.body_window_bytes =
		(size_t)(c->limits.body_bytes_per_s * limits.body_window_ms / 1000);
	limits.ping_after_ms = c->limits.ping_ms;
	limits.pong_ms = c->limits.pong_ms;
	limits.stall_ms = c->limits.stalled_ms;
	return limits;
}

static const struct capability_name {
	unsigned bit;
	const char *name;
} capability_names[CAPABILITY_COUNT] = {
	{STORE_REMOTE, "remote"},
	{STORE_FOREIGN_WRITERS, "foreign_writers"},
	{STORE_EXPECTED_OFFSET, "expected_offset"},
	{STORE_RETENTION, "retention"},
	{STORE_CHECKPOINT, "snapshot"},
	{STORE_CLASSES, "durability_classes"},
	{STORE_BACKUP, "backup"},
	{STORE_COMPACTION, "compaction"},
};

static enum err make_hooks(struct server *s, struct fault *f)
{
	const struct config *c = s->parts.config;
	enum err err = hook_set_load(c->hooks.specs, c->hooks.count, &s->hook_set, f);

	for (unsigned i = 0; i < s->shard_count && !err; i++)
		err = hooks_new(s->hook_set, s->loops[i], i, s->shard_count, &s->hooks[i], f);
	return err;
}

static enum err make_fronts(struct server *s, struct fault *f)
{
	const struct config *c = s->parts.config;
	struct front_config config = {.limits = limits_of(c),
	                              .version = s->parts.version,
	                              .host = c->server.host,
	                              .metrics = s->metrics,
	                              .hooks = s->hooks,
	                              .fronts = s->fronts,
	                              .shard_count = s->shard_count,
	                              .cwd = s->cwd,
	                              .engine = s->engine->name,
	                              .capabilities = s->capabilities};

	if (!getcwd(s->cwd, sizeof(s->cwd)))
		snprintf(s->cwd, sizeof(s->cwd), ".");
	for (size_t i = 0; i < ARRAY_COUNT(capability_names); i++)
		if (s->engine->capabilities & capability_names[i].bit)
			s->capabilities[config.capability_count++] = capability_names[i].name;
	s->admission = admission_new(connections_max(s), (size_t)c->limits.connections_per_address);
	config.admission = s->admission;
	s->allowed_hosts = list_array(&c->server.allowed_hosts);
	config.allowed_hosts = s->allowed_hosts;
	config.allowed_host_count = c->server.allowed_hosts.count;
	s->allowed_origins = list_array(&c->server.allowed_origins);
	config.allowed_origins = s->allowed_origins;
	config.allowed_origin_count = c->server.allowed_origins.count;
	for (unsigned i = 0; i < s->shard_count; i++) {
		s->shards[i].front = front_new(s->loops[i], &config);
		if (!s->shards[i].front)
			return fault_set(f, ERR_NO_MEMORY, 0, "front of shard %u", i);
		s->fronts[i] = s->shards[i].front;
	}
	return OK;
}

static enum err compose(struct server *s, struct fault *f)
{
	const struct config *c = s->parts.config;
	enum err err = store_registry_choose(s->parts.engines, c->storage.type, &s->engine, f);

	if (err)
		return err;
	err = make_loops(s, f);
	if (err)
		return err;
	err = make_hooks(s, f);
	if (err)
		return err;
	err = make_fronts(s, f);
	if (err)
		return err;
	s->listener = listener_open(s->loops[0], c->server.host, (uint16_t)c->server.port,
	                            accept_socket, s, f);
	if (!s->listener)
		return f->code;
	s->signals[0].came = signal_0;
	s->signals[1].came = signal_1;
	s->signals[2].came = signal_reload;
	s->refresh.run = refresh_run;
	s->refresh.done = refresh_done;
	if (s->parts.catch_signals &&
	    (loop_on_signal(s->loops[0], SIGTERM, &s->signals[0], f) != OK ||
	     loop_on_signal(s->loops[0], SIGINT, &s->signals[1], f) != OK ||
	     loop_on_signal(s->loops[0], SIGHUP, &s->signals[2], f) != OK))
		return f->code;
	return OK;
}

/* Left alone, glibc raises that size to the largest block that was ever freed, 32 MiB at most:
 * chunks and bodies then come out of its heaps, and stay there. 560 MiB was seen of a budget of
 * 64. */
static void give_memory_back(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, 2 * BLOCK_BYTES);
}

enum err server_new(const struct server_parts *parts, struct server **out, struct fault *f)
{
	struct server *s = calloc(1, sizeof(*s));
	enum err err;

	CHECK(s);
	give_memory_back();
	s->parts = *parts;
	s->log = log_new(STDERR_FILENO, (enum log_level)parts->config->log.level,
	                 parts->config->log.format == 1, clock_system());
	s->descriptors = raise_descriptor_limit(s->log);
	err = compose(s, f);
	if (err) {
		server_free(s);
		return err;
	}
	*out = s;
	return OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static void *shard_main(void *arg)
{
	struct shard *shard = arg;

	loop_run(shard->loop);
	return NULL;
}

enum err server_run(struct server *s, struct fault *f)
{
	s->open.run = open_store;
	s->open.done = store_opened;
	loop_work(s->loops[0], &s->open);
	for (unsigned i = 1; i < s->shard_count; i++)
		CHECK(pthread_create(&s->shards[i].thread, NULL, shard_main, &s->shards[i]) == 0);
	loop_run(s->loops[0]);
	for (unsigned i = 1; i < s->shard_count; i++)
		pthread_join(s->shards[i].thread, NULL);
	*f = s->fault;
	return s->fault.code;
}

void server_free(struct server *s)
{
	if (s->listener)
		listener_close(s->listener);
	for (unsigned i = 0; i < s->shard_count; i++)
		if (s->shards[i].front)
			front_free(s->shards[i].front);
	if (s->admission)
		admission_free(s->admission);
	if (s->brokers)
		broker_group_free(s->brokers);
	if (s->store)
		s->store->ops->close(s->store);
	for (unsigned i = 0; i < s->shard_count; i++)
		hooks_free(s->hooks[i]);
	for (unsigned i = 0; i < s->shard_count; i++)
		if (s->loops[i])
			loop_free(s->loops[i]);
	if (s->hook_set)
		hook_set_free(s->hook_set); /* a refresh under way has ended with its loop */
	log_free(s->log);
	free(s->shards);
	free(s->allowed_hosts);
	free(s->allowed_origins);
	free(s);
}

uint16_t server_port(const struct server *s)
{
	return listener_port(s->listener);
}

unsigned server_shard_count(const struct server *s)
{
	return s->shard_count;
}
