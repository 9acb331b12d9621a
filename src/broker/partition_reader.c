#include "broker/partition_reader.h"

static void question_step(struct partition_reader *pr);

static bool is_foreign(const struct partition_reader *pr)
{
	return pr->partition->shard != pr->home->index;
}

static const struct store_ops *ops_of(const struct partition_reader *pr)
{
	return pr->partition->store->ops;
}

/* --- the question, on the owner's thread ------------------------------------------------------ */

static void answer_clear(struct partition_reader *pr)
{
	pr->read.fault.code = OK;
	pr->read.fault.os_errno = 0;
	pr->read.fault.where[0] = '\0';
	pr->read.batches = SLICE_NONE;
	pr->read.holder = NULL;
}

static enum question_state answer_fault(struct partition_reader *pr, enum err code)
{
	const struct partition_state *s = &pr->partition->state;

	fault_set(&pr->read.fault, code, 0,
	          "partition %u, offset %lld; the log starts at %lld and ends at %lld",
	          pr->partition->index, (long long)pr->offset, (long long)s->log_start,
	          (long long)s->high_watermark);
	return QUESTION_ANSWER;
}

static enum question_state locate_offset(struct partition_reader *pr)
{
	const struct partition_state *s = &pr->partition->state;

	pr->offset = pr->value;
	if (pr->offset < s->log_start)
		return answer_fault(pr, ERR_TRIMMED);
	if (pr->offset > s->high_watermark)
		return answer_fault(pr, ERR_OUT_OF_RANGE);
	return QUESTION_LOOK;
}

/* A cursor of an older epoch is good up to where that epoch ended: what it saw beyond was lost. */
static enum question_state locate_cursor(struct partition_reader *pr)
{
	struct store_partition *p = pr->partition;
	int32_t epoch_now = p->state.leader_epoch;

	pr->offset = pr->value;
	if (pr->epoch > epoch_now)
		return answer_fault(pr, ERR_TRUNCATED);
	if (pr->epoch < epoch_now && pr->value > ops_of(pr)->epoch_end(p, pr->epoch))
		return answer_fault(pr, ERR_TRUNCATED);
	return locate_offset(pr);
}

static enum question_state locate_last(struct partition_reader *pr)
{
	const struct partition_state *s = &pr->partition->state;

	pr->end = s->high_watermark;
	pr->offset = pr->end;
	if (pr->end == s->log_start)
		return QUESTION_LOOK;
	pr->probe = pr->end - 1;
	pr->offset = pr->probe;
	pr->found = -1;
	return QUESTION_LAST;
}

static enum question_state question_locate(struct partition_reader *pr)
{
	const struct partition_state *s = &pr->partition->state;

	if (s->deleted)
		return QUESTION_LOOK;
	switch (pr->kind) {
	case POSITION_EARLIEST: pr->offset = s->log_start; return QUESTION_LOOK;
	case POSITION_END: pr->offset = s->high_watermark; return QUESTION_LOOK;
	case POSITION_LAST: return locate_last(pr);
	case POSITION_TIME: return QUESTION_TIME;
	case POSITION_OFFSET: return locate_offset(pr);
	case POSITION_NUMBER: break; /* is no partition's */
	case POSITION_CURSOR: return locate_cursor(pr);
	}
	UNREACHABLE();
}

static void time_looked_up(struct store_time_lookup *t)
{
	struct partition_reader *pr = CONTAINER_OF(t, struct partition_reader, lookup);
	struct fault fault = t->fault;
	int64_t offset = t->offset;
	int64_t log_start = pr->partition->state.log_start;

	answer_clear(pr); /* `read` shares its memory with `lookup` */
	pr->read.fault = fault;
	if (!fault.code)
		pr->offset = offset > log_start ? offset : log_start;
	pr->state = fault.code ? QUESTION_ANSWER : QUESTION_LOOK;
	question_step(pr);
}

