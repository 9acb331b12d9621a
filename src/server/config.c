#include "server/config.h"

#include "base/check.h"
#include "base/suggest.h"
#include "server/config_hooks.h"
#include "server/config_table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { HELP_COLUMN = 40 };

void config_init(struct config *c)
{
	struct fault f;

	*c = (struct config){0};
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];

		if (row->default_text)
			CHECK(config_row_set(c, row, slice_str(row->default_text), &f) == OK);
	}
}

void config_fini(struct config *c)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];

		if (row->kind == CONFIG_TEXT)
			free(*(char **)(void *)((char *)c + row->offset));
		else if (row->kind == CONFIG_LIST)
			config_row_clear(c, row);
	}
	config_hooks_fini(c);
	*c = (struct config){0};
}

/* Set a row from one text that stands for the whole value: lists are separated by commas. */
static enum err set_whole(struct config *c, const struct config_row *row, struct slice value,
                          struct fault *f)
{
	enum err err = OK;

	if (row->kind != CONFIG_LIST)
		return config_row_set(c, row, value, f);
	config_row_clear(c, row);
	while (value.len && err == OK)
		err = config_row_set(c, row, slice_trim(slice_cut(&value, ',')), f);
	return err;
}

/* "<name>: <what is wrong>", in place. */
static enum err prefix_fault(struct fault *f, const char *name)
{
	struct fault inner = *f;

	return fault_set(f, inner.code, inner.os_errno, "%s: %s", name, inner.where);
}

static enum err refuse_name(const char *name, struct slice section, struct slice key,
                            struct fault *f)
{
	const char *near = config_suggest_key(section, key);

	if (near)
		return fault_set(f, ERR_CONFIG, 0,
		                 "there is no setting '%s'; did you mean '%.*s.%s'?", name,
		                 SLICE_FMT(section), near);
	return fault_set(f, ERR_CONFIG, 0,
	                 "there is no setting '%s'; 'bourn config show' lists them", name);
}

enum err config_set(struct config *c, const char *name, const char *value, struct fault *f)
{
	struct slice key = slice_str(name);
	struct slice section = slice_cut(&key, '.');
	const struct config_row *row = config_row_find(section, key);

	if (!row)
		return refuse_name(name, section, key, f);
	if (set_whole(c, row, slice_str(value), f) != OK)
		return prefix_fault(f, name);
	return OK;
}

/* server.port -> BOURN_SERVER_PORT */
static void environment_name(const struct config_row *row, char *into, size_t cap)
{
	snprintf(into, cap, "BOURN_%s_%s", row->section, row->key);
	for (char *at = into; *at; at++)
		*at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
}

static const struct config_row *row_of_environment_name(struct slice name)
{
	char candidate[128];

	for (size_t i = 0; i < config_row_count; i++) {
		environment_name(&config_rows[i], candidate, sizeof(candidate));
		if (slice_eq(name, slice_str(candidate)))
			return &config_rows[i];
	}
	return NULL;
}

/* The section whose variables have names that begin as this one does; NULL: none of ours. */
static const char *section_of_environment_name(struct slice name)
{
	for (size_t i = 0; i < config_row_count; i++) {
		struct config_row section = {.section = config_rows[i].section, .key = ""};
		char prefix[128];

		environment_name(&section, prefix, sizeof(prefix));
		if (slice_starts_with(name, slice_str(prefix)))
			return section.section;
	}
	return NULL;
}

static enum err refuse_environment_name(struct slice name, const char *section, struct fault *f)
{
	char candidates[CONFIG_ROWS_MAX][128];
	const char *names[CONFIG_ROWS_MAX];
	const char *near;
	size_t count = 0;

