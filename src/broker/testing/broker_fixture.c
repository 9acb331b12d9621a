#include "broker/testing/broker_fixture.h"

#include "broker/shard.h"

#include <stdio.h>

enum { PATIENCE_MS = 20000 };

/* --- threads ---------------------------------------------------------------------------------- */

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void plain_open(struct fixture *f)
{
	for (unsigned i = 0; i < f->shard_count; i++) {
		struct loop_config loop = {
			.index = i,
			.clock = clock_system(),
			.entropy = entropy_system(),
			.metrics = &f->metrics[i],
		};

		f->loops[i] = loop_new(&loop, NULL);
		CHECK(f->loops[i]);
	}
	f->store = plain_store_new(f->loops, f->shard_count);
}

static void plain_close(struct fixture *f)
{
	plain_store_free(f->store);
	for (unsigned i = 0; i < f->shard_count; i++)
		loop_free(f->loops[i]);
}

static void take_rig(struct fixture *f)
{
	f->store = f->rig.store;
	for (unsigned i = 0; i < f->shard_count; i++)
		f->loops[i] = f->rig.loops[i];
}

static void group_start(struct fixture *f, const struct fixture_options *options)
{
	struct broker_config config = {
		.store = f->store,
		.loops = f->loops,
		.shard_count = f->shard_count,
		.default_partitions = options->partitions ? options->partitions : 1,
		.credits = options->credits ? options->credits : 64,
		.auto_create = !options->no_auto_create,
		.default_durability = DURABILITY_COMMIT,
	};

	f->group = broker_group_new(&config);
	for (unsigned i = 1; i < f->shard_count; i++)
		CHECK(pthread_create(&f->threads[i], NULL, run_loop, f->loops[i]) == 0);
}

static void group_stop(struct fixture *f)
{
	fixture_drain(f);
	for (unsigned i = 1; i < f->shard_count; i++) {
		loop_stop(f->loops[i]);
		CHECK(pthread_join(f->threads[i], NULL) == 0);
	}
	broker_group_free(f->group);
}

void fixture_start(struct fixture *f, const struct fixture_options *options)
{
	memset(f, 0, sizeof(*f));
	f->shard_count = options->shards ? options->shards : 1;
	f->is_plain = options->engine == NULL;
	f->caller = (struct caller){.principal = SLICE_LIT("anonymous"), .front = FRONT_INTERNAL};
	if (f->is_plain) {
		plain_open(f);
	} else {
		rig_open(&f->rig, options->engine, f->shard_count, false, 0);
		take_rig(f);
	}
	group_start(f, options);
}

void fixture_restart(struct fixture *f, const struct fixture_options *options)
{
	CHECK(!f->is_plain);
	group_stop(f);
	rig_reopen(&f->rig);
	take_rig(f);
	group_start(f, options);
}

void fixture_stop(struct fixture *f)
{
	group_stop(f);
	if (f->is_plain)
		plain_close(f);
	else
		rig_close(&f->rig);
}

static void drained(void *arg)
{
	bool *flag = arg;

	*flag = true;
}

void fixture_drain(struct fixture *f)
{
	bool is_drained = false;

	broker_group_drain(f->group, drained, &is_drained);
	CHECK(loop_run_until(f->loops[0], &is_drained, PATIENCE_MS));
}

static void signal_arrived(struct message *m)
{
	CONTAINER_OF(m, struct signal, message)->is_raised = true;
}

void signal_raise(struct fixture *f, struct signal *s)
{
	s->message.deliver = signal_arrived;
	loop_post(f->loops[0], &s->message);
}

void signal_wait(struct fixture *f, struct signal *s)
{
	CHECK(loop_run_until(f->loops[0], &s->is_raised, PATIENCE_MS));
	s->is_raised = false;
}

struct call {
	struct message message;
	struct fixture *fixture;
	unsigned shard;
	void (*what)(struct broker *b, void *arg);
	void *arg;
	struct signal returned;
};

static void call_run(struct message *m)
{
	struct call *c = CONTAINER_OF(m, struct call, message);

	c->what(broker_of(c->fixture->group, c->shard), c->arg);
	signal_raise(c->fixture, &c->returned);
}

void fixture_on(struct fixture *f, unsigned shard, void (*what)(struct broker *b, void *arg),
                void *arg)
{
	struct call c = {.message.deliver = call_run,
	                 .fixture = f,
	                 .shard = shard,
	                 .what = what,
	                 .arg = arg};

	loop_post(f->loops[shard], &c.message);
	signal_wait(f, &c.returned);
}