static void question_time(struct partition_reader *pr)
{
	pr->lookup = (struct store_time_lookup){
		.partition = pr->partition,
		.time_ms = pr->value,
		.done = time_looked_up,
	};
	ops_of(pr)->lookup_time(&pr->lookup);
}

/* The last record in the run just read goes to `found`, the place after the run to `offset`. */
static enum err scan_run(struct partition_reader *pr)
{
	struct slice rest = pr->read.batches;
	struct batch_iter it;
	struct batch batch;
	struct record record;
	bool corrupt = false;
	enum err err;

	while (rest.len > 0) {
		err = batch_parse(rest, &batch, &pr->read.fault);
		if (err)
			return err;
		batch_iter_init(&it, &batch);
		while (batch_iter_next(&it, &record, &corrupt))
			pr->found = record.offset;
		if (corrupt)
			return ERR_CORRUPT;
		pr->offset = batch.last_offset + 1;
		rest = slice_of(rest.ptr + batch.bytes.len, rest.len - batch.bytes.len);
	}
	return OK;
}

/* One scan from `probe` to the high watermark is over. Where there was nothing but a gap the next
 * one begins earlier. */
static enum question_state scan_ended(struct partition_reader *pr)
{
	int64_t log_start = pr->partition->state.log_start;
	int64_t distance = pr->end - pr->probe;

	if (pr->found >= log_start) {
		pr->offset = pr->found;
		return QUESTION_LOOK;
	}
	if (pr->probe <= log_start) {
		pr->offset = pr->end;
		return QUESTION_LOOK;
	}
	pr->probe = distance < (pr->end - log_start) / 16 ? pr->end - distance * 16 : log_start;
	pr->offset = pr->probe;
	return QUESTION_LAST;
}

static enum question_state last_read(struct partition_reader *pr)
{
	bool nothing = pr->read.batches.len == 0;
	enum err err = scan_run(pr);

	if (pr->read.holder)
		shared_put(pr->read.holder);
	answer_clear(pr);
	if (err)
		return answer_fault(pr, ERR_CORRUPT);
	if (!nothing && pr->offset < pr->end)
		return QUESTION_LAST;
	return scan_ended(pr);
}

/* A position that is not a number moves with the log: look again where it is. */
static bool trimmed_meanwhile(const struct partition_reader *pr)
{
	return pr->read.fault.code == ERR_TRIMMED && !pr->is_known && pr->kind != POSITION_OFFSET &&
	       pr->kind != POSITION_CURSOR;
}

static enum question_state after_read(struct partition_reader *pr)
{
	if (trimmed_meanwhile(pr)) {
		answer_clear(pr);
		return QUESTION_LOCATE;
	}
	if (pr->read.fault.code || pr->stop)
		return QUESTION_ANSWER;
	if (pr->state == QUESTION_LAST)
		return last_read(pr);
	if (pr->read.batches.len > 0)
		return QUESTION_ANSWER;
	if (pr->offset < pr->end)
		pr->offset = pr->end; /* nothing but a gap up to there */
	return QUESTION_LOOK;
}

static void read_done(struct store_read *r)
{
	struct partition_reader *pr = CONTAINER_OF(r, struct partition_reader, read);

	pr->state = after_read(pr);
	question_step(pr);
}

static void question_read(struct partition_reader *pr)
{
	pr->read.partition = pr->partition;
	pr->read.offset = pr->offset;
	pr->read.bytes_max = READ_RUN_BYTES;
	pr->read.done = read_done;
	ops_of(pr)->read(&pr->read);
}

static enum question_state question_look(struct partition_reader *pr)
{
	const struct partition_state *s = &pr->partition->state;

	if (s->deleted)
		return answer_fault(pr, ERR_TOPIC_GONE);
	if (pr->offset < s->log_start)
		return answer_fault(pr, ERR_TRIMMED);
	pr->end = s->high_watermark;
	if (pr->end > pr->offset)
		return QUESTION_READ;
	return pr->wait ? QUESTION_WATCH : QUESTION_ANSWER;
}

