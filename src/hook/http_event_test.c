#include "hook/http_event.h"

#include "base/test.h"

static const struct bourn_caller caller = {.bytes = sizeof(caller), .peer = "", .request_id = 42};

static struct {
	struct arena arena;
	struct call call;
	struct buf headers;
	struct buf fields;
} fx;

static int start(void **state)
{
	(void)state;
	fx.arena = ARENA_INIT;
	fx.headers = BUF_INIT(4096);
	fx.fields = BUF_INIT(4096);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	arena_fini(&fx.arena);
	buf_fini(&fx.headers);
	buf_fini(&fx.fields);
	return 0;
}

static void set(const char *value, uint32_t header_count)
{
	const struct record r = {
		.key = SLICE_LIT("k\xff"),
		.value = value ? slice_str(value) : SLICE_NONE,
		.headers = buf_slice(&fx.headers),
		.header_count = header_count,
	};

	call_init(&fx.call, BOURN_PRODUCE, &caller, &fx.arena);
	fx.call.pub.topic = slice_out(SLICE_LIT("t"));
	call_set_record(&fx.call, &r);
}

static bool has_field(const char *line)
{
	for (size_t at = 0; at < fx.fields.len; at += strlen((char *)fx.fields.ptr + at) + 1)
		if (strcmp((char *)fx.fields.ptr + at, line) == 0)
			return true;
	return false;
}

TEST(http_event__is_a_cloudevent)
{
	header_append(&fx.headers, SLICE_LIT("ce_id"), SLICE_LIT("7"));
	header_append(&fx.headers, SLICE_LIT("a"), SLICE_LIT("b"));
	header_append(&fx.headers, SLICE_LIT("bad name"), SLICE_LIT("b"));
	header_append(&fx.headers, SLICE_LIT("bad-value"), SLICE_LIT("b\r\nc: d"));
	header_append(&fx.headers, SLICE_LIT("none"), SLICE_NONE);
	set(NULL, 5);
	http_event_fields(&fx.call, "check", 3, &fx.fields);
	assert_true(has_field("ce-id: 7"));
	assert_false(has_field("ce-id: 000000000000002a-3"));
	assert_true(has_field("ce-specversion: 1.0"));
	assert_true(has_field("ce-source: /topics/t"));
	assert_true(has_field("ce-time: 1970-01-01T00:00:00.000Z"));
	assert_true(has_field("Content-Type: application/octet-stream"));
	assert_true(has_field("Event-Header-a: b"));
	assert_true(has_field("Event-Tombstone: true"));
	assert_true(has_field("Hook-Name: check"));
	assert_true(has_field("Hook-Point: produce"));
	assert_null(memmem(fx.fields.ptr, fx.fields.len, "c: d", 4));
	assert_null(memmem(fx.fields.ptr, fx.fields.len, "bad name", 8));
}

static enum bourn_verdict verdict(int status, const char *head, const char *body)
{
	const struct http_event_answer answer = {
		.status = status, .head = slice_str(head), .body = slice_str(body)};

	set("v", 0);
	return http_event_verdict(&fx.call, &answer);
}

TEST(http_event__verdicts_by_status)
{
	assert_int_equal(verdict(204, "\r\n", ""), BOURN_CONTINUE);
	assert_int_equal(verdict(204, "hook-verdict: DROP\r\n\r\n", ""), BOURN_STOP);
	assert_int_equal(verdict(200, "Hook-Verdict:drop\r\n\r\n", "x"), BOURN_STOP);
	assert_int_equal(verdict(200, "Hook-Verdict: go\r\n\r\n", "x"), BOURN_MODIFY);
	assert_int_equal(verdict(201, "\r\n", "x"), BOURN_FAIL);
	assert_int_equal(verdict(302, "\r\n", ""), BOURN_FAIL);
	assert_int_equal(verdict(500, "Hook-Verdict: drop\r\n\r\n", ""), BOURN_FAIL);
	assert_int_equal(verdict(0, "", ""), BOURN_FAIL);
}

