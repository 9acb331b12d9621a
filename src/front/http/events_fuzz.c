/* Bodies of several events, as anybody may send them: whatever comes out lies within the body or
 * the list's own memory, and its headers are as many as it says. */
#include "front/http/produce.h"
#include "front/shard.h"

static struct front *front_for_fuzzing(void)
{
	static struct front front;
	static struct metrics metrics;
	static const struct loop_config config = {.metrics = &metrics};
	struct loop_config filled = config;

	if (front.loop)
		return &front;
	filled.clock = clock_system();
	filled.entropy = entropy_system();
	front.loop = loop_new(&filled, NULL);
	CHECK(front.loop);
	front.config.limits = front_limits_default();
	front.config.limits.request_events = 1000;
	return &front;
}

static bool within(struct slice part, const void *ptr, size_t len)
{
	const uint8_t *from = ptr;

	return from && part.ptr >= from && part.ptr + part.len <= from + len;
}

static void check_slice(const struct event_list *list, struct slice body, struct slice part)
{
	if (part.len == 0)
		return;
	CHECK(within(part, body.ptr, body.len) ||
	      within(part, list->decoded.ptr, list->decoded.len) ||
	      within(part, list->headers.ptr, list->headers.len));
}

static void check_record(const struct event_list *list, struct slice body, const struct record *r)
{
	struct slice rest = r->headers;
	struct header h;
	uint32_t count = 0;

	check_slice(list, body, r->key);
	check_slice(list, body, r->value);
	check_slice(list, body, r->headers);
	while (header_next(&rest, &h))
		count++;
	CHECK(rest.len == 0);
	CHECK(count == r->header_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct event_fields fields = {.timestamp = 1};
	struct event_list list;
	struct fault fault;
	struct slice body;
	enum body_kind kind;

	if (len < 1)
		return 0;
	kind = (enum body_kind)(BODY_VALUES + bytes[0] % 4);
	body = slice_of(bytes + 1, len - 1);
	if (event_list_parse(front_for_fuzzing(), kind, &fields, body, &list, &fault))
		return 0;
	CHECK(list.count > 0);
	for (uint32_t i = 0; i < list.count; i++)
		check_record(&list, body, &list.records[i]);
	event_list_fini(&list);
	return 0;
}
