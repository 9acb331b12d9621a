/* What a hook written in C is compiled against: a shared object that the broker loads at its start
 * and calls, on its event loops, for requests and events as they pass.
 *
 *	#include <bourn/hook.h>
 *
 *	static enum bourn_verdict stamp(void *state, struct bourn_call *call)
 *	{
 *		call->host->header_set(call, BOURN_TEXT("checked"), BOURN_TEXT("yes"));
 *		return BOURN_MODIFY;
 *	}
 *
 *	const struct bourn_hook bourn_hook = {BOURN_HOOK_HEAD, .produce = stamp};
 *
 *	cc -shared -fPIC -o stamp.so stamp.c
 *
 * A hook runs in the broker's own memory and on its threads: one that crashes ends the broker, one
 * that waits holds up every client of its loop. It must not block. Lua and HTTP hooks cannot do
 * either.
 *
 * The ABI only grows. Structs are appended to and say how long they are; numbers keep their
 * meaning. A hook that was compiled against an older header of the same BOURN_HOOK_ABI keeps
 * working; the broker refuses one of another ABI, or a newer header, when it starts. */
#ifndef BOURN_HOOK_H
#define BOURN_HOOK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOURN_HOOK_MAGIC 0x6b6f6f68u /* "hook" */
#define BOURN_HOOK_ABI   1u

/* Bytes that are somebody else's. ptr NULL: none, as a record without a key; then len is 0. */
struct bourn_slice {
	const uint8_t *ptr;
	size_t len;
};

/* A string literal as a slice. */
#define BOURN_TEXT(text) ((struct bourn_slice){(const uint8_t *)(text), sizeof(text) - 1})

/* Where hooks are called. `may`: the verdicts that make sense there; any other is a failure. All
 * may continue and fail.
 *
 *	point                 when, and what `value` and the headers are          may
 *	REQUEST_RECEIVED      an HTTP request is whole; its body and fields       modify stop refuse
 *	REQUEST_EXECUTED      its outcome is known; none                          -
 *	BEFORE_RESPONSE_SEND  its answer is whole; body and fields of that        modify refuse
 *	AFTER_RESPONSE_SEND   the socket took all of it; none                     -
 *	CONNECT               a socket was accepted; none                         stop refuse
 *	SUBSCRIBE             somebody wants to follow a topic; none              refuse
 *	PRODUCE               an event, before it has a partition                 modify stop refuse
 *	DELIVER               an event, before it is made into bytes for readers  modify stop
 *	COMMIT                kept for consumer groups; never called yet          -
 *
 * Streams and upgrades are requests without an end: they have no answer that is whole. DELIVER is
 * called once for all readers to whom the event goes alike, so its caller is nobody. */
enum bourn_point {
	BOURN_REQUEST_RECEIVED,
	BOURN_REQUEST_EXECUTED,
	BOURN_BEFORE_RESPONSE_SEND,
	BOURN_AFTER_RESPONSE_SEND,
	BOURN_CONNECT,
	BOURN_SUBSCRIBE,
	BOURN_PRODUCE,
	BOURN_DELIVER,
	BOURN_COMMIT,
	BOURN_POINT_COUNT,
};

enum bourn_verdict {
	BOURN_CONTINUE = 0, /* go on; what the hook changed is not kept */
	BOURN_MODIFY = 1,   /* go on with what the hook changed */
	BOURN_STOP = 2,   /* an event is dropped, without a word to readers; a request ends here */
	BOURN_REFUSE = 3, /* the client is told no: see host->refuse */
	BOURN_FAIL = 4,   /* the hook could not do its work: the setting on_failure decides */
};

enum bourn_front {
	BOURN_FRONT_HTTP = 0, /* Server-Sent Events and streams of lines too */
	BOURN_FRONT_WEBSOCKET = 1,
	BOURN_FRONT_INTERNAL = 2, /* the broker itself */
};

enum bourn_level { BOURN_LOG_DEBUG, BOURN_LOG_INFO, BOURN_LOG_WARN, BOURN_LOG_ERROR };

struct bourn_header {
	struct bourn_slice name;
	struct bourn_slice value; /* may be none */
};

struct bourn_call;

/* What the broker does for a hook. The same table for all calls; functions are appended. */
struct bourn_host {
	uint32_t bytes; /* of this struct in the broker */

