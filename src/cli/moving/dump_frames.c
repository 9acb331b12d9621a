/* Whole record batches as they are stored, in frames (docs/formats.md#dump):
 *
 *   file header                                 frame
 *    0  8  magic "bourndmp"                      0  4  magic "bDMP"
 *    8  4  version = 1                           4  4  payload length
 *   12  4  0                                     8  1  1 topic, 2 batches, 3 end
 *   16  8  created at, ms                        9  3  0
 *   24  4  0                                    12  4  topic: how many came before it
 *   28  4  CRC of bytes 0-27                    16  4  partition
 *                                               20  4  0
 *                                               24  8  events: batches: in it; end: in the file
 *                                               32  4  CRC of the payload
 *                                               36  4  CRC of bytes 0-35
 *                                               40     payload */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "cli/moving/dump_file.h"
#include "record/batch.h"
#include "wire/json.h"

enum {
	FILE_HEADER_BYTES = 32,
	FRAME_HEADER_BYTES = 40,
	PAYLOAD_BYTES_MAX = DUMP_BATCHES_BYTES_MAX,
};

enum frame_type { FRAME_TOPIC = 1, FRAME_BATCHES = 2, FRAME_END = 3 };

#define FILE_MAGIC "bourndmp"

static const struct slice frame_magic = SLICE_LIT("bDMP");

struct frame {
	enum frame_type type;
	uint32_t topic;
	uint32_t partition;
	int64_t event_count;
	struct slice payload;
};

/* --- writing ---------------------------------------------------------------------------------- */

static void frames_begin(struct dump_writer *w, int64_t created_at_ms)
{
	uint8_t header[FILE_HEADER_BYTES] = {0};

	memcpy(header, FILE_MAGIC, sizeof(FILE_MAGIC) - 1);
	store_le32(header + 8, DUMP_VERSION);
	store_le64(header + 16, (uint64_t)created_at_ms);
	store_le32(header + 28, crc32c(0, header, 28));
	buf_append(&w->out, header, sizeof(header));
}

static void append_frame(struct dump_writer *w, const struct frame *frame)
{
	uint8_t header[FRAME_HEADER_BYTES] = {0};

	memcpy(header, frame_magic.ptr, frame_magic.len);
	store_le32(header + 4, (uint32_t)frame->payload.len);
	header[8] = (uint8_t)frame->type;
	store_le32(header + 12, frame->topic);
	store_le32(header + 16, frame->partition);
	store_le64(header + 24, (uint64_t)frame->event_count);
	store_le32(header + 32, crc32c(0, frame->payload.ptr, frame->payload.len));
	store_le32(header + 36, crc32c(0, header, 36));
	buf_append(&w->out, header, sizeof(header));
	buf_append_slice(&w->out, frame->payload);
}

static void frames_topic(struct dump_writer *w, const struct dump_topic *t)
{
	struct buf json = BUF_INIT(DUMP_TOPIC_BYTES_MAX);
	struct frame frame = {.type = FRAME_TOPIC, .topic = w->topic_count};

	dump_topic_append(t, &json);
	frame.payload = buf_slice(&json);
	w->out.failed = w->out.failed || json.failed;
	append_frame(w, &frame);
	buf_fini(&json);
}

static int64_t count_events(struct slice batches)
{
	int64_t count = 0;
	struct batch b;

	while (batches.len > 0) {
		CHECK(batch_parse(batches, &b, NULL) == OK);
		count += b.record_count;
		batches = slice_of(batches.ptr + b.bytes.len, batches.len - b.bytes.len);
	}
	return count;
}

static void frames_batches(struct dump_writer *w, uint32_t partition, struct slice batches)
{
	struct frame frame = {
		.type = FRAME_BATCHES,
		.topic = w->topic_index,
		.partition = partition,
		.event_count = count_events(batches),
		.payload = batches,
	};

	append_frame(w, &frame);
	w->event_count += frame.event_count;
}

static void frames_check(struct dump_writer *w)
{
	(void)w; /* each frame bears its own */
}

