#include "cli/moving/dump_lines.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "record/batch.h"
#include "wire/media_type.h"
#include "wire/utf8.h"

#include <stdio.h>

static const struct slice content_type_name = SLICE_LIT(DUMP_LINES_TYPE_NAME);

/* --- writing ---------------------------------------------------------------------------------- */

static void append_pair(struct buf *out, const struct header *h)
{
	bool name, value = false;

	buf_append_lit(out, "[");
	name = json_append_bytes(out, h->name);
	buf_append_lit(out, ",");
	if (h->value.ptr)
		value = json_append_bytes(out, h->value);
	else
		buf_append_lit(out, "null");
	if (name || value)
		buf_append_str(out, name && value ? ",\"base64_both\""
		                    : name        ? ",\"base64_name\""
		                                  : ",\"base64\"");
	buf_append_lit(out, "]");
}

static bool is_content_type(const struct header *h)
{
	return h->value.ptr && slice_eq(h->name, content_type_name) && utf8_valid(h->value);
}

static void append_headers(struct buf *out, const struct record *r)
{
	struct slice rest = r->headers;
	struct header h = {0};
	uint32_t count = 0;

	while (header_next(&rest, &h)) {
		if (++count == r->header_count && is_content_type(&h))
			break;
		buf_append_str(out, count > 1 ? "," : ",\"headers\":[");
		append_pair(out, &h);
	}
	if (count > 1 || (count == 1 && !is_content_type(&h)))
		buf_append_lit(out, "]");
	if (count > 0 && is_content_type(&h)) {
		buf_append_lit(out, ",\"content_type\":");
		json_append_string(out, h.value);
	}
}

/* It may stand in a line just as it is. */
static bool is_bare_json(const struct record *r)
{
	struct slice type = SLICE_NONE;

	return record_header(r, "content-type", &type) && type.ptr &&
	       media_kind(type) == MEDIA_JSON && !memchr(r->value.ptr, '\n', r->value.len) &&
	       !memchr(r->value.ptr, '\r', r->value.len) &&
	       json_validate(r->value, DUMP_LINES_VALUE_DEPTH_MAX, NULL) &&
	       json_root(r->value).raw.len == r->value.len;
}

static void append_value(struct buf *out, const struct record *r)
{
	if (!r->value.ptr) {
		buf_append_lit(out, ",\"encoding\":\"none\",\"value\":null");
	} else if (r->value.len > 0 && is_bare_json(r)) {
		buf_append_lit(out, ",\"encoding\":\"json\",\"value\":");
		buf_append_slice(out, r->value);
	} else if (utf8_valid(r->value)) {
		buf_append_lit(out, ",\"encoding\":\"text\",\"value\":");
		json_append_string(out, r->value);
	} else {
		buf_append_lit(out, ",\"encoding\":\"base64\",\"value\":");
		json_append_base64(out, r->value);
	}
}

static void append_event(struct dump_writer *w, uint32_t partition, const struct record *r)
{
	struct buf *out = &w->out;

	buf_append_lit(out, "{\"topic\":\"");
	buf_append_str(out, w->topic); /* its characters need no escapes */
	buf_append_lit(out, "\",\"partition\":");
	buf_append_int64(out, partition);
	buf_append_lit(out, ",\"offset\":");
	buf_append_int64(out, r->offset);
	buf_append_lit(out, ",\"timestamp\":");
	buf_append_int64(out, r->timestamp);
	if (r->key.ptr) {
		buf_append_lit(out, ",\"key\":");
		if (json_append_bytes(out, r->key))
			buf_append_lit(out, ",\"key_encoding\":\"base64\"");
	}
	append_headers(out, r);
	append_value(out, r);
	buf_append_lit(out, "}\n");
	w->event_count++;
}

static void lines_begin(struct dump_writer *w, int64_t created_at_ms)
{
	buf_append_lit(&w->out, DUMP_LINES_FIRST);
	buf_append_int64(&w->out, DUMP_VERSION);
	buf_append_lit(&w->out, ",\"created_at\":");
	buf_append_int64(&w->out, created_at_ms);
	buf_append_lit(&w->out, "}\n");
}

static void lines_topic(struct dump_writer *w, const struct dump_topic *t)
{
	dump_topic_append(t, &w->out);
}

static void lines_check(struct dump_writer *w)
{
	size_t bytes = w->out.len - w->checked;
	char line[DUMP_LINES_CHECK_BYTES + 1];

	if (bytes == 0 || w->out.failed)
		return;
	snprintf(line, sizeof(line), "{\"check\":\"%08x\"}\n",
	         crc32c(0, w->out.ptr + w->checked, bytes));
	buf_append(&w->out, line, DUMP_LINES_CHECK_BYTES);
	w->checked = w->out.len;
}

static void lines_batches(struct dump_writer *w, uint32_t partition, struct slice batches)
{
	struct batch_iter it;
	struct batch b;
	struct record r;
	bool corrupt;

	for (; batches.len > 0;
	     batches = slice_of(batches.ptr + b.bytes.len, batches.len - b.bytes.len)) {
		CHECK(batch_parse(batches, &b, NULL) == OK);
		batch_iter_init(&it, &b);
		while (batch_iter_next(&it, &r, &corrupt)) {
			append_event(w, partition, &r);
			if (w->out.len - w->checked >= DUMP_CHUNK_BYTES)
				lines_check(w);
		}
		CHECK(!corrupt);
	}
}

static void lines_end(struct dump_writer *w)
{
	buf_append_lit(&w->out, DUMP_LINES_END);
	buf_append_lit(&w->out, "\"events\":");
	buf_append_int64(&w->out, w->event_count);
	buf_append_lit(&w->out, "}\n");
}

const struct dump_format dump_lines = {
	.magic = {(const uint8_t *)DUMP_LINES_FIRST, sizeof(DUMP_LINES_FIRST) - 1},
	.begin = lines_begin,
	.topic = lines_topic,
	.batches = lines_batches,
	.check = lines_check,
	.end = lines_end,
	.has_end = dump_lines_has_end,
	.next = dump_lines_next,
};
