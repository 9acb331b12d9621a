/* The reading of lines: chunks under a right checksum, lines of one, events of lines, batches of
 * events. */
#include "base/check.h"
#include "base/crc32c.h"
#include "cli/moving/dump_lines.h"
#include "record/batch.h"
#include "wire/base64.h"

#include <stdio.h>

enum { BATCH_BYTES = 1 << 20 }; /* events are put together into batches of this */

static const struct slice check_words = SLICE_LIT(DUMP_LINES_CHECK);
static const struct slice end_words = SLICE_LIT(DUMP_LINES_END);
static const struct slice content_type_name = SLICE_LIT(DUMP_LINES_TYPE_NAME);

/* --- reading: chunks -------------------------------------------------------------------------- */

/* The last line but the check is an end. */
bool dump_lines_has_end(struct slice tail)
{
	struct slice check, line;
	const uint8_t *before;

	if (tail.len <= DUMP_LINES_CHECK_BYTES)
		return false;
	check = slice_of(tail.ptr + tail.len - DUMP_LINES_CHECK_BYTES, DUMP_LINES_CHECK_BYTES);
	line = slice_of(tail.ptr, tail.len - DUMP_LINES_CHECK_BYTES - 1);
	before = memrchr(line.ptr, '\n', line.len);
	if (!before)
		return false;
	line = slice_of(before + 1, line.len - (size_t)(before + 1 - line.ptr));
	return slice_starts_with(check, check_words) && slice_starts_with(line, end_words);
}

#define REFUSE(r, f, format, ...)                                                                  \
	fault_set((f), ERR_INPUT, 0, "%.60s, line %lld: " format, (r)->name, (long long)(r)->line, \
	          ##__VA_ARGS__)

static int64_t count_lines(struct slice text)
{
	int64_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '\n';
	return count;
}

/* `line` is a check line without its line feed. */
static enum err check_chunk(struct dump_reader *r, struct slice chunk, struct slice line,
                            struct fault *f)
{
	char right[DUMP_LINES_CHECK_BYTES + 1];

	snprintf(right, sizeof(right), "{\"check\":\"%08x\"}", crc32c(0, chunk.ptr, chunk.len));
	if (slice_eq(line, slice_str(right)))
		return OK;
	return REFUSE(r, f,
	              "from here to line %lld something is not as it was written; get a good copy, "
	              "or --edited if you changed it",
	              (long long)(r->line + count_lines(chunk)));
}

/* A stretch of lines under a right checksum; `*found` false: the file ends before one. */
static enum err find_chunk(struct dump_reader *r, bool *found, struct fault *f)
{
	size_t looked = 0; /* so many bytes behind `used` are lines that are no check */

	for (;;) {
		struct slice rest = dump_unread(r);
		const uint8_t *from = rest.ptr + looked;
		const uint8_t *end =
			looked < rest.len ? memchr(from, '\n', rest.len - looked) : NULL;

		if (end && slice_starts_with(slice_of(from, (size_t)(end - from)), check_words)) {
			*found = true;
			r->chunk_end = r->used + looked;
			r->chunk_next = r->used + (size_t)(end + 1 - rest.ptr);
			return check_chunk(r, slice_of(rest.ptr, looked),
			                   slice_of(from, (size_t)(end - from)), f);
		}
		if (end) {
			looked = (size_t)(end + 1 - rest.ptr);
		} else if (r->eof) {
			*found = false;
			return OK;
		} else if (dump_fill(r, rest.len + 1, f)) {
			return f->code;
		}
	}
}

/* Whole lines, whatever they say; the last one may lack its line feed. */
static enum err find_lines(struct dump_reader *r, bool *found, struct fault *f)
{
	const uint8_t *last;

	for (;;) {
		struct slice rest = dump_unread(r);

		last = rest.len > 0 ? memrchr(rest.ptr, '\n', rest.len) : NULL;
		if (last || r->eof) {
			r->chunk_end = last ? r->used + (size_t)(last + 1 - rest.ptr) : r->in.len;
			r->chunk_next = r->chunk_end;
			*found = rest.len > 0;
			return OK;
		}
		if (dump_fill(r, rest.len + 1, f))
			return f->code;
	}
}

/* --- reading: lines --------------------------------------------------------------------------- */

/* The members of a line; `raw` without bytes: not given. */
struct line {
	struct json_value topic, partition, offset, timestamp, key, key_encoding, headers;
	struct json_value content_type, encoding, value; /* of an event, as those above */
	struct json_value partitions, settings, uuid;    /* of a topic */
	struct json_value bourn_dump, created_at;        /* of the first */
	struct json_value end, events;                   /* of the last */
	struct json_value check;                         /* where it is not looked at */
};

static bool given(struct json_value v)
{
	return v.raw.ptr != NULL;
}

/* `*hint`: where it is likely, as ours stand in this order. */
static struct json_value *line_member(struct line *l, struct slice key, size_t *hint)
{
	const struct {
		const char *name;
		struct json_value *value;
	} members[] = {
		{"topic", &l->topic},
		{"partition", &l->partition},
		{"offset", &l->offset},
		{"timestamp", &l->timestamp},
		{"key", &l->key},
		{"key_encoding", &l->key_encoding},
		{"headers", &l->headers},
		{"content_type", &l->content_type},
		{"encoding", &l->encoding},
		{"value", &l->value},
		{"partitions", &l->partitions},
		{"settings", &l->settings},
		{"uuid", &l->uuid},
		{"bourn_dump", &l->bourn_dump},
		{"created_at", &l->created_at},
		{"end", &l->end},
		{"events", &l->events},
		{"check", &l->check},
	};

	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		size_t at = (*hint + i) % ARRAY_COUNT(members);

		if (!json_string_is(key, members[at].name))
			continue;
		*hint = at + 1;
		return members[at].value;
	}
	return NULL;
}

