#include "cli/moving/dump_source.h"

#include "broker/topic_match.h"
#include "cli/remote.h"
#include "record/batch.h"
#include "wire/json.h"
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PAGE = 1000,
	PATH_BYTES_MAX = 2048,
};

/* --- names ------------------------------------------------------------------------------------ */

void name_list_fini(struct name_list *list)
{
	free(list->names);
	*list = (struct name_list){0};
}

static bool name_list_add(struct name_list *list, struct slice name)
{
	size_t cap = list->cap ? list->cap * 2 : 64;

	if (list->count == list->cap) {
		void *names = realloc(list->names, cap * sizeof(*list->names));

		if (!names)
			return false;
		list->names = names;
		list->cap = cap;
	}
	snprintf(list->names[list->count++], sizeof(*list->names), "%.*s", SLICE_FMT(name));
	return true;
}

static bool is_meant(const char *const *words, size_t word_count, bool *hit, struct slice name)
{
	bool meant = word_count == 0;

	for (size_t i = 0; i < word_count; i++) {
		if (!topic_pattern_matches(slice_str(words[i]), name))
			continue;
		hit[i] = true;
		meant = true;
	}
	return meant;
}

/* One page; `*after` becomes its last name, empty at the end. */
static enum err take_page(struct slice body, const char *const *words, size_t word_count, bool *hit,
                          struct name_list *out, char *after, struct fault *f)
{
	struct json_value list, one, name;
	struct json_iter it;
	struct slice key;

	if (!json_validate(body, JSON_DEPTH_MAX, NULL) ||
	    !json_object_get(json_root(body), "topics", &list) || list.kind != JSON_ARRAY)
		return fault_set(f, ERR_INTERNAL, 0, "the list of topics is none");
	after[0] = '\0';
	json_iter_init(&it, list);
	for (size_t count = 1; json_iter_next(&it, &key, &one); count++) {
		struct slice text;

		if (one.kind != JSON_OBJECT || !json_object_get(one, "name", &name) ||
		    name.raw.len < 2 || name.raw.len - 2 > TOPIC_NAME_BYTES_MAX)
			return fault_set(f, ERR_INTERNAL, 0, "the list of topics is none");
		text = slice_of(name.raw.ptr + 1, name.raw.len - 2);
		if (is_meant(words, word_count, hit, text) && !name_list_add(out, text))
			return fault_set(f, ERR_NO_MEMORY, 0, "names of topics");
		if (count == PAGE)
			snprintf(after, TOPIC_NAME_BYTES_MAX + 1, "%.*s", SLICE_FMT(text));
	}
	return OK;
}

static enum err list_all(struct client *c, const char *const *words, size_t word_count, bool *hit,
                         struct name_list *out, struct fault *f)
{
	char after[TOPIC_NAME_BYTES_MAX + 1] = "";
	struct buf path = BUF_INIT(PATH_BYTES_MAX);
	struct client_response response;
	enum err err;

	client_response_init(&response);
	do {
		buf_clear(&path);
		buf_printf(&path, "/v1/topics?limit=%d&after=%s", PAGE, after);
		err = remote_call(
			c, &(struct client_request){.method = "GET", .path = buf_slice(&path)},
			&response, f);
		if (!err)
			err = take_page(buf_slice(&response.body), words, word_count, hit, out,
			                after, f);
	} while (!err && after[0]);
	client_response_fini(&response);
	buf_fini(&path);
	return err;
}

enum err dump_source_list(struct client *c, const char *const *words, size_t word_count,
                          struct name_list *out, struct fault *f)
{
	bool *hit = calloc(word_count + 1, sizeof(*hit));
	enum err err = hit ? OK : fault_set(f, ERR_NO_MEMORY, 0, "names of topics");

	*out = (struct name_list){0};
	for (size_t i = 0; i < word_count && !err; i++)
		err = topic_pattern_check(slice_str(words[i]), f);
	if (!err)
		err = list_all(c, words, word_count, hit, out, f);
	for (size_t i = 0; i < word_count && !err; i++)
		if (!hit[i])
			err = fault_set(f, ERR_TOPIC_UNKNOWN, 0, "'%.100s'", words[i]);
	free(hit);
	if (err)
		name_list_fini(out);
	return err;
}

/* --- a topic ---------------------------------------------------------------------------------- */

enum err dump_source_describe(struct client *c, const char *name, struct dump_topic *out,
                              struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX);
	struct client_response response;
	enum err err;

	client_response_init(&response);
	remote_path(&path, "v1/topics", name);
	err = remote_call(c, &(struct client_request){.method = "GET", .path = buf_slice(&path)},
	                  &response, f);
	if (!err && !json_validate(buf_slice(&response.body), JSON_DEPTH_MAX, NULL))
		err = fault_set(f, ERR_INTERNAL, 0, "the description of '%.100s' is none", name);
	if (!err)
		err = dump_topic_parse(buf_slice(&response.body), "name", out, f);
	client_response_fini(&response);
	buf_fini(&path);
	return err;
}

