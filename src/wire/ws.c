#include "wire/ws.h"

#include "base/check.h"
#include "base/endian.h"
#include "wire/base64.h"

#include <openssl/evp.h>

enum {
	FIN = 0x80,
	RESERVED = 0x70,
	OPCODE = 0x0f,
	MASKED = 0x80,
	LENGTH = 0x7f,
	LENGTH_16 = 126, /* the length is in the next 2 bytes */
	LENGTH_64 = 127, /* the length is in the next 8 bytes */
	CLOSE_REASON_BYTES_MAX = WS_CONTROL_BYTES_MAX - 2,
};

struct frame {
	uint8_t opcode;
	bool fin;
	size_t header_bytes;
	size_t payload_bytes;
	uint8_t key[4]; /* valid for a server */
};

void ws_parser_init(struct ws_parser *p, enum ws_role role)
{
	*p = (struct ws_parser){.message_bytes_max = WS_MESSAGE_BYTES_MAX_DEFAULT, .role = role};
}

static enum ws_event fail(struct ws_parser *p, uint16_t close_code, const char *detail)
{
	p->close_code = close_code;
	p->detail = detail;
	return WS_EVENT_FAILED;
}

static bool is_control(uint8_t opcode)
{
	return opcode & 8;
}

/* What byte 0 may be now; NULL when it is right. */
static const char *check_opcode(const struct ws_parser *p, uint8_t first)
{
	uint8_t opcode = first & OPCODE;

	if (first & RESERVED)
		return "a reserved bit is set";
	if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
		return "the opcode is unknown";
	if (is_control(opcode))
		return first & FIN ? NULL : "a control frame is fragmented";
	if (opcode == WS_CONTINUATION && !p->in_message)
		return "a continuation without a beginning";
	if (opcode != WS_CONTINUATION && p->in_message)
		return "a new message inside a fragmented one";
	return NULL;
}

static const char *check_second(const struct ws_parser *p, uint8_t opcode, uint8_t second)
{
	if (p->role == WS_SERVER && !(second & MASKED))
		return "a client's frame is not masked";
	if (p->role == WS_CLIENT && (second & MASKED))
		return "a server's frame is masked";
	if (is_control(opcode) && (second & LENGTH) > WS_CONTROL_BYTES_MAX)
		return "a control frame is longer than 125 bytes";
	return NULL;
}

/* The length after the first two bytes at `in`, which are `bytes` in all. */
static uint64_t extended_length(const uint8_t *in, size_t bytes)
{
	switch (bytes) {
	case 2: return load_be16(in + 2);
	case 8: return load_be64(in + 2);
	default: return in[1] & LENGTH;
	}
}

/* Read the header at in[0, len). MORE: not all of it is there; FAILED; MESSAGE: it is in `f`. */
static enum ws_event read_header(struct ws_parser *p, const uint8_t *in, size_t len,
                                 struct frame *f)
{
	static const uint64_t least[] = {[0] = 0, [2] = LENGTH_16, [8] = 1 << 16};
	size_t extended;
	const char *wrong;
	uint64_t payload;

	if (len > 0 && (wrong = check_opcode(p, in[0])))
		return fail(p, WS_CLOSE_PROTOCOL, wrong);
	if (len < 2)
		return WS_EVENT_MORE;
	f->opcode = in[0] & OPCODE;
	f->fin = in[0] & FIN;
	wrong = check_second(p, f->opcode, in[1]);
	if (wrong)
		return fail(p, WS_CLOSE_PROTOCOL, wrong);
	extended = (in[1] & LENGTH) < LENGTH_16 ? 0 : (in[1] & LENGTH) == LENGTH_16 ? 2 : 8;
	f->header_bytes = 2 + extended + (p->role == WS_SERVER ? 4 : 0);
	if (len < 2 + extended)
		return WS_EVENT_MORE;
	payload = extended_length(in, extended);
	if (payload < least[extended] || payload > INT64_MAX)
		return fail(p, WS_CLOSE_PROTOCOL, "the length is not in its shortest form");
	if (!is_control(f->opcode) &&
	    (payload > p->message_bytes_max || p->held > p->message_bytes_max - payload))
		return fail(p, WS_CLOSE_TOO_BIG, "the message is beyond the limit");
	if (len < f->header_bytes)
		return WS_EVENT_MORE;
	f->payload_bytes = (size_t)payload;
	if (p->role == WS_SERVER)
		memcpy(f->key, in + 2 + extended, sizeof(f->key));
	return WS_EVENT_MESSAGE;
}

