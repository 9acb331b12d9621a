#include "cli/moving/load_target.h"

#include "base/check.h"
#include "cli/moving/dump_source.h"
#include "cli/moving/load_append.h"
#include "cli/moving/load_notes.h"
#include "cli/remote.h"
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	BATCH_BYTES = 1 << 20,   /* of one request, or one larger event */
	BATCH_OFFSETS = 1 << 30, /* of one request, most of them a gap */
	PATH_BYTES_MAX = 2048,
};

struct load_partition {
	int64_t start;  /* the log end when this run began */
	int64_t stored; /* the log end now: all below is stored */
	int64_t next;   /* … and what is added goes here */
	int64_t skip;   /* without kept offsets: so many events are there already */
	int64_t last; /* with them: offset of the last event there is; -1: none, or it was found to
	                   be the dump's */
};

struct load_target {
	const struct load_options *o;
	const struct dump_topic *dump;
	const char *name;
	struct dump_topic *now; /* owned: as the broker had it when this run began */
	size_t batch_bytes_max;
	int64_t event_count;

	uint32_t partition; /* of the batch being built */
	struct batch_builder builder;
	struct buf batch; /* owned; empty: there is none */
	struct load_append append;
	struct buf body;                    /* owned: of small requests */
	struct load_partition partitions[]; /* of the dump's topic */
};

#define REFUSE(t, f, format, ...)                                                                  \
	fault_set((f), ERR_INPUT, 0, "topic '%.60s': " format, (t)->name, ##__VA_ARGS__)

/* --- asking ----------------------------------------------------------------------------------- */

/* A request that may be carried out twice. */
static enum err call(struct load_target *t, const char *method, const char *suffix, struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX);
	struct client_request request = {
		.method = method,
		.fields = SLICE_LIT("Content-Type: application/json\r\n"),
		.body = t->body.len ? buf_slice(&t->body) : SLICE_NONE,
	};
	enum err err;

	remote_path(&path, "v1/topics", t->name);
	buf_append_str(&path, suffix);
	request.path = buf_slice(&path);
	do {
		err = remote_call(t->o->client, &request, &t->append.response, f);
	} while (load_try_again(&t->append, err));
	if (!err)
		retry_answered(t->o->retry);
	buf_fini(&path);
	return err;
}

static enum err describe(struct load_target *t, struct fault *f)
{
	enum err err;

	do {
		err = dump_source_describe(t->o->client, t->name, t->now, f);
	} while (load_try_again(&t->append, err));
	if (!err)
		retry_answered(t->o->retry);
	return err;
}

/* --- batches ---------------------------------------------------------------------------------- */

static uint32_t offsets_in(const struct load_target *t)
{
	return t->batch.len ? t->builder.count + t->builder.skipped : 0;
}

static enum err flush(struct load_target *t, struct fault *f)
{
	struct load_partition *p = &t->partitions[t->partition];
	uint32_t offsets = offsets_in(t);
	struct slice batch;
	enum err err;

	if (offsets == 0)
		return OK;
	batch = batch_finish(&t->builder);
	if (!batch.ptr)
		return fault_set(f, ERR_NO_MEMORY, 0, "a batch");
	err = load_append(&t->append, t->partition, batch, &p->stored, f);
	if (err)
		return err;
	p->stored += offsets;
	p->next = p->stored;
	t->event_count += t->builder.count;
	buf_clear(&t->batch);
	return OK;
}

/* So that `offsets` and `bytes` more fit, in a batch of that partition. */
static enum err make_room(struct load_target *t, uint32_t partition, uint32_t offsets, size_t bytes,
                          struct fault *f)
{
	bool fits = t->partition == partition && offsets_in(t) + offsets <= BATCH_OFFSETS &&
	            t->batch.len + bytes <= t->batch_bytes_max;
	enum err err = fits ? OK : flush(t, f);

