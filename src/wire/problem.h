/* problem: a refusal or fault as RFC 9457 `application/problem+json`, the same on every front.
 *
 *	{"type":"about:blank","title":"the offset is below the log start","status":410,
 *	 "code":"offset_trimmed","detail":"…","request_id":"…","earliest":17} */
#ifndef BOURN_WIRE_PROBLEM_H
#define BOURN_WIRE_PROBLEM_H

#include "base/buf.h"
#include "base/err.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

struct problem_member {
	const char *name; /* plain ASCII, needs no escapes */
	int64_t value;
};

struct problem {
	enum err code;                        /* gives title, status and code */
	int status;                           /* instead of the code's; 0: that */
	struct slice detail;                  /* what was wrong here; empty or NONE: left out */
	struct slice request_id;              /* empty or NONE: left out */
	const struct problem_member *members; /* borrowed during the call */
	size_t member_count;
};

/* Append the JSON object. Bytes in `detail` and `request_id` that are not UTF-8 become "?". */
void problem_append(struct buf *out, const struct problem *problem);

#endif
