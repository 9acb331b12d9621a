/* url: paths and query parameters of a request target, decoded once and no more.
 *
 * "+" stands for itself (RFC 3986), so that a time zone can be written as it is. Escapes that are
 * cut off or not hex, and %00, are refused: never guessed, never mangled. */
#ifndef BOURN_WIRE_URL_H
#define BOURN_WIRE_URL_H

#include "base/buf.h"
#include "base/err.h"

enum { URL_PARAMS_MAX = 80 };

/* Decode `raw` into `out`, which has room for raw.len bytes (may be where raw is: it never grows);
 * `*len` is what was written. False: a bad escape, or a NUL. */
bool url_decode(struct slice raw, uint8_t *out, size_t *len);

/* Append `text` with all but unreserved characters (letters, digits, "-._~") escaped. */
void url_encode(struct slice text, struct buf *out);

struct url_param {
	struct slice name;
	struct slice value; /* NONE for "name" without "="; empty for "name=" */
};

struct url_query {
	size_t count;
	struct url_param
		params[URL_PARAMS_MAX]; /* in order; borrowed from the query or `decoded` */
	struct buf decoded;             /* owned; only used when something was escaped */
};

/* Split and decode "a=b&c". Empty parts ("a&&b") are skipped.
 * Errors: ERR_BAD_PARAMETER: a bad escape, an empty name, too many; `f` says which.
 *         ERR_NO_MEMORY. On error nothing is owned.
 * Owner:  q: caller, url_query_fini; its slices end with it and with `raw`. */
enum err url_query_parse(struct slice raw, struct url_query *q, struct fault *f) MUST_CHECK;
void url_query_fini(struct url_query *q);

/* The first parameter of that name; NULL when there is none. */
const struct url_param *url_query_find(const struct url_query *q, const char *name);

#endif
