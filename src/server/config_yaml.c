/* bourn.yaml into the table of settings, by libyaml's document API: every complaint has the line
 * and column of the very word it is about. (libcyaml binds the same parser to structs, but tells a
 * wrong key at the place of the word before it, and forgets where values stood.) */
#include "server/config_reading.h"

#include "base/check.h"
#include "io/file.h"
#include "server/config_hooks.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

struct slice config_scalar(const yaml_node_t *node)
{
	return slice_of(node->data.scalar.value, node->data.scalar.length);
}

enum err config_complain(struct config_reading *r, const yaml_node_t *at, const char *format, ...)
{
	char what[sizeof(r->fault->where)];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return fault_set(r->fault, ERR_CONFIG, 0, "%s:%zu:%zu: %s", r->name,
	                 at->start_mark.line + 1, at->start_mark.column + 1, what);
}

/* `section`: NULL at the root; `group`: "" or where in the section. */
static enum err complain_unknown(struct config_reading *r, const yaml_node_t *key,
                                 const char *section, const char *group)
{
	struct slice word = config_scalar(key);
	const char *near = config_suggest_section(word);
	char name[CONFIG_KEY_BYTES_MAX];

	if (section) {
		snprintf(name, sizeof(name), "%s%s%.*s", group, group[0] ? "." : "",
		         SLICE_FMT(word));
		near = config_suggest_key(slice_str(section), slice_str(name));
	}
	return config_complain(r, key, "unknown key '%.*s'%s%s%s%s%s%s%s",
	                       word.len > 40 ? 40 : (int)word.len, (const char *)word.ptr,
	                       section ? " in " : "", section ? section : "", group[0] ? "." : "",
	                       group, near ? "; did you mean '" : "", near ? near : "",
	                       near ? "'?" : "");
}

/* What config_row_set said of the value, with the setting's name and its place. */
static enum err complain_value(struct config_reading *r, const yaml_node_t *at,
                               const struct config_row *row)
{
	return config_complain(r, at, "%s%s%s: %s", row->section, row->key[0] ? "." : "", row->key,
	                       r->fault->where);
}

static const char *node_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SCALAR_NODE: return "a value";
	case YAML_SEQUENCE_NODE: return "a list";
	case YAML_MAPPING_NODE: return "a section";
	default: return "nothing";
	}
}

static enum err expect(struct config_reading *r, const yaml_node_t *node, yaml_node_type_t type,
                       const char *wanted, const struct config_row *row)
{
	if (node->type == type)
		return OK;
	fault_set(r->fault, ERR_CONFIG, 0, "wants %s, not %s", wanted, node_kind(node));
	return complain_value(r, node, row);
}

static enum err read_list(struct config_reading *r, const struct config_row *row,
                          const yaml_node_t *node)
{
	enum err err = expect(r, node, YAML_SEQUENCE_NODE, "a list", row);

	if (err)
		return err;
	config_row_clear(r->config, row);
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		yaml_node_t *entry = yaml_document_get_node(&r->document, *item);

		err = expect(r, entry, YAML_SCALAR_NODE, "a text", row);
		if (err)
			return err;
		if (config_row_set(r->config, row, config_scalar(entry), r->fault) != OK)
			return complain_value(r, entry, row);
	}
	return OK;
}

static enum err read_value(struct config_reading *r, const struct config_row *row,
                           const yaml_node_t *key, const yaml_node_t *value)
{
	size_t index = (size_t)(row - config_rows);
	enum err err;

	CHECK(index < ARRAY_COUNT(r->seen));
	if (r->seen[index]) {
		fault_set(r->fault, ERR_CONFIG, 0, "is set twice");
		return complain_value(r, key, row);
	}
	r->seen[index] = true;
	if (row->kind == CONFIG_LIST)
		return read_list(r, row, value);
	if (row->kind == CONFIG_HOOKS)
		return config_hooks_read(r, value);
	if (row->kind == CONFIG_IGNORED) {
		char text[256];

		snprintf(text, sizeof(text), "%s:%zu:%zu: %s.%s has no effect", r->name,
		         key->start_mark.line + 1, key->start_mark.column + 1, row->section,
		         row->key);
		r->warn(r->warn_arg, text);
		return OK;
	}
	err = expect(r, value, YAML_SCALAR_NODE, "a single value", row);
	if (err)
		return err;
	if (config_row_set(r->config, row, config_scalar(value), r->fault) != OK)
		return complain_value(r, value, row);
	return OK;
}

