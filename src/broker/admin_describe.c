#include "broker/admin_job.h"
#include "record/batch.h"

#include <stdlib.h>

void partition_describe(struct partition_description *to, const struct store_partition *p)
{
	*to = (struct partition_description){
		.partition = p->index,
		.earliest = p->state.log_start,
		.high_watermark = p->state.high_watermark,
		.bytes = p->state.bytes,
		.segments = p->state.segments,
		.earliest_ms = -1,
		.latest_ms = -1,
		.leader_epoch = p->state.leader_epoch,
		.shard = p->shard,
		.fenced = store_partition_fenced(p),
	};
}

/* --- times of events -------------------------------------------------------------------------- */

static void read_done(struct store_read *r)
{
	admin_step(CONTAINER_OF(r, struct admin_job, read));
}

/* One batch. */
static void read_at(struct admin_job *j, struct store_partition *p, int64_t offset)
{
	j->read = (struct store_read){
		.partition = p,
		.offset = offset,
		.bytes_max = 1,
		.done = read_done,
	};
	j->at->ops->read(&j->read);
}

/* Of the first record of the batch at or after the offset that was read, or of its last; -1: it
 * holds none, or is damaged. */
static int64_t time_in(const struct store_read *r, bool last)
{
	struct batch_iter it;
	struct batch batch;
	struct record record;
	bool corrupt = false;
	int64_t found = -1;

	if (r->fault.code || batch_parse(r->batches, &batch, NULL))
		return -1;
	batch_iter_init(&it, &batch);
	while ((last || found < 0) && batch_iter_next(&it, &record, &corrupt))
		if (last || record.offset >= r->offset)
			found = record.timestamp;
	return corrupt ? -1 : found;
}

static int64_t time_read(const struct store_read *r, bool last)
{
	int64_t found = r->batches.len > 0 ? time_in(r, last) : -1;

	if (r->holder)
		shared_put(r->holder);
	return found;
}

/* --- partitions, one after the other ---------------------------------------------------------- */

/* False: a read is under way. */
static bool describe_step(struct admin_job *j, struct store_partition *p)
{
	struct partition_description *d = &j->admin->topic.partitions[p->index];

	switch (j->description) {
	case DESCRIBE_STATE:
		partition_describe(d, p);
		if (d->earliest == d->high_watermark)
			return true;
		j->description = DESCRIBE_FIRST;
		read_at(j, p, d->earliest);
		return false;
	case DESCRIBE_FIRST:
		d->earliest_ms = time_read(&j->read, false);
		if (j->read.fault.code == ERR_TRIMMED) { /* retention was faster */
			j->description = DESCRIBE_STATE;
			return describe_step(j, p);
		}
		j->description = DESCRIBE_LAST;
		read_at(j, p, d->high_watermark - 1);
		return false;
	case DESCRIBE_LAST:
		d->latest_ms = time_read(&j->read, true);
		j->description = DESCRIBE_STATE;
		return true;
	}
	UNREACHABLE();
}

static bool is_described(const struct admin_job *j)
{
	return j->visit != VISIT_RESTRAIN && j->visit != VISIT_UNPUBLISH &&
	       j->visit != VISIT_FENCED;
}

static bool description_begin(struct admin_job *j)
{
	struct topic_description *d = &j->admin->topic;

	if (d->partitions)
		return true;
	d->spec = j->facts->spec;
	d->partitions = calloc(d->spec.partition_count, sizeof(*d->partitions));
	if (!d->partitions)
		fault_set(&j->admin->fault, ERR_NO_MEMORY, 0, "description");
	return d->partitions != NULL;
}

bool admin_describe(struct admin_job *j)
{
	const struct store_topic *stored;

	if (!is_described(j) || !description_begin(j))
		return true;
	stored = j->facts->stored;
	while (j->partition < stored->spec.partition_count) {
		struct store_partition *p = stored->partitions[j->partition];

		if (p->shard == j->at->index && !describe_step(j, p))
			return false;
		j->partition++;
	}
	j->partition = 0;
	return true;
}
