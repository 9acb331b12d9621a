#include "front/event_json.h"

#include "base/test.h"

static struct buf out = BUF_INIT(1 << 16);
static struct buf headers = BUF_INIT(1 << 16);

static void add_header(const char *name, const char *value)
{
	header_append(&headers, slice_str(name), value ? slice_str(value) : SLICE_NONE);
}

static void expect(struct record r, uint32_t header_count, const char *json)
{
	r.headers = buf_slice(&headers);
	r.header_count = header_count;
	buf_clear(&out);
	event_json_append(&out, &r, 2, SLICE_NONE);
	buf_append_lit(&out, "\0");
	assert_string_equal((char *)out.ptr, json);
	buf_clear(&headers);
}

TEST(event_json__json_stays_json_on_one_line)
{
	add_header("content-type", "application/json; charset=utf-8");
	expect((struct record){.offset = 7,
	                       .timestamp = 1,
	                       .value = SLICE_LIT(" {\r\n \"a\": \"\\n\"\n}\n")},
	       1,
	       "{\"offset\":7,\"partition\":2,\"timestamp\":1,"
	       "\"content_type\":\"application/json; charset=utf-8\","
	       "\"encoding\":\"json\",\"value\":{   \"a\": \"\\n\" }}");
}

TEST(event_json__what_only_claims_to_be_json_is_text)
{
	add_header("content-type", "application/json");
	expect((struct record){.value = SLICE_LIT("{\"a\"\n")}, 1,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"content_type\":\"application/json\","
	       "\"encoding\":\"text\",\"value\":\"{\\\"a\\\"\\n\"}");
}

TEST(event_json__no_type_is_text_when_it_is_utf8)
{
	expect((struct record){.value = SLICE_LIT("gr\xc3\xbc\xc3\x9f")}, 0,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"encoding\":\"text\","
	       "\"value\":\"gr\xc3\xbc\xc3\x9f\"}");
	expect((struct record){.value = SLICE_LIT("\xff")}, 0,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"encoding\":\"base64\",\"value\":\"/"
	       "w==\"}");
}

TEST(event_json__other_types_are_base64)
{
	add_header("content-type", "image/png");
	expect((struct record){.value = SLICE_LIT("hi")}, 1,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"content_type\":\"image/png\","
	       "\"encoding\":\"base64\",\"value\":\"aGk=\"}");
}

TEST(event_json__tombstone_and_empty_differ)
{
	expect((struct record){.value = SLICE_NONE}, 0,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"encoding\":\"none\",\"value\":null}");
	expect((struct record){.value = SLICE_LIT("")}, 0,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"encoding\":\"text\",\"value\":\"\"}");
}

TEST(event_json__keys_and_headers_that_are_not_text)
{
	add_header("a", "1");
	add_header("b", "\xfe");
	add_header("c", NULL);
	expect((struct record){.key = SLICE_LIT("\xff\x01"), .value = SLICE_LIT("v")}, 3,
	       "{\"offset\":0,\"partition\":2,\"timestamp\":0,\"key\":\"/wE=\","
	       "\"key_encoding\":\"base64\","
	       "\"headers\":[[\"a\",\"1\"],[\"b\",\"/g==\",\"base64\"],[\"c\",null]],"
	       "\"encoding\":\"text\",\"value\":\"v\"}");
}

TEST(event_json__topic_comes_first)
{
	struct record r = {.value = SLICE_LIT("v")};

	buf_clear(&out);
	event_json_append(&out, &r, 0, SLICE_LIT("t"));
	assert_memory_equal(out.ptr, "{\"topic\":\"t\",\"offset\":0,", 24);
}

static int fini(void **state)
{
	(void)state;
	buf_fini(&out);
	buf_fini(&headers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_json__json_stays_json_on_one_line),
		cmocka_unit_test(event_json__what_only_claims_to_be_json_is_text),
		cmocka_unit_test(event_json__no_type_is_text_when_it_is_utf8),
		cmocka_unit_test(event_json__other_types_are_base64),
		cmocka_unit_test(event_json__tombstone_and_empty_differ),
		cmocka_unit_test(event_json__keys_and_headers_that_are_not_text),
		cmocka_unit_test(event_json__topic_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, fini);
}
