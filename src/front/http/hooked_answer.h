/* hooked answer: what hooks make of an HTTP answer, and who is told of its outcome. See
 * hooked_request.h. */
#ifndef BOURN_FRONT_HTTP_HOOKED_ANSWER_H
#define BOURN_FRONT_HTTP_HOOKED_ANSWER_H

#include "front/http/exchange.h"

/* x->ops->write, with hooks before and after; x->hooks is set, and dropped. When they answer later
 * x->held is true until then, and what was written is not in the output yet. */
void hooked_write(struct exchange *x);

#endif
