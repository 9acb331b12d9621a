/* Requests: however the bytes are cut and moved, the same requests come out; and what passes is
 * read in the same way by llhttp alone, body included. Responses: no more than that nothing breaks.
 */
#include "base/buf.h"
#include "base/check.h"
#include "wire/http.h"
#include "wire/http_response.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The requests of `input`, `step` bytes at a time, written down in `log`. The original bytes of
 * each go to `check` when not NULL. */
static void run(struct slice input, size_t step, struct buf *log,
                void (*check)(struct slice original, struct slice body))
{
	struct http_parser p;
	uint8_t *in = NULL;
	size_t len = 0, arrived = 0, start = 0;

	http_parser_init(&p);
	p.body_bytes_max = 1000;
	for (;;) {
		enum http_event event = len ? http_parse(&p, in, &len) : HTTP_EVENT_MORE;

		if (event == HTTP_EVENT_REFUSED) {
			buf_append_lit(log, "refused");
			break;
		}
		if (event == HTTP_EVENT_MESSAGE) {
			const struct http_request *r = &p.request;
			size_t end = arrived - (len - p.consumed);

			buf_printf(log, "%s %.*s %.*s %.*s %zu %d ", http_method_name(r->method),
			           SLICE_FMT(r->path), SLICE_FMT(r->query), SLICE_FMT(r->host),
			           r->body.len, r->keep_alive);
			for (size_t i = 0; i < r->fields->count; i++)
				buf_printf(log, "%.*s=%.*s,",
				           SLICE_FMT(http_fields_name(r->fields, i)),
				           SLICE_FMT(http_fields_value(r->fields, i)));
			buf_append_slice(log, r->body);
			if (check && r->method != HTTP_METHOD_OTHER)
				check(slice_of(input.ptr + start, end - start), r->body);
			start = end;
			len -= p.consumed;
			memmove(in, in + p.consumed, len);
			http_parser_next(&p);
			p.body_bytes_max = 1000;
		} else if (event == HTTP_EVENT_MORE) {
			size_t more = input.len - arrived < step ? input.len - arrived : step;
			uint8_t *moved = malloc(len + more + 1);

			if (more == 0) {
				free(moved);
				break;
			}
			if (len)
				memcpy(moved, in, len);
			memcpy(moved + len, input.ptr + arrived, more);
			free(in);
			in = moved;
			len += more;
			arrived += more;
		}
	}
	free(in);
}

struct oracle {
	llhttp_t llhttp;
	struct buf body;
	unsigned messages;
};

static int oracle_head(llhttp_t *llhttp)
{
	llhttp->upgrade = 0; /* we read the body of a request with Upgrade as any other's */
	return 0;
}

static int oracle_body(llhttp_t *llhttp, const char *at, size_t len)
{
	buf_append(&CONTAINER_OF(llhttp, struct oracle, llhttp)->body, at, len);
	return 0;
}

static int oracle_message(llhttp_t *llhttp)
{
	CONTAINER_OF(llhttp, struct oracle, llhttp)->messages++;
	return 0;
}

/* `original` is one whole request for llhttp too, with the same body. */
static void agree(struct slice original, struct slice body)
{
	static const llhttp_settings_t settings = {
		.on_headers_complete = oracle_head,
		.on_body = oracle_body,
		.on_message_complete = oracle_message,
	};
	struct oracle o = {.body = BUF_INIT(1 << 20)};
	llhttp_errno_t error;

	llhttp_init(&o.llhttp, HTTP_REQUEST, &settings);
	error = llhttp_execute(&o.llhttp, (const char *)original.ptr, original.len);
	/* It does not take all that may stand behind a chunk's size, which we drop unread. */
	if (error != HPE_STRICT && error != HPE_INVALID_CHUNK_SIZE) {
		CHECK(error == HPE_OK);
		CHECK(o.messages == 1);
		CHECK(slice_eq(buf_slice(&o.body), body));
	}
	buf_fini(&o.body);
}

static void run_response(struct slice input, size_t step)
{
	struct http_response_parser p;
	struct buf in = BUF_INIT(1 << 20);
	size_t arrived = 0;

	http_response_init(&p, false);
	for (;;) {
		enum http_event event = http_response_parse(&p, in.ptr, &in.len);
		size_t more = input.len - arrived < step ? input.len - arrived : step;

		CHECK(p.consumed <= in.len);
		buf_consume(&in, p.consumed);
		if (event == HTTP_EVENT_REFUSED || event == HTTP_EVENT_MESSAGE)
			break;
		if (event != HTTP_EVENT_MORE)
			continue;
		if (more == 0)
			break;
		buf_append(&in, input.ptr + arrived, more);
		arrived += more;
	}
	buf_fini(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf whole = BUF_INIT(1 << 24);
	struct buf pieces = BUF_INIT(1 << 24);
	struct buf twice = BUF_INIT(1 << 24);
	struct slice input;

	if (len == 0)
		return 0;
	/* Twice: the second time its heads may be known, in pieces they are not. */
	buf_append(&twice, bytes + 1, len - 1);
	buf_append(&twice, bytes + 1, len - 1);
	input = buf_slice(&twice);
	run(input, SIZE_MAX, &whole, agree);
	run(input, 1 + bytes[0] % 64u, &pieces, NULL);
	CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	run_response(input, 1 + bytes[0] % 64u);
	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&twice);
	return 0;
}
