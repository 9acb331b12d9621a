/* Every error the broker can answer, in one table, and `struct fault`: a code with its cause.
 *
 * Three kinds, never mixed. A bug is a CHECK. A refusal is the caller's doing: a code, answered.
 * A fault is the world's doing: a code, the errno and where it happened. No front invents its own:
 * the slug is the stable `code` of problem+json, the HTTP status and the Kafka number come from
 * the same row. */
#ifndef BOURN_BASE_ERR_H
#define BOURN_BASE_ERR_H

/* name, stable code, text for a person, HTTP status, Kafka error number */
#define ERRORS(X)                                                                                  \
	X(ERR_BAD_REQUEST, "bad_request", "the request is malformed", 400, 42)                     \
	X(ERR_BAD_JSON, "bad_json", "the body is not valid JSON", 400, 87)                         \
	X(ERR_BAD_UTF8, "bad_utf8", "the text is not valid UTF-8", 400, 87)                        \
	X(ERR_BAD_TOPIC, "bad_topic_name", "the topic name is not allowed", 400, 17)               \
	X(ERR_BAD_PARAMETER, "bad_parameter", "a parameter is malformed", 400, 42)                 \
	X(ERR_BAD_CURSOR, "bad_cursor", "the cursor cannot be read", 400, 1)                       \
	X(ERR_BAD_SETTING, "bad_setting", "a topic setting is not allowed", 400, 40)               \
	X(ERR_BAD_RECORD, "bad_record", "a record is malformed", 400, 87)                          \
	X(ERR_BAD_TIMESTAMP, "bad_timestamp", "the event's timestamp is not allowed", 400, 32)     \
	X(ERR_KEY_REQUIRED, "key_required", "the topic is compacted: every event needs a key",     \
	  400, 87)                                                                                 \
	X(ERR_PARTITION_REQUIRED, "partition_required",                                            \
	  "the topic has several partitions; say which with 'partition'", 400, 42)                 \
	X(ERR_TOO_MANY_TOPICS, "too_many_topics",                                                  \
	  "more topics or partitions than one subscription may have", 400, 42)                     \
	X(ERR_FOREIGN_ORIGIN, "foreign_origin", "a page of this origin may not do this", 403, 29)  \
	X(ERR_DENIED, "denied", "the caller may not do this", 403, 29)                             \
	X(ERR_NOT_FOUND, "not_found", "there is nothing at this address", 404, 42)                 \
	X(ERR_TOPIC_UNKNOWN, "topic_unknown", "there is no such topic", 404, 3)                    \
	X(ERR_PARTITION_UNKNOWN, "partition_unknown", "the topic has no such partition", 404, 3)   \
	X(ERR_CONNECTION_UNKNOWN, "connection_unknown", "there is no such connection", 404, 42)    \
	X(ERR_BACKUP_UNKNOWN, "backup_unknown", "there is no such backup", 404, 42)                \
	X(ERR_EVENT_GONE, "event_gone", "there is no event at this offset", 404, 1)                \
	X(ERR_METHOD, "method_not_allowed", "the method is not allowed here", 405, 42)             \
	X(ERR_REQUEST_SLOW, "request_timeout", "the request did not arrive in time", 408, 7)       \
	X(ERR_TOPIC_EXISTS, "topic_exists", "a topic of this name exists", 409, 36)                \
	X(ERR_BACKUP_EXISTS, "backup_exists", "a backup of this name exists", 409, 42)             \
	X(ERR_BACKUP_BUSY, "backup_busy", "another backup is being made or removed", 409, 89)      \
	X(ERR_OFFSET_MISMATCH, "offset_mismatch", "Expected-Offset is not the log end", 409, 45)   \
	X(ERR_TRIMMED, "offset_trimmed", "the offset is below the log start", 410, 1)              \
	X(ERR_TRUNCATED, "offset_truncated",                                                       \
	  "the cursor is from a part of the log that was lost in a crash", 410, 1)                 \
	X(ERR_TOPIC_GONE, "topic_gone", "the topic was deleted", 410, 3)                           \
	X(ERR_TOO_LARGE, "too_large", "the event or body is too large", 413, 10)                   \
	X(ERR_URI_LONG, "uri_too_long", "the request line is longer than 8 KiB", 414, 42)          \
	X(ERR_MEDIA_TYPE, "unsupported_media_type", "the content type is not accepted here", 415,  \
	  42)                                                                                      \
	X(ERR_OUT_OF_RANGE, "offset_out_of_range", "the offset is beyond the end of the log", 416, \
	  1)                                                                                       \
	X(ERR_EXPECTATION, "expectation_failed", "only Expect: 100-continue is understood", 417,   \
	  42)                                                                                      \
	X(ERR_MISDIRECTED, "wrong_host", "this broker does not answer to this Host", 421, 42)      \
	X(ERR_HOOK_REFUSED, "hook_refused", "a hook of this broker refused it", 422, 87)           \
	X(ERR_UPGRADE, "upgrade_required", "this version of WebSocket is not spoken", 426, 42)     \
	X(ERR_TOO_MANY, "too_many", "a limit on the number of these is reached", 429, 89)          \
	X(ERR_HEADERS_LARGE, "headers_too_large", "more than 32 KiB or 100 header fields", 431,    \
	  42)                                                                                      \
	X(ERR_INTERNAL, "internal", "the broker failed", 500, -1)                                  \
	X(ERR_CORRUPT, "corrupt", "stored bytes fail their checksum", 500, 2)                      \
	X(ERR_IO, "io", "reading or writing storage failed", 500, 56)                              \
	X(ERR_NOT_IMPLEMENTED, "not_implemented", "this is not built yet", 501, 35)                \
	X(ERR_TRANSFER_ENCODING, "transfer_encoding", "only Transfer-Encoding: chunked", 501, 42)  \
	X(ERR_BUSY, "busy", "the broker is at a limit; try again", 503, 89)                        \
	X(ERR_FENCED, "fenced", "the partition takes no writes until it is repaired", 503, 56)     \
	X(ERR_SHUTTING_DOWN, "shutting_down", "the broker is stopping", 503, 15)                   \
	X(ERR_NOT_READY, "not_ready", "the broker is still recovering", 503, 15)                   \
	X(ERR_HOOK_FAILED, "hook_failed", "a hook of this broker failed; try again", 503, 56)      \
	X(ERR_NO_MEMORY, "no_memory", "a memory budget is used up; try again", 503, 89)            \
	X(ERR_HTTP_VERSION, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken", 505, 35)      \
	X(ERR_DISK_FULL, "disk_full", "the disk is full", 507, 56)                                 \
	X(ERR_DIR_LOCKED, "directory_locked", "another process uses this data directory", 503, 56) \
	X(ERR_DIR_NEWER, "directory_newer", "the data was written by a newer version", 500, 56)    \
	X(ERR_DIR_FOREIGN, "directory_foreign", "this is not a data directory of ours", 500, 56)   \
	X(ERR_UNREACHABLE, "unreachable", "the server cannot be reached", 502, -1)                 \
	X(ERR_LISTEN, "listen", "cannot listen", 500, -1)                                          \
	X(ERR_CONFIG, "config", "the configuration is not valid", 400, 40)                         \
	X(ERR_INPUT, "input", "the input cannot be read", 500, -1)

enum err {
	OK = 0,
#define X(name, slug, text, http, kafka) name,
	ERRORS(X)
#undef X
		ERR_COUNT,
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A code and its cause. `where` names the thing and the step, as in "wal open d/3.wal", or says
 * what was wrong with a refused request; it is one line, for a person. */
struct fault {
	enum err code;
	int os_errno;    /* 0: the system is not to blame */
	char where[192]; /* "": nothing to add to the code's text */
};

/* Fill `f` (when not NULL) and return `code`, so that a failing path is one line. */
enum err fault_set(struct fault *f, enum err code, int os_errno, const char *where, ...)
	__attribute__((format(printf, 4, 5)));

/* One line for a person: text, where and errno, as in
 * "the disk is full: wal grow data/wal/3.wal (No space left on device)".
 * Returns `into`, always NUL-terminated within `cap` bytes. */
const char *fault_text(const struct fault *f, char *into, unsigned cap);

/* Rows of the table; `code` must be in it (OK included: "ok", 200, 0). */
const char *err_slug(enum err code);
const char *err_text(enum err code);
int err_http_status(enum err code);
int err_kafka_code(enum err code);

#endif
