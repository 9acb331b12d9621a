/* Whatever bytes stand in a manifest: refused, or decoded into offsets that make sense. The
 * checksum is put right first, so that the fuzzer gets past it. */
#include "base/crc32c.h"
#include "base/endian.h"
#include "store/chunklog/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static enum err check(void *arg, const struct uuid *topic, uint32_t partition,
                      const struct saved *s, struct fault *f)
{
	int64_t after = 0;

	(void)arg;
	(void)topic;
	(void)partition;
	(void)f;
	CHECK(s->log_start >= 0);
	CHECK(s->log_start <= s->end_offset);
	for (uint32_t i = 0; i < s->segment_count; i++) {
		CHECK(s->segments[i].base_offset >= after);
		CHECK(s->segments[i].end_offset > s->segments[i].base_offset);
		after = s->segments[i].end_offset;
	}
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct uuid ours; /* so bytes 16 to 31 of a good one are zeros */
	uint8_t *copy = malloc(len + 1);
	struct manifest m;
	struct fault f;

	CHECK(copy);
	memcpy(copy, bytes, len);
	if (len >= 4)
		store_le32(copy + len - 4, crc32c(0, copy, len - 4));
	(void)!manifest_decode(slice_of(copy, len), &ours, &m, check, NULL, &f);
	free(copy);
	return 0;
}