static enum ws_event take_close(struct ws_parser *p, struct slice payload)
{
	p->close_code = WS_CLOSE_NONE;
	if (payload.len == 0)
		return WS_EVENT_CLOSE;
	if (payload.len == 1)
		return fail(p, WS_CLOSE_PROTOCOL, "a close frame with half a code");
	p->close_code = load_be16(payload.ptr);
	if (!ws_close_code_ok(p->close_code))
		return fail(p, WS_CLOSE_PROTOCOL, "a close code that must not be sent");
	p->payload = slice_of(payload.ptr + 2, payload.len - 2);
	if (!utf8_valid(p->payload))
		return fail(p, WS_CLOSE_BAD_UTF8, "a close reason that is not UTF-8");
	return WS_EVENT_CLOSE;
}

static enum ws_event take_control(struct ws_parser *p, uint8_t opcode, struct slice payload)
{
	/* Nothing may be dropped from the front while fragments are held there. */
	if (!p->in_message) {
		p->consumed = p->at;
		p->at = 0;
	}
	p->payload = payload;
	switch (opcode) {
	case WS_PING: return WS_EVENT_PING;
	case WS_PONG: return WS_EVENT_PONG;
	default: return take_close(p, payload);
	}
}

/* A data frame's payload is at `bytes`, which is at or behind the fragments held. MORE: another
 * fragment must follow. */
static enum ws_event take_data(struct ws_parser *p, const struct frame *f, uint8_t *in,
                               uint8_t *bytes)
{
	if (f->opcode != WS_CONTINUATION) {
		p->text = f->opcode == WS_TEXT;
		p->utf8 = (struct utf8_state){0};
	}
	if (p->text && (!utf8_feed(&p->utf8, slice_of(bytes, f->payload_bytes)) ||
	                (f->fin && !utf8_complete(&p->utf8))))
		return fail(p, WS_CLOSE_BAD_UTF8, "a text message that is not UTF-8");
	p->in_message = !f->fin;
	if (f->fin && f->opcode != WS_CONTINUATION) {
		p->payload = slice_of(bytes, f->payload_bytes);
	} else {
		memmove(in + p->held, bytes, f->payload_bytes);
		p->held += f->payload_bytes;
		if (!f->fin)
			return WS_EVENT_MORE;
		p->payload = slice_of(in, p->held);
	}
	p->consumed = p->at;
	p->held = 0;
	p->at = 0;
	return WS_EVENT_MESSAGE;
}

/* Cut the headers that were read since between the fragments held and the unread bytes. */
static void close_gap(struct ws_parser *p, uint8_t *in, size_t *len)
{
	if (p->at == p->held)
		return;
	memmove(in + p->held, in + p->at, *len - p->at);
	*len -= p->at - p->held;
	p->at = p->held;
}

enum ws_event ws_parse(struct ws_parser *p, uint8_t *in, size_t *len)
{
	struct frame f;

	CHECK(p->at <= *len);
	p->consumed = 0;
	p->payload = SLICE_NONE;
	while (p->at < *len) {
		enum ws_event event = read_header(p, in + p->at, *len - p->at, &f);
		uint8_t *payload;

		if (event == WS_EVENT_FAILED)
			return event;
		if (event == WS_EVENT_MORE || *len - p->at - f.header_bytes < f.payload_bytes)
			break;
		payload = in + p->at + f.header_bytes;
		p->at += f.header_bytes + f.payload_bytes;
		if (p->role == WS_SERVER)
			ws_mask(payload, f.payload_bytes, f.key, 0);
		if (is_control(f.opcode))
			return take_control(p, f.opcode, slice_of(payload, f.payload_bytes));
		event = take_data(p, &f, in, payload);
		if (event != WS_EVENT_MORE)
			return event;
	}
	close_gap(p, in, len);
	return WS_EVENT_MORE;
}

