/* A hook that is a shared object: include/bourn/hook.h is what it and this file agree on. */
#include "hook/carrier.h"
#include "io/loop.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOOK_BYTES_MIN = sizeof(struct bourn_hook) }; /* of the ABI's first version */

struct so_module {
	struct hook_module base;
	void *library;
	const struct bourn_hook *hook; /* in the library */
};

struct so_instance {
	struct hook_instance base;
	void *state;
	bourn_hook_fn *on[BOURN_POINT_COUNT];
};

static struct so_module *module_of(struct hook_module *m)
{
	return CONTAINER_OF(m, struct so_module, base);
}

static void take_functions(const struct bourn_hook *h, bourn_hook_fn *on[BOURN_POINT_COUNT])
{
	on[BOURN_REQUEST_RECEIVED] = h->request_received;
	on[BOURN_REQUEST_EXECUTED] = h->request_executed;
	on[BOURN_BEFORE_RESPONSE_SEND] = h->before_response_send;
	on[BOURN_AFTER_RESPONSE_SEND] = h->after_response_send;
	on[BOURN_CONNECT] = h->connect;
	on[BOURN_SUBSCRIBE] = h->subscribe;
	on[BOURN_PRODUCE] = h->produce;
	on[BOURN_DELIVER] = h->deliver;
	on[BOURN_COMMIT] = h->commit;
}

static unsigned points_of(const struct bourn_hook *h)
{
	bourn_hook_fn *on[BOURN_POINT_COUNT];
	unsigned points = 0;

	take_functions(h, on);
	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		if (on[i])
			points |= 1u << i;
	return points;
}

/* Nothing of the library has run yet but what its loader runs. */
static enum err check_version(const struct bourn_hook *h, const char *path, struct fault *f)
{
	if (h->magic != BOURN_HOOK_MAGIC)
		return fault_set(f, ERR_CONFIG, 0, "%s: its 'bourn_hook' is not a hook", path);
	if (h->abi != BOURN_HOOK_ABI)
		return fault_set(f, ERR_CONFIG, 0,
		                 "%s: made for version %u of the interface, this broker has %u; "
		                 "compile it against this broker's bourn/hook.h",
		                 path, h->abi, BOURN_HOOK_ABI);
	if (h->bytes > sizeof(*h))
		return fault_set(f, ERR_CONFIG, 0,
		                 "%s: made for a newer broker: it wants %u bytes of interface, "
		                 "this one has %zu",
		                 path, h->bytes, sizeof(*h));
	if (h->bytes < HOOK_BYTES_MIN)
		return fault_set(f, ERR_CONFIG, 0, "%s: its 'bourn_hook' is cut short", path);
	return OK;
}

/* dlopen looks for a bare name in the system's folders: a file here is meant. */
static void *open_library(const char *path)
{
	char here[4096];

	if (strchr(path, '/'))
		return dlopen(path, RTLD_NOW | RTLD_LOCAL);
	snprintf(here, sizeof(here), "./%s", path);
	return dlopen(here, RTLD_NOW | RTLD_LOCAL);
}

static enum err so_load(const struct hook_spec *spec, struct hook_module **out, struct fault *f)
{
	struct so_module *m = calloc(1, sizeof(*m));
	enum err err;

	if (!m)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	m->library = open_library(spec->path);
	if (!m->library) {
		err = fault_set(f, ERR_CONFIG, 0, "%s", dlerror());
		goto free_module;
	}
	m->hook = dlsym(m->library, "bourn_hook");
	if (!m->hook) {
		err = fault_set(f, ERR_CONFIG, 0, "%s: it has no symbol 'bourn_hook'", spec->path);
		goto close_library;
	}
	err = check_version(m->hook, spec->path, f);
	if (err)
		goto close_library;
	m->base.points = points_of(m->hook);
	*out = &m->base;
	return OK;

close_library:
	dlclose(m->library);
free_module:
	free(m);
	return err;
}

static void so_unload(struct hook_module *base)
{
	struct so_module *m = module_of(base);

	dlclose(m->library);
	free(m);
}

/* Code that runs cannot be replaced under it. */
static enum err so_refresh(struct hook_module *base, bool *fresh, struct fault *f)
{
	(void)base;
	(void)fresh;
	return fault_set(f, ERR_CONFIG, 0, "a shared object is read at the start only");
}

static enum err so_open(struct hook_module *base, const struct hook_place *place,
                        struct hook_instance **out, struct fault *f)
{
	const struct hook_spec *spec = base->spec;
	const struct bourn_hook *hook = module_of(base)->hook;
	const struct bourn_start start = {
		.bytes = sizeof(start),
		.name = spec->name,
		.options = spec->options ? spec->options : "{}",
		.shard = place->shard,
		.shard_count = place->shard_count,
		.checking = place->loop == NULL,
	};
	struct so_instance *i = calloc(1, sizeof(*i));
	char error[256] = "";

	if (!i)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	if (hook->start && hook->start(&start, &i->state, error) != 0) {
		free(i);
		error[sizeof(error) - 1] = '\0';
		return fault_set(f, ERR_CONFIG, 0, "%s",
		                 error[0] ? error : "its start function failed and gave no reason");
	}
	take_functions(hook, i->on);
	*out = &i->base;
	return OK;
}

static void so_close(struct hook_instance *base)
{
	struct so_instance *i = CONTAINER_OF(base, struct so_instance, base);
	const struct bourn_hook *hook = module_of(base->module)->hook;

	if (hook->stop)
		hook->stop(i->state);
	free(i);
}

static bool so_call(struct hook_instance *base, struct call *c, enum bourn_verdict *verdict)
{
	const struct so_instance *i = CONTAINER_OF(base, struct so_instance, base);

	*verdict = i->on[c->pub.point](i->state, &c->pub);
	return true;
}

const struct hook_carrier carrier_so = {
	.load = so_load,
	.unload = so_unload,
	.refresh = so_refresh,
	.open = so_open,
	.close = so_close,
	.call = so_call,
};