static void frames_end(struct dump_writer *w)
{
	append_frame(w, &(struct frame){.type = FRAME_END, .event_count = w->event_count});
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool header_ok(const uint8_t *at)
{
	return memcmp(at, frame_magic.ptr, frame_magic.len) == 0 &&
	       load_le32(at + 36) == crc32c(0, at, 36);
}

static bool frames_has_end(struct slice tail)
{
	const uint8_t *at = tail.ptr + tail.len - FRAME_HEADER_BYTES;

	return tail.len >= FRAME_HEADER_BYTES && header_ok(at) && at[8] == FRAME_END;
}

static int64_t place(const struct dump_reader *r)
{
	return r->in_at + (int64_t)r->used;
}

#define REFUSE(r, f, format, ...)                                                                  \
	fault_set((f), ERR_INPUT, 0, "%.60s, byte %lld: " format, (r)->name, (long long)place(r),  \
	          ##__VA_ARGS__)

static enum err damaged(const struct dump_reader *r, const char *what, struct fault *f)
{
	return REFUSE(r, f, "%s fails its checksum; get a good copy, or dump again", what);
}

static enum err cut(struct dump_reader *r, struct dump_item *out)
{
	*out = (struct dump_item){.kind = DUMP_CUT};
	r->good_at = place(r);
	return OK;
}

/* `*whole`: the file goes on for that long. */
static enum err want(struct dump_reader *r, size_t bytes, bool *whole, struct fault *f)
{
	enum err err = dump_fill(r, bytes, f);

	*whole = r->in.len - r->used >= bytes;
	return err;
}

static enum err check_file_header(struct dump_reader *r, bool *whole, struct fault *f)
{
	const uint8_t *at;
	uint32_t version;
	enum err err = want(r, FILE_HEADER_BYTES, whole, f);

	if (err || !*whole)
		return err;
	at = r->in.ptr + r->used;
	version = load_le32(at + 8);
	if (load_le32(at + 28) != crc32c(0, at, 28))
		return damaged(r, "the header", f);
	if (version != DUMP_VERSION)
		return REFUSE(r, f, "a dump of version %u; this program reads %d: use a newer one",
		              version, DUMP_VERSION);
	r->used += FILE_HEADER_BYTES;
	return OK;
}

static enum err take_header(struct dump_reader *r, struct frame *frame, size_t *payload_bytes,
                            struct fault *f)
{
	const uint8_t *at = r->in.ptr + r->used;

	if (!header_ok(at))
		return damaged(r, "a frame's header", f);
	*payload_bytes = load_le32(at + 4);
	*frame = (struct frame){
		.type = at[8],
		.topic = load_le32(at + 12),
		.partition = load_le32(at + 16),
		.event_count = (int64_t)load_le64(at + 24),
	};
	if (*payload_bytes > PAYLOAD_BYTES_MAX)
		return REFUSE(r, f, "a frame of %zu bytes; there is none above %d", *payload_bytes,
		              PAYLOAD_BYTES_MAX);
	return OK;
}

/* One whole frame at r->used; `*whole` false: the file ends in it. */
static enum err take_frame(struct dump_reader *r, struct frame *frame, bool *whole, struct fault *f)
{
	size_t payload_bytes = 0;
	const uint8_t *at;
	enum err err = want(r, FRAME_HEADER_BYTES, whole, f);

	if (!err && *whole)
		err = take_header(r, frame, &payload_bytes, f);
	if (!err && *whole)
		err = want(r, FRAME_HEADER_BYTES + payload_bytes, whole, f);
	if (err || !*whole)
		return err;
	at = r->in.ptr + r->used;
	frame->payload = slice_of(at + FRAME_HEADER_BYTES, payload_bytes);
	if (load_le32(at + 32) != crc32c(0, frame->payload.ptr, payload_bytes))
		return damaged(r, "a frame", f);
	return OK;
}

/* Right under their checksums, and what they ought to be: they may have been made by anyone. */
static enum err check_batches(const struct dump_reader *r, const struct frame *frame,
                              struct fault *f)
{
	struct slice rest = frame->payload;
	int64_t count = 0, next = 0;
	struct fault why;
	struct batch b;

	if (frame->topic >= r->topic_count)
		return REFUSE(r, f, "events of a topic that did not come");
	if (frame->partition >= r->topics[frame->topic]->partition_count)
		return REFUSE(r, f, "'%.40s' has no partition %u", r->topics[frame->topic]->name,
		              frame->partition);
	for (; rest.len > 0; rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		if (batch_validate_sparse(rest, &b, &why))
			return REFUSE(r, f, "%.100s", why.where);
		if (b.base_offset < next || b.last_offset == INT64_MAX)
			return REFUSE(r, f, "offset %lld after %lld", (long long)b.base_offset,
			              (long long)next);
		next = b.last_offset + 1;
		count += b.record_count;
	}
	if (count != frame->event_count)
		return REFUSE(r, f, "%lld events where %lld are said to be", (long long)count,
		              (long long)frame->event_count);
	return OK;
}

static enum err take_topic(struct dump_reader *r, const struct frame *frame, struct dump_item *out,
                           struct fault *f)
{
	struct fault why;

	if (frame->topic != r->topic_count)
		return REFUSE(r, f, "topic %u where %u must be", frame->topic, r->topic_count);
	if (!json_validate(frame->payload, JSON_DEPTH_MAX, NULL))
		return REFUSE(r, f, "a topic that is not JSON");
	if (dump_add_topic(r, frame->payload, out, &why))
		return REFUSE(r, f, "%.100s", why.where);
	return OK;
}

static enum err take_end(struct dump_reader *r, const struct frame *frame, struct dump_item *out,
                         struct fault *f)
{
	if (frame->event_count != r->event_count)
		return REFUSE(r, f, "it says that %lld events came, but %lld did",
		              (long long)frame->event_count, (long long)r->event_count);
	r->used += FRAME_HEADER_BYTES + frame->payload.len;
	if (dump_fill(r, 1, f))
		return f->code;
	if (dump_unread(r).len > 0)
		return REFUSE(r, f, "there are bytes behind the end");
	*out = (struct dump_item){.kind = DUMP_END};
	return OK;
}

static enum err take_item(struct dump_reader *r, const struct frame *frame, struct dump_item *out,
                          struct fault *f)
{
	enum err err;

	switch (frame->type) {
	case FRAME_TOPIC: err = take_topic(r, frame, out, f); break;
	case FRAME_BATCHES:
		err = check_batches(r, frame, f);
		*out = (struct dump_item){
			.kind = DUMP_BATCHES,
			.topic = frame->topic,
			.partition = frame->partition,
			.batches = frame->payload,
			.event_count = frame->event_count,
		};
		break;
	case FRAME_END: return take_end(r, frame, out, f);
	default: return REFUSE(r, f, "a frame of unknown type %d", (int)frame->type);
	}
	if (!err)
		r->used += FRAME_HEADER_BYTES + frame->payload.len;
	return err;
}

static enum err frames_next(struct dump_reader *r, struct dump_item *out, struct fault *f)
{
	struct frame frame = {0};
	bool whole = true;
	enum err err = OK;

	if (place(r) == 0)
		err = check_file_header(r, &whole, f);
	if (!err && whole)
		err = take_frame(r, &frame, &whole, f);
	if (err)
		return err;
	if (!whole)
		return cut(r, out);
	err = take_item(r, &frame, out, f);
	if (!err)
		r->good_at = place(r);
	return err;
}

const struct dump_format dump_frames = {
	.magic = {(const uint8_t *)FILE_MAGIC, sizeof(FILE_MAGIC) - 1},
	.begin = frames_begin,
	.topic = frames_topic,
	.batches = frames_batches,
	.check = frames_check,
	.end = frames_end,
	.has_end = frames_has_end,
	.next = frames_next,
};