int64_t fixture_metric(struct fixture *f, enum metric m)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < f->shard_count; i++)
		sum += atomic_load(&loop_metrics(f->loops[i])->values[m]);
	return sum;
}

/* --- produce ---------------------------------------------------------------------------------- */

static void produced_done(struct produce *p)
{
	struct produced *of = CONTAINER_OF(p, struct produced, produce);

	signal_raise(of->fixture, &of->done);
}

void produced_init(struct produced *p, struct fixture *f, unsigned shard, const char *topic,
                   const char *value)
{
	*p = (struct produced){.fixture = f, .shard = shard, .count = 1};
	snprintf(p->topic, sizeof(p->topic), "%s", topic);
	p->events[0].value = value;
	p->produce.broker = broker_of(f->group, shard);
	p->produce.caller = &f->caller;
	p->produce.partition = -1;
	p->produce.expected_offset = -1;
	p->produce.done = produced_done;
}

/* The records and the name end with the call, as they do in a front. */
void produced_start_here(struct produced *p)
{
	struct record records[PRODUCED_EVENTS_MAX];
	char name[256];

	snprintf(name, sizeof(name), "%s", p->topic);
	for (uint32_t i = 0; i < p->count; i++) {
		records[i] = (struct record){.timestamp = 1000 + i};
		records[i].value = slice_str(p->events[i].value);
		if (p->events[i].key)
			records[i].key = slice_str(p->events[i].key);
	}
	p->produce.topic = slice_str(name);
	broker_produce(&p->produce, records, p->count);
	memset(name, 'x', sizeof(name));
	memset(records, 0xee, sizeof(records));
}

static void produced_arrived(struct message *m)
{
	produced_start_here(CONTAINER_OF(m, struct produced, start));
}

void produced_start(struct produced *p)
{
	p->start.deliver = produced_arrived;
	loop_post(p->fixture->loops[p->shard], &p->start);
}

enum err produced_wait(struct produced *p)
{
	signal_wait(p->fixture, &p->done);
	return p->produce.fault.code;
}

int64_t produce_one(struct fixture *f, unsigned shard, const char *topic, const char *value)
{
	struct produced p;

	produced_init(&p, f, shard, topic, value);
	produced_start(&p);
	CHECK(produced_wait(&p) == OK);
	broker_produce_fini(&p.produce);
	return p.produce.one.offset;
}

/* --- admin ------------------------------------------------------------------------------------ */

static void administered_done(struct admin *a)
{
	struct administered *of = CONTAINER_OF(a, struct administered, admin);

	signal_raise(of->fixture, &of->done);
}

void administered_init(struct administered *a, struct fixture *f, unsigned shard,
                       enum admin_kind kind, const char *name)
{
	*a = (struct administered){.fixture = f, .shard = shard};
	a->admin.broker = broker_of(f->group, shard);
	a->admin.caller = &f->caller;
	a->admin.kind = kind;
	a->admin.name = name ? slice_str(name) : SLICE_NONE;
	a->admin.settings = broker_default_settings(a->admin.broker);
	a->admin.partition = -1;
	a->admin.upto = -1;
	a->admin.done = administered_done;
}

static void administered_arrived(struct message *m)
{
	broker_admin(&CONTAINER_OF(m, struct administered, start)->admin);
}

void administered_start(struct administered *a)
{
	a->start.deliver = administered_arrived;
	loop_post(a->fixture->loops[a->shard], &a->start);
}

enum err administered_wait(struct administered *a)
{
	signal_wait(a->fixture, &a->done);
	return a->admin.fault.code;
}

enum err administer(struct fixture *f, unsigned shard, enum admin_kind kind, const char *name)
{
	struct administered a;
	enum err err;

	administered_init(&a, f, shard, kind, name);
	administered_start(&a);
	err = administered_wait(&a);
	broker_admin_fini(&a.admin);
	return err;
}

void create_topic(struct fixture *f, const char *name, uint32_t partitions)
{
	struct administered a;

	administered_init(&a, f, 0, ADMIN_TOPIC_CREATE, name);
	a.admin.partition_count = partitions;
	administered_start(&a);
	CHECK(administered_wait(&a) == OK);
	CHECK(a.admin.created);
	broker_admin_fini(&a.admin);
}

struct store_partition *partition_of(struct fixture *f, const char *topic, uint32_t partition)
{
	struct topic *t = topics_find(&broker_of(f->group, 0)->topics, slice_str(topic));

	CHECK(t);
	CHECK(partition < t->facts->spec.partition_count);
	return t->facts->stored->partitions[partition];
}

