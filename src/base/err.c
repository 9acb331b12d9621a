#include "base/err.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct row {
	const char *slug;
	const char *text;
	int http;
	int kafka;
} rows[ERR_COUNT] = {[OK] = {"ok", "ok", 200, 0},
#define X(name, slug, text, http, kafka) [name] = {slug, text, http, kafka},
                     ERRORS(X)
#undef X
};

static const struct row *row_of(enum err code)
{
	CHECK((unsigned)code < ERR_COUNT);
	return &rows[code];
}

enum err fault_set(struct fault *f, enum err code, int os_errno, const char *where, ...)
{
	va_list args;

	if (!f)
		return code;
	f->code = code;
	f->os_errno = os_errno;
	va_start(args, where);
	vsnprintf(f->where, sizeof(f->where), where, args);
	va_end(args);
	return code;
}

const char *fault_text(const struct fault *f, char *into, unsigned cap)
{
	const char *text = err_text(f->code);

	CHECK(cap > 0);
	if (f->os_errno)
		snprintf(into, cap, "%s: %s (%s)", text, f->where, strerror(f->os_errno));
	else if (f->where[0])
		snprintf(into, cap, "%s: %s", text, f->where);
	else
		snprintf(into, cap, "%s", text);
	return into;
}

const char *err_slug(enum err code)
{
	return row_of(code)->slug;
}

const char *err_text(enum err code)
{
	return row_of(code)->text;
}

int err_http_status(enum err code)
{
	return row_of(code)->http;
}

int err_kafka_code(enum err code)
{
	return row_of(code)->kafka;
}