	/* Memory that lives until the outcome of the whole chain was put to use, not zeroed,
	 * aligned for anything. NULL: the call has used up its 32 MiB, or memory ends. */
	void *(*alloc)(struct bourn_call *call, size_t bytes);

	/* Headers of the event, or fields of the request or answer. Names of fields are compared
	 * without regard to case, those of events byte by byte. Borrowed as `value` is.
	 * count; the one at `index` (< count); the first of that name (0: there is none). */
	uint32_t (*header_count)(struct bourn_call *call);
	struct bourn_header (*header_at)(struct bourn_call *call, uint32_t index);
	int (*header_get)(struct bourn_call *call, struct bourn_slice name,
	                  struct bourn_slice *value);
	/* Replace all of that name by one, or append it. Name and value are copied. 0: no
	 * memory. */
	int (*header_set)(struct bourn_call *call, struct bourn_slice name,
	                  struct bourn_slice value);
	/* Remove all of that name. 0: no memory. */
	int (*header_remove)(struct bourn_call *call, struct bourn_slice name);

	/* Returns BOURN_REFUSE: `return call->host->refuse(call, 422, "no id");`. `status` is 400
	 * to 599, else the verdict counts as a failure. `detail` is one line for a person,
	 * copied. */
	enum bourn_verdict (*refuse)(struct bourn_call *call, int status, const char *detail);
	/* Tells a client that is refused when to come back. */
	void (*retry_after)(struct bourn_call *call, uint32_t seconds);

	/* One line in the broker's log, under the hook's name; a few a second at most. */
	void (*log)(struct bourn_call *call, enum bourn_level level, const char *text);
};

/* Who asks. */
struct bourn_caller {
	uint32_t bytes;
	enum bourn_front front;
	const char *peer; /* "127.0.0.1:4711"; "" at DELIVER */
	struct bourn_slice principal;
	uint64_t request_id;
};

/* One call. All it points to is borrowed until the hook returns. What a hook sets must live until
 * the outcome was put to use: memory of host->alloc, or static. */
struct bourn_call {
	uint32_t bytes;
	enum bourn_point point;
	const struct bourn_host *host;
	const struct bourn_caller *caller;
	int64_t now_ms; /* wall clock, since 1970 */

	struct bourn_slice topic; /* none where there is none */

	/* A hook may set these two. */
	struct bourn_slice key;
	struct bourn_slice value; /* none: a tombstone */

	int64_t timestamp; /* of the event, ms since 1970 */
	int32_t partition; /* DELIVER, REQUEST_EXECUTED of stored events; else -1 */
	int64_t offset;    /* the same; of several, the first */

	/* The four stages of a request. */
	struct bourn_slice method;
	struct bourn_slice target; /* path and query as sent */
	int32_t status; /* of the answer; a hook may set it at BEFORE_RESPONSE_SEND. 0: none yet */
};

typedef enum bourn_verdict bourn_hook_fn(void *state, struct bourn_call *call);

/* What `start` is told. */
struct bourn_start {
	uint32_t bytes;
	const char *name;    /* of the hook in the configuration */
	const char *options; /* `options` of the configuration as JSON, "{}" when there are none */
	unsigned shard;      /* from 0 */
	unsigned shard_count;
	int checking; /* `bourn config check`: nothing will be called */
};

/* The symbol `bourn_hook`, which a shared object must have. */
struct bourn_hook {
	uint32_t magic;
	uint32_t abi;
	uint32_t bytes;

	/* Once per event loop, each with a state of its own, so that hooks need no locks: a state
	 * is used by one thread at a time. Without `start` the state is NULL. Not 0: it cannot run;
	 * the broker does not start, and says `error`. */
	int (*start)(const struct bourn_start *start, void **state, char error[256]);
	void (*stop)(void *state);

	/* NULL: not for that point. */
	bourn_hook_fn *request_received;
	bourn_hook_fn *request_executed;
	bourn_hook_fn *before_response_send;
	bourn_hook_fn *after_response_send;
	bourn_hook_fn *connect;
	bourn_hook_fn *subscribe;
	bourn_hook_fn *produce;
	bourn_hook_fn *deliver;
	bourn_hook_fn *commit;
};

#define BOURN_HOOK_HEAD BOURN_HOOK_MAGIC, BOURN_HOOK_ABI, sizeof(struct bourn_hook)

/* Declared here so that it is exported, whatever the compiler's default is. */
extern const struct bourn_hook bourn_hook __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif

#endif
