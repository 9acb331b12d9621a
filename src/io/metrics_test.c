#include "io/metrics.h"

#include "base/test.h"

#include <string.h>

TEST(metrics_render__sums_the_shards)
{
	static struct metrics a, b;
	struct metrics *sets[] = {&a, &b};
	struct buf out = BUF_INIT(64 << 10);

	metric_add(&a, METRIC_CONNECTIONS, 5);
	metric_add(&b, METRIC_CONNECTIONS, 3);
	metric_add(&b, METRIC_CONNECTIONS, -2);
	metrics_render(&out, sets, 2);
	buf_append(&out, "", 1);
	assert_false(out.failed);
	assert_non_null(strstr((char *)out.ptr, "# HELP bourn_connections open connections\n"
	                                        "# TYPE bourn_connections gauge\n"
	                                        "bourn_connections 6\n"));
	assert_non_null(strstr((char *)out.ptr, "# TYPE bourn_disk_full_total counter\n"
	                                        "bourn_disk_full_total 0\n"));
	buf_fini(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_render__sums_the_shards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
