#include "store/testing/crash_oracle.h"

#include "store/testing/disk_power.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 256 << 20,
	READ_BYTES = 64 << 10,
	OWN_NUMBER = RUN_EVENTS_MAX - 1, /* of the event that the oracle appends */
	OWN_BYTES = 10,
	DIR_BYTES = 64,
	IN_VAIN_SHARE = 4,     /* of so many states, one */
	CALLS_OF_A_START = 60, /* that change something, about */
	EVENT_LIMIT = RUN_EVENT_BYTES_MAX + 64,
};
_Static_assert((int)RUN_EVENTS_MAX <= (int)SEEN_GAP, "numbers are bytes");

/* --- observing -------------------------------------------------------------------------------- */

struct look {
	const struct crash_run *run;
	struct store_rig rig;
	struct observation *seen;
};

static bool breaks(struct look *l, const char *what, unsigned topic, uint32_t partition,
                   int64_t offset)
{
	if (!l->seen->broken[0])
		snprintf(l->seen->broken, sizeof(l->seen->broken), "%s at %u/%u %lld", what, topic,
		         partition, (long long)offset);
	return false;
}

static size_t sent_bytes(const struct look *l, unsigned topic, uint32_t partition, int64_t number)
{
	if (number == OWN_NUMBER)
		return OWN_BYTES;
	return l->run->topics[topic].partitions[partition].bytes[number];
}

/* Its number, if it is an event of that partition, byte for byte; else -1. */
static int64_t recognize(const struct look *l, unsigned topic, uint32_t partition,
                         const struct record *record)
{
	struct buf expected = BUF_INIT(EVENT_LIMIT);
	int64_t number = record->timestamp;
	bool same = false;

	if (number >= 0 && number < RUN_EVENTS_MAX) {
		struct slice e = run_event(&expected, topic, partition, number,
		                           sent_bytes(l, topic, partition, number));

		same = slice_eq(e, record->value) &&
		       (number == OWN_NUMBER ||
		        slice_eq(record->key, run_key(l->run, topic, number)));
	}
	buf_fini(&expected);
	return same ? number : -1;
}

static bool is_compacted(const struct crash_run *r, unsigned topic)
{
	return topic_is_compacted(&r->topics[topic].spec.settings);
}

/* What a compacted topic may leave out up to offset `to`. */
static bool pass_gap(struct look *l, unsigned topic, uint32_t partition, int64_t to, int64_t *next)
{
	struct seen_partition *seen = &l->seen->partitions[topic][partition];

	if (*next < to && (!is_compacted(l->run, topic) || to - seen->from > RUN_EVENTS_MAX))
		return breaks(l, "a gap", topic, partition, *next);
	for (; *next < to; ++*next)
		seen->numbers[*next - seen->from] = SEEN_GAP;
	return true;
}

static bool look_at_batch(struct look *l, unsigned topic, uint32_t partition, const struct batch *b,
                          int64_t *next)
{
	struct seen_partition *seen = &l->seen->partitions[topic][partition];
	bool corrupt = false;
	struct batch_iter it;
	struct record record;

	if (!batch_crc_ok(b))
		return breaks(l, "a wrong checksum", topic, partition, b->base_offset);
	if (*next < 0)
		*next = seen->from = b->base_offset;
	/* One that was compacted since may begin before. */
	if (b->base_offset > *next || (b->base_offset < *next && !is_compacted(l->run, topic)))
		return breaks(l, "a hole", topic, partition, *next);
	for (batch_iter_init(&it, b); batch_iter_next(&it, &record, &corrupt);) {
		int64_t number = recognize(l, topic, partition, &record);

		if (record.offset < *next)
			continue;
		if (!pass_gap(l, topic, partition, record.offset, next))
			return false;
		if (number < 0 || *next - seen->from >= RUN_EVENTS_MAX)
			return breaks(l, "an invented event", topic, partition, *next);
		seen->numbers[(*next)++ - seen->from] = (uint8_t)number;
	}
	if (corrupt)
		return breaks(l, "a broken batch", topic, partition, b->base_offset);
	return pass_gap(l, topic, partition, b->last_offset + 1, next);
}

