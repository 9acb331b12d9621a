/* What config_yaml.c and config_hooks.c share: a document being read, and complaints with the place
 * of the very word they are about. Private to server/. */
#ifndef BOURN_SERVER_CONFIG_READING_H
#define BOURN_SERVER_CONFIG_READING_H

#include "server/config_table.h"

#include <yaml.h>

struct config_reading {
	struct config *config;
	yaml_document_t document;
	const char *name; /* of the file */
	config_warn_cb *warn;
	void *warn_arg;
	struct fault *fault;
	bool seen[CONFIG_ROWS_MAX]; /* by row */
};

struct slice config_scalar(const yaml_node_t *node);

/* ERR_CONFIG, "bourn.yaml:3:5: <what>"; the arguments may stand in the fault itself. */
enum err config_complain(struct config_reading *r, const yaml_node_t *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