	for (size_t i = 0; i < config_row_count; i++) {
		if (strcmp(config_rows[i].section, section) != 0)
			continue;
		environment_name(&config_rows[i], candidates[count], sizeof(candidates[count]));
		names[count] = candidates[count];
		count++;
	}
	near = suggest(name, names, count);
	return fault_set(f, ERR_CONFIG, 0, "there is no setting %.*s%s%s%s", SLICE_FMT(name),
	                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

enum err config_read_environment(struct config *c, const char *const *environment, struct fault *f)
{
	for (; *environment; environment++) {
		struct slice value = slice_str(*environment);
		struct slice name = slice_cut(&value, '=');
		const struct config_row *row = row_of_environment_name(name);
		const char *section = section_of_environment_name(name);
		char text[128];

		if (!row && section)
			return refuse_environment_name(name, section, f);
		if (!row)
			continue;
		if (set_whole(c, row, value.ptr ? value : SLICE_LIT(""), f) != OK) {
			environment_name(row, text, sizeof(text));
			return prefix_fault(f, text);
		}
	}
	return OK;
}

const char *config_list_next(const struct config_list *list, const char *at)
{
	const char *next = at ? at + strlen(at) + 1 : list->texts;
	size_t seen = 0;

	for (const char *text = list->texts; seen < list->count; text += strlen(text) + 1, seen++)
		if (text == next)
			return next;
	return NULL;
}

/* --- showing ---------------------------------------------------------------------------------- */

void config_show_text(const char *text, struct buf *out)
{
	buf_append_lit(out, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_printf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			buf_printf(out, "\\x%02x", (unsigned char)*text);
		else
			buf_append(out, text, 1);
	}
	buf_append_lit(out, "\"");
}

static void show_list(const struct config_list *list, struct buf *out)
{
	const char *text = NULL;

	buf_append_lit(out, "[");
	while ((text = config_list_next(list, text))) {
		if (text != list->texts)
			buf_append_lit(out, ", ");
		config_show_text(text, out);
	}
	buf_append_lit(out, "]");
}

static void show_value(const struct config *c, const struct config_row *row, struct buf *out)
{
	const void *field = (const char *)c + row->offset;
	int64_t number = 0;

	if (row->kind != CONFIG_TEXT && row->kind != CONFIG_BOOL && row->kind != CONFIG_LIST)
		number = *(const int64_t *)field;
	switch (row->kind) {
	case CONFIG_TEXT: config_show_text(*(char *const *)field, out); break;
	case CONFIG_BOOL: buf_append_str(out, *(const bool *)field ? "true" : "false"); break;
	case CONFIG_CHOICE: buf_append_str(out, row->choices[number]); break;
	case CONFIG_DURATION: config_append_duration(number, out); break;
	case CONFIG_BYTES: config_append_bytes(number, out); break;
	case CONFIG_LIST: show_list(field, out); break;
	case CONFIG_NUMBER: buf_append_int64(out, number); break;
	case CONFIG_AUTO:
		if (number)
			buf_append_int64(out, number);
		else
			buf_append_lit(out, "auto");
		break;
	case CONFIG_IGNORED:
	case CONFIG_HOOKS: UNREACHABLE();
	}
}

/* The beginning of a key's own line, below one that names its group where that begins; returns
 * where in `out` its line begins. */
static size_t show_key(const struct config_row *row, struct slice *group, struct buf *out)
{
	struct slice key = slice_str(row->key);
	struct slice first = slice_cut(&key, '.');
	size_t start;

	if (key.ptr && !slice_eq(*group, first))
		buf_printf(out, "  %.*s:\n", SLICE_FMT(first));
	*group = key.ptr ? first : SLICE_NONE;
	start = out->len;
	if (key.ptr)
		buf_printf(out, "    %.*s: ", SLICE_FMT(key));
	else
		buf_printf(out, "  %s: ", row->key);
	return start;
}

static void show_help(const char *help, size_t line_bytes, struct buf *out)
{
	int blanks = line_bytes < HELP_COLUMN ? HELP_COLUMN - (int)line_bytes : 0;

	buf_printf(out, "%*s # %s", blanks, "", help);
}

void config_show(const struct config *c, bool help, struct buf *out)
{
	struct slice group = SLICE_NONE;
	const char *section = "";

	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];
		size_t start;

		if (row->kind == CONFIG_IGNORED || row->kind == CONFIG_HOOKS)
			continue;
		if (strcmp(section, row->section) != 0) {
			section = row->section;
			buf_printf(out, "%s:\n", section);
		}
		start = show_key(row, &group, out);
		show_value(c, row, out);
		if (help)
			show_help(row->help, out->len - start, out);
		buf_append_lit(out, "\n");
	}
	config_hooks_show(c, out);
}
