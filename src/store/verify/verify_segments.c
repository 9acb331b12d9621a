/* The segments' part of verify. */
#include "base/endian.h"
#include "io/disk.h"
#include "store/chunklog/segment_index.h"
#include "store/verify/verify_pass.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_EPOCH_AT = 12 };

static struct segment_home home_of(struct verify_pass *v, const struct checked_partition *p)
{
	return (struct segment_home){
		.disk = v->config->disk,
		.root = v->dir.path,
		.store_id = &v->dir.id,
		.topic = &p->topic->uuid,
		.partition = p->index,
	};
}

typedef enum err partition_cb(struct verify_pass *v, struct checked_partition *p, struct fault *f);

static enum err each_partition(struct verify_pass *v, partition_cb *each, struct fault *f)
{
	struct checked_topic *t, *after;
	enum err err;

	HASH_ITER (hh, v->topics, t, after) {
		for (uint32_t i = 0; t->partitions && i < t->partition_count; i++) {
			err = each(v, &t->partitions[i], f);
			if (err)
				return err;
		}
	}
	return OK;
}

/* --- one segment ------------------------------------------------------------------------------ */

struct reading {
	struct verify_pass *v;
	const struct checked_partition *p;
	const char *path;
	int64_t bytes_end; /* of the file's bytes that count */
	struct fault stop; /* progress said so */
	uint64_t events;
};

/* The epoch lies outside the batch's checksum, but the header's stands for all. */
static void check_epoch(struct reading *r, const struct batch *b, int64_t at, int32_t leader_epoch)
{
	if (b->leader_epoch == leader_epoch)
		return;
	verify_say(r->v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = r->path,
	                                   .at = at + BATCH_EPOCH_AT,
	                                   .topic = r->p->topic->name,
	                                   .partition = r->p->index,
	                                   .from = -1,
	                                   .remedy = "none is needed: the segment's header says "
	                                             "the epoch"},
	           "the batch at offset %lld says epoch %d in a segment of epoch %d",
	           (long long)b->base_offset, b->leader_epoch, leader_epoch);
}

static void read_batch(void *arg, struct slice bytes, int32_t leader_epoch, size_t more_bytes)
{
	struct reading *r = arg;
	struct batch b;
	enum err err = batch_parse(bytes, &b, NULL);

	CHECK(err == OK); /* segment_load has looked */
	if (r->bytes_end != INT64_MAX)
		check_epoch(r, &b, r->bytes_end - (int64_t)(more_bytes + bytes.len), leader_epoch);
	r->events += b.record_count;
	if (!r->stop.code && verify_progress(r->v, (int64_t)bytes.len, &r->stop))
		return;
}

static void say_lost(struct reading *r, struct checked_partition *p, const struct segment *found,
                     const struct segment *s, const struct fault *why)
{
	char remedy[VERIFY_TEXT_BYTES];
	char text[VERIFY_TEXT_BYTES];

	verify_plan_cut(p, found->end_offset, s->end_offset);

	verify_say(r->v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = r->path,
	                                   .at = found->end_offset > s->base_offset ||
	                                                         found->leader_epoch >= 0
	                                                 ? found->bytes
	                                                 : 0,
	                                   .topic = r->p->topic->name,
	                                   .partition = r->p->index,
	                                   .from = found->end_offset,
	                                   .to = s->end_offset,
	                                   .remedy = verify_remedy(r->p, s->end_offset, remedy)},
	           "%s", fault_text(why, text, sizeof(text)));
}

/* It may be missing, and a bad one costs a reader some time: no damage. */
static void check_index(struct verify_pass *v, struct checked_partition *p,
                        const struct segment_home *home, const struct segment *s)
{
	char path[SEGMENT_PATH_BYTES], text[VERIFY_TEXT_BYTES];
	struct segment_index index;
	struct fault why;

	segment_index_init(&index, s->base_offset, SEGMENT_HEADER_BYTES);
	if (segment_index_read(home, s, &index, &why) && why.code != ERR_NOT_FOUND) {
		segment_index_path(home, s, path);
		verify_say(v,
		           (struct verify_finding){.file = path,
		                                   .at = -1,
		                                   .topic = p->topic->name,
		                                   .partition = p->index,
		                                   .from = -1,
		                                   .remedy = "none is needed: it is made anew "
		                                             "when the segment is read"},
		           "%s", fault_text(&why, text, sizeof(text)));
	}
	segment_index_fini(&index);
}

