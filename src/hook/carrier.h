/* carrier: what runs a hook, each kind behind this table. Private to
 * hook/.
 *
 *	load (once a process, before there are threads) → open (once a shard) → call … → close → unload
 *	                    refresh (now and then) → open, close the one before
 *
 * None ever waits for anything on the loop: it gives its verdict at once, or later. */
#ifndef BOURN_HOOK_CARRIER_H
#define BOURN_HOOK_CARRIER_H

#include "hook/call.h"
#include "hook/spec.h"

/* What a process has of one hook, and what a shard has: each carrier's own behind a base. */
struct hook_module {
	const struct hook_spec *spec; /* borrowed */
	unsigned points;              /* 1 << enum bourn_point: those it serves */
	unsigned version;             /* grows when it was read again: open each shard's anew */
};

struct hook_instance {
	struct hook_module *module; /* borrowed */
};

/* What `open` is told besides. */
struct hook_place {
	struct loop *loop; /* NULL: only to see whether it would run */
	unsigned shard;
	unsigned shard_count;
};

struct hook_carrier {
	bool waits; /* its verdicts may come later */

	/* Errors: ERR_CONFIG: no such file, not a hook, of another version. */
	enum err (*load)(const struct hook_spec *spec, struct hook_module **out, struct fault *f);
	void (*unload)(struct hook_module *m);

	/* Read it again, on a worker thread while no shard opens it. `*fresh`: it has changed.
	 * ERR_CONFIG: it cannot be had again, or no more; it stays what it was. */
	enum err (*refresh)(struct hook_module *m, bool *fresh, struct fault *f);

	/* ERR_CONFIG: it does not want to run; `f` has its reason. */
	enum err (*open)(struct hook_module *m, const struct hook_place *place,
	                 struct hook_instance **out, struct fault *f);
	void (*close)(struct hook_instance *i);

	/* True: `*verdict` is what it says (any number: a wrong one is a failure) and what it
	 * changed is in the call. False: hook_said follows, later; only where the call may wait. */
	bool (*call)(struct hook_instance *i, struct call *c, enum bourn_verdict *verdict);
};

/* The verdict of a call that was to follow. */
void hook_said(struct call *c, enum bourn_verdict verdict);

/* This call was the last of `failures` in a row, c->failure says why: its hook is not asked for a
 * while. And: it is again. The log and the metrics are told. */
void hook_pauses(struct call *c, int64_t failures);
void hook_resumes(struct call *c);

extern const struct hook_carrier carrier_so;   /* so.c */
extern const struct hook_carrier carrier_lua;  /* lua.c */
extern const struct hook_carrier carrier_http; /* http.c */

const struct hook_carrier *carrier_of(enum hook_type type);

#endif
