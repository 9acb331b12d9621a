#include "cli/moving/load_append.h"

#include "cli/cli.h"
#include "cli/moving/dump_source.h"
#include "cli/remote.h"
#include "record/batch.h"

enum {
	PATH_BYTES_MAX = 2048,
	COMPARED_FROM = 16, /* byte of a batch: base offset and leader epoch are the broker's */
};

#define REFUSE(a, f, format, ...)                                                                  \
	fault_set((f), ERR_INPUT, 0, "topic '%.60s': " format, (a)->topic, ##__VA_ARGS__)

void load_append_init(struct load_append *a, struct client *client, struct retry *retry,
                      const char *topic, bool only_there)
{
	*a = (struct load_append){
		.client = client,
		.retry = retry,
		.topic = topic,
		.only_there = only_there,
		.there = BUF_INIT(CLIENT_BODY_BYTES_MAX),
	};
	client_response_init(&a->response);
}

void load_append_fini(struct load_append *a)
{
	load_append_rest(a);
}

void load_append_rest(struct load_append *a)
{
	buf_fini(&a->there);
	client_response_fini(&a->response); /* its limits stay */
}

bool load_try_again(const struct load_append *a, enum err err)
{
	return err && retry_again(a->retry, err) && !atomic_load(cli_stopped());
}

enum err load_look_at(struct load_append *a, uint32_t partition, int64_t offset, int64_t *next,
                      struct fault *f)
{
	enum err err;

	do {
		err = dump_source_read_whole(a->client, a->topic, partition, offset, &a->there,
		                             next, f);
	} while (load_try_again(a, err));
	return err;
}

static enum err post(struct load_append *a, uint32_t partition, struct slice batch, int64_t offset,
                     struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX), fields = BUF_INIT(256);
	struct client_request request = {.method = "POST", .body = batch};
	enum err err;

	remote_path(&path, "v1/topics", a->topic);
	buf_printf(&path, "/batches?partition=%u", partition);
	buf_printf(&fields,
	           "Content-Type: application/vnd.bourn.batches\r\nExpected-Offset: %lld\r\n",
	           (long long)offset);
	request.path = buf_slice(&path);
	request.fields = buf_slice(&fields);
	err = remote_call(a->client, &request, &a->response, f);
	buf_fini(&path);
	buf_fini(&fields);
	return err;
}

/* Nothing was stored, or that cannot be found out now. */
static bool is_final(enum err err)
{
	switch (err) {
	case ERR_OFFSET_MISMATCH:
	case ERR_UNREACHABLE:
	case ERR_REQUEST_SLOW:
	case ERR_BUSY:
	case ERR_NO_MEMORY:
	case ERR_NOT_READY:
	case ERR_SHUTTING_DOWN: return false;
	default: return true;
	}
}

static bool is_there(const struct load_append *a, struct slice batch, int64_t offset)
{
	struct slice there = buf_slice(&a->there);
	struct batch b;

	return batch_parse(there, &b, NULL) == OK && b.base_offset == offset &&
	       b.bytes.len == batch.len &&
	       memcmp(there.ptr + COMPARED_FROM, batch.ptr + COMPARED_FROM,
	              batch.len - COMPARED_FROM) == 0;
}

static enum err log_end(struct load_append *a, uint32_t partition, int64_t *end, struct fault *f)
{
	struct dump_topic *now = dump_topic_new();
	enum err err = now ? OK : fault_set(f, ERR_NO_MEMORY, 0, "topic '%.60s'", a->topic);

	if (err)
		return err;
	do {
		err = dump_source_describe(a->client, a->topic, now, f);
	} while (load_try_again(a, err));
	if (!err && partition < now->partition_count)
		*end = now->spans[partition].high_watermark;
	else if (!err)
		err = REFUSE(a, f, "it was made anew meanwhile, with fewer partitions");
	dump_topic_free(now);
	return err;
}

/* It is not known whether the batch is stored at `*offset`. `*stored`: it is; else `*offset` is
 * where to send it next. */
static enum err find_out(struct load_append *a, uint32_t partition, struct slice batch,
                         int64_t *offset, bool *stored, struct fault *f)
{
	int64_t next = *offset;
	enum err err = load_look_at(a, partition, *offset, &next, f);

	if (err == ERR_OUT_OF_RANGE)
		return REFUSE(a, f,
		              "the broker has lost events of partition %u that it had "
		              "acknowledged, as its durability allows; delete it and load again",
		              partition);
	if (err || next == *offset)
		return err;
	*stored = is_there(a, batch, *offset);
	if (*stored)
		return OK;
	if (a->only_there)
		return REFUSE(a, f,
		              "somebody else appended to partition %u, at offset %lld: offsets "
		              "cannot be kept",
		              partition, (long long)*offset);
	return log_end(a, partition, offset, f);
}

enum err load_append(struct load_append *a, uint32_t partition, struct slice batch, int64_t *offset,
                     struct fault *f)
{
	bool stored = false;

	while (!stored) {
		enum err err = post(a, partition, batch, *offset, f);

		if (!err) {
			retry_answered(a->retry);
			return OK;
		}
		if (is_final(err) || (err != ERR_OFFSET_MISMATCH && !load_try_again(a, err)))
			return err;
		err = find_out(a, partition, batch, offset, &stored, f);
		if (err)
			return err;
	}
	return OK;
}