	if (err || t->batch.len > 0)
		return err;
	t->partition = partition;
	batch_begin(&t->builder, &t->batch);
	return OK;
}

/* A gap up to `offset`; `time_ms`: of the event next to it. */
static enum err skip_to(struct load_target *t, uint32_t partition, int64_t offset, int64_t time_ms,
                        struct fault *f)
{
	struct load_partition *p = &t->partitions[partition];

	while (p->next < offset) {
		int64_t left = offset - p->next;
		uint32_t count = left < BATCH_OFFSETS ? (uint32_t)left : BATCH_OFFSETS;
		enum err err = make_room(t, partition, count, 0, f);

		if (err)
			return err;
		if (t->builder.count == 0)
			t->builder.base_timestamp = t->builder.max_timestamp = time_ms;
		batch_skip(&t->builder, count);
		p->next += count;
	}
	return OK;
}

/* --- what is there already -------------------------------------------------------------------- */

static bool same_slice(struct slice a, struct slice b)
{
	return !a.ptr == !b.ptr && slice_eq(a, b);
}

static bool same_event(const struct load_target *t, const struct record *a, const struct record *b)
{
	return same_slice(a->key, b->key) && same_slice(a->value, b->value) &&
	       a->header_count == b->header_count && slice_eq(a->headers, b->headers) &&
	       (!t->o->keep_timestamps || a->timestamp == b->timestamp);
}

/* The last event in t->append.there. */
static bool last_event(const struct load_target *t, struct record *out)
{
	struct slice rest = buf_slice(&t->append.there);
	struct batch_iter it;
	struct batch b;
	struct record r;
	bool corrupt, any = false;

	for (; rest.len > 0; rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		CHECK(batch_parse(rest, &b, NULL) == OK);
		batch_iter_init(&it, &b);
		for (; batch_iter_next(&it, &r, &corrupt); any = true)
			*out = r;
	}
	return any;
}

/* `r` ought to be the last event there is. */
static enum err compare(struct load_target *t, uint32_t partition, const struct record *r,
                        struct fault *f)
{
	struct load_partition *p = &t->partitions[partition];
	struct record last;
	int64_t next;
	enum err err = load_look_at(&t->append, partition, p->start - 1, &next, f);

	p->last = -1;
	if (err == ERR_TRIMMED) /* retention was there */
		return OK;
	if (err || !last_event(t, &last) || same_event(t, &last, r))
		return err;
	return REFUSE(t, f,
	              "event %lld of partition %u is not the dump's: it was not loaded from it, or "
	              "others wrote there; load into another topic (--as)",
	              (long long)last.offset, partition);
}

static enum err pass_over(struct load_target *t, uint32_t partition, const struct record *r,
                          struct fault *f)
{
	struct load_partition *p = &t->partitions[partition];
	bool is_last = t->o->keep_offsets ? r->offset == p->last : p->skip == 1;

	if (!t->o->keep_offsets)
		p->skip--;
	return is_last ? compare(t, partition, r, f) : OK;
}

/* The last event there is did not come. */
static enum err check_compared(struct load_target *t, uint32_t partition, struct fault *f)
{
	int64_t last = t->partitions[partition].last;

	if (last < 0)
		return OK;
	return REFUSE(
		t, f,
		"event %lld of partition %u is not in the dump; load into another topic (--as)",
		(long long)last, partition);
}

static enum err find_last(struct load_target *t, uint32_t partition, struct fault *f)
{
	struct load_partition *p = &t->partitions[partition];
	struct record last;
	int64_t next;
	enum err err;

	if (t->now->spans[partition].earliest == p->start)
		return OK;
	err = load_look_at(&t->append, partition, p->start - 1, &next, f);
	if (err == ERR_TRIMMED)
		return OK;
	if (!err && last_event(t, &last))
		p->last = last.offset;
	return err;
}

/* --- events ----------------------------------------------------------------------------------- */