static enum err line_parse(struct dump_reader *r, struct slice text, struct line *l,
                           struct fault *f)
{
	struct json_value value, *member;
	struct json_iter it;
	struct slice key;
	size_t at, hint = 0;

	if (!json_validate(text, JSON_DEPTH_MAX, &at))
		return REFUSE(r, f, "not JSON at byte %zu", at + 1);
	if (json_root(text).kind != JSON_OBJECT)
		return REFUSE(r, f, "not an object");
	*l = (struct line){0};
	json_iter_init(&it, json_root(text));
	while (json_iter_next(&it, &key, &value)) {
		member = line_member(l, key, &hint);
		if (!member)
			return REFUSE(r, f, "unknown member %.*s",
			              (int)(key.len < 40 ? key.len : 40), (const char *)key.ptr);
		*member = value;
	}
	return OK;
}

/* --- reading: an event ------------------------------------------------------------------------ */

/* What `v` stands for, in r->decoded, which has room for it. */
static bool decode(struct dump_reader *r, struct json_value v, bool base64, struct slice *out)
{
	struct buf *to = &r->decoded;
	size_t start = to->len;

	if (v.kind != JSON_STRING)
		return false;
	if (base64 && !base64_decode(BASE64_STD, slice_of(v.raw.ptr + 1, v.raw.len - 2), to))
		return false;
	if (!base64 && !json_string_decode(v.raw, to))
		return false;
	*out = slice_of(to->ptr + start, to->len - start);
	return true;
}

static bool string_is(struct json_value v, const char *text)
{
	return v.kind == JSON_STRING && json_string_is(v.raw, text);
}

static bool take_header(struct dump_reader *r, struct json_value pair)
{
	struct json_value parts[4] = {0};
	struct slice none, name, value = SLICE_NONE;
	bool base64_name, base64_value;
	struct json_iter it;
	size_t count = 0;

	if (pair.kind != JSON_ARRAY)
		return false;
	json_iter_init(&it, pair);
	while (count < ARRAY_COUNT(parts) && json_iter_next(&it, &none, &parts[count]))
		count++;
	base64_name = count == 3 &&
	              (string_is(parts[2], "base64_name") || string_is(parts[2], "base64_both"));
	base64_value =
		count == 3 && (string_is(parts[2], "base64") || string_is(parts[2], "base64_both"));
	if (count < 2 || count > 3 || (count == 3 && !base64_name && !base64_value) ||
	    !decode(r, parts[0], base64_name, &name))
		return false;
	if (parts[1].kind != JSON_NULL && !decode(r, parts[1], base64_value, &value))
		return false;
	header_append(&r->headers, name, value);
	return true;
}

static enum err take_headers(struct dump_reader *r, const struct line *l, struct record *out,
                             struct fault *f)
{
	struct json_value pair;
	struct json_iter it;
	struct slice key, type;

	if (given(l->headers) && l->headers.kind != JSON_ARRAY)
		return REFUSE(r, f, "'headers' is not [[name, value], …]");
	if (given(l->headers)) {
		json_iter_init(&it, l->headers);
		for (; json_iter_next(&it, &key, &pair); out->header_count++)
			if (!take_header(r, pair))
				return REFUSE(r, f, "header %u is not [name, value]",
				              out->header_count + 1);
	}
	if (given(l->content_type)) {
		if (!decode(r, l->content_type, false, &type))
			return REFUSE(r, f, "'content_type' is not a string");
		header_append(&r->headers, content_type_name, type);
		out->header_count++;
	}
	out->headers = buf_slice(&r->headers);
	return OK;
}