static bool look_at_batches(struct look *l, unsigned topic, uint32_t partition, struct slice rest,
                            int64_t *next)
{
	while (rest.len > 0) {
		struct batch b;

		if (batch_parse(rest, &b, NULL))
			return breaks(l, "no batch", topic, partition, *next);
		if (!look_at_batch(l, topic, partition, &b, next))
			return false;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	return true;
}

static bool look_at_partition(struct look *l, unsigned topic, struct store_partition *p)
{
	struct seen_partition *seen = &l->seen->partitions[topic][p->index];
	int64_t next = -1, at = p->state.log_start;
	bool fine = true;

	if (p->state.fenced.code)
		return breaks(l, p->state.fenced.where, topic, p->index, p->state.log_end);
	seen->there = true;
	seen->log_start = seen->from = p->state.log_start;
	seen->end = p->state.high_watermark;
	for (; fine && at < seen->end; at = next) {
		struct shared *holder;
		struct slice batches;

		if (rig_read(&l->rig, p, at, READ_BYTES, &batches, &holder) || batches.len == 0)
			return breaks(l, "a refused read", topic, p->index, at);
		fine = look_at_batches(l, topic, p->index, batches, &next);
		shared_put(holder);
	}
	if (fine && at != seen->end)
		return breaks(l, "more than the high watermark", topic, p->index, at);
	return fine;
}

static int index_of(const struct crash_run *r, const struct uuid *uuid)
{
	for (int i = 0; i < RUN_TOPICS; i++)
		if (r->topics[i].spec.name[0] &&
		    memcmp(&r->topics[i].spec.uuid, uuid, sizeof(*uuid)) == 0)
			return i;
	return -1;
}

typedef bool partition_do(struct look *l, unsigned topic, struct store_partition *p);

static bool each_partition(struct look *l, partition_do *each)
{
	size_t count;
	const struct store_topic *const *topics = l->rig.store->ops->topics(l->rig.store, &count);

	for (size_t i = 0; i < count; i++) {
		int topic = index_of(l->run, &topics[i]->spec.uuid);

		if (topic < 0)
			return breaks(l, "an invented topic", (unsigned)i, 0, 0);
		l->seen->there[topic] = true;
		for (uint32_t p = 0; p < topics[i]->spec.partition_count; p++)
			if (!each(l, (unsigned)topic, topics[i]->partitions[p]))
				return false;
	}
	return true;
}

static bool append_own(struct look *l, unsigned topic, struct store_partition *p)
{
	int64_t end = p->state.high_watermark, offset = -1;
	struct buf value = BUF_INIT(EVENT_LIMIT), bytes = BUF_INIT(EVENT_LIMIT);
	struct slice v = run_event(&value, topic, p->index, OWN_NUMBER, OWN_BYTES);
	struct batch_builder b;
	enum err err;

	batch_begin(&b, &bytes);
	batch_add(&b, &(struct record){.timestamp = OWN_NUMBER, .value = v});
	err = rig_append(&l->rig, p, batch_finish(&b), &offset);
	buf_fini(&value);
	buf_fini(&bytes);
	if (err)
		return breaks(l, err_text(err), topic, p->index, end);
	return offset == end || breaks(l, "a wrong offset", topic, p->index, offset);
}

static bool open_store(struct look *l)
{
	struct fault f = {0};

	if (rig_try_open(&l->rig, &f) == OK)
		return true;
	snprintf(l->seen->broken, sizeof(l->seen->broken), "does not start: %s", f.where);
	return false;
}

/* Where there was an event there is the same one, or compaction has come by. */
static bool same_but_own(const struct seen_partition *before, const struct seen_partition *after,
                         bool compacted)
{
	if (!before->there || !after->there)
		return before->there == after->there;
	if (before->log_start != after->log_start || after->end != before->end + 1 ||
	    after->numbers[before->end - after->from] != OWN_NUMBER)
		return false;
	for (int64_t at = before->log_start; at < before->end; at++) {
		uint8_t number = after->numbers[at - after->from];

		if (number != before->numbers[at - before->from] &&
		    !(compacted && number == SEEN_GAP))
			return false;
	}
	return true;
}

static void compare(const struct crash_run *r, struct observation *o,
                    const struct observation *again)
{
	memcpy(o->broken, again->broken, sizeof(o->broken));
	for (unsigned t = 0; t < RUN_TOPICS && !o->broken[0]; t++) {
		for (unsigned p = 0; p < RUN_PARTITIONS; p++)
			if (o->there[t] != again->there[t] ||
			    (o->there[t] &&
			     !same_but_own(&o->partitions[t][p], &again->partitions[t][p],
			                   is_compacted(r, t))))
				snprintf(o->broken, sizeof(o->broken),
				         "%u/%u is another one after the next start", t, p);
	}
}

/* The power goes again while it recovers, or soon after. */
static void start_in_vain(struct look *l, struct disk_power *power, uint64_t dice)
{
	struct fault unused;

	disk_power_on(power, 1 + (unsigned)(dice % CALLS_OF_A_START), dice & 1 << 20);
	if (rig_try_open(&l->rig, &unused) == OK)
		rig_shut(&l->rig);
	disk_power_on(power, UINT_MAX, true);
}

static void look_init(struct look *l, const struct crash_run *r, struct disk *disk, const char *dir,
                      uint64_t seed, struct observation *o)
{
	*o = (struct observation){0};
	*l = (struct look){.run = r, .seen = o};
	rig_init(&l->rig, r->rig.ops, 1, disk, dir, seed | 1);
	l->rig.memory_bytes = r->rig.memory_bytes;
}

/* Twice, with a start in between; both must find the same. */
static void look_twice(struct look *l)
{
	struct observation *first = l->seen, again = {0};

	if (!open_store(l) || !each_partition(l, look_at_partition) ||
	    !each_partition(l, append_own))
		return;
	rig_shut(&l->rig);
	l->seen = &again;
	if (open_store(l))
		each_partition(l, look_at_partition);
	compare(l->run, first, &again);
}

/* Start, write, save, stop; what comes of it is looked at elsewhere. */
static void use(const struct crash_run *r, struct disk *disk, const char *dir, uint64_t seed)
{
	struct observation unused;
	struct look l;

	look_init(&l, r, disk, dir, seed, &unused);
	if (open_store(&l))
		each_partition(&l, append_own);
	rig_fini(&l.rig);
}

static const char *backup_dir(unsigned backup, char into[DIR_BYTES])
{
	snprintf(into, DIR_BYTES, "/data/backups/b%u", backup);
	return into;
}

static bool has_backup(const struct disk_state *s, unsigned backup)
{
	char dir[DIR_BYTES];

	backup_dir(backup, dir);
	for (size_t i = 0; i < s->entry_count; i++)
		if (strcmp(s->entries[i].path, dir) == 0)
			return true;
	return false;
}

/* Nothing half-made or half-removed is there after a start. */
static int left_over(void *arg, const char *name)
{
	struct look *l = arg;

	if (!strstr(name, ".tmp"))
		return 0;
	snprintf(l->seen->broken, sizeof(l->seen->broken), "%s is left over", name);
	return -ECANCELED;
}

void oracle_observe(const struct crash_run *r, const struct disk_state *s, struct observation *o)
{
	uint64_t dice = s->hash / 16;
	struct disk_power power;
	char dir[DIR_BYTES];
	struct look l;

	disk_power_init(&power, s->hash, DISK_BYTES);
	disk_state_write(s, disk_sim_disk(power.sim));
	look_init(&l, r, &power.base, "/data", s->hash, o);
	if (dice % IN_VAIN_SHARE == 0)
		start_in_vain(&l, &power, dice / IN_VAIN_SHARE);
	for (unsigned i = 0; i < r->backup_count; i++)
		if (has_backup(s, i))
			use(r, &power.base, backup_dir(i, dir), s->hash);
	look_twice(&l);
	l.seen = o;
	power.base.ops->list(&power.base, "/data/backups", left_over, &l);
	rig_fini(&l.rig);
	disk_power_fini(&power);
}

bool oracle_observe_backup(const struct crash_run *r, const struct disk_state *s, unsigned backup,
                           struct observation *o)
{
	struct disk_power power;
	char dir[DIR_BYTES];
	struct look l;

	if (!has_backup(s, backup))
		return false;
	disk_power_init(&power, s->hash, DISK_BYTES);
	disk_state_write(s, disk_sim_disk(power.sim));
	use(r, &power.base, "/data", s->hash);
	look_init(&l, r, &power.base, backup_dir(backup, dir), s->hash, o);
	look_twice(&l);
	rig_fini(&l.rig);
	disk_power_fini(&power);
	return true;
}

/* --- judging ---------------------------------------------------------------------------------- */

struct promise {
	enum { NOT_ASKED, ASKED, ACKED, REFUSED } state;
	bool safe; /* a checkpoint or a clean stop has it */
	int64_t offset;
};

struct partition_promise {
	struct promise events[RUN_EVENTS_MAX];
	int64_t trim_asked, trim_done;
};

struct ledger {
	bool created, create_done, deleted, delete_done;
	int64_t count_asked, count_done; /* of partitions */
	struct partition_promise partitions[RUN_PARTITIONS];
};

/* `acked_before`: the line at which the save was asked for. */
static void save(const struct crash_run *r, struct ledger *topics, size_t asked_at)
{
	for (size_t i = 0; i < asked_at; i++) {
		const struct ledger_line *line = &r->ledger[i];
		struct partition_promise *p = &topics[line->topic].partitions[line->partition];

		for (int64_t n = 0; line->kind == RUN_APPEND_DONE && n < line->count; n++)
			p->events[line->number + n].safe = true;
	}
}

static void add_append(struct partition_promise *p, const struct ledger_line *line)
{
	for (int64_t i = 0; i < line->count; i++) {
		struct promise *e = &p->events[line->number + i];

		e->state = line->kind == RUN_APPEND_ASKED  ? ASKED
		           : line->kind == RUN_APPEND_DONE ? ACKED
		                                           : REFUSED;
		e->offset = line->offset + i;
	}
}

static void add_up(const struct crash_run *r, size_t lines, struct ledger topics[RUN_TOPICS])
{
	size_t save_asked_at = 0;

	for (size_t i = 0; i < lines; i++) {
		const struct ledger_line *line = &r->ledger[i];
		struct ledger *t = &topics[line->topic];
		struct partition_promise *p = &t->partitions[line->partition];

		switch (line->kind) {
		case RUN_CREATE_ASKED:
			t->created = true;
			t->count_asked = line->count;
			break;
		case RUN_CREATE_DONE:
			t->create_done = true;
			t->count_done = line->count;
			break;
		case RUN_GROW_ASKED: t->count_asked = line->count; break;
		case RUN_GROW_DONE: t->count_done = line->count; break;
		case RUN_DELETE_ASKED: t->deleted = true; break;
		case RUN_DELETE_DONE: t->delete_done = true; break;
		case RUN_APPEND_ASKED:
		case RUN_APPEND_DONE:
		case RUN_APPEND_REFUSED: add_append(p, line); break;
		case RUN_TRIM_ASKED: p->trim_asked = line->offset; break;
		case RUN_TRIM_DONE: p->trim_done = line->offset; break;
		case RUN_SAVE_ASKED: save_asked_at = i; break;
		case RUN_SAVE_DONE: save(r, topics, save_asked_at); break;
		case RUN_BACKUP_ASKED:
		case RUN_BACKUP_DONE:
		case RUN_BACKUP_REMOVED: break;
		}
	}
}

struct case_at {
	struct verdict *verdict;
	bool fine;
	enum { CUT, KILLED, BACKED_UP } how;
	enum durability durability;
	bool compacted;
	unsigned topic;
	uint32_t partition;
};

static void wrong(struct case_at *c, uint64_t *counter, const char *what, int64_t at)
{
	struct verdict *v = c->verdict;

	++*counter;
	c->fine = false;
	if (!v->text[0])
		snprintf(v->text, sizeof(v->text), "%u/%u: %s %lld", c->topic, c->partition, what,
		         (long long)at);
}

/* What was acknowledged, by its class alone. */
static bool stays(const struct case_at *c)
{
	return c->durability == DURABILITY_COMMIT || c->how == BACKED_UP ||
	       (c->how == KILLED && c->durability != DURABILITY_NONE);
}

static bool is_promised(const struct case_at *c, const struct promise *e)
{
	if (e->state != ACKED)
		return false;
	return e->safe || stays(c);
}

/* Each event that is there may be, and is where it was said to be, after the one before. */
static void judge_present(struct case_at *c, const struct partition_promise *p,
                          const struct seen_partition *seen, bool present[RUN_EVENTS_MAX])
{
	int last = -1;

	for (int64_t offset = seen->from; offset < seen->end; offset++) {
		uint8_t number = seen->numbers[offset - seen->from];
		const struct promise *e;

		if (number == SEEN_GAP)
			continue;
		e = &p->events[number];
		if (present[number])
			wrong(c, &c->verdict->duplicates, "twice: event", number);
		else if (number < last)
			wrong(c, &c->verdict->disorder, "too late: event", number);
		else if (e->state == NOT_ASKED || e->state == REFUSED)
			wrong(c, &c->verdict->other, "never taken, but there: event", number);
		else if (e->state == ACKED && e->offset != offset)
			wrong(c, &c->verdict->disorder, "not at its offset: event", number);
		present[number] = true;
		last = number;
	}
}

/* A later event of its key is there. */
static bool is_superseded(const struct case_at *c, int64_t number,
                          const bool present[RUN_EVENTS_MAX])
{
	for (int64_t n = number + RUN_KEYS; c->compacted && n < OWN_NUMBER; n += RUN_KEYS)
		if (present[n])
			return true;
	return false;
}

static void judge_absent(struct case_at *c, const struct partition_promise *p,
                         const struct seen_partition *seen, const bool present[RUN_EVENTS_MAX])
{
	for (int64_t n = 0; n < RUN_EVENTS_MAX; n++) {
		const struct promise *e = &p->events[n];

		if (present[n] || e->state != ACKED || e->offset < seen->log_start ||
		    is_superseded(c, n, present))
			continue;
		if (is_promised(c, e))
			wrong(c, &c->verdict->missing, "acknowledged and missing: event", n);
		else if (e->offset < seen->end)
			wrong(c, &c->verdict->disorder, "not a suffix was lost: event", n);
	}
}

static void judge_partition(struct case_at *c, const struct partition_promise *p,
                            const struct seen_partition *seen)
{
	bool present[RUN_EVENTS_MAX] = {false};

	if (seen->log_start > p->trim_asked)
		wrong(c, &c->verdict->missing, "trimmed by nobody: up to", seen->log_start);
	if (stays(c) && seen->log_start < p->trim_done)
		wrong(c, &c->verdict->other, "a trim is undone: log start", seen->log_start);
	judge_present(c, p, seen, present);
	judge_absent(c, p, seen, present);
}

static bool judge(struct case_at *c, const struct crash_run *r, size_t lines,
                  const struct observation *o)
{
	struct ledger *topics = calloc(RUN_TOPICS, sizeof(*topics));
	uint64_t *other = &c->verdict->other;

	CHECK(topics);
	add_up(r, lines, topics);
	if (o->broken[0])
		wrong(c, other, o->broken, -1);
	for (unsigned i = 0; i < RUN_TOPICS && c->fine; i++) {
		const struct ledger *t = &topics[i];

		c->topic = i;
		c->durability = r->topics[i].spec.settings.durability;
		c->compacted = is_compacted(r, i);
		if (o->there[i] ? !t->created || t->delete_done : t->create_done && !t->deleted)
			wrong(c, other, o->there[i] ? "is there" : "is not there", -1);
		for (uint32_t p = 0; p < RUN_PARTITIONS && o->there[i]; p++) {
			bool there = o->partitions[i][p].there;

			c->partition = p;
			if (there ? p >= t->count_asked : p < t->count_done)
				wrong(c, other, there ? "is there" : "is not there", p);
			judge_partition(c, &t->partitions[p], &o->partitions[i][p]);
		}
	}
	free(topics);
	return c->fine;
}

bool oracle_judge(const struct crash_run *r, size_t lines, bool killed, const struct observation *o,
                  struct verdict *v)
{
	struct case_at c = {.verdict = v, .fine = true, .how = killed ? KILLED : CUT};

	return judge(&c, r, lines, o);
}

/* How many of the first `lines` come before the one of that kind, itself included; 0: none does. */
static size_t lines_upto(const struct crash_run *r, size_t lines, enum ledger_kind kind,
                         unsigned backup)
{
	for (size_t i = 0; i < lines; i++)
		if (r->ledger[i].kind == kind && r->ledger[i].number == backup)
			return i + 1;
	return 0;
}

/* What it holds was settled before it was done: by the line that asked for it. */
bool oracle_judge_backup(const struct crash_run *r, size_t lines, unsigned backup,
                         const struct observation *o, struct verdict *v)
{
	struct case_at c = {.verdict = v, .fine = true, .how = BACKED_UP};
	size_t asked = lines_upto(r, lines, RUN_BACKUP_ASKED, backup);
	size_t done = lines_upto(r, lines, RUN_BACKUP_DONE, backup);
	bool removed = lines_upto(r, lines, RUN_BACKUP_REMOVED, backup);

	c.topic = backup;
	if (o && !asked)
		wrong(&c, &v->other, "a backup that nobody asked for", backup);
	else if (!o && done && !removed)
		wrong(&c, &v->missing, "there is no backup", backup);
	return o && c.fine ? judge(&c, r, asked, o) : c.fine;
}
