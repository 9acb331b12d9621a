#include "cli/moving/dump_topic.h"

#include "base/check.h"
#include "wire/json.h"

#include <stdlib.h>

enum { SETTINGS_BYTES_MAX = 64 << 10 };

struct dump_topic *dump_topic_new(void)
{
	struct dump_topic *t = calloc(1, sizeof(*t));

	if (t)
		t->settings = BUF_INIT(SETTINGS_BYTES_MAX);
	return t;
}

void dump_topic_free(struct dump_topic *t)
{
	if (!t)
		return;
	buf_fini(&t->settings);
	free(t->spans);
	free(t);
}

int64_t dump_topic_setting(const struct dump_topic *t, const char *setting, int64_t otherwise)
{
	struct json_value value;
	int64_t number;

	if (t->settings.len == 0 ||
	    !json_object_get(json_root(buf_slice(&t->settings)), setting, &value) ||
	    !json_to_int64(value, &number))
		return otherwise;
	return number;
}

void dump_topic_append(const struct dump_topic *t, struct buf *out)
{
	buf_append_lit(out, "{\"topic\":");
	json_append_string(out, slice_str(t->name));
	buf_append_lit(out, ",\"uuid\":");
	json_append_string(out, slice_str(t->uuid));
	buf_append_lit(out, ",\"partitions\":[");
	for (uint32_t i = 0; i < t->partition_count; i++) {
		buf_append_str(out, i ? ",{\"earliest\":" : "{\"earliest\":");
		buf_append_int64(out, t->spans[i].earliest);
		buf_append_lit(out, ",\"high_watermark\":");
		buf_append_int64(out, t->spans[i].high_watermark);
		buf_append_lit(out, "}");
	}
	buf_append_lit(out, "],\"settings\":");
	buf_append_slice(out, buf_slice(&t->settings));
	buf_append_lit(out, "}\n");
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err wrong(const char *member, struct fault *f)
{
	return fault_set(f, ERR_INPUT, 0, "'%s' of a topic is missing or wrong", member);
}

/* A short string, NUL-terminated. */
static bool take_text(struct json_value object, const char *member, char *into, size_t cap)
{
	struct buf text = BUF_INIT(cap - 1);
	struct json_value value;
	bool taken = json_object_get(object, member, &value) && value.kind == JSON_STRING &&
	             json_string_decode(value.raw, &text) && !text.failed &&
	             !(text.len && memchr(text.ptr, 0, text.len));

	if (taken) {
		if (text.len)
			memcpy(into, text.ptr, text.len);
		into[text.len] = '\0';
	}
	buf_fini(&text);
	return taken;
}

static bool take_offset(struct json_value object, const char *member, int64_t *out)
{
	struct json_value value;

	return json_object_get(object, member, &value) && json_to_int64(value, out) && *out >= 0;
}

static bool take_span(struct json_value one, struct dump_span *span)
{
	return one.kind == JSON_OBJECT && take_offset(one, "earliest", &span->earliest) &&
	       take_offset(one, "high_watermark", &span->high_watermark) &&
	       span->high_watermark >= span->earliest;
}

static uint32_t count_elements(struct json_value list)
{
	struct json_value one;
	struct json_iter it;
	struct slice key;
	uint32_t count = 0;

	json_iter_init(&it, list);
	while (count <= TOPIC_PARTITIONS_MAX && json_iter_next(&it, &key, &one))
		count++;
	return count;
}

static bool take_spans(struct json_value root, struct dump_topic *t)
{
	struct json_value list, one;
	struct dump_span *spans;
	struct json_iter it;
	struct slice key;
	uint32_t count, taken = 0;

	if (!json_object_get(root, "partitions", &list) || list.kind != JSON_ARRAY)
		return false;
	count = count_elements(list);
	if (count == 0 || count > TOPIC_PARTITIONS_MAX)
		return false;
	spans = realloc(t->spans, count * sizeof(*spans));
	CHECK(spans);
	t->spans = spans;
	t->partition_count = count;
	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &one))
		if (!take_span(one, &spans[taken++]))
			return false;
	return true;
}

enum err dump_topic_parse(struct slice json, const char *name_member, struct dump_topic *t,
                          struct fault *f)
{
	struct json_value root = json_root(json), settings, bytes;
	struct fault why;

	if (root.kind != JSON_OBJECT || !take_text(root, name_member, t->name, sizeof(t->name)))
		return wrong(name_member, f);
	if (topic_name_check(slice_str(t->name), &why))
		return fault_set(f, ERR_INPUT, 0, "'%.100s': %s", t->name, why.where);
	if (!take_text(root, "uuid", t->uuid, sizeof(t->uuid)))
		return wrong("uuid", f);
	if (!take_spans(root, t))
		return wrong("partitions", f);
	if (!json_object_get(root, "settings", &settings) || settings.kind != JSON_OBJECT)
		return wrong("settings", f);
	buf_clear(&t->settings);
	buf_append_slice(&t->settings, settings.raw);
	if (t->settings.failed)
		return wrong("settings", f);
	t->bytes = 0;
	if (json_object_get(root, "bytes", &bytes))
		(void)!json_to_int64(bytes, &t->bytes);
	return OK;
}
