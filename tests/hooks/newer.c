/* Compiled against a header that has more than this broker knows. */
#include <bourn/hook.h>

const struct bourn_hook bourn_hook = {
	.magic = BOURN_HOOK_MAGIC, .abi = BOURN_HOOK_ABI, .bytes = sizeof(struct bourn_hook) + 8};