/* --- reading ---------------------------------------------------------------------------------- */

static void note_event(struct ear_notes *n, const struct delivery *d)
{
	size_t used = strlen(n->text);

	snprintf(n->text + used, sizeof(n->text) - used, "%u@%lld=%.*s ", d->partition,
	         (long long)d->record.offset, SLICE_FMT(d->record.value));
	n->events++;
	n->caught_up = false;
}

static void note_place(struct ear *l)
{
	struct ear_notes *n = &l->notes;
	struct buf cursor = BUF_INIT(sizeof(n->cursor) - 1);
	const struct reader_bounds *bounds = reader_bounds(l->reader, &n->bounds_count);

	for (uint32_t i = 0; i < n->bounds_count && i < ARRAY_COUNT(n->bounds); i++)
		n->bounds[i] = bounds[i];
	n->cursor[0] = '\0';
	if (reader_cursor(l->reader, &cursor) == OK)
		snprintf(n->cursor, sizeof(n->cursor), "%.*s", (int)cursor.len,
		         (const char *)cursor.ptr);
	buf_fini(&cursor);
}

static void check_wanted(struct ear *l)
{
	const struct ear_notes *n = &l->notes;

	if ((!l->want_events || n->events < l->want_events) &&
	    !(l->want_caught_up && n->caught_up) && !(l->want_failed && n->failed))
		return;
	l->want_events = 0;
	l->want_caught_up = false;
	l->want_failed = false;
	signal_raise(l->fixture, &l->news);
}

static void take_all(struct ear *l)
{
	struct delivery d;
	enum reader_take took;

	while ((took = reader_take(l->reader, &d)) == READER_EVENT || took == READER_GREW) {
		if (took == READER_GREW)
			l->notes.grew++;
		else
			note_event(&l->notes, &d);
	}
	if (took == READER_CAUGHT_UP)
		l->notes.caught_up = true;
	if (took == READER_FAILED) {
		l->notes.fault = *reader_fault(l->reader);
		l->notes.failed = l->notes.fault.code;
	}
	note_place(l);
	check_wanted(l);
}

static void ear_woken(void *owner)
{
	struct ear *l = owner;

	l->wakes++;
	if (!l->stopped)
		take_all(l);
}

void ear_init(struct ear *l, struct fixture *f, unsigned shard, const char *topic)
{
	memset(l, 0, sizeof(*l));
	l->fixture = f;
	l->shard = shard;
	l->options.caller = &f->caller;
	l->options.operation = OPERATION_SUBSCRIBE;
	l->options.topic = slice_str(topic);
	l->options.partition = -1;
	l->options.follow = true;
}

static void open_here(struct broker *b, void *arg)
{
	struct ear *l = arg;

	l->reader = reader_open(b, &l->options, ear_woken, l);
	CHECK(l->reader);
}

void ear_open(struct ear *l)
{
	fixture_on(l->fixture, l->shard, open_here, l);
}

struct wish {
	struct ear *ear;
	uint32_t events;
	bool caught_up;
	bool failed;
	struct ear_notes *notes;
};

static void wish_here(struct broker *b, void *arg)
{
	struct wish *w = arg;
	struct ear *l = w->ear;

	(void)b;
	l->want_events = w->events;
	l->want_caught_up = w->caught_up;
	l->want_failed = w->failed;
	check_wanted(l);
}

static void copy_notes(struct broker *b, void *arg)
{
	struct wish *w = arg;

	(void)b;
	*w->notes = w->ear->notes;
}

static void await(struct wish *w)
{
	struct ear *l = w->ear;

	fixture_on(l->fixture, l->shard, wish_here, w);
	signal_wait(l->fixture, &l->news);
	fixture_on(l->fixture, l->shard, copy_notes, w);
}

void ear_await_events(struct ear *l, uint32_t count, struct ear_notes *notes)
{
	await(&(struct wish){.ear = l, .events = count, .notes = notes});
}

void ear_await_caught_up(struct ear *l, struct ear_notes *notes)
{
	await(&(struct wish){.ear = l, .caught_up = true, .notes = notes});
}

void ear_await_failed(struct ear *l, struct ear_notes *notes)
{
	await(&(struct wish){.ear = l, .failed = true, .notes = notes});
}

static void close_here(struct broker *b, void *arg)
{
	struct ear *l = arg;

	(void)b;
	reader_close(l->reader);
	l->reader = NULL;
}

void ear_close(struct ear *l)
{
	fixture_on(l->fixture, l->shard, close_here, l);
}
