/* hooked request: the four stages at which hooks see an HTTP request and its answer.
 *
 *	received → handler … outcome known: executed → answer written: before_send → sent: after_send
 *
 * The first is only called where a front has hooks for one of them (front->hooks_requests). What is
 * refused before it is whole and has a route passes none. */
#ifndef BOURN_FRONT_HTTP_HOOKED_REQUEST_H
#define BOURN_FRONT_HTTP_HOOKED_REQUEST_H

#include "front/http/exchange.h"

/* The request is whole and has a route: have hooks look at it, then x->route->handle; or answer what
 * they say. False: a hook changed the request, nothing may be kept of its head. */
bool hooked_receive(struct exchange *x, const struct http_request *r);

/* x->ops->write, with hooks before and after; x->hooks is set, and dropped. */
void hooked_write(struct exchange *x);

#endif
