#include "front/http/guard.h"

#include <ctype.h>

/* Digits, or nothing: "localhost:" is an authority too. */
static bool is_port(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!isdigit(text.ptr[i]))
			return false;
	return text.len <= 5;
}

/* "[::1]:3030" → "[::1]", "localhost:3030" → "localhost". False: not a port, or nothing before
 * it. */
static bool without_port(struct slice host, struct slice *name)
{
	const uint8_t *end = NULL;
	struct slice port;

	*name = host;
	if (host.len > 0 && host.ptr[0] == '[') {
		end = memchr(host.ptr, ']', host.len);
		if (!end)
			return false;
		name->len = (size_t)(end + 1 - host.ptr);
	} else {
		end = memchr(host.ptr, ':', host.len);
		if (end)
			name->len = (size_t)(end - host.ptr);
	}
	if (name->len == 0)
		return false;
	port = slice_of(host.ptr + name->len, host.len - name->len);
	if (port.len == 0)
		return true;
	if (port.ptr[0] != ':')
		return false;
	return is_port(slice_of(port.ptr + 1, port.len - 1));
}

/* Four numbers up to 255, of one to three digits each. */
static bool is_ipv4(struct slice name)
{
	unsigned number = 0;
	unsigned digits = 0;
	unsigned dots = 0;

	for (size_t i = 0; i < name.len; i++) {
		if (isdigit(name.ptr[i])) {
			number = number * 10 + (name.ptr[i] - (unsigned)'0');
			if (++digits > 3 || number > 255)
				return false;
		} else if (name.ptr[i] == '.' && digits > 0) {
			number = 0;
			digits = 0;
			dots++;
		} else {
			return false;
		}
	}
	return dots == 3 && digits > 0;
}

static bool is_ipv6(struct slice name)
{
	if (name.len < 4 || name.ptr[0] != '[' || name.ptr[name.len - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < name.len; i++)
		if (!isxdigit(name.ptr[i]) && name.ptr[i] != ':' && name.ptr[i] != '.')
			return false;
	return true;
}

bool guard_host_ok(const struct front_config *config, struct slice host)
{
	struct slice name;

	if (!without_port(host, &name))
		return false;
	if (slice_eq_nocase(name, SLICE_LIT("localhost")) || is_ipv4(name) || is_ipv6(name))
		return true;
	if (config->host && slice_eq_nocase(name, slice_str(config->host)))
		return true;
	for (size_t i = 0; i < config->allowed_host_count; i++)
		if (slice_eq_nocase(name, slice_str(config->allowed_hosts[i])))
			return true;
	return false;
}

bool guard_same_origin(struct slice origin, struct slice host)
{
	static const struct slice schemes[] = {SLICE_LIT("http://"), SLICE_LIT("https://")};

	for (size_t i = 0; i < ARRAY_COUNT(schemes); i++)
		if (slice_starts_with(origin, schemes[i]))
			return slice_eq_nocase(
				slice_of(origin.ptr + schemes[i].len, origin.len - schemes[i].len),
				host);
	return false;
}

/* The configured text that allows `origin`; NULL: none does. */
static const char *allowed_by(const struct front_config *config, struct slice origin)
{
	for (size_t i = 0; i < config->allowed_origin_count; i++) {
		struct slice allowed = slice_str(config->allowed_origins[i]);

		if (slice_eq(allowed, SLICE_LIT("*")) || slice_eq_nocase(allowed, origin))
			return config->allowed_origins[i];
	}
	return NULL;
}

static bool changes_state(const struct http_request *r)
{
	switch (r->method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_OPTIONS: return r->upgrade_websocket;
	default: return true;
	}
}

void guard_check(struct exchange *x, const struct http_request *r)
{
	const struct front_config *config = &x->front->config;
	struct slice origin = http_field(r, HTTP_FIELD_ORIGIN);

	if (r->host.ptr && !guard_host_ok(config, r->host)) {
		fault_set(&x->fault, ERR_MISDIRECTED, 0,
		          "Host '%.*s' is not in server.allowed_hosts", SLICE_FMT(r->host));
		return;
	}
	if (!origin.ptr)
		return;
	x->cors_origin = allowed_by(config, origin);
	if (!x->cors_origin && changes_state(r) && !guard_same_origin(origin, r->host))
		fault_set(&x->fault, ERR_FOREIGN_ORIGIN, 0,
		          "Origin '%.*s' is not in server.allowed_origins", SLICE_FMT(origin));
}