static void watched_moved(struct store_watch *w)
{
	struct partition_reader *pr = CONTAINER_OF(w, struct partition_reader, watch);

	pr->state = question_look(pr);
	if (pr->state == QUESTION_WATCH)
		return;
	store_watch_remove(w);
	question_step(pr);
}

static void came_home(struct partition_reader *pr);

static void message_came_home(struct message *m)
{
	came_home(CONTAINER_OF(m, struct partition_reader, message));
}

/* Where what was lost ends. Of an epoch yet to come (the data is older than the cursor) nothing is
 * known. */
static int64_t resume_offset(const struct partition_reader *pr)
{
	struct store_partition *p = pr->partition;
	const struct partition_state *s = &p->state;
	int64_t end;

	if (pr->read.fault.code == ERR_TRIMMED)
		return s->log_start;
	if (pr->read.fault.code != ERR_TRUNCATED)
		return -1;
	end = pr->epoch < s->leader_epoch ? ops_of(pr)->epoch_end(p, pr->epoch) : s->log_start;
	return end > s->log_start ? end : s->log_start;
}

static void question_answer(struct partition_reader *pr)
{
	const struct partition_state *s = &pr->partition->state;

	pr->log_start = s->log_start;
	pr->high_watermark = s->high_watermark;
	pr->leader_epoch = s->leader_epoch;
	pr->resume_offset = resume_offset(pr);
	if (is_foreign(pr)) {
		pr->message.deliver = message_came_home;
		loop_post(pr->home->loop, &pr->message);
	} else {
		came_home(pr);
	}
}

static void question_step(struct partition_reader *pr)
{
	for (;;) {
		if (pr->stop)
			pr->state = QUESTION_ANSWER;
		switch (pr->state) {
		case QUESTION_LOCATE: pr->state = question_locate(pr); break;
		case QUESTION_TIME:
			question_time(pr); /* resumes at LOOK */
			return;
		case QUESTION_LOOK: pr->state = question_look(pr); break;
		case QUESTION_LAST:
		case QUESTION_READ:
			question_read(pr); /* resumes where after_read says */
			return;
		case QUESTION_WATCH: store_watch_add(pr->partition, &pr->watch); return;
		case QUESTION_ANSWER: question_answer(pr); return;
		}
	}
}

static void question_arrived(struct message *m)
{
	question_step(CONTAINER_OF(m, struct partition_reader, message));
}

static void question_begins_here(struct task *t)
{
	question_step(CONTAINER_OF(t, struct partition_reader, task));
}

/* --- cancel ----------------------------------------------------------------------------------- */

static void nothing_abroad(struct partition_reader *pr)
{
	pr->cancelling = false;
	topic_release(pr->topic, pr->home->loop);
}

static void try_cancelled(struct partition_reader *pr)
{
	if (pr->out || pr->cancel_out)
		return;
	nothing_abroad(pr);
	pr->cancelled(pr);
}

static void cancel_came_home(struct message *m)
{
	struct partition_reader *pr = CONTAINER_OF(m, struct partition_reader, cancel);

	pr->cancel_out = false;
	try_cancelled(pr);
}

/* On the owner. When the answer has left already `state` is ANSWER, and home leaves it alone. */
static void cancel_arrived(struct message *m)
{
	struct partition_reader *pr = CONTAINER_OF(m, struct partition_reader, cancel);

	if (pr->state != QUESTION_ANSWER)
		pr->stop = true;
	if (pr->state == QUESTION_WATCH) {
		store_watch_remove(&pr->watch);
		question_step(pr);
	}
	pr->cancel.deliver = cancel_came_home;
	loop_post(pr->home->loop, &pr->cancel);
}

static bool cancel_here(struct partition_reader *pr)
{
	pr->stop = true;
	if (list_is_linked(&pr->task.node))
		task_cancel(&pr->task);
	else if (pr->state == QUESTION_WATCH)
		store_watch_remove(&pr->watch);
	else
		return false;
	pr->out = false;
	nothing_abroad(pr);
	return true;
}

