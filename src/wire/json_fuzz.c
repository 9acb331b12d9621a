/* What is valid can be walked to the last value, strings come back the same after decoding and
 * encoding, and every part is valid by itself. Any UTF-8 becomes a valid string. */
#include "base/check.h"
#include "wire/json.h"
#include "wire/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void string_round_trip(struct slice raw)
{
	struct buf text = BUF_INIT(1 << 20), again = BUF_INIT(1 << 24), back = BUF_INIT(1 << 20);

	if (json_string_decode(raw, &text)) {
		CHECK(utf8_valid(buf_slice(&text)));
		json_append_string(&again, buf_slice(&text));
		CHECK(json_validate(buf_slice(&again), 0, NULL));
		CHECK(json_string_decode(buf_slice(&again), &back));
		CHECK(slice_eq(buf_slice(&text), buf_slice(&back)));
	}
	buf_fini(&text);
	buf_fini(&again);
	buf_fini(&back);
}

static void walk(struct json_value value, unsigned depth)
{
	struct json_iter it;
	struct json_value inner;
	struct slice key;

	CHECK(depth <= JSON_DEPTH_MAX);
	CHECK(json_validate(value.raw, JSON_DEPTH_MAX, NULL));
	if (value.kind == JSON_STRING)
		string_round_trip(value.raw);
	if (value.kind != JSON_OBJECT && value.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, value);
	while (json_iter_next(&it, &key, &inner)) {
		CHECK((key.ptr != NULL) == (value.kind == JSON_OBJECT));
		if (key.ptr)
			string_round_trip(key);
		walk(inner, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice text = slice_of(bytes, len);
	size_t error_at;

	if (json_validate(text, JSON_DEPTH_MAX, &error_at))
		walk(json_root(text), 0);
	else
		CHECK(error_at <= len);
	if (utf8_valid(text)) {
		struct buf quoted = BUF_INIT(1 << 24);

		json_append_string(&quoted, text);
		CHECK(json_validate(buf_slice(&quoted), 0, NULL));
		string_round_trip(buf_slice(&quoted));
		buf_fini(&quoted);
	}
	return 0;
}
