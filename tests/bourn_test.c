/* bourn-test: the broker as it is, plus the engine remote_sim, on a disk that fails or dawdles.
 *
 *   BOURN_TEST_FAULT=CALL:N:ERRNO[:sticky][,…]  the N-th CALL of the process fails (sticky: and all
 *                                               after it), as in pwritev_sync:7:EIO
 *   BOURN_TEST_SLOW_SYNC_MS=MS                  each flush takes so much longer
 *
 * For the suites in tests/; never installed. */
#include "base/check.h"
#include "cli/cli.h"
#include "io/disk.h"
#include "store/testing/remote_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENGINES_MAX = 8, ERRNO_MAX = 133, NUMBER_MAX = 1000000 };

static const char *const call_names[DISK_CALL_COUNT] = {
	[DISK_OPEN] = "open",         [DISK_CLOSE] = "close",
	[DISK_PREAD] = "pread",       [DISK_WILL_READ] = "will_read",
	[DISK_PWRITEV] = "pwritev",   [DISK_PWRITEV_SYNC] = "pwritev_sync",
	[DISK_SYNC] = "sync",         [DISK_SYNC_DIR] = "sync_dir",
	[DISK_SYNC_ALL] = "sync_all", [DISK_TRUNCATE] = "truncate",
	[DISK_SIZE] = "size",         [DISK_RENAME] = "rename",
	[DISK_LINK] = "link",         [DISK_LINKS] = "links",
	[DISK_UNLINK] = "unlink",     [DISK_MKDIR] = "mkdir",
	[DISK_RMDIR] = "rmdir",       [DISK_LIST] = "list",
	[DISK_LOCK] = "lock",         [DISK_SPACE] = "space",
};

static _Noreturn void die(const char *variable)
{
	fprintf(stderr, "bourn-test: %s: cannot read '%s'\n", variable, getenv(variable));
	exit(CLI_USAGE);
}

/* 0: no such name. */
static int errno_named(const char *name)
{
	for (int number = 1; number <= ERRNO_MAX; number++) {
		const char *candidate = strerrorname_np(number);

		if (candidate && strcmp(candidate, name) == 0)
			return number;
	}
	return 0;
}

/* DISK_CALL_COUNT: no such name. */
static enum disk_call call_named(const char *name)
{
	unsigned call = 0;

	for (; call < DISK_CALL_COUNT; call++) {
		CHECK(call_names[call] != NULL);
		if (strcmp(call_names[call], name) == 0)
			break;
	}
	return (enum disk_call)call;
}

static unsigned number_of(const char *variable, const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end || number > NUMBER_MAX)
		die(variable);
	return (unsigned)number;
}

/* Cuts `spec` up. */
static void arm(struct disk_fault *df, const char *variable, char *spec)
{
	char *fields[4] = {0};
	size_t count = 0;
	char *rest = spec;
	enum disk_call call;
	unsigned n;
	int os_errno;

	while (count < ARRAY_COUNT(fields) && (fields[count] = strsep(&rest, ":")))
		count++;
	if (count < 3 || rest || (count == 4 && strcmp(fields[3], "sticky") != 0))
		die(variable);
	call = call_named(fields[0]);
	n = number_of(variable, fields[1]);
	os_errno = errno_named(fields[2]);
	if (call == DISK_CALL_COUNT || n == 0 || !os_errno)
		die(variable);
	disk_fault_arm(df, call, n, os_errno, 0, count == 4);
}

static void arm_from_environment(struct disk_fault *df)
{
	const char *faults = getenv("BOURN_TEST_FAULT");
	const char *slow = getenv("BOURN_TEST_SLOW_SYNC_MS");

	if (faults) {
		char *copy = strdup(faults);
		char *rest = copy, *spec;

		CHECK(copy);
		while ((spec = strsep(&rest, ",")))
			arm(df, "BOURN_TEST_FAULT", spec);
		free(copy);
	}
	if (slow)
		disk_fault_slow_sync(df, number_of("BOURN_TEST_SLOW_SYNC_MS", slow));
	/* Not for the broker, which would refuse settings that it does not know. */
	unsetenv("BOURN_TEST_FAULT");
	unsetenv("BOURN_TEST_SLOW_SYNC_MS");
}

int main(int argc, char **argv)
{
	const struct store_registry *shipped = store_registry_default();
	const struct store_ops *engines[ENGINES_MAX];
	struct store_registry registry = {engines, shipped->count + 1};
	struct disk_fault *df = disk_fault_new(disk_real());
	struct cli_parts parts = {
		.version = BOURN_VERSION, .engines = &registry, .disk = disk_fault_disk(df)};
	int code;

	CHECK(registry.count <= ENGINES_MAX);
	for (size_t i = 0; i < shipped->count; i++)
		engines[i] = shipped->engines[i];
	engines[shipped->count] = &store_remote_sim;
	arm_from_environment(df);
	code = cli_main(argc, argv, &parts);
	disk_fault_free(df);
	return code;
}