bool partition_reader_cancel(struct partition_reader *pr)
{
	if (!pr->out)
		return true;
	CHECK(!pr->cancelling);
	pr->cancelling = true;
	if (!is_foreign(pr))
		return cancel_here(pr);
	pr->cancel_out = true;
	pr->cancel.deliver = cancel_arrived;
	loop_post(shard_of(pr->home, pr->partition->shard)->loop, &pr->cancel);
	return false;
}

/* --- home ------------------------------------------------------------------------------------- */

void partition_reader_init(struct partition_reader *pr, struct broker *home, struct topic *topic,
                           uint32_t partition)
{
	pr->home = home;
	pr->topic = topic;
	pr->partition = topic->facts->stored->partitions[partition];
	pr->watch.moved = watched_moved;
}

void partition_reader_ask(struct partition_reader *pr, int64_t offset, bool wait)
{
	CHECK(!pr->out);
	CHECK(!pr->holder);
	pr->out = true;
	pr->state = pr->is_known ? QUESTION_LOOK : QUESTION_LOCATE;
	pr->wait = wait;
	pr->stop = false;
	pr->offset = offset;
	answer_clear(pr);
	topic_use(pr->topic);
	if (is_foreign(pr)) {
		pr->message.deliver = question_arrived;
		loop_post(shard_of(pr->home, pr->partition->shard)->loop, &pr->message);
	} else {
		pr->task.run = question_begins_here;
		loop_defer(pr->home->loop, LOOP_WORK, &pr->task);
	}
}

static void came_home(struct partition_reader *pr)
{
	pr->out = false;
	pr->run = pr->read.batches;
	pr->holder = pr->read.holder;
	if (pr->cancelling) {
		partition_reader_drop_run(pr);
		try_cancelled(pr);
		return;
	}
	pr->is_known = true;
	topic_release(pr->topic, pr->home->loop);
	pr->answered(pr);
}

void partition_reader_drop_run(struct partition_reader *pr)
{
	if (pr->holder)
		shared_put(pr->holder);
	pr->holder = NULL;
	pr->run = SLICE_NONE;
	pr->in_batch = false;
}

/* The next batch that reaches up to `next_offset`. */
static enum run_next batch_next(struct partition_reader *pr, int64_t next_offset)
{
	struct batch batch;

	while (pr->run.len > 0) {
		if (batch_parse(pr->run, &batch, NULL))
			return RUN_CORRUPT;
		pr->run.ptr += batch.bytes.len;
		pr->run.len -= batch.bytes.len;
		if (batch.last_offset < next_offset)
			continue;
		batch_iter_init(&pr->iter, &batch);
		pr->in_batch = true;
		return RUN_EVENT;
	}
	return RUN_END;
}

enum run_next partition_reader_next(struct partition_reader *pr, struct record *out,
                                    int64_t *next_offset)
{
	bool corrupt = false;
	enum run_next next;

	for (;;) {
		while (pr->in_batch && batch_iter_next(&pr->iter, out, &corrupt)) {
			if (out->offset < *next_offset)
				continue;
			*next_offset = out->offset + 1;
			return RUN_EVENT;
		}
		if (corrupt)
			return RUN_CORRUPT;
		if (pr->in_batch && *next_offset <= pr->iter.batch.last_offset)
			*next_offset = pr->iter.batch.last_offset + 1; /* its tail is a gap */
		pr->in_batch = false;
		next = batch_next(pr, *next_offset);
		if (next != RUN_EVENT)
			return next;
	}
}

enum run_next partition_reader_take_run(struct partition_reader *pr, struct slice *out,
                                        int64_t *next_offset)
{
	struct slice run = pr->run;
	struct batch batch;

	if (run.len == 0)
		return RUN_END;
	while (pr->run.len > 0) {
		if (batch_parse(pr->run, &batch, NULL))
			return RUN_CORRUPT;
		pr->run.ptr += batch.bytes.len;
		pr->run.len -= batch.bytes.len;
		*next_offset = batch.last_offset + 1;
	}
	*out = run;
	return RUN_EVENT;
}