/* --- batches ---------------------------------------------------------------------------------- */

static enum err append_part(const struct batch *b, int64_t from, int64_t end, struct buf *out,
                            struct fault *f)
{
	struct batch_builder builder;
	int64_t next = from > b->base_offset ? from : b->base_offset, base_offset = next;
	struct batch_iter it;
	struct record r;
	bool corrupt;
	size_t start = out->len;

	batch_begin(&builder, out);
	batch_iter_init(&it, b);
	while (batch_iter_next(&it, &r, &corrupt)) {
		if (r.offset < from || r.offset >= end)
			continue;
		batch_skip(&builder, (uint32_t)(r.offset - next));
		batch_add(&builder, &r);
		next = r.offset + 1;
	}
	if (builder.count == 0) {
		out->len = start;
		return OK;
	}
	if (!batch_finish(&builder).ptr)
		return fault_set(f, ERR_NO_MEMORY, 0, "a batch");
	batch_assign(out->ptr + start, base_offset, -1);
	return OK;
}

static enum err take_batches(struct slice body, int64_t offset, int64_t end, struct buf *out,
                             struct fault *f)
{
	struct fault why;
	struct batch b;
	enum err err = OK;

	for (; body.len > 0 && !err;
	     body = slice_of(body.ptr + b.bytes.len, body.len - b.bytes.len)) {
		if (batch_validate_sparse(body, &b, &why))
			return fault_set(f, ERR_CORRUPT, 0, "what came from offset %lld on: %.100s",
			                 (long long)offset, why.where);
		if (b.record_count == 0 || b.last_offset < offset || b.base_offset >= end)
			continue;
		if (b.base_offset < offset || b.last_offset >= end)
			err = append_part(&b, offset, end, out, f);
		else
			buf_append_slice(out, b.bytes);
	}
	return err;
}

/* After ERR_TRIMMED the log start, else -1. */
static int64_t log_start_of(const struct client_response *response)
{
	struct slice body = buf_slice(&response->body);
	struct json_value value;
	int64_t number;

	if (!json_validate(body, JSON_DEPTH_MAX, NULL) || json_root(body).kind != JSON_OBJECT ||
	    !json_object_get(json_root(body), "earliest", &value) || !json_to_int64(value, &number))
		return -1;
	return number;
}

/* GET …/batches; `*next` as the answer says. */
static enum err ask(struct client *c, const char *name, uint32_t partition, int64_t offset,
                    struct client_response *response, int64_t *next, struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX);
	struct client_request request = {.method = "GET"};
	enum err err;

	remote_path(&path, "v1/topics", name);
	buf_printf(&path, "/batches?partition=%u&offset=%lld", partition, (long long)offset);
	request.path = buf_slice(&path);
	err = remote_call(c, &request, response, f);
	if (err == ERR_TRIMMED)
		*next = log_start_of(response);
	else if (!err && !slice_to_int64(buf_slice(&response->next), next))
		*next = -1;
	if ((!err && *next < offset) || (err == ERR_TRIMMED && *next <= offset))
		err = fault_set(f, ERR_INTERNAL, 0, "an answer without a place to go on");
	buf_fini(&path);
	return err;
}

enum err dump_source_read(struct client *c, const char *name, uint32_t partition, int64_t offset,
                          int64_t end, struct buf *out, int64_t *next, struct fault *f)
{
	struct client_response response;
	enum err err;

	buf_clear(out);
	client_response_init(&response);
	err = ask(c, name, partition, offset, &response, next, f);
	if (!err)
		err = take_batches(buf_slice(&response.body), offset, end, out, f);
	client_response_fini(&response);
	return err;
}

enum err dump_source_read_whole(struct client *c, const char *name, uint32_t partition,
                                int64_t offset, struct buf *out, int64_t *next, struct fault *f)
{
	struct client_response response;
	struct slice rest;
	struct batch b;
	enum err err;

	buf_clear(out);
	client_response_init(&response);
	err = ask(c, name, partition, offset, &response, next, f);
	rest = err ? SLICE_NONE : buf_slice(&response.body);
	for (; rest.len > 0 && !err;
	     rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		err = batch_validate_sparse(rest, &b, f);
		if (!err)
			buf_append_slice(out, b.bytes);
		else
			break;
	}
	client_response_fini(&response);
	return err;
}
