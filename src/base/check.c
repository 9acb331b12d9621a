#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, int line, const char *function)
{
	fprintf(stderr, "bourn: bug: %s (%s:%d in %s); please report it\n", condition, file, line,
	        function);
	abort();
}
