#include "server/config_hooks.h"

#include "base/check.h"
#include "base/suggest.h"
#include "core/topic_pattern.h"
#include "wire/json.h"
#include "wire/timefmt.h"

#include <stdlib.h>

enum { OPTIONS_BYTES_MAX = 64 << 10 };

static const char *const front_names[] = {
	[BOURN_FRONT_HTTP] = "http",
	[BOURN_FRONT_WEBSOCKET] = "websocket",
};

/* --- values ----------------------------------------------------------------------------------- */

static enum err wants_text(struct config_reading *r, const yaml_node_t *node, const char *key)
{
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length > 0 &&
	    node->data.scalar.length <= CONFIG_TEXT_BYTES_MAX &&
	    !memchr(node->data.scalar.value, '\0', node->data.scalar.length))
		return OK;
	return config_complain(r, node, "a hook's '%s' wants a text", key);
}

static enum err take_text(struct config_reading *r, const yaml_node_t *node, const char *key,
                          char **out)
{
	struct slice text;
	enum err err = wants_text(r, node, key);

	if (err)
		return err;
	text = config_scalar(node);
	free(*out);
	*out = strndup((const char *)text.ptr, text.len);
	return *out ? OK : fault_set(r->fault, ERR_NO_MEMORY, 0, "configuration");
}

/* One of a hook's lists, or a text alone in its place: `take` gets each. */
typedef enum err take_entry(struct config_reading *r, struct hook_spec *spec,
                            const yaml_node_t *entry);

static enum err take_list(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node,
                          const char *key, take_entry *take)
{
	enum err err = OK;

	if (node->type == YAML_MAPPING_NODE)
		return config_complain(r, node, "a hook's '%s' wants a list", key);
	if (node->type == YAML_SCALAR_NODE) {
		err = wants_text(r, node, key);
		return err ? err : take(r, spec, node);
	}
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && !err; item++) {
		const yaml_node_t *entry = yaml_document_get_node(&r->document, *item);

		err = wants_text(r, entry, key);
		if (!err)
			err = take(r, spec, entry);
	}
	return err;
}

static enum err complain_choice(struct config_reading *r, const yaml_node_t *node, const char *what,
                                const char *const *names, size_t count)
{
	struct slice word = config_scalar(node);
	const char *near = suggest(word, names, count);
	uint8_t memory[160];
	struct buf all = BUF_IN(memory);

	if (word.len > 40)
		word.len = 40;
	if (near)
		return config_complain(r, node, "there is no %s '%.*s'; did you mean '%s'?", what,
		                       SLICE_FMT(word), near);
	for (size_t i = 0; i < count; i++)
		buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
	return config_complain(r, node, "there is no %s '%.*s'; there are %.*s", what,
	                       SLICE_FMT(word), SLICE_FMT(buf_slice(&all)));
}

/* --- options as JSON -------------------------------------------------------------------------- */

static bool is_plain(const yaml_node_t *node, const char *word)
{
	return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       slice_eq(config_scalar(node), slice_str(word));
}

static bool is_number(const yaml_node_t *node)
{
	struct slice text = config_scalar(node);

	return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && text.len > 0 &&
	       json_validate(text, 1, NULL) && json_root(text).kind == JSON_NUMBER;
}

static void append_scalar(const yaml_node_t *node, struct buf *json)
{
	struct slice text = config_scalar(node);

	if (is_plain(node, "") || is_plain(node, "~") || is_plain(node, "null"))
		buf_append_lit(json, "null");
	else if (is_plain(node, "true") || is_plain(node, "false") || is_number(node))
		buf_append_slice(json, text);
	else
		json_append_string(json, text);
}

static enum err append_json(struct config_reading *r, const yaml_node_t *node, unsigned depth,
                            struct buf *json);

static enum err append_sequence(struct config_reading *r, const yaml_node_t *node, unsigned depth,
                                struct buf *json)
{
	enum err err = OK;

	buf_append_lit(json, "[");
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && !err; item++) {
		if (item > node->data.sequence.items.start)
			buf_append_lit(json, ",");
		err = append_json(r, yaml_document_get_node(&r->document, *item), depth, json);
	}
	buf_append_lit(json, "]");
	return err;
}

