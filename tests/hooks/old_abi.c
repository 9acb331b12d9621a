/* Of another version of the interface: refused before any of it runs. */
#include <bourn/hook.h>

const struct bourn_hook bourn_hook = {
	.magic = BOURN_HOOK_MAGIC, .abi = 0, .bytes = sizeof(struct bourn_hook)};
