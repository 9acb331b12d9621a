/* Whatever a server answers: a verdict, and an event that can be encoded, or a request that can be
 * asked about again. The first byte gives the
 * status, what stands before the first blank line the head, what follows the body. */
#include "hook/http_event.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const int statuses[] = {0, 100, 200, 201, 204, 301, 400, 404, 422, 429, 500};

static struct http_event_answer answer_of(struct slice input)
{
	const uint8_t *end = memmem(input.ptr, input.len, "\r\n\r\n", 4);
	size_t head = end ? (size_t)(end - input.ptr) + 2 : input.len;

	return (struct http_event_answer){
		.status = statuses[input.ptr[0] % (sizeof(statuses) / sizeof(statuses[0]))],
		.head = slice_of(input.ptr, head),
		.body = slice_of(input.ptr + head, input.len - head),
	};
}

static void ask_about_request(const struct bourn_caller *caller,
                              const struct http_event_answer *answer, struct buf *fields)
{
	struct arena arena = ARENA_INIT;
	struct call call;

	call_init(&call, BOURN_BEFORE_RESPONSE_SEND, caller, &arena);
	call.pub.method = slice_out(SLICE_LIT("GET"));
	call.pub.target = slice_out(SLICE_LIT("/"));
	call_set_fields(&call, NULL, 0);
	if (http_event_verdict(&call, answer) == BOURN_MODIFY && call_keep(&call))
		http_event_fields(&call, "fuzz", 1, fields);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct bourn_caller caller = {.bytes = sizeof(caller), .peer = ""};
	struct arena arena = ARENA_INIT;
	struct buf fields = BUF_INIT(128 << 10);
	struct record record = {.value = slice_of(bytes, len)};
	struct http_event_answer answer;
	struct call call;

	if (len == 0)
		return 0;
	answer = answer_of(slice_of(bytes, len));
	call_init(&call, BOURN_PRODUCE, &caller, &arena);
	call_set_record(&call, &record);
	if (http_event_verdict(&call, &answer) == BOURN_MODIFY && call_get_record(&call, &record))
		http_event_fields(&call, "fuzz", 1, &fields);
	ask_about_request(&caller, &answer, &fields);
	buf_fini(&fields);
	arena_fini(&arena);
	return 0;
}
