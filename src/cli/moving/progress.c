#include "cli/moving/progress.h"

#include "cli/cli.h"
#include "cli/units.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	BAR_CELLS = 24,
	BAR_US = 100000, /* not drawn more often */
};

static int64_t mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void progress_init(struct progress *p, bool quiet)
{
	*p = (struct progress){.drawn = !quiet && isatty(STDERR_FILENO), .started_us = mono_us()};
}

static double rate_of(const struct progress *p)
{
	double seconds = (double)(mono_us() - p->started_us) / 1e6;

	return seconds > 0 ? (double)p->bytes / seconds : 0;
}

static void draw_bar(double part)
{
	char bar[BAR_CELLS + 1];
	int full = (int)(part * BAR_CELLS);

	for (int i = 0; i < BAR_CELLS; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR_CELLS] = '\0';
	fprintf(stderr, "[%s] %3.0f %%  ", bar, part * 100);
}

static void draw(const struct progress *p)
{
	double rate = rate_of(p);
	char done[UNITS_TEXT_BYTES], fast[UNITS_TEXT_BYTES];

	fputs("\r\033[K", stderr);
	if (p->total_bytes > 0)
		draw_bar(p->bytes < p->total_bytes ? (double)p->bytes / (double)p->total_bytes : 1);
	fprintf(stderr, "%lld events, %s, %s/s", (long long)p->events,
	        units_bytes((double)p->bytes, done), units_bytes(rate, fast));
	if (p->total_bytes > p->bytes && rate > 0)
		fprintf(stderr, ", %.0f s left", (double)(p->total_bytes - p->bytes) / rate);
	fflush(stderr);
}

void progress_set(struct progress *p, int64_t bytes, int64_t events)
{
	int64_t now = p->drawn ? mono_us() : 0;

	p->bytes = bytes;
	p->events = events;
	if (!p->drawn || now - p->drawn_us < BAR_US)
		return;
	p->drawn_us = now;
	draw(p);
}

void progress_clear(const struct progress *p)
{
	if (p->drawn && p->drawn_us > 0)
		fputs("\r\033[K", stderr);
}

const char *progress_summary(const struct progress *p, char text[128])
{
	char done[UNITS_TEXT_BYTES], fast[UNITS_TEXT_BYTES];

	snprintf(text, 128, "%lld event%s, %s in %.1f s (%s/s)", (long long)p->events,
	         units_plural(p->events), units_bytes((double)p->bytes, done),
	         (double)(mono_us() - p->started_us) / 1e6, units_bytes(rate_of(p), fast));
	return text;
}

int moving_fail(const struct fault *f)
{
	if (f->code != ERR_SHUTTING_DOWN || !atomic_load(cli_stopped()))
		return cli_fail(f);
	fputs("bourn: stopped\n", stderr);
	return CLI_FAILED;
}