static int64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum err load_target_add(struct load_target *t, uint32_t partition, const struct record *r,
                         struct fault *f)
{
	struct load_partition *p = &t->partitions[partition];
	struct record record = *r;
	enum err err;

	if (t->o->keep_offsets ? r->offset < p->start : p->skip > 0)
		return pass_over(t, partition, r, f);
	err = check_compared(t, partition, f);
	if (err)
		return err;
	if (!t->o->keep_timestamps)
		record.timestamp = wall_ms();
	if (t->o->keep_offsets && r->offset < p->next)
		return REFUSE(t, f, "offset %lld of partition %u comes after %lld",
		              (long long)r->offset, partition, (long long)p->next - 1);
	err = t->o->keep_offsets ? skip_to(t, partition, r->offset, record.timestamp, f) : OK;
	if (!err)
		err = make_room(t, partition, 1, record_encoded_bytes_max(r), f);
	if (err)
		return err;
	batch_add(&t->builder, &record);
	p->next++;
	return OK;
}

/* --- the topic -------------------------------------------------------------------------------- */

static enum err create(struct load_target *t, struct fault *f)
{
	struct fault why;
	enum err err;

	buf_clear(&t->body);
	buf_printf(&t->body, "{\"partitions\":%u", t->dump->partition_count);
	if (!t->o->no_settings) {
		buf_append_lit(&t->body, ",\"settings\":");
		buf_append_slice(&t->body, buf_slice(&t->dump->settings));
	}
	buf_append_lit(&t->body, "}");
	err = call(t, "PUT", "", &why);
	if (!err)
		return describe(t, f);
	if (err == ERR_BAD_SETTING || err == ERR_NOT_IMPLEMENTED)
		return fault_set(f, err, 0, "topic '%.40s': %.90s; --no-settings makes it without",
		                 t->name, why.where);
	*f = why;
	return err;
}

static enum err check_kept(struct load_target *t, uint32_t i, struct fault *f)
{
	const struct dump_span *there = &t->now->spans[i], *dumped = &t->dump->spans[i];

	if (t->o->resume && there->high_watermark > dumped->high_watermark)
		return REFUSE(
			t, f,
			"partition %u ends at offset %lld, the dump at %lld: it was not loaded "
			"from it alone",
			i, (long long)there->high_watermark, (long long)dumped->high_watermark);
	if (!t->o->resume && there->high_watermark > there->earliest)
		return REFUSE(
			t, f,
			"it has events: to keep offsets delete it, load --as another, or --resume "
			"an earlier load of this dump");
	if (!t->o->resume && there->high_watermark > dumped->earliest)
		return REFUSE(
			t, f,
			"partition %u goes on at offset %lld, the dump begins at %lld: delete it, "
			"or load --as another",
			i, (long long)there->high_watermark, (long long)dumped->earliest);
	return OK;
}

/* Without kept offsets: what of the dump is there already. */
static enum err find_skips(struct load_target *t, struct fault *f)
{
	uint32_t count = t->dump->partition_count;
	int64_t ends[TOPIC_PARTITIONS_MAX];
	struct load_notes *notes = t->o->notes;

	for (uint32_t i = 0; i < count; i++)
		ends[i] = t->partitions[i].start;
	if (!notes)
		return OK;
	if (!t->o->resume || !load_notes_find(notes, t->name, t->now->uuid, ends, count))
		return load_notes_add(notes, t->name, t->now->uuid, ends, count, f);
	for (uint32_t i = 0; i < count; i++) {
		t->partitions[i].skip = t->partitions[i].start - ends[i];
		if (t->partitions[i].skip < 0)
			return REFUSE(t, f, "it has fewer events than before the load");
	}
	return OK;
}

static enum err begin(struct load_target *t, struct fault *f)
{
	uint32_t count = t->dump->partition_count;
	enum err err = OK;

