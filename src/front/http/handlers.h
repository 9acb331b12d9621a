/* handlers: one for each route; what they answer stands at the head of their files. For the router
 * only. All have route->handle's contract (router.h). */
#ifndef BOURN_FRONT_HTTP_HANDLERS_H
#define BOURN_FRONT_HTTP_HANDLERS_H

#include "front/http/router.h"

typedef void route_handle(struct exchange *x, const struct http_request *r);

route_handle produce_handle;                          /* produce.c */
route_handle consume_handle, event_handle;            /* consume.c */
route_handle batches_get_handle, batches_post_handle; /* batches.c */
route_handle stream_handle;                           /* stream.c */
route_handle topics_list_handle, topic_get_handle;    /* topics.c */
route_handle topic_put_handle, topic_patch_handle;
route_handle topic_delete_handle, topic_purge_handle;
route_handle livez_handle, readyz_handle, metrics_handle; /* admin.c */
route_handle info_handle, snapshot_handle;
route_handle greeting_handle;                         /* greeting.c */
route_handle backup_make_handle, backups_list_handle; /* backups.c */
route_handle backup_remove_handle;
route_handle connections_list_handle; /* connections.c */
route_handle connection_get_handle, connection_delete_handle;
route_handle ws_subscribe_handle, ws_produce_handle; /* ws/ */

extern const struct route options_route; /* admin.c */

#endif
