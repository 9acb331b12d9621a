/* The table behind config.h: one row a setting. */
#ifndef BOURN_SERVER_CONFIG_TABLE_H
#define BOURN_SERVER_CONFIG_TABLE_H

#include "server/config.h"

enum config_kind {
	CONFIG_TEXT,     /* char * */
	CONFIG_NUMBER,   /* int64_t in [min, max] */
	CONFIG_AUTO,     /* the same, and "auto" for 0 */
	CONFIG_BOOL,     /* bool: true or false, nothing else */
	CONFIG_CHOICE,   /* int64_t: index into choices */
	CONFIG_DURATION, /* int64_t ms in [min, max] */
	CONFIG_BYTES,    /* int64_t in [min, max] */
	CONFIG_LIST,     /* struct config_list */
	CONFIG_IGNORED,  /* read for compatibility, told of, without effect */
	CONFIG_HOOKS,    /* struct config_hooks: in a file only */
};

struct config_row {
	const char *section;
	const char *key;   /* "": the section itself is the value; "group.key": a section in it */
	const char *alias; /* another name for the key; NULL: none */
	enum config_kind kind;
	size_t offset; /* of the field in struct config */
	int64_t min, max;
	const char *default_text; /* what the row would be set from */
	const char *const
		*choices; /* CHOICE: its values; TEXT: pairs (alias, value); NULL-terminated */
	const char *help;
};

enum { CONFIG_ROWS_MAX = 64, CONFIG_KEY_BYTES_MAX = 128 };

extern const struct config_row config_rows[];
extern const size_t config_row_count;

/* NULL when there is none; aliases count. `*alias`: the name was an alias. */
const struct config_row *config_row_find(struct slice section, struct slice key);

bool config_section_exists(struct slice section);
/* Are there keys "<group>.…" in that section? */
bool config_group_exists(struct slice section, struct slice group);

/* The likely name for a mistyped section or key; NULL: none is near. */
const char *config_suggest_section(struct slice word);
const char *config_suggest_key(struct slice section, struct slice word);

/* Set one row from text (lists: appends one text). On refusal `f` holds what is wrong with the
 * value, without its name or place: "'70000' is not a number from 0 to 65535". */
enum err config_row_set(struct config *c, const struct config_row *row, struct slice value,
                        struct fault *f) MUST_CHECK;

/* As it would be written in a file: "50ms" "60s" "1d"; "4096" "64KiB" "1GiB". */
void config_append_duration(int64_t ms, struct buf *out);
void config_append_bytes(int64_t bytes, struct buf *out);

/* Empty a list before it is set anew. */
void config_row_clear(struct config *c, const struct config_row *row);

#endif
