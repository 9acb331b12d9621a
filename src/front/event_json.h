/* event JSON: a record as readers see it, one line of JSON without a line break; the same on every
 * front.
 *
 *   {"topic":"t","offset":3,"partition":0,"timestamp":1767225600000,"key":"k",
 *    "headers":[["traceparent","00-…"]],"content_type":"application/json",
 *    "encoding":"json","value":{"a":1}}
 *
 * `topic` stands only in streams of several; key, headers and content_type only when there are any.
 * encoding  json    the content type says JSON, and it is: as it is, without outer white space, and
 *                   with blanks for the line breaks between its tokens
 *           text    a string: valid UTF-8 of a text type, of an HTML form, or of no type
 *           base64  a string: all else
 *           none    null: a tombstone
 * A key that is not UTF-8 is base64 and followed by "key_encoding":"base64"; such a header value by
 * "base64" as the pair's third element. */
#ifndef BOURN_FRONT_EVENT_JSON_H
#define BOURN_FRONT_EVENT_JSON_H

#include "record/batch.h"

enum event_encoding {
	EVENT_JSON,
	EVENT_TEXT,
	EVENT_BASE64,
	EVENT_NONE,
};

/* `*content_type`: that of the record; NONE when it has none. */
enum event_encoding event_encoding(const struct record *r, struct slice *content_type);

/* Append the object. `topic` NONE: left out. Looks at out->failed for nobody. */
void event_json_append(struct buf *out, const struct record *r, uint32_t partition,
                       struct slice topic);

#endif
