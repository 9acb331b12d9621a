#include "store/testing/resident.h"

#include "base/check.h"

#include <stdio.h>
#include <unistd.h>

int64_t resident_bytes(void)
{
#ifdef BOURN_SANITIZED
	return 0;
#else
	FILE *file = fopen("/proc/self/statm", "r");
	long pages;

	CHECK(file);
	CHECK(fscanf(file, "%*d %ld", &pages) == 1);
	fclose(file);
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
#endif
}
