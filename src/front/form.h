/* form: one event as the bytes that a kind of reader gets. Readers of one form get the same bytes,
 * so those are made once for all of them (feed.h).
 *
 *   FORM_FRAME  a WebSocket frame with the payload alone
 *   FORM_SSE    id: 42             FORM_LINE  {"topic":…,"offset":41,…,"next":"42"}
 *               data: payload
 *
 * The place after the event (`id`, `next`) is a plain number where a topic of one partition is read
 * alone; it is then part of the form. Else it is a cursor, of each reader its own: the event is
 * made without it, and form_place puts it in. */
#ifndef BOURN_FRONT_FORM_H
#define BOURN_FRONT_FORM_H

#include "base/buf.h"
#include "record/batch.h"

enum form_kind { FORM_FRAME, FORM_SSE, FORM_LINE };

/* No padding: it is hashed. */
struct form {
	uint8_t kind;    /* enum form_kind */
	uint8_t named;   /* says the topic; SSE: the data is the event in JSON then */
	uint8_t placed;  /* holds its place as a number */
	uint8_t chunked; /* it, or what form_place makes of it, is a chunk of an HTTP/1.1 body */
};

/* Does form_place have to follow? */
static inline bool form_needs_place(struct form f)
{
	return f.kind != FORM_FRAME && !f.placed;
}

/* Append one event. Looks at out->failed for nobody. */
void form_append(struct form f, const struct record *r, uint32_t partition, struct slice topic,
                 struct buf *out);

/* Append an event that form_append made, with its place. */
void form_place(struct form f, struct slice event, struct slice cursor, struct buf *out);

/* What is appended between these two is one chunk; nothing at all is none. `begin` returns what
 * `end` wants. */
size_t form_chunk_begin(struct form f, struct buf *out);
void form_chunk_end(struct form f, struct buf *out, size_t start);

#endif
