/* However the bytes of a peer are cut and moved, the same events come out, for either role; and
 * what we write as frames comes back as it was. */
#include "base/check.h"
#include "wire/ws.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { MESSAGE_BYTES_MAX = 300 };

static void run(enum ws_role role, struct slice input, size_t step, struct buf *log)
{
	struct ws_parser p;
	uint8_t *in = NULL;
	size_t len = 0;

	ws_parser_init(&p, role);
	p.message_bytes_max = MESSAGE_BYTES_MAX;
	while (input.len > 0) {
		size_t more = input.len < step ? input.len : step;
		uint8_t *moved = malloc(len + more);
		enum ws_event event;

		if (len)
			memcpy(moved, in, len);
		memcpy(moved + len, input.ptr, more);
		free(in);
		in = moved;
		len += more;
		input = slice_of(input.ptr + more, input.len - more);
		while ((event = ws_parse(&p, in, &len)) != WS_EVENT_MORE) {
			if (event == WS_EVENT_FAILED) {
				buf_printf(log, "failed %d", p.close_code);
				goto done;
			}
			CHECK(p.payload.len <= MESSAGE_BYTES_MAX);
			CHECK(!p.text || event != WS_EVENT_MESSAGE || utf8_valid(p.payload));
			CHECK(p.consumed <= len);
			buf_printf(log, "%d %d %zu ", event, p.close_code, p.payload.len);
			buf_append_slice(log, p.payload);
			if (event == WS_EVENT_CLOSE)
				goto done;
			len -= p.consumed;
			if (len)
				memmove(in, in + p.consumed, len);
		}
		CHECK(len <= MESSAGE_BYTES_MAX * 2 + WS_HEADER_BYTES_MAX);
	}
done:
	free(in);
}

static void pieces_agree(enum ws_role role, struct slice input, size_t step)
{
	struct buf whole = BUF_INIT(1 << 20), pieces = BUF_INIT(1 << 20);

	run(role, input, SIZE_MAX, &whole);
	run(role, input, step, &pieces);
	CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
}

static void frame_comes_back(struct slice payload, const uint8_t *mask)
{
	struct buf frame = BUF_INIT(1 << 20);
	struct ws_parser p;
	size_t len;

	ws_append_frame(&frame, WS_BINARY, payload, mask);
	ws_parser_init(&p, mask ? WS_SERVER : WS_CLIENT);
	len = frame.len;
	CHECK(ws_parse(&p, frame.ptr, &len) == WS_EVENT_MESSAGE);
	CHECK(slice_eq(p.payload, payload));
	CHECK(p.consumed == frame.len);
	buf_fini(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice input;

	if (len < 4)
		return 0;
	input = slice_of(bytes + 1, len - 1);
	pieces_agree(WS_SERVER, input, 1 + bytes[0] % 32u);
	pieces_agree(WS_CLIENT, input, 1 + bytes[0] % 32u);
	frame_comes_back(input, NULL);
	frame_comes_back(input, bytes);
	return 0;
}