void ws_mask(uint8_t *bytes, size_t len, const uint8_t key[4], size_t at)
{
	uint8_t repeated[8];
	uint64_t key_word, words[4];
	size_t i = 0;

	for (size_t k = 0; k < sizeof(repeated); k++)
		repeated[k] = key[(at + k) & 3];
	memcpy(&key_word, repeated, sizeof(key_word));
	for (; len - i >= sizeof(words); i += sizeof(words)) {
		memcpy(words, bytes + i, sizeof(words));
		for (size_t k = 0; k < ARRAY_COUNT(words); k++)
			words[k] ^= key_word;
		memcpy(bytes + i, words, sizeof(words));
	}
	for (; i < len; i++)
		bytes[i] ^= repeated[i & 7];
}

size_t ws_header_write(uint8_t to[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, bool fin,
                       size_t payload_bytes, const uint8_t *mask)
{
	size_t size = 2;

	to[0] = (uint8_t)((fin ? FIN : 0) | opcode);
	if (payload_bytes < LENGTH_16) {
		to[1] = (uint8_t)payload_bytes;
	} else if (payload_bytes <= UINT16_MAX) {
		to[1] = LENGTH_16;
		store_be16(to + 2, (uint16_t)payload_bytes);
		size += 2;
	} else {
		to[1] = LENGTH_64;
		store_be64(to + 2, payload_bytes);
		size += 8;
	}
	if (mask) {
		to[1] |= MASKED;
		memcpy(to + size, mask, 4);
		size += 4;
	}
	return size;
}

void ws_append_frame(struct buf *out, enum ws_opcode opcode, struct slice payload,
                     const uint8_t *mask)
{
	uint8_t header[WS_HEADER_BYTES_MAX];
	size_t header_bytes = ws_header_write(header, opcode, true, payload.len, mask);

	CHECK(!is_control((uint8_t)opcode) || payload.len <= WS_CONTROL_BYTES_MAX);
	if (!buf_reserve(out, header_bytes + payload.len))
		return;
	buf_append(out, header, header_bytes);
	buf_append_slice(out, payload);
	if (mask)
		ws_mask(out->ptr + out->len - payload.len, payload.len, mask, 0);
}

void ws_append_close(struct buf *out, uint16_t code, struct slice reason, const uint8_t *mask)
{
	uint8_t payload[WS_CONTROL_BYTES_MAX];
	size_t len = reason.len;

	if (code == WS_CLOSE_NONE) {
		ws_append_frame(out, WS_CLOSE, SLICE_NONE, mask);
		return;
	}
	CHECK(ws_close_code_ok(code));
	if (len > CLOSE_REASON_BYTES_MAX)
		for (len = CLOSE_REASON_BYTES_MAX; len > 0 && (reason.ptr[len] & 0xc0) == 0x80;)
			len--;
	store_be16(payload, code);
	if (len > 0)
		memcpy(payload + 2, reason.ptr, len);
	ws_append_frame(out, WS_CLOSE, slice_of(payload, 2 + len), mask);
}

bool ws_close_code_ok(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/* A key is 16 bytes of base64; what they are does not matter. */
static bool key_ok(struct slice key)
{
	uint8_t memory[16];
	struct buf bytes = BUF_IN(memory);

	return base64_decode(BASE64_STD, key, &bytes) && bytes.len == sizeof(memory);
}

enum err ws_accept(struct slice key, char accept[WS_ACCEPT_LEN + 1])
{
	uint8_t memory[64], digest[EVP_MAX_MD_SIZE];
	struct buf text = BUF_IN(memory);
	unsigned digest_bytes;

	if (!key_ok(key))
		return ERR_BAD_REQUEST;
	buf_append_slice(&text, key);
	buf_append_lit(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	CHECK(!text.failed);
	if (!EVP_Digest(text.ptr, text.len, digest, &digest_bytes, EVP_sha1(), NULL))
		return ERR_NO_MEMORY;
	buf_clear(&text);
	base64_encode(BASE64_STD, slice_of(digest, digest_bytes), &text);
	CHECK(text.len == WS_ACCEPT_LEN);
	memcpy(accept, text.ptr, WS_ACCEPT_LEN);
	accept[WS_ACCEPT_LEN] = '\0';
	return OK;
}
