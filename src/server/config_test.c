#include "base/test.h"
#include "server/config.h"

#include <stdio.h>
#include <string.h>

static char warning[256];

static void keep_warning(void *arg, const char *text)
{
	(void)arg;
	snprintf(warning, sizeof(warning), "%s", text);
}

static enum err read_yaml(struct config *c, const char *text, struct fault *f)
{
	config_init(c);
	warning[0] = '\0';
	return config_read_yaml(c, slice_str(text), "b.yaml", keep_warning, NULL, f);
}

static void assert_refused(const char *yaml, const char *message)
{
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c, yaml, &f), ERR_CONFIG);
	assert_string_equal(f.where, message);
	config_fini(&c);
}

TEST(config__an_empty_file_is_the_defaults)
{
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c, "", &f), OK);
	assert_int_equal(c.server.port, 3030);
	assert_string_equal(c.server.host, "localhost");
	assert_int_equal(c.server.shards, 0);
	assert_string_equal(c.storage.type, "log");
	assert_int_equal(c.storage.durability, DURABILITY_COMMIT);
	assert_true(c.broker.auto_create_topics);
	config_fini(&c);
}

TEST(config__every_kind_of_value_is_read)
{
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c,
	                           "server: {host: 0.0.0.0, port: 0, shards: 2,\n"
	                           "  allowed_hosts: [a.example, b.example]}\n"
	                           "log: {level: warn, format: json}\n"
	                           "broker: {auto_create_topics: false}\n"
	                           "storage: {durability: os, flush: 20ms, snapshot_size: 1GiB}\n"
	                           "hooks: []\n",
	                           &f),
	                 OK);
	assert_string_equal(c.server.host, "0.0.0.0");
	assert_int_equal(c.server.shards, 2);
	assert_string_equal(config_list_next(&c.server.allowed_hosts, NULL), "a.example");
	assert_string_equal(config_list_next(&c.server.allowed_hosts,
	                                     config_list_next(&c.server.allowed_hosts, NULL)),
	                    "b.example");
	assert_int_equal(c.log.level, LOG_WARN);
	assert_int_equal(c.log.format, 1);
	assert_false(c.broker.auto_create_topics);
	assert_int_equal(c.storage.flush_ms, 20);
	assert_int_equal(c.storage.snapshot_bytes, 1 << 30);
	config_fini(&c);
}

TEST(config__the_seeds_names_are_understood)
{
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c,
	                           "storage: {storage_type: in_memory}\n"
	                           "broker: {replication_factor: 3}\n",
	                           &f),
	                 OK);
	assert_string_equal(c.storage.type, "memory");
	assert_string_equal(warning, "b.yaml:2:10: broker.replication_factor has no effect");
	config_fini(&c);
}

TEST(config__what_is_wrong_is_told_with_its_place)
{
	assert_refused("server:\n  host: x\n  prot: 3\n",
	               "b.yaml:3:3: unknown key 'prot' in server; did you mean 'port'?");
	assert_refused("sever: {}\n", "b.yaml:1:1: unknown key 'sever'; did you mean 'server'?");
	assert_refused("server:\n  port: 70000\n",
	               "b.yaml:2:9: server.port: '70000' is not a number from 0 to 65535");
	assert_refused("server: {shards: many}\n",
	               "b.yaml:1:18: server.shards: 'many' is not auto or a number from 1 to 256");
	assert_refused("storage: {durability: intervall}\n",
	               "b.yaml:1:23: storage.durability: 'intervall' is not one of: none, os, "
	               "interval, commit; did you mean 'interval'?");
	assert_refused("broker: {auto_create_topics: yess}\n",
	               "b.yaml:1:30: broker.auto_create_topics: 'yess' is neither true nor false");
	assert_refused("server: {port: [1]}\n",
	               "b.yaml:1:16: server.port: wants a single value, not a list");
	assert_refused("server: {port: 1, port: 2}\n", "b.yaml:1:19: server.port: is set twice");
	assert_refused(
		"hooks: [{lua: x}]\n",
		"b.yaml:1:10: there is no key of hooks 'lua'; there are name, type, "
		"path, url, points, topics, fronts, on_failure, options, instructions, memory, "
		"timeout, retries, in_flight, max_failures");
	assert_refused("hooks: [{name: x, type: so, path: x.so, points: commit}]\n",
	               "b.yaml:1:9: hook 'x': the point 'commit' is not built yet");
	assert_refused("hooks: 3\n", "b.yaml:1:8: hooks: wants a list");
	assert_refused(
		"storage: {flush: 5 parsecs}\n",
		"b.yaml:1:18: storage.flush: '5 parsecs' is not a duration like 500ms, 5s or 2m");
	assert_refused("storage: {rocksdb: {write_bufer: 1MiB}}\n",
	               "b.yaml:1:21: unknown key 'write_bufer' in storage.rocksdb; did you mean "
	               "'rocksdb.write_buffer'?");
	assert_refused("storage: {rocksdb: {compression: gzip}}\n",
	               "b.yaml:1:34: storage.rocksdb.compression: 'gzip' is not one of: none, "
	               "snappy, lz4, zstd");
	assert_refused("server: [\n", "b.yaml:2:1: did not find expected node content");
}

