#include "broker/admin_job.h"
#include "broker/turn_batch.h"

#include <stdlib.h>

enum { RETRY_MS = 10 };

static void trimmed(struct store_trim *t)
{
	struct admin_job *j = CONTAINER_OF(t, struct admin_job, trim);

	if (t->fault.code != OK && j->admin->fault.code == OK)
		j->admin->fault = t->fault;
	admin_step(j); /* to the next partition */
}

/* False: one trim is under way. */
static bool trim_here(struct admin_job *j)
{
	const struct store_topic *stored = j->facts->stored;
	const struct admin *a = j->admin;

	while (j->partition < stored->spec.partition_count) {
		struct store_partition *p = stored->partitions[j->partition];
		bool asked = a->partition < 0 || (uint32_t)a->partition == j->partition;

		j->partition++;
		if (!asked || p->shard != j->at->index)
			continue;
		j->trim = (struct store_trim){.partition = p, .upto = a->upto, .done = trimmed};
		j->at->ops->trim(&j->trim);
		return false;
	}
	j->partition = 0;
	return true;
}

/* False: something of this shard is still under way to the topic; `task` comes when nothing is. */
static bool unpublish_here(struct admin_job *j)
{
	if (!j->leaving) {
		j->leaving = topics_find(&j->at->topics, admin_job_name(j));
		CHECK(j->leaving);
		shard_unpublish(j->at, j->leaving, &j->task);
		return false;
	}
	topic_free(j->leaving);
	j->leaving = NULL;
	return true;
}

/* Batches that are open were begun under what held before: off they go. */
static bool restrain_here(struct admin_job *j)
{
	struct topic *t = topics_find(&j->at->topics, admin_job_name(j));

	CHECK(t);
	for (uint32_t i = 0; i < t->facts->spec.partition_count; i++)
		if (t->open[i])
			turn_batch_send(t->open[i], -1);
	return shard_replace(t, j->facts);
}

static bool replace_here(struct admin_job *j)
{
	struct topic *t = topics_find(&j->at->topics, admin_job_name(j));

	CHECK(t);
	return shard_replace(t, j->facts);
}

static void retry(struct timer *t)
{
	admin_step(CONTAINER_OF(t, struct admin_job, retry));
}

/* The store has done it, and every shard has to: when memory ends one waits for it. */
static bool done_or_retried(struct admin_job *j, bool done)
{
	if (!done) {
		j->retry.fire = retry;
		timer_start(j->at->loop, &j->retry, RETRY_MS);
	}
	return done;
}

static void add_fenced(struct admin *a, const struct topic_spec *spec,
                       const struct store_partition *p)
{
	struct topic_description *d = NULL;
	struct partition_description *partitions;
	struct topic_description *topics;

	for (size_t i = 0; i < a->fenced_count && !d; i++) {
		if (uuid_eq(&a->fenced[i].spec.uuid, &spec->uuid))
			d = &a->fenced[i];
	}
	if (!d) {
		topics = realloc(a->fenced, (a->fenced_count + 1) * sizeof(*topics));
		if (!topics)
			goto no_memory;
		a->fenced = topics;
		d = &a->fenced[a->fenced_count];
		*d = (struct topic_description){.spec = *spec};
		d->spec.partition_count = 0;
		a->fenced_count++;
	}
	partitions = realloc(d->partitions, (d->spec.partition_count + 1) * sizeof(*partitions));
	if (!partitions)
		goto no_memory;
	d->partitions = partitions;
	partition_describe(&partitions[d->spec.partition_count], p);
	d->spec.partition_count++;
	return;

no_memory:
	fault_set(&a->fault, ERR_NO_MEMORY, 0, "list of fenced partitions");
}

static void list_fenced_here(struct admin_job *j)
{
	const struct topics *ts = &j->at->topics;

	for (size_t i = 0; i < ts->count; i++) {
		const struct topic_facts *facts = ts->sorted[i]->facts;

		for (uint32_t k = 0; k < facts->spec.partition_count; k++) {
			const struct store_partition *p = facts->stored->partitions[k];

			if (p->shard == j->at->index && p->state.fenced.code != OK)
				add_fenced(j->admin, &facts->spec, p);
		}
	}
}

bool admin_visit(struct admin_job *j)
{
	switch (j->visit) {
	case VISIT_LOOK: return true;
	case VISIT_PUBLISH: return done_or_retried(j, shard_publish(j->at, j->facts));
	case VISIT_RESTRAIN: return done_or_retried(j, restrain_here(j));
	case VISIT_REPLACE: return done_or_retried(j, replace_here(j));
	case VISIT_TRIM: return trim_here(j);
	case VISIT_UNPUBLISH: return unpublish_here(j);
	case VISIT_FENCED: list_fenced_here(j); return true;
	}
	UNREACHABLE();
}
