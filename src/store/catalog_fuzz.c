/* Whatever bytes stand in a catalog snapshot: refused, or decoded into topics with allowed names.
 * The checksum is put right first, so that the fuzzer gets past it. */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "store/catalog_snapshot.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static enum err check(void *arg, const struct topic_spec *spec, bool deleted, struct fault *f)
{
	(void)arg;
	(void)f;
	if (deleted)
		return OK;
	CHECK(topic_name_check(slice_str(spec->name), NULL) == OK);
	CHECK(spec->partition_count >= 1);
	CHECK(spec->partition_count <= TOPIC_PARTITIONS_MAX);
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct uuid ours; /* so bytes 16 to 31 of a good one are zeros */
	uint8_t *copy = malloc(len + 1);
	uint64_t sequence;
	struct fault f;

	CHECK(copy);
	memcpy(copy, bytes, len);
	if (len >= 4)
		store_le32(copy + len - 4, crc32c(0, copy, len - 4));
	(void)!catalog_snapshot_decode(slice_of(copy, len), &ours, &sequence, check, NULL, &f);
	free(copy);
	return 0;
}
