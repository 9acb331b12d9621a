#include "wire/problem.h"

#include "base/check.h"
#include "base/test.h"
#include "wire/json.h"

TEST(problem_append__everything_in_order)
{
	static const struct problem_member members[] = {{"earliest", 17}, {"end", -1}};
	struct problem problem = {
		.code = ERR_TRIMMED,
		.detail = SLICE_LIT("offset 3 of \"t\""),
		.request_id = SLICE_LIT("r-1"),
		.members = members,
		.member_count = ARRAY_COUNT(members),
	};
	struct buf out = BUF_INIT(4096);

	problem_append(&out, &problem);
	assert_true(slice_eq(
		buf_slice(&out),
		SLICE_LIT(
			"{\"type\":\"about:blank\",\"title\":\"the offset is below the log start\","
			"\"status\":410,\"code\":\"offset_trimmed\","
			"\"detail\":\"offset 3 of \\\"t\\\"\",\"request_id\":\"r-1\","
			"\"earliest\":17,\"end\":-1}")));
	buf_fini(&out);
}

TEST(problem_append__a_status_of_its_own)
{
	struct problem problem = {.code = ERR_HOOK_REFUSED, .status = 429};
	struct buf out = BUF_INIT(4096);

	problem_append(&out, &problem);
	buf_append(&out, "", 1);
	assert_non_null(strstr((char *)out.ptr, "\"status\":429,\"code\":\"hook_refused\""));
	buf_fini(&out);
}

TEST(problem_append__is_json_for_every_error_and_any_detail)
{
	for (enum err code = ERR_BAD_REQUEST; code < ERR_COUNT; code++) {
		struct problem problem = {.code = code, .detail = SLICE_LIT("\xff\x80\n\"\0")};
		struct buf out = BUF_INIT(4096);

		problem_append(&out, &problem);
		assert_true(json_validate(buf_slice(&out), 1, NULL));
		buf_fini(&out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(problem_append__everything_in_order),
		cmocka_unit_test(problem_append__a_status_of_its_own),
		cmocka_unit_test(problem_append__is_json_for_every_error_and_any_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