static enum err append_mapping(struct config_reading *r, const yaml_node_t *node, unsigned depth,
                               struct buf *json)
{
	enum err err = OK;

	buf_append_lit(json, "{");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && !err; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);

		if (key->type != YAML_SCALAR_NODE)
			return config_complain(r, key, "a key must be a plain word");
		if (pair > node->data.mapping.pairs.start)
			buf_append_lit(json, ",");
		json_append_string(json, config_scalar(key));
		buf_append_lit(json, ":");
		err = append_json(r, yaml_document_get_node(&r->document, pair->value), depth,
		                  json);
	}
	buf_append_lit(json, "}");
	return err;
}

/* Anchors can make a small file a large document, or one without end. */
static enum err append_json(struct config_reading *r, const yaml_node_t *node, unsigned depth,
                            struct buf *json)
{
	if (depth == JSON_DEPTH_MAX || json->failed)
		return config_complain(r, node, "a hook's options are too large or too deep");
	switch (node->type) {
	case YAML_SEQUENCE_NODE: return append_sequence(r, node, depth + 1, json);
	case YAML_MAPPING_NODE: return append_mapping(r, node, depth + 1, json);
	default: append_scalar(node, json); return OK;
	}
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum err take_name(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node)
{
	enum err err = take_text(r, node, "name", &spec->name);

	if (!err && !hook_name_ok(slice_str(spec->name)))
		return config_complain(r, node,
		                       "a hook's name is made of 1 to %d of a-z 0-9 _ and -",
		                       HOOK_NAME_BYTES_MAX);
	return err;
}

static enum err take_type(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node)
{
	const char *names[HOOK_TYPE_COUNT];
	enum err err = wants_text(r, node, "type");