	if (t->now->partition_count < count)
		return REFUSE(t, f,
		              "it has %u partitions, the dump %u; 'bourn topic alter' adds some",
		              t->now->partition_count, count);
	for (uint32_t i = 0; i < count && !err; i++) {
		int64_t end = t->now->spans[i].high_watermark;

		t->partitions[i] = (struct load_partition){end, end, end, 0, -1};
		err = t->o->keep_offsets ? check_kept(t, i, f) : OK;
		if (!err && t->o->keep_offsets && t->o->resume)
			err = find_last(t, i, f);
	}
	if (!err && !t->o->keep_offsets)
		err = find_skips(t, f);
	return err;
}

static size_t batch_bytes_max(const struct load_target *t)
{
	int64_t max = dump_topic_setting(t->now, "max.message.bytes", BATCH_BYTES_MAX_DEFAULT);

	return max < BATCH_BYTES ? (size_t)max : BATCH_BYTES;
}

enum err load_target_open(const struct load_options *o, const struct dump_topic *t,
                          const char *name, struct load_target **out, struct fault *f)
{
	struct load_target *l =
		calloc(1, sizeof(*l) + t->partition_count * sizeof(struct load_partition));
	enum err err;

	if (!l)
		return fault_set(f, ERR_NO_MEMORY, 0, "topic '%.60s'", name);
	l->o = o;
	l->dump = t;
	l->name = name;
	l->batch = BUF_INIT(2 * BATCH_BYTES_MAX_MOST);
	load_append_init(&l->append, o->client, o->retry, name, o->keep_offsets);
	l->body = BUF_INIT(DUMP_TOPIC_BYTES_MAX);
	l->now = dump_topic_new();
	err = l->now ? describe(l, f) : fault_set(f, ERR_NO_MEMORY, 0, "topic '%.60s'", name);
	if (err == ERR_TOPIC_UNKNOWN)
		err = create(l, f);
	if (!err)
		err = begin(l, f);
	if (err) {
		load_target_free(l);
		return err;
	}
	l->batch_bytes_max = batch_bytes_max(l);
	*out = l;
	return OK;
}

static enum err purge(struct load_target *t, uint32_t partition, int64_t upto, struct fault *f)
{
	buf_clear(&t->body);
	buf_printf(&t->body, "{\"partition\":%u,\"upto\":%lld}", partition, (long long)upto);
	return call(t, "POST", "/purge", f);
}

static enum err finish_kept(struct load_target *t, uint32_t i, bool complete, struct fault *f)
{
	const struct dump_span *dumped = &t->dump->spans[i];
	enum err err = check_compared(t, i, f);

	if (!err && complete)
		err = skip_to(t, i, dumped->high_watermark, wall_ms(), f);
	if (!err)
		err = flush(t, f);
	if (!err && t->partitions[i].stored >= dumped->earliest &&
	    dumped->earliest > t->now->spans[i].earliest)
		err = purge(t, i, dumped->earliest, f);
	return err;
}

enum err load_target_rest(struct load_target *t, struct fault *f)
{
	enum err err = flush(t, f);

	if (err)
		return err;
	buf_fini(&t->batch);
	buf_fini(&t->body);
	load_append_rest(&t->append);
	return OK;
}

enum err load_target_finish(struct load_target *t, bool complete, struct fault *f)
{
	enum err err = flush(t, f);

	for (uint32_t i = 0; i < t->dump->partition_count && !err; i++) {
		if (t->o->keep_offsets)
			err = finish_kept(t, i, complete, f);
		else if (t->partitions[i].skip > 0)
			err = REFUSE(
				t, f,
				"partition %u has %lld events more than the dump: others wrote there",
				i, (long long)t->partitions[i].skip);
	}
	return err;
}

int64_t load_target_count(const struct load_target *t)
{
	return t->event_count;
}

void load_target_free(struct load_target *t)
{
	if (!t)
		return;
	buf_fini(&t->batch);
	load_append_fini(&t->append);
	buf_fini(&t->body);
	dump_topic_free(t->now);
	free(t);
}