static enum err read_segment(struct verify_pass *v, struct checked_partition *p,
                             const struct segment *s, struct fault *f)
{
	struct segment_home home = home_of(v, p);
	char path[SEGMENT_PATH_BYTES];
	struct segment found = *s;
	struct reading r = {.v = v, .p = p, .path = path, .bytes_end = s->bytes};
	struct fault why = {0};
	enum err err;

	segment_path(&home, s, path);
	found.leader_epoch = -1; /* until its header could be read */
	err = segment_load(&home, &found, read_batch, &r, &why);
	if (!err && found.end_offset != s->end_offset)
		err = fault_set(&why, ERR_CORRUPT, 0, "it ends at offset %lld",
		                (long long)found.end_offset);
	if (err)
		say_lost(&r, p, &found, s, &why);
	check_index(v, p, &home, s);
	v->totals->segments++;
	v->totals->segment_bytes += (uint64_t)found.bytes;
	v->totals->events += r.events;
	if (r.stop.code)
		*f = r.stop;
	return r.stop.code;
}

/* --- one partition ---------------------------------------------------------------------------- */

/* The manifest leaves out [from, to). */
static void say_hole(struct verify_pass *v, struct checked_partition *p, int64_t from, int64_t to)
{
	const struct damage *known = &p->saved.damage;
	bool is_known = known->from >= 0 && from >= known->from && to <= known->to;
	char path[DATADIR_FILE_BYTES_MAX], remedy[VERIFY_TEXT_BYTES];

	if (from >= to || is_known)
		return;
	verify_plan_cut(p, from, to);
	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = verify_path(v, "manifest", path),
	                                   .at = -1,
	                                   .topic = p->topic->name,
	                                   .partition = p->index,
	                                   .from = from,
	                                   .to = to,
	                                   .remedy = verify_remedy(p, to, remedy)},
	           "no segment has these offsets");
}

static void say_known_damage(struct verify_pass *v, struct checked_partition *p)
{
	const struct damage *known = &p->saved.damage;
	char path[DATADIR_FILE_BYTES_MAX], remedy[VERIFY_TEXT_BYTES];

	if (known->from < 0)
		return;
	verify_plan_cut(p, known->from, known->to > known->from ? known->to : INT64_MAX);
	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = verify_path(v, "manifest", path),
	                                   .at = -1,
	                                   .topic = p->topic->name,
	                                   .partition = p->index,
	                                   .from = known->from,
	                                   .to = known->to,
	                                   .remedy = verify_remedy(p, known->to, remedy)},
	           "an earlier start found this lost, and fenced the partition");
}

static enum err read_partition(struct verify_pass *v, struct checked_partition *p, struct fault *f)
{
	const struct saved *s = &p->saved;
	int64_t next = s->log_start;

	say_known_damage(v, p);
	for (uint32_t i = 0; i < s->segment_count; i++) {
		enum err err;

		say_hole(v, p, next, s->segments[i].base_offset);
		err = read_segment(v, p, &s->segments[i], f);
		if (err)
			return err;
		next = s->segments[i].end_offset;
	}
	say_hole(v, p, next, s->end_offset);
	return OK;
}

enum err verify_segments(struct verify_pass *v, struct fault *f)
{
	return each_partition(v, read_partition, f);
}

/* --- by an old manifest ----------------------------------------------------------------------- */

static void say_ends_early(struct reading *r, const struct segment *found, const struct fault *why)
{
	char text[VERIFY_TEXT_BYTES];

	verify_say(r->v,
	           (struct verify_finding){.file = r->path,
	                                   .at = found->bytes,
	                                   .topic = r->p->topic->name,
	                                   .partition = r->p->index,
	                                   .from = -1,
	                                   .remedy = "none: only the manifest could tell"},
	           "what counts ends here at the latest, at offset %lld: %s",
	           (long long)found->end_offset, fault_text(why, text, sizeof(text)));
}

static enum err rescan_segment(struct verify_pass *v, struct checked_partition *p,
                               struct segment *found, struct fault *f)
{
	struct segment_home home = home_of(v, p);
	char path[SEGMENT_PATH_BYTES];
	struct reading r = {.v = v, .p = p, .path = path, .bytes_end = INT64_MAX};
	struct fault why = {0};

	segment_path(&home, found, path);
	if (segment_load(&home, found, read_batch, &r, &why))
		say_ends_early(&r, found, &why);
	v->totals->segments++;
	v->totals->segment_bytes += (uint64_t)found->bytes;
	v->totals->events += r.events;
	if (found->end_offset > p->log_end)
		p->log_end = found->end_offset;
	if (r.stop.code)
		*f = r.stop;
	return r.stop.code;
}

static enum err rescan_partition(struct verify_pass *v, struct checked_partition *p,
                                 struct fault *f)
{
	struct segment_home home = home_of(v, p);
	struct segment *found;
	int64_t reached = 0;
	size_t count;
	enum err err = segment_list(&home, &found, &count, f);

	if (err)
		return err;
	if (count > 0 && found[0].base_offset > p->log_start)
		p->log_start = found[0].base_offset;
	for (size_t i = 0; i < count && !err; i++)
		if (segment_counts(found, count, i, reached)) {
			err = rescan_segment(v, p, &found[i], f);
			reached = found[i].end_offset;
		}
	free(found);
	return err;
}

enum err verify_segments_rescan(struct verify_pass *v, struct fault *f)
{
	return each_partition(v, rescan_partition, f);
}