TEST(http_event__replaces)
{
	struct bourn_slice value;

	assert_int_equal(verdict(200,
	                         "Date: x\r\nEvent-Header-A: b\r\nce-Subject: s\r\n"
	                         "Event-Key: key\r\ncontent-type: text/plain\r\nnonsense\r\n\r\n",
	                         "new"),
	                 BOURN_MODIFY);
	assert_true(slice_eq(slice_in(fx.call.pub.value), SLICE_LIT("new")));
	assert_true(slice_eq(slice_in(fx.call.pub.key), SLICE_LIT("key")));
	assert_int_equal(call_host.header_count(&fx.call.pub), 3);
	assert_true(call_host.header_get(&fx.call.pub, BOURN_TEXT("a"), &value));
	assert_true(call_host.header_get(&fx.call.pub, BOURN_TEXT("ce_subject"), &value));
	assert_true(slice_eq(slice_in(value), SLICE_LIT("s")));
	assert_int_equal(verdict(200, "Event-Header-: b\r\n\r\n", ""), BOURN_MODIFY);
	assert_int_equal(fx.call.pub.value.len, 0);
	assert_non_null(fx.call.pub.value.ptr);
}

TEST(http_event__passes_refusals_on)
{
	const struct refusal *r = &fx.call.refusal;

	assert_int_equal(verdict(422, "Content-Type: text/plain\r\nRetry-After: 7\r\n\r\n", "no"),
	                 BOURN_REFUSE);
	assert_int_equal(r->status, 422);
	assert_int_equal(r->retry_after_s, 7);
	assert_true(slice_eq(r->body, SLICE_LIT("no")));
	assert_true(slice_eq(r->detail, SLICE_LIT("no")));
	assert_true(slice_eq(r->content_type, SLICE_LIT("text/plain")));
	assert_int_equal(verdict(429, "Retry-After: soon\r\n\r\n", ""), BOURN_REFUSE);
	assert_int_equal(r->retry_after_s, 0);
	assert_null(r->body.ptr);
}

static void set_request(void)
{
	static struct bourn_header fields[] = {
		{{(const uint8_t *)"Content-Type", 12}, {(const uint8_t *)"text/plain", 10}},
		{{(const uint8_t *)"X-A", 3}, {(const uint8_t *)"b", 1}},
	};

	call_init(&fx.call, BOURN_BEFORE_RESPONSE_SEND, &caller, &fx.arena);
	fx.call.pub.method = slice_out(SLICE_LIT("POST"));
	fx.call.pub.target = slice_out(SLICE_LIT("/produce/t?a=b"));
	fx.call.pub.topic = slice_out(SLICE_LIT("t"));
	fx.call.pub.status = 201;
	call_set_fields(&fx.call, fields, 2);
}

TEST(http_event__tells_of_a_request)
{
	set_request();
	http_event_fields(&fx.call, "check", 3, &fx.fields);
	assert_true(has_field("Hook-Method: POST"));
	assert_true(has_field("Hook-Target: /produce/t?a=b"));
	assert_true(has_field("Hook-Topic: t"));
	assert_true(has_field("Hook-Status: 201"));
	assert_true(has_field("Hook-Request-Id: 000000000000002a"));
	assert_true(has_field("Hook-Field-X-A: b"));
	assert_true(has_field("Content-Type: text/plain"));
	assert_true(has_field("Hook-Point: before_response_send"));
	assert_false(has_field("ce-specversion: 1.0"));
}

TEST(http_event__changes_a_request)
{
	struct http_event_answer a = {
		.status = 200,
		.head = SLICE_LIT("Hook-Status: 202\r\nHook-Field-X-A: c\r\nhook-field-x-d: e\r\n"
	                          "Event-Key: no\r\n"),
		.body = SLICE_LIT("new"),
	};
	struct bourn_slice value;

	set_request();
	assert_int_equal(http_event_verdict(&fx.call, &a), BOURN_MODIFY);
	assert_int_equal(fx.call.pub.status, 202);
	assert_null(fx.call.pub.key.ptr);
	assert_true(call_host.header_get(&fx.call.pub, BOURN_TEXT("x-a"), &value));
	assert_int_equal(value.ptr[0], 'c');
	assert_true(call_host.header_get(&fx.call.pub, BOURN_TEXT("x-d"), &value));
	a.head = SLICE_LIT("Hook-Status: many\r\n");
	assert_int_equal(http_event_verdict(&fx.call, &a), BOURN_FAIL);
}

#define LISTED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTED(http_event__is_a_cloudevent),    LISTED(http_event__verdicts_by_status),
		LISTED(http_event__replaces),           LISTED(http_event__passes_refusals_on),
		LISTED(http_event__tells_of_a_request), LISTED(http_event__changes_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
