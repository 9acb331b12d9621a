#include "front/http/known_head.h"

#include "front/http/exchange.h"

_Static_assert(sizeof(((struct exchange *)0)->name) == sizeof(((struct known_head *)0)->name) &&
                       sizeof(((struct exchange *)0)->argument) == KNOWN_ARGUMENT_BYTES,
               "both are copied whole");

bool known_head_recall(const struct known_head *k, struct exchange *x, const struct http_request *r)
{
	if (k->head_id != r->head_id)
		return false;
	x->route = k->route;
	x->cors_origin = k->cors_origin;
	x->name_len = k->name_len;
	memcpy(x->name, k->name, k->name_len + 1);
	memcpy(x->argument, k->argument, sizeof(x->argument));
	return true;
}

void known_head_keep(struct known_head *k, const struct exchange *x, const struct http_request *r)
{
	if (x->fault.code || x->allow)
		return;
	k->head_id = r->head_id;
	k->route = x->route;
	k->cors_origin = x->cors_origin;
	k->name_len = x->name_len;
	memcpy(k->name, x->name, x->name_len + 1);
	memcpy(k->argument, x->argument, sizeof(k->argument));
}
