/* json: RFC 8259 for the hot path: validate, walk what is valid, decode and write strings.
 *
 * Not a document model: nothing is allocated but what a caller's buf
 * takes, nothing recurses. Validate first; the walk then relies on it and only ever sees
 * well-formed text, which it hands out as slices of the original. */
#ifndef BOURN_WIRE_JSON_H
#define BOURN_WIRE_JSON_H

#include "base/buf.h"

enum {
	JSON_DEPTH_MAX = 64,
	JSON_NAME_BYTES_MAX = 64, /* of what json_string_is compares with */
};

enum json_kind {
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

/* True when `text` is exactly one JSON value, white space around it allowed, in valid UTF-8, with
 * at most `depth_max` (≤ JSON_DEPTH_MAX) arrays and objects inside each other. When not,
 * `*error_at` (may be NULL) is the offset of the first byte that cannot be right, text.len when
 * the text ends too early. Escaped lone surrogates are valid (the RFC's grammar allows them). */
bool json_validate(struct slice text, unsigned depth_max, size_t *error_at);

struct json_value {
	enum json_kind kind;
	struct slice
		raw; /* borrowed from the text: "{…}", "\"…\"" with its quotes, "1e3", "null" */
};

/* The value that validated `text` holds, without the white space around it. */
struct json_value json_root(struct slice text);

/* Walks the members of an object or the elements of an array, in order. */
struct json_iter {
	struct slice rest; /* what stands after the last value handed out */
	bool is_object;
};

/* `container` is a JSON_OBJECT or JSON_ARRAY from validated text. */
void json_iter_init(struct json_iter *it, struct json_value container);

/* The next one; false at the end. `*key`: raw with its quotes, SLICE_NONE in an array. */
bool json_iter_next(struct json_iter *it, struct slice *key, struct json_value *value);

/* The member of that name (the last of several, as most readers do); false when there is none. */
bool json_object_get(struct json_value object, const char *name, struct json_value *value);

/* True when the raw key or string, quotes included, stands for `text`, escapes undone. */
bool json_string_is(struct slice raw, const char *text);

/* Append what the raw string, quotes included, stands for, as UTF-8. False for a lone surrogate,
 * which stands for no character; `out` then holds a part of it. */
bool json_string_decode(struct slice raw, struct buf *out);

/* A JSON_NUMBER that is an integer literal (no point, no exponent) and fits. */
bool json_to_int64(struct json_value value, int64_t *out);

/* Append `text` as a JSON string with its quotes; what must be escaped is, nothing else. `text`
 * must be valid UTF-8 for the result to be JSON. */
void json_append_string(struct buf *out, struct slice text);

/* Append `bytes` as a JSON string: their base64 (the standard alphabet), with its quotes. */
void json_append_base64(struct buf *out, struct slice bytes);

/* Append `bytes` as text where they are valid UTF-8, else as base64: then true. */
bool json_append_bytes(struct buf *out, struct slice bytes);

#endif
