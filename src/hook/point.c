#include "hook/point.h"

#include "base/check.h"

enum {
	MODIFY = 1 << BOURN_MODIFY,
	STOP = 1 << BOURN_STOP,
	REFUSE = 1 << BOURN_REFUSE,
	ALWAYS = 1 << BOURN_CONTINUE | 1 << BOURN_FAIL,
};

static const struct point_row {
	const char *name;
	unsigned verdicts; /* besides those that always are */
} points[BOURN_POINT_COUNT] = {
	[BOURN_REQUEST_RECEIVED] = {"request_received", MODIFY | STOP | REFUSE},
	[BOURN_REQUEST_EXECUTED] = {"request_executed", 0},
	[BOURN_BEFORE_RESPONSE_SEND] = {"before_response_send", MODIFY | REFUSE},
	[BOURN_AFTER_RESPONSE_SEND] = {"after_response_send", 0},
	[BOURN_CONNECT] = {"connect", STOP | REFUSE},
	[BOURN_SUBSCRIBE] = {"subscribe", REFUSE},
	[BOURN_PRODUCE] = {"produce", MODIFY | STOP | REFUSE},
	[BOURN_DELIVER] = {"deliver", MODIFY | STOP},
	[BOURN_COMMIT] = {"commit", 0},
};

static const char *const verdicts[VERDICT_COUNT] = {
	[BOURN_CONTINUE] = "continue", [BOURN_MODIFY] = "modify", [BOURN_STOP] = "stop",
	[BOURN_REFUSE] = "refuse",     [BOURN_FAIL] = "fail",
};

const char *point_name(enum bourn_point point)
{
	CHECK((unsigned)point < BOURN_POINT_COUNT);
	return points[point].name;
}

enum bourn_point point_parse(struct slice name)
{
	unsigned i = 0;

	while (i < BOURN_POINT_COUNT && !slice_eq(name, slice_str(points[i].name)))
		i++;
	return (enum bourn_point)i;
}

/* A verdict comes from a hook: it may be any number. */
bool point_allows(enum bourn_point point, enum bourn_verdict verdict)
{
	CHECK((unsigned)point < BOURN_POINT_COUNT);
	if ((unsigned)verdict >= VERDICT_COUNT)
		return false;
	return (points[point].verdicts | ALWAYS) & 1u << verdict;
}

const char *verdict_name(enum bourn_verdict verdict)
{
	CHECK((unsigned)verdict < VERDICT_COUNT);
	return verdicts[verdict];
}

bool verdict_parse(struct slice name, enum bourn_verdict *out)
{
	for (unsigned i = 0; i < VERDICT_COUNT; i++) {
		if (!slice_eq(name, slice_str(verdicts[i])))
			continue;
		*out = (enum bourn_verdict)i;
		return true;
	}
	return false;
}
