/* guard: a page in somebody's browser must not be able to attack a broker on loopback.
 *
 * Host must name this broker (else DNS could be bent to point at it): an IP literal, localhost,
 * server.host, or one of server.allowed_hosts, with any port or none. Origin, which only browsers
 * send, must be the Host itself or one of server.allowed_origins for whatever changes state and for
 * WebSockets; others may be read by nobody: they get no CORS fields. */
#ifndef BOURN_FRONT_HTTP_GUARD_H
#define BOURN_FRONT_HTTP_GUARD_H

#include "front/http/exchange.h"

/* Fill in cors_origin, or the fault: MISDIRECTED, FOREIGN_ORIGIN. */
void guard_check(struct exchange *x, const struct http_request *r);

/* Is it a name or address of ours? `host` as in a Host field. */
bool guard_host_ok(const struct front_config *config, struct slice host);

/* Is `origin` the page of this very host and port? */
bool guard_same_origin(struct slice origin, struct slice host);

#endif
