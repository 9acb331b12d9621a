#include "store/rocksdb/status.h"

#include "base/check.h"
#include "base/slice.h"

#include <string.h>

static const struct {
	const char *front;
	enum err code;
} kinds[] = {
	{"IO error: No space left on device", ERR_DISK_FULL},
	{"IO error: Space limit reached", ERR_DISK_FULL},
	{"IO error: ", ERR_IO},
	{"Corruption: ", ERR_CORRUPT},
	{"Result incomplete: ", ERR_BUSY},
	{"Resource busy: ", ERR_BUSY},
	{"Operation timed out: ", ERR_BUSY},
	{"Invalid argument: ", ERR_CONFIG},
	{"Shutdown in progress: ", ERR_SHUTTING_DOWN},
};

enum err status_code(const char *text)
{
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		if (!slice_starts_with(slice_str(text), slice_str(kinds[i].front)))
			continue;
		/* A quota is a disk that is full for us; the system's words are at the end. */
		if (kinds[i].code == ERR_IO && strstr(text, "Disk quota exceeded"))
			return ERR_DISK_FULL;
		return kinds[i].code;
	}
	return ERR_IO;
}

enum err status_fault(struct fault *f, const char *step, const char *text)
{
	return fault_set(f, status_code(text), 0, "%s: %s", step, text);
}