	if (err)
		return err;
	spec->type = hook_type_parse(config_scalar(node));
	if (spec->type != HOOK_TYPE_COUNT)
		return OK;
	for (unsigned i = 0; i < HOOK_TYPE_COUNT; i++)
		names[i] = hook_type_name((enum hook_type)i);
	return complain_choice(r, node, "type of hook", names, HOOK_TYPE_COUNT);
}

static enum err take_path(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node)
{
	return take_text(r, node, "path", &spec->path);
}

static enum err take_point(struct config_reading *r, struct hook_spec *spec,
                           const yaml_node_t *entry)
{
	enum bourn_point point = point_parse(config_scalar(entry));
	const char *names[BOURN_POINT_COUNT];

	if (point != BOURN_POINT_COUNT) {
		spec->points |= 1u << point;
		return OK;
	}
	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		names[i] = point_name((enum bourn_point)i);
	return complain_choice(r, entry, "point", names, BOURN_POINT_COUNT);
}

static enum err take_points(struct config_reading *r, struct hook_spec *spec,
                            const yaml_node_t *node)
{
	return take_list(r, spec, node, "points", take_point);
}

static enum err take_front(struct config_reading *r, struct hook_spec *spec,
                           const yaml_node_t *entry)
{
	for (unsigned i = 0; i < ARRAY_COUNT(front_names); i++) {
		if (!slice_eq(config_scalar(entry), slice_str(front_names[i])))
			continue;
		spec->fronts |= 1u << i;
		return OK;
	}
	return complain_choice(r, entry, "front", front_names, ARRAY_COUNT(front_names));
}

static enum err take_fronts(struct config_reading *r, struct hook_spec *spec,
                            const yaml_node_t *node)
{
	return take_list(r, spec, node, "fronts", take_front);
}

static enum err take_topic(struct config_reading *r, struct hook_spec *spec,
                           const yaml_node_t *entry)
{
	char **grown;

	if (topic_pattern_check(config_scalar(entry), r->fault) != OK)
		return config_complain(r, entry, "%s", r->fault->where);
	if (spec->topic_count == HOOK_TOPICS_MAX)
		return config_complain(r, entry, "more than %d topics", HOOK_TOPICS_MAX);
	grown = reallocarray(spec->topics, spec->topic_count + 1, sizeof(*grown));
	if (!grown)
		return fault_set(r->fault, ERR_NO_MEMORY, 0, "configuration");
	spec->topics = grown;
	spec->topics[spec->topic_count] = NULL;
	return take_text(r, entry, "topics", &spec->topics[spec->topic_count++]);
}

static enum err take_topics(struct config_reading *r, struct hook_spec *spec,
                            const yaml_node_t *node)
{
	return take_list(r, spec, node, "topics", take_topic);
}

static enum err take_on_failure(struct config_reading *r, struct hook_spec *spec,
                                const yaml_node_t *node)
{
	static const char *const names[] = {"closed", "open"};
	enum err err = wants_text(r, node, "on_failure");

	if (err)
		return err;
	spec->open = slice_eq(config_scalar(node), SLICE_LIT("open"));
	if (spec->open || slice_eq(config_scalar(node), SLICE_LIT("closed")))
		return OK;
	return complain_choice(r, node, "way", names, ARRAY_COUNT(names));
}

static enum err take_options(struct config_reading *r, struct hook_spec *spec,
                             const yaml_node_t *node)
{
	struct buf json = BUF_INIT(OPTIONS_BYTES_MAX);
	enum err err;

	if (node->type != YAML_MAPPING_NODE)
		return config_complain(r, node, "a hook's 'options' wants keys and values");
	err = append_json(r, node, 0, &json);
	buf_append(&json, "", 1);
	if (!err && json.failed)
		err = config_complain(r, node, "a hook's options are longer than %d bytes",
		                      OPTIONS_BYTES_MAX);
	if (err) {
		buf_fini(&json);
		return err;
	}
	spec->options = (char *)json.ptr; /* moved */
	return OK;
}

static enum err take_memory(struct config_reading *r, struct hook_spec *spec,
                            const yaml_node_t *node)
{
	enum err err = wants_text(r, node, "memory");

	if (err)
		return err;
	if (!bytes_parse(config_scalar(node), &spec->memory_bytes) ||
	    spec->memory_bytes < HOOK_MEMORY_BYTES_MIN ||
	    spec->memory_bytes > HOOK_MEMORY_BYTES_MAX)
		return config_complain(r, node, "a hook's 'memory' is a size from 128KiB to 1GiB");
	return OK;
}

static enum err take_url(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node)
{
	return take_text(r, node, "url", &spec->path);
}

static enum err take_timeout(struct config_reading *r, struct hook_spec *spec,
                             const yaml_node_t *node)
{
	enum err err = wants_text(r, node, "timeout");

	if (err)
		return err;
	if (!duration_parse(config_scalar(node), &spec->timeout_ms) || spec->timeout_ms < 1 ||
	    spec->timeout_ms > HOOK_TIMEOUT_MS_MAX)
		return config_complain(r, node, "a hook's 'timeout' is a duration from 1ms to 60s");
	return OK;
}

static enum err take_count(struct config_reading *r, const yaml_node_t *node, const char *key,
                           int64_t min, int64_t max, int64_t *out)
{
	enum err err = wants_text(r, node, key);

	if (err)
		return err;
	if (!slice_to_int64(config_scalar(node), out) || *out < min || *out > max)
		return config_complain(r, node, "a hook's '%s' is a number from %lld to %lld", key,
		                       (long long)min, (long long)max);
	return OK;
}

static enum err take_instructions(struct config_reading *r, struct hook_spec *spec,
                                  const yaml_node_t *node)
{
	return take_count(r, node, "instructions", 1, HOOK_INSTRUCTIONS_MAX, &spec->instructions);
}

static enum err take_retries(struct config_reading *r, struct hook_spec *spec,
                             const yaml_node_t *node)
{
	return take_count(r, node, "retries", 0, HOOK_RETRIES_MAX, &spec->retries);
}

static enum err take_in_flight(struct config_reading *r, struct hook_spec *spec,
                               const yaml_node_t *node)
{
	return take_count(r, node, "in_flight", 1, HOOK_IN_FLIGHT_MAX, &spec->in_flight);
}

static enum err take_max_failures(struct config_reading *r, struct hook_spec *spec,
                                  const yaml_node_t *node)
{
	return take_count(r, node, "max_failures", 0, HOOK_FAILURES_MAX, &spec->failures_max);
}

enum { LUA = 1 << HOOK_LUA, HTTP = 1 << HOOK_HTTP, FILES = 1 << HOOK_SO | LUA };

static const struct hook_key {
	const char *name;
	unsigned types; /* 1 << enum hook_type: those that have it; 0: all */
	enum err (*take)(struct config_reading *r, struct hook_spec *spec, const yaml_node_t *node);
} hook_keys[] = {
	{"name", 0, take_name},
	{"type", 0, take_type},
	{"path", FILES, take_path},
	{"url", HTTP, take_url},
	{"points", 0, take_points},
	{"topics", 0, take_topics},
	{"fronts", 0, take_fronts},
	{"on_failure", 0, take_on_failure},
	{"options", FILES, take_options},
	{"instructions", LUA, take_instructions},
	{"memory", LUA, take_memory},
	{"timeout", LUA | HTTP, take_timeout},
	{"retries", HTTP, take_retries},
	{"in_flight", HTTP, take_in_flight},
	{"max_failures", HTTP, take_max_failures},
};

/* --- the list --------------------------------------------------------------------------------- */

static const struct hook_key *key_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_COUNT(hook_keys); i++)
		if (slice_eq(name, slice_str(hook_keys[i].name)))
			return &hook_keys[i];
	return NULL;
}

