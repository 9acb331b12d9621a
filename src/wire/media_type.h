/* media type: what a Content-Type says about how its bytes can be shown. */
#ifndef BOURN_WIRE_MEDIA_TYPE_H
#define BOURN_WIRE_MEDIA_TYPE_H

#include "base/slice.h"

enum media_kind {
	MEDIA_JSON,  /* application/json, …+json */
	MEDIA_TEXT,  /* text/…, XML, an HTML form, or no type at all: text if it is UTF-8 */
	MEDIA_OTHER, /* bytes */
};

enum media_kind media_kind(struct slice content_type);

/* "application/json; charset=utf-8" → "application/json". */
struct slice media_type_name(struct slice content_type);

/* True when its name is `name`, which is lower case. */
bool media_type_is(struct slice content_type, const char *name);

/* Does an Accept field ask for `name` by name? */
bool media_accepts(struct slice accept, const char *name);

#endif
