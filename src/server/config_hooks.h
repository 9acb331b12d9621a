/* The part of the configuration that is a list of hooks. Private to server/.
 *
 *	hooks:
 *	  - name: mask
 *	    type: so
 *	    path: ./mask.so
 *	    points: [produce]
 *	    topics: [orders, orders.*]
 *	    fronts: [http, websocket]
 *	    on_failure: closed
 *	    options: {fields: [card]} */
#ifndef BOURN_SERVER_CONFIG_HOOKS_H
#define BOURN_SERVER_CONFIG_HOOKS_H

#include "server/config_reading.h"

enum err config_hooks_read(struct config_reading *r, const yaml_node_t *list) MUST_CHECK;

/* As YAML that is read back. */
void config_hooks_show(const struct config *c, struct buf *out);

void config_hooks_fini(struct config *c);

/* Quoted in YAML's double-quoted style: the same escapes as C for what needs them. In config.c. */
void config_show_text(const char *text, struct buf *out);

#endif