static enum err read_section(struct config_reading *r, const char *section, const char *group,
                             const yaml_node_t *node);

/* `group`: "" or what stands before the dot in the names of these keys. */
static enum err read_pair(struct config_reading *r, const char *section, const char *group,
                          const yaml_node_t *key, const yaml_node_t *value)
{
	const struct config_row *row;
	char name[CONFIG_KEY_BYTES_MAX];

	if (key->type != YAML_SCALAR_NODE)
		return config_complain(r, key, "a key must be a plain word");
	snprintf(name, sizeof(name), "%s%s%.*s", group, group[0] ? "." : "",
	         SLICE_FMT(config_scalar(key)));
	row = config_row_find(slice_str(section), slice_str(name));
	if (row)
		return read_value(r, row, key, value);
	if (!group[0] && config_group_exists(slice_str(section), slice_str(name)))
		return read_section(r, section, name, value);
	return complain_unknown(r, key, section, group);
}

static enum err read_section(struct config_reading *r, const char *section, const char *group,
                             const yaml_node_t *node)
{
	enum err err = OK;

	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
		return OK; /* "server:" with nothing below it */
	if (node->type != YAML_MAPPING_NODE)
		return config_complain(r, node, "a section of keys is wanted here");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     !err && pair < node->data.mapping.pairs.top; pair++)
		err = read_pair(r, section, group, yaml_document_get_node(&r->document, pair->key),
		                yaml_document_get_node(&r->document, pair->value));
	return err;
}

static enum err read_root(struct config_reading *r)
{
	yaml_node_t *root = yaml_document_get_root_node(&r->document);

	if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
		return OK; /* an empty file: all defaults */
	if (root->type != YAML_MAPPING_NODE)
		return config_complain(r, root, "sections are wanted here, as 'server:'");
	for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
		yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		const struct config_row *whole;
		enum err err;

		if (key->type != YAML_SCALAR_NODE)
			return config_complain(r, key, "a key must be a plain word");
		whole = config_row_find(config_scalar(key), SLICE_LIT(""));
		if (whole)
			err = read_value(r, whole, key, value);
		else if (config_section_exists(config_scalar(key)))
			err = read_section(r, (const char *)key->data.scalar.value, "", value);
		else
			err = complain_unknown(r, key, NULL, "");
		if (err)
			return err;
	}
	return OK;
}

enum err config_read_yaml(struct config *c, struct slice text, const char *name,
                          config_warn_cb *warn, void *arg, struct fault *f)
{
	struct config_reading r = {
		.config = c, .name = name, .warn = warn, .warn_arg = arg, .fault = f};
	yaml_parser_t parser;
	enum err err;

	if (!yaml_parser_initialize(&parser))
		return fault_set(f, ERR_NO_MEMORY, 0, "configuration");
	yaml_parser_set_input_string(&parser, text.ptr, text.len);
	if (!yaml_parser_load(&parser, &r.document)) {
		err = fault_set(f, ERR_CONFIG, 0, "%s:%zu:%zu: %s", name,
		                parser.problem_mark.line + 1, parser.problem_mark.column + 1,
		                parser.problem ? parser.problem : "not YAML");
		yaml_parser_delete(&parser);
		return err;
	}
	err = read_root(&r);
	yaml_document_delete(&r.document);
	yaml_parser_delete(&parser);
	return err;
}

enum err config_read_file(struct config *c, const char *path, config_warn_cb *warn, void *arg,
                          struct fault *f)
{
	struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX);
	enum err err = file_read(path, &text, f);

	if (!err)
		err = config_read_yaml(c, buf_slice(&text), path, warn, arg, f);
	buf_fini(&text);
	return err;
}