static enum err complain_key(struct config_reading *r, const yaml_node_t *node)
{
	const char *names[ARRAY_COUNT(hook_keys)];

	for (size_t i = 0; i < ARRAY_COUNT(hook_keys); i++)
		names[i] = hook_keys[i].name;
	return complain_choice(r, node, "key of hooks", names, ARRAY_COUNT(names));
}

/* `*seen`: which of hook_keys, a bit each. */
static enum err read_keys(struct config_reading *r, const yaml_node_t *node, struct hook_spec *spec,
                          unsigned *seen)
{
	enum err err = OK;

	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && !err; pair++) {
		const yaml_node_t *name = yaml_document_get_node(&r->document, pair->key);
		const struct hook_key *key;

		if (name->type != YAML_SCALAR_NODE)
			return config_complain(r, name, "a key must be a plain word");
		key = key_of(config_scalar(name));
		if (!key)
			return complain_key(r, name);
		if (*seen & 1u << (key - hook_keys))
			return config_complain(r, name, "a hook's '%s' is set twice", key->name);
		*seen |= 1u << (key - hook_keys);
		err = key->take(r, spec, yaml_document_get_node(&r->document, pair->value));
	}
	return err;
}

/* A key that would do nothing is not taken. */
static enum err check_keys(struct config_reading *r, const yaml_node_t *node,
                           const struct hook_spec *spec, unsigned seen)
{
	for (unsigned i = 0; i < ARRAY_COUNT(hook_keys); i++) {
		const struct hook_key *key = &hook_keys[i];

		if (!(seen & 1u << i) || spec->type == HOOK_TYPE_COUNT || !key->types)
			continue;
		if (!(key->types & 1u << spec->type))
			return config_complain(r, node, "a hook of type %s has no '%s'",
			                       hook_type_name(spec->type), key->name);
	}
	return OK;
}

static enum err check_name_is_new(struct config_reading *r, const yaml_node_t *node)
{
	const struct config_hooks *hooks = &r->config->hooks;
	const char *name = hooks->specs[hooks->count - 1].name;

	for (size_t i = 0; i + 1 < hooks->count; i++)
		if (strcmp(hooks->specs[i].name, name) == 0)
			return config_complain(r, node, "two hooks are called '%s'", name);
	return OK;
}

static enum err read_hook(struct config_reading *r, const yaml_node_t *node)
{
	struct config_hooks *hooks = &r->config->hooks;
	struct hook_spec *spec;
	unsigned seen = 0;
	enum err err;

