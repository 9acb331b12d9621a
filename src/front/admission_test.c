#include "front/admission.h"

#include "base/test.h"

TEST(admission__in_all)
{
	struct admission *a = admission_new(2, 10);

	assert_true(admission_enter(a, SLICE_NONE));
	assert_true(admission_enter(a, SLICE_LIT("1.2.3.4")));
	assert_false(admission_enter(a, SLICE_NONE));
	admission_leave(a, SLICE_LIT("1.2.3.4"));
	assert_true(admission_enter(a, SLICE_NONE));
	admission_leave(a, SLICE_NONE);
	admission_leave(a, SLICE_NONE);
	admission_free(a);
}

TEST(admission__per_address)
{
	struct admission *a = admission_new(10, 1);

	assert_true(admission_enter(a, SLICE_LIT("1.2.3.4")));
	assert_false(admission_enter(a, SLICE_LIT("1.2.3.4")));
	assert_true(admission_enter(a, SLICE_LIT("1.2.3.5")));
	assert_true(admission_enter(a, SLICE_NONE));
	assert_true(admission_enter(a, SLICE_NONE));
	admission_leave(a, SLICE_LIT("1.2.3.4"));
	assert_true(admission_enter(a, SLICE_LIT("1.2.3.4")));
	admission_leave(a, SLICE_LIT("1.2.3.4"));
	admission_leave(a, SLICE_LIT("1.2.3.5"));
	admission_leave(a, SLICE_NONE);
	admission_leave(a, SLICE_NONE);
	admission_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(admission__in_all),
		cmocka_unit_test(admission__per_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
