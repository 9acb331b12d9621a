#include "cli/topic_text.h"

#include "base/buf.h"
#include "base/check.h"
#include "cli/units.h"
#include "wire/timefmt.h"

#include <stdio.h>

enum {
	CELL_BYTES_MAX = 64, /* UNITS_TEXT_BYTES at least */
	LABEL_WIDTH = 12,
	SETTING_WIDTH = 32,
};

/* --- one value -------------------------------------------------------------------------------- */

/* A raw JSON key without its quotes: the broker's own need no escapes. */
static struct slice key_name(struct slice key)
{
	return slice_of(key.ptr + 1, key.len - 2);
}

static bool ends_with(struct slice s, struct slice end)
{
	return s.len >= end.len && slice_eq(slice_of(s.ptr + s.len - end.len, end.len), end);
}

static int64_t number(struct json_value object, const char *name)
{
	struct json_value member;
	int64_t value;

	return json_object_get(object, name, &member) && json_to_int64(member, &value) ? value : -1;
}

void topic_text_scalar(struct json_value value)
{
	struct buf text = BUF_INIT(64 << 10);

	if (value.kind == JSON_STRING && json_string_decode(value.raw, &text))
		printf("%.*s", SLICE_FMT(buf_slice(&text)));
	else
		printf("%.*s", SLICE_FMT(value.raw));
	buf_fini(&text);
}

static void write_bytes(char *text, int64_t bytes)
{
	units_bytes((double)bytes, text);
}

static void write_number(char *text, int64_t value)
{
	snprintf(text, CELL_BYTES_MAX, "%lld", (long long)value);
}

static void write_time(char *text, int64_t ms)
{
	if (ms < 0)
		snprintf(text, CELL_BYTES_MAX, "-");
	else
		time_format(ms, text);
}

/* --- the table of partitions ------------------------------------------------------------------ */

static const struct column {
	const char *title;
	const char *member;
	void (*write)(char *text, int64_t value);
	bool is_left; /* else it stands right */
} columns[] = {
	{"partition", "partition", write_number, false},
	{"earliest", "earliest", write_number, false},
	{"end", "high_watermark", write_number, false},
	{"size", "bytes", write_bytes, false},
	{"segments", "segments", write_number, false},
	{"first event", "earliest_ms", write_time, true},
	{"last event", "latest_ms", write_time, true},
};

static void print_cell(const struct column *c, const char *text, int width)
{
	bool is_last = c == &columns[ARRAY_COUNT(columns) - 1];

	if (is_last)
		puts(text);
	else
		printf("%*s  ", c->is_left ? -width : width, text);
}

static int width_of(const struct column *c, struct json_value partitions)
{
	int width = (int)strlen(c->title);
	char text[CELL_BYTES_MAX];
	struct json_value row;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, partitions);
	while (json_iter_next(&it, &none, &row)) {
		c->write(text, number(row, c->member));
		if ((int)strlen(text) > width)
			width = (int)strlen(text);
	}
	return width;
}

static void print_partitions(struct json_value partitions)
{
	int widths[ARRAY_COUNT(columns)];
	char text[CELL_BYTES_MAX];
	struct json_value row;
	struct json_iter it;
	struct slice none;

	for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
		widths[i] = width_of(&columns[i], partitions);
		print_cell(&columns[i], columns[i].title, widths[i]);
	}
	json_iter_init(&it, partitions);
	while (json_iter_next(&it, &none, &row)) {
		for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
			columns[i].write(text, number(row, columns[i].member));
			print_cell(&columns[i], text, widths[i]);
		}
	}
}

static void print_fences(struct json_value partitions)
{
	struct json_value row, why;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, partitions);
	while (json_iter_next(&it, &none, &row)) {
		if (!json_object_get(row, "fenced", &why))
			continue;
		printf("partition %lld takes no writes: ", (long long)number(row, "partition"));
		topic_text_scalar(why);
		putchar('\n');
	}
}

/* --- what stands above it --------------------------------------------------------------------- */

static void print_label(const char *label)
{
	printf("%-*s ", LABEL_WIDTH, label);
}

static void print_member(struct json_value topic, const char *name)
{
	struct json_value value;

	if (!json_object_get(topic, name, &value))
		return;
	print_label(name);
	topic_text_scalar(value);
	putchar('\n');
}

static void print_time(struct json_value topic, const char *label, const char *name)
{
	char text[CELL_BYTES_MAX];

	write_time(text, number(topic, name));
	print_label(label);
	puts(text);
}

static void print_size(struct json_value topic)
{
	int64_t segments = number(topic, "segments");
	char text[CELL_BYTES_MAX];

	write_bytes(text, number(topic, "bytes"));
	print_label("size");
	printf("%s in %lld segment%s\n", text, (long long)segments, units_plural(segments));
}

/* What the number means, where it does not say so by itself. */
static void write_meaning(char *text, struct slice name, struct json_value value)
{
	int64_t n;

	text[0] = '\0';
	if (!json_to_int64(value, &n))
		return;
	if (n < 0)
		snprintf(text, CELL_BYTES_MAX, "no limit");
	else if (ends_with(name, SLICE_LIT(".bytes")) && n >= 1024)
		write_bytes(text, n);
	else if (ends_with(name, SLICE_LIT(".ms")) && n >= 1000)
		units_duration(n, text);
}

/* Each as --set takes it. */
static void print_settings(struct json_value settings)
{
	struct json_value value;
	struct json_iter it;
	struct slice key;

	json_iter_init(&it, settings);
	for (int i = 0; json_iter_next(&it, &key, &value); i++) {
		char setting[2 * CELL_BYTES_MAX], meaning[CELL_BYTES_MAX];
		struct slice text = value.kind == JSON_STRING ? key_name(value.raw) : value.raw;

		snprintf(setting, sizeof(setting), "%.*s=%.*s", SLICE_FMT(key_name(key)),
		         SLICE_FMT(text));
		write_meaning(meaning, key_name(key), value);
		print_label(i == 0 ? "settings" : "");
		printf("%-*s%s\n", meaning[0] ? SETTING_WIDTH : 0, setting, meaning);
	}
}

void topic_text_print(struct json_value topic)
{
	struct json_value settings, partitions;

	print_member(topic, "name");
	print_member(topic, "engine");
	print_member(topic, "uuid");
	print_time(topic, "created", "created_at");
	print_size(topic);
	print_time(topic, "first event", "earliest_ms");
	print_time(topic, "last event", "latest_ms");
	if (json_object_get(topic, "settings", &settings) && settings.kind == JSON_OBJECT)
		print_settings(settings);
	if (!json_object_get(topic, "partitions", &partitions) || partitions.kind != JSON_ARRAY)
		return;
	putchar('\n');
	print_partitions(partitions);
	print_fences(partitions);
}
