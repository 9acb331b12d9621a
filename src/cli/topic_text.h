/* topic_text: one topic as the broker describes it, laid out for a person. */
#ifndef BOURN_CLI_TOPIC_TEXT_H
#define BOURN_CLI_TOPIC_TEXT_H

#include "wire/json.h"

/* To stdout; a string without quotes and escapes. */
void topic_text_scalar(struct json_value value);

/* To stdout; `topic` is the object that GET /v1/topics/{t} answers. */
void topic_text_print(struct json_value topic);

#endif
