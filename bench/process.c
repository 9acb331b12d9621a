#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* proc(5): steps from the name to utime (field 14; stime is the next), and from there to rss
 * (24). */
enum { TO_UTIME = 12, TO_RSS = 10 };

/* The fields behind the name, which may hold anything, blanks and brackets too. */
static bool read_stat(pid_t pid, char *line, size_t cap, const char **fields)
{
	char path[64];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	len = fread(line, 1, cap - 1, file);
	fclose(file);
	line[len] = '\0';
	*fields = strrchr(line, ')');
	return *fields != NULL;
}

static const char *skip_fields(const char *at, int count)
{
	while (count-- > 0 && at)
		at = strchr(at + 1, ' ');
	return at;
}

static bool add_one(pid_t pid, struct process_usage *sum)
{
	long long user, system, rss_pages;
	char line[1024];
	const char *at;

	if (!read_stat(pid, line, sizeof(line), &at))
		return false;
	at = skip_fields(at, TO_UTIME);
	if (!at || sscanf(at, "%lld %lld", &user, &system) != 2)
		return false;
	at = skip_fields(at, TO_RSS);
	if (!at || sscanf(at, "%lld", &rss_pages) != 1)
		return false;
	sum->cpu_ns += (user + system) * (NS_PER_SECOND / sysconf(_SC_CLK_TCK));
	sum->rss_kib += rss_pages * (sysconf(_SC_PAGESIZE) / 1024);
	return true;
}

bool process_usage(const pid_t *pids, size_t count, struct process_usage *out, struct failure *f)
{
	*out = (struct process_usage){0};
	for (size_t i = 0; i < count; i++)
		if (!add_one(pids[i], out))
			return bench_fail(f, "process %d cannot be looked at: %s", (int)pids[i],
			                  strerror(errno));
	return true;
}

int64_t process_own_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}
