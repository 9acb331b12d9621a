/* sse: Server-Sent Events as bytes, for the side that sends them. An event is some field lines and
 * a blank line:
 *
 *	event: gone          sse_append_field, none for an ordinary event
 *	id: 17               sse_append_field
 *	data: first line     sse_append_data, one line of it per line of the text
 *	data: second line
 *	                     sse_append_end
 *
 * What the lines mean is the caller's. The stream is UTF-8 (a reader replaces what is not), and a
 * reader takes CR, LF and CR LF alike for a line's end, which is why a text that holds a CR cannot
 * travel as data lines.
 *
 * Source: the HTML standard, "Server-sent events". */
#ifndef BOURN_WIRE_SSE_H
#define BOURN_WIRE_SSE_H

#include "base/buf.h"

/* Says nothing, keeps proxies from taking the connection for dead. Only between events; no blank
 * line follows, which before the first id would have the reader forget the one it came with. */
#define SSE_HEARTBEAT ":\n"

/* Whether data lines give this text back byte for byte: it holds no CR. (That it is UTF-8 is for
 * the caller to know.) */
bool sse_text_ok(struct slice text);

/* One "data: " line per line of `text`, split at LF; a text that ends with LF has an empty last
 * one, and the empty text one empty line. Writes 7 bytes more than the text, and 6 more for each LF
 * in it. CHECKs nothing of the bytes: sse_text_ok is asked first. */
void sse_append_data(struct buf *out, struct slice text);

/* `name` is event, id or retry; the value holds no CR, LF or NUL. */
void sse_append_field(struct buf *out, const char *name, struct slice value);

/* The blank line that ends an event and has the reader deliver it. */
void sse_append_end(struct buf *out);

#endif
