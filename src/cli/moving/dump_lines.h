/* dump_lines: lines of JSON, for people and their tools, and lossless all the same
 * (docs/formats.md#dump):
 *
 *   {"bourn_dump":1,"created_at":…}
 *   {"topic":"orders","uuid":…}                                       dump_topic.h
 *   {"topic":"orders","partition":0,"offset":5,"timestamp":…,"key":"k","headers":[["n","v"]],
 *    "content_type":"application/json","encoding":"json","value":{"id":1}}
 *   {"check":"89abcdef"}                                  CRC of all bytes since the one before
 *   {"end":true,"events":1}
 *   {"check":"01234567"}
 *
 * What is not UTF-8 is base64: "key_encoding":"base64", "encoding":"base64", and a header's third
 * element says what of it: "base64" its value, "base64_name" its name, "base64_both". Without key:
 * none. A value of "encoding" none is null: a tombstone. "json" is a value that stands as it is;
 * one that cannot, for white space around it or line breaks in it, is "text". "content_type" is the
 * last header, if that is its name; any other of that name is among the headers. */
#ifndef BOURN_CLI_MOVING_DUMP_LINES_H
#define BOURN_CLI_MOVING_DUMP_LINES_H

#include "cli/moving/dump_file.h"
#include "wire/json.h"

#define DUMP_LINES_FIRST     "{\"bourn_dump\":"
#define DUMP_LINES_END       "{\"end\":true,"
#define DUMP_LINES_CHECK     "{\"check\":\""
#define DUMP_LINES_TYPE_NAME "content-type"

enum {
	DUMP_LINES_VALUE_DEPTH_MAX = JSON_DEPTH_MAX - 1, /* of JSON that stands as it is */
	DUMP_LINES_CHECK_BYTES = 21,                     /* {"check":"89abcdef"} and a line feed */
};

/* Reading, for the format's table (dump_file.h). */
bool dump_lines_has_end(struct slice tail);
enum err dump_lines_next(struct dump_reader *r, struct dump_item *out, struct fault *f) MUST_CHECK;

#endif