TEST(config__a_group_of_keys_is_a_section_in_a_section)
{
	static const char *const environment[] = {"BOURN_STORAGE_ROCKSDB_BLOB_FILES=true", NULL};
	struct buf shown = BUF_INIT(1 << 16);
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c,
	                           "storage:\n"
	                           "  type: rocksdb\n"
	                           "  rocksdb:\n"
	                           "    write_buffer: 8MiB\n"
	                           "    compression: zstd\n",
	                           &f),
	                 OK);
	assert_int_equal(config_read_environment(&c, environment, &f), OK);
	assert_int_equal(config_set(&c, "storage.rocksdb.block_cache", "16MiB", &f), OK);
	assert_int_equal(c.storage.rocksdb.write_buffer_bytes, 8 << 20);
	assert_int_equal(c.storage.rocksdb.compression, 3);
	assert_int_equal(c.storage.rocksdb.block_cache_bytes, 16 << 20);
	assert_true(c.storage.rocksdb.blob_files);
	config_show(&c, false, &shown);
	buf_append(&shown, "", 1);
	assert_non_null(strstr((const char *)shown.ptr, "  rocksdb:\n    block_cache: 16MiB\n"
	                                                "    write_buffer: 8MiB\n"));
	buf_fini(&shown);
	config_fini(&c);
}

TEST(config__the_environment_sets_by_name)
{
	static const char *const good[] = {"HOME=/", "BOURN_SERVER_PORT=4040",
	                                   "BOURN_SERVER_ALLOWED_HOSTS=a, b", "BOURN_URL=x", NULL};
	static const char *const bad[] = {"BOURN_SERVER_PORT=x", NULL};
	static const char *const mistyped[] = {"BOURN_SERVER_PROT=1", NULL};
	struct config c;
	struct fault f;

	config_init(&c);
	assert_int_equal(config_read_environment(&c, good, &f), OK);
	assert_int_equal(c.server.port, 4040);
	assert_int_equal(c.server.allowed_hosts.count, 2);
	assert_int_equal(config_read_environment(&c, bad, &f), ERR_CONFIG);
	assert_string_equal(f.where, "BOURN_SERVER_PORT: 'x' is not a number from 0 to 65535");
	assert_int_equal(config_read_environment(&c, mistyped, &f), ERR_CONFIG);
	assert_string_equal(f.where, "there is no setting BOURN_SERVER_PROT; did you mean "
	                             "BOURN_SERVER_PORT?");
	config_fini(&c);
}

TEST(config__what_is_shown_reads_back_the_same)
{
	struct buf first = BUF_INIT(1 << 16), second = BUF_INIT(1 << 16);
	struct config c;
	struct fault f;

	assert_int_equal(read_yaml(&c,
	                           "server: {allowed_origins: ['https://a\"b'], shards: 3}\n"
	                           "limits: {idle_timeout: 1500ms}\n",
	                           &f),
	                 OK);
	config_show(&c, true, &first);
	config_fini(&c);
	config_init(&c);
	assert_int_equal(config_read_yaml(&c, buf_slice(&first), "shown", keep_warning, NULL, &f),
	                 OK);
	config_show(&c, true, &second);
	assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
	config_fini(&c);
	buf_fini(&first);
	buf_fini(&second);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(config__an_empty_file_is_the_defaults),
		cmocka_unit_test(config__every_kind_of_value_is_read),
		cmocka_unit_test(config__the_seeds_names_are_understood),
		cmocka_unit_test(config__what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(config__a_group_of_keys_is_a_section_in_a_section),
		cmocka_unit_test(config__the_environment_sets_by_name),
		cmocka_unit_test(config__what_is_shown_reads_back_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
