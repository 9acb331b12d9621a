#include "broker/caller.h"

#include "base/check.h"

enum err broker_authorize(const struct caller *c, enum operation op, struct slice topic)
{
	CHECK(c);
	(void)op;
	(void)topic;
	return OK;
}
