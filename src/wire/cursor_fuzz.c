/* Any text is refused or stands for a cursor that encodes to the same text. The bytes are also
 * taken as what base64 would hide, with a right checksum, so that the fuzzer gets past both. */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "wire/base64.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void try_text(struct slice text)
{
	struct buf again = BUF_INIT(1 << 16);
	struct cursor c;

	if (cursor_decode(text, &c) == OK) {
		CHECK(cursor_encode(c.entries, c.count, c.is_alone, &again));
		CHECK(slice_eq(text, buf_slice(&again)));
	}
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf sealed = BUF_INIT(1 << 20), text = BUF_INIT(1 << 21);
	uint8_t version = 1 + (len & 1);
	uint8_t crc[4];

	try_text(slice_of(bytes, len));
	buf_append(&sealed, &version, 1);
	buf_append(&sealed, bytes, len);
	store_be32(crc, crc32c(0, sealed.ptr, sealed.len));
	buf_append(&sealed, crc, sizeof(crc));
	base64_encode(BASE64_URL, buf_slice(&sealed), &text);
	try_text(buf_slice(&text));
	buf_fini(&sealed);
	buf_fini(&text);
	return 0;
}
