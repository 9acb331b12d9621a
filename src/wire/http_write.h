/* http_write: heads of responses (and of our client's requests) written into a buf.
 *
 *	http_head_begin(&out, 201);
 *	http_head_date(&out, date);
 *	http_head_field(&out, "Content-Type", SLICE_LIT("application/json"));
 *	http_head_end_length(&out, body.len);
 *	buf_append_slice(&out, body);
 *
 * Field values that come from users must have passed http_field_value_ok: a line break in one would
 * let its author write the rest of the answer. */
#ifndef BOURN_WIRE_HTTP_WRITE_H
#define BOURN_WIRE_HTTP_WRITE_H

#include "base/buf.h"

enum { HTTP_DATE_LEN = 29 };

/* "HTTP/1.1 201 Created\r\n"; "Unknown" for a status that is not one of ours. */
void http_head_begin(struct buf *out, int status);

/* "Name: value\r\n". CHECKs that `value` has no CR, LF or NUL. */
void http_head_field(struct buf *out, const char *name, struct slice value);
void http_head_field_int(struct buf *out, const char *name, int64_t value);

/* "Date: …\r\n" from the text that http_date_format made; the caller keeps it for a second. */
void http_head_date(struct buf *out, const char date[HTTP_DATE_LEN + 1]);

/* Ends the head: with "Content-Length: n", with chunked coding, or with neither (101, 204, and
 * streams that end with the connection). */
void http_head_end_length(struct buf *out, size_t body_bytes);
void http_head_end_chunked(struct buf *out);
void http_head_end(struct buf *out);

/* The last chunk. */
void http_chunk_end(struct buf *out);

/* "Created" for 201; "Unknown" for a status that is not in the table. */
const char *http_reason(int status);

/* IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT", of a wall clock time in ms; returns `text`.
 * Years beyond 0 to 9999 are clamped. */
const char *http_date_format(int64_t wall_ms, char text[HTTP_DATE_LEN + 1]);

/* True when `value` may stand in a field: no control character but the tab. */
bool http_field_value_ok(struct slice value);

/* True when `name` is a token: may be a field's name. */
bool http_field_name_ok(struct slice name);

#endif