static enum err take_value(struct dump_reader *r, const struct line *l, struct record *out,
                           struct fault *f)
{
	if (string_is(l->encoding, "none") && (!given(l->value) || l->value.kind == JSON_NULL))
		return OK;
	if (string_is(l->encoding, "json") && given(l->value)) {
		out->value = l->value.raw;
		return OK;
	}
	if (string_is(l->encoding, "text") && decode(r, l->value, false, &out->value))
		return OK;
	if (string_is(l->encoding, "base64") && decode(r, l->value, true, &out->value))
		return OK;
	return REFUSE(r, f, "'value' is not what 'encoding' says (json, text, base64 or none)");
}

static enum err take_record(struct dump_reader *r, const struct line *l, size_t line_bytes,
                            struct record *out, struct fault *f)
{
	bool base64_key = string_is(l->key_encoding, "base64");
	enum err err;

	*out = (struct record){0};
	buf_clear(&r->decoded);
	buf_clear(&r->headers);
	/* Nothing decoded is longer than its JSON; nothing may move once a slice points there. */
	if (!buf_reserve(&r->decoded, line_bytes) || !buf_reserve(&r->headers, 2 * line_bytes))
		return REFUSE(r, f, "it is too long");
	if (!json_to_int64(l->offset, &out->offset) || out->offset < 0 || out->offset == INT64_MAX)
		return REFUSE(r, f, "'offset' is not an offset");
	if (!given(l->timestamp) || !json_to_int64(l->timestamp, &out->timestamp))
		return REFUSE(r, f, "'timestamp' is not a number of ms");
	if (given(l->key_encoding) && !base64_key)
		return REFUSE(r, f, "'key_encoding' is not base64");
	if (given(l->key) && !decode(r, l->key, base64_key, &out->key))
		return REFUSE(r, f, "'key' is not a string, or not base64");
	err = take_headers(r, l, out, f);
	return err ? err : take_value(r, l, out, f);
}

static enum err find_topic(struct dump_reader *r, const struct line *l, uint32_t *topic,
                           uint32_t *partition, struct fault *f)
{
	int64_t number;

	for (uint32_t i = r->topic_count; i-- > 0;) {
		if (!string_is(l->topic, r->topics[i]->name))
			continue;
		if (!given(l->partition) || !json_to_int64(l->partition, &number) || number < 0 ||
		    number >= r->topics[i]->partition_count)
			return REFUSE(r, f, "'%.60s' has no such partition", r->topics[i]->name);
		*topic = i;
		*partition = (uint32_t)number;
		return OK;
	}
	return REFUSE(r, f, "an event of a topic that did not come before");
}

/* --- reading: batches ------------------------------------------------------------------------- */

/* One that is being made of lines. */
struct gathering {
	struct batch_builder builder;
	struct dump_item item;
	int64_t base_offset;
	int64_t next_offset;
};

/* Does it go into the batch? */
static bool joins(const struct gathering *g, uint32_t topic, uint32_t partition,
                  const struct record *r)
{
	return g->item.topic == topic && g->item.partition == partition &&
	       r->offset >= g->next_offset && r->offset - g->base_offset < INT32_MAX &&
	       batch_builder_bytes(&g->builder) + record_encoded_bytes_max(r) <= BATCH_BYTES;
}

static void gather(struct gathering *g, struct dump_reader *r, uint32_t topic, uint32_t partition,
                   const struct record *record)
{
	if (g->item.event_count == 0) {
		buf_clear(&r->batches);
		batch_begin(&g->builder, &r->batches);
		g->item.topic = topic;
		g->item.partition = partition;
		g->base_offset = g->next_offset = record->offset;
	}
	batch_skip(&g->builder, (uint32_t)(record->offset - g->next_offset));
	batch_add(&g->builder, record);
	g->next_offset = record->offset + 1;
	g->item.event_count++;
}

static enum err gathered(struct gathering *g, struct dump_reader *r, struct dump_item *out,
                         struct fault *f)
{
	g->item.kind = DUMP_BATCHES;
	g->item.batches = batch_finish(&g->builder);
	if (!g->item.batches.ptr)
		return REFUSE(r, f, "it is too long");
	batch_assign(r->batches.ptr, g->base_offset, -1);
	*out = g->item;
	return OK;
}

/* --- reading: items --------------------------------------------------------------------------- */

static enum err take_first(struct dump_reader *r, const struct line *l, struct fault *f)
{
	int64_t version;

