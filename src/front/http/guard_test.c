#include "front/http/guard.h"

#include "base/test.h"

static const char *const hosts[] = {"proxy.example"};
static const struct front_config config = {
	.host = "broker.example", .allowed_hosts = hosts, .allowed_host_count = 1};

TEST(guard__hosts_that_are_ours)
{
	static const char *const ours[] = {
		"localhost",        "LOCALHOST:3030",      "localhost:",
		"127.0.0.1",        "10.1.2.3:80",         "[::1]",
		"[::1]:3030",       "[fe80::1:2]",         "broker.example",
		"Broker.Example:1", "proxy.example:65535",
	};

	for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
		assert_true(guard_host_ok(&config, slice_str(ours[i])));
}

TEST(guard__hosts_that_are_not)
{
	static const char *const others[] = {
		"",
		":3030",
		"evil.example",
		"localhost.evil.example",
		"127.0.0.1.evil.example",
		"1.2.3",
		"1.2.3.4.5",
		"256.1.1.1",
		"1.2..4",
		"[::1",
		"[::1]x",
		"[evil]",
		"localhost:x",
		"localhost:100000",
		"localhost:-1",
		"evil.example:localhost",
	};

	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		assert_false(guard_host_ok(&config, slice_str(others[i])));
}

TEST(guard__the_same_origin_has_the_same_host_and_port)
{
	assert_true(
		guard_same_origin(SLICE_LIT("http://localhost:3030"), SLICE_LIT("localhost:3030")));
	assert_true(guard_same_origin(SLICE_LIT("https://a.example"), SLICE_LIT("A.example")));
	assert_false(
		guard_same_origin(SLICE_LIT("http://localhost:8080"), SLICE_LIT("localhost:3030")));
	assert_false(guard_same_origin(SLICE_LIT("http://localhost"), SLICE_LIT("localhost:3030")));
	assert_false(guard_same_origin(SLICE_LIT("null"), SLICE_LIT("null")));
	assert_false(guard_same_origin(SLICE_LIT("file://localhost"), SLICE_LIT("localhost")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guard__hosts_that_are_ours),
		cmocka_unit_test(guard__hosts_that_are_not),
		cmocka_unit_test(guard__the_same_origin_has_the_same_host_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