	if (node->type != YAML_MAPPING_NODE)
		return config_complain(r, node, "a hook has keys: name, type, path …");
	if (hooks->count == HOOKS_MAX)
		return config_complain(r, node, "more than %d hooks", HOOKS_MAX);
	spec = &hooks->specs[hooks->count++];
	hook_spec_init(spec);
	err = read_keys(r, node, spec, &seen);
	if (!err)
		err = check_keys(r, node, spec, seen);
	if (err)
		return err;
	if (hook_spec_check(spec, r->fault) != OK)
		return config_complain(r, node, "hook '%s': %s", spec->name ? spec->name : "?",
		                       r->fault->where);
	return check_name_is_new(r, node);
}

enum err config_hooks_read(struct config_reading *r, const yaml_node_t *list)
{
	struct config_hooks *hooks = &r->config->hooks;
	enum err err = OK;

	if (list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0)
		return OK; /* "hooks:" with nothing below it */
	if (list->type != YAML_SEQUENCE_NODE)
		return config_complain(r, list, "hooks: wants a list");
	hooks->specs = calloc(HOOKS_MAX, sizeof(*hooks->specs));
	if (!hooks->specs)
		return fault_set(r->fault, ERR_NO_MEMORY, 0, "configuration");
	for (yaml_node_item_t *item = list->data.sequence.items.start;
	     item < list->data.sequence.items.top && !err; item++)
		err = read_hook(r, yaml_document_get_node(&r->document, *item));
	return err;
}

void config_hooks_fini(struct config *c)
{
	for (size_t i = 0; i < c->hooks.count; i++)
		hook_spec_fini(&c->hooks.specs[i]);
	free(c->hooks.specs);
}

/* --- showing ---------------------------------------------------------------------------------- */

static void show_names(const char *key, unsigned set, const char *(*name)(unsigned), unsigned count,
                       struct buf *out)
{
	const char *before = "";

	if (set == 0)
		return;
	buf_printf(out, "    %s: [", key);
	for (unsigned i = 0; i < count; i++) {
		if (!(set & 1u << i))
			continue;
		buf_printf(out, "%s%s", before, name(i));
		before = ", ";
	}
	buf_append_lit(out, "]\n");
}

static const char *point_at(unsigned i)
{
	return point_name((enum bourn_point)i);
}

static const char *front_at(unsigned i)
{
	return front_names[i];
}

static void show_topics(const struct hook_spec *spec, struct buf *out)
{
	if (spec->topic_count == 0)
		return;
	buf_append_lit(out, "    topics: [");
	for (size_t i = 0; i < spec->topic_count; i++) {
		buf_append_str(out, i ? ", " : "");
		config_show_text(spec->topics[i], out);
	}
	buf_append_lit(out, "]\n");
}

/* JSON is YAML, so the options stand as they are. */
static void show_hook(const struct hook_spec *spec, struct buf *out)
{
	buf_printf(out, "  - name: %s\n    type: %s\n    %s: ", spec->name,
	           hook_type_name(spec->type), spec->type == HOOK_HTTP ? "url" : "path");
	config_show_text(spec->path, out);
	buf_append_lit(out, "\n");
	show_names("points", spec->points, point_at, BOURN_POINT_COUNT, out);
	show_topics(spec, out);
	show_names("fronts", spec->fronts, front_at, ARRAY_COUNT(front_names), out);
	buf_printf(out, "    on_failure: %s\n", spec->open ? "open" : "closed");
	if (spec->type != HOOK_SO)
		buf_printf(out, "    timeout: %lldms\n", (long long)hook_spec_timeout_ms(spec));
	if (spec->type == HOOK_LUA)
		buf_printf(out, "    instructions: %lld\n    memory: %lld\n",
		           (long long)spec->instructions, (long long)spec->memory_bytes);
	if (spec->type == HOOK_HTTP)
		buf_printf(out, "    retries: %lld\n    in_flight: %lld\n    max_failures: %lld\n",
		           (long long)spec->retries, (long long)spec->in_flight,
		           (long long)spec->failures_max);
	if (spec->options)
		buf_printf(out, "    options: %s\n", spec->options);
}

void config_hooks_show(const struct config *c, struct buf *out)
{
	if (c->hooks.count == 0) {
		buf_append_lit(out, "hooks: []\n");
		return;
	}
	buf_append_lit(out, "hooks:\n");
	for (size_t i = 0; i < c->hooks.count; i++)
		show_hook(&c->hooks.specs[i], out);
}