	if (r->line != 1)
		return REFUSE(r, f, "another dump begins in the middle of this one");
	if (!json_to_int64(l->bourn_dump, &version) || version < 1)
		return REFUSE(r, f, "'bourn_dump' is not a version");
	if (version > DUMP_VERSION)
		return REFUSE(r, f,
		              "a dump of version %lld; this program reads %d: use a newer one",
		              (long long)version, DUMP_VERSION);
	return OK;
}

static enum err take_end(struct dump_reader *r, const struct line *l, struct dump_item *out,
                         struct fault *f)
{
	int64_t count;

	if (!given(l->events) || !json_to_int64(l->events, &count))
		return REFUSE(r, f, "'events' is not a number");
	if (count != r->event_count && !r->unchecked)
		return REFUSE(r, f, "it says that %lld events came, but %lld did", (long long)count,
		              (long long)r->event_count);
	*out = (struct dump_item){.kind = DUMP_END};
	return OK;
}

/* A line that is no event. `*is_item` false: nothing for the caller. */
static enum err take_other(struct dump_reader *r, const struct line *l, struct slice text,
                           struct dump_item *out, bool *is_item, struct fault *f)
{
	struct fault why;

	*is_item = false;
	if (given(l->bourn_dump))
		return take_first(r, l, f);
	if (given(l->check))
		return OK;
	*is_item = true;
	if (given(l->end))
		return take_end(r, l, out, f);
	if (!given(l->partitions))
		return REFUSE(r, f, "neither a topic nor an event");
	if (dump_add_topic(r, text, out, &why))
		return REFUSE(r, f, "%.100s", why.where);
	return OK;
}

static struct slice next_line(const struct dump_reader *r)
{
	struct slice rest = slice_of(r->in.ptr + r->used, r->chunk_end - r->used);
	const uint8_t *end = memchr(rest.ptr, '\n', rest.len);

	return end ? slice_of(rest.ptr, (size_t)(end - rest.ptr)) : rest;
}

static void line_used(struct dump_reader *r, struct slice line)
{
	r->used += line.len;
	if (r->used < r->chunk_end)
		r->used++; /* the line feed */
	r->line++;
}

/* The next item of the chunk; `*is_item` false: it has none any more. */
static enum err chunk_next(struct dump_reader *r, struct dump_item *out, bool *is_item,
                           struct fault *f)
{
	struct gathering g = {0};

	*is_item = false;
	while (r->used < r->chunk_end && !*is_item) {
		struct slice text = next_line(r);
		uint32_t topic = 0, partition = 0;
		struct record record;
		struct line line;
		enum err err = line_parse(r, text, &line, f);
		bool is_event = !err && given(line.offset);

		if (is_event)
			err = find_topic(r, &line, &topic, &partition, f);
		if (is_event && !err)
			err = take_record(r, &line, text.len, &record, f);
		if (err)
			return err;
		if (g.item.event_count > 0 && (!is_event || !joins(&g, topic, partition, &record)))
			break; /* it stays for the next call */
		if (is_event)
			gather(&g, r, topic, partition, &record);
		else
			err = take_other(r, &line, text, out, is_item, f);
		if (err)
			return err;
		line_used(r, text);
	}
	if (g.item.event_count == 0)
		return OK;
	*is_item = true;
	return gathered(&g, r, out, f);
}

/* The chunk is used up. */
static void chunk_used(struct dump_reader *r)
{
	if (r->chunk_next > r->chunk_end)
		r->line++;
	r->used = r->chunk_next;
	r->good_at = r->in_at + (int64_t)r->used;
}

/* But for its check line, where that is not looked at. */
static enum err check_nothing_follows(struct dump_reader *r, struct fault *f)
{
	struct slice rest;

	if (!r->unchecked && r->used == r->chunk_end)
		chunk_used(r);
	if (dump_fill(r, 1, f))
		return f->code;
	rest = dump_unread(r);
	if (rest.len == 0 || (r->unchecked && slice_starts_with(rest, check_words)))
		return OK;
	return REFUSE(r, f, "there is something behind the end");
}

enum err dump_lines_next(struct dump_reader *r, struct dump_item *out, struct fault *f)
{
	for (;;) {
		bool found = false;
		enum err err = OK;

		if (r->used < r->chunk_end) {
			err = chunk_next(r, out, &found, f);
			if (!err && found && out->kind == DUMP_END)
				return check_nothing_follows(r, f);
			if (err || found)
				return err;
		}
		if (r->chunk_next > 0)
			chunk_used(r);
		r->chunk_end = r->chunk_next = 0;
		err = r->unchecked ? find_lines(r, &found, f) : find_chunk(r, &found, f);
		if (err)
			return err;
		if (!found) {
			*out = (struct dump_item){.kind = DUMP_CUT};
			return OK;
		}
	}
}
