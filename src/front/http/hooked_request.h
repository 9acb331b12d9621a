/* hooked request: the four stages at which hooks see an HTTP request and its answer; this is the
 * first.
 *
 *	received → handler … outcome known: executed → answer written: before_send → sent: after_send
 *	(here)                                 (hooked_answer.h)               (front/hooked.h)
 *
 * Called where a front has hooks for one of them (front->hooks_requests). What is refused before it
 * is whole and has a route passes none. */
#ifndef BOURN_FRONT_HTTP_HOOKED_REQUEST_H
#define BOURN_FRONT_HTTP_HOOKED_REQUEST_H

#include "front/http/exchange.h"

/* The request is whole and has a route: have hooks look at it, then x->route->handle; or answer
 * what they say. When they answer later no other request is read from the connection meanwhile. */
void hooked_receive(struct exchange *x, const struct http_request *r);

#endif
