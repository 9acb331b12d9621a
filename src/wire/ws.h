/* ws: WebSocket frames (RFC 6455) out of and into bytes, for either end. Not a connection: it sends
 * nothing, times nothing. No extensions: reserved bits are refused.
 *
 *	byte 0: FIN, RSV ×3, opcode    byte 1: MASK, length (126: 16 bits follow, 127: 64 bits)
 *	then the masking key (4 bytes, client to server only), then the payload
 *
 * Pull style, in one contiguous buffer. The caller holds the unread bytes and calls
 *
 *	for (;;) {
 *		enum ws_event event = ws_parse(&p, in, &len);
 *		… use p.payload …
 *		in += p.consumed, len -= p.consumed;      (after every event, before the next call)
 *	}
 *
 * Payloads are unmasked where they are. The fragments of a message are moved together, so that it
 * is one slice: for that, headers between them are cut out of the buffer and `len` shrinks. While
 * fragments are held `consumed` is 0: they stay at the front. The bytes may move between calls.
 *
 * A length is checked against the limit before its payload is waited for. */
#ifndef BOURN_WIRE_WS_H
#define BOURN_WIRE_WS_H

#include "base/buf.h"
#include "wire/utf8.h"

enum {
	WS_MESSAGE_BYTES_MAX_DEFAULT = 1 << 20,
	WS_CONTROL_BYTES_MAX = 125,
	WS_HEADER_BYTES_MAX = 14,
	WS_ACCEPT_LEN = 28,
};

enum ws_event {
	WS_EVENT_MORE,    /* nothing whole is there */
	WS_EVENT_MESSAGE, /* payload: a whole message; `text` says of which type */
	WS_EVENT_PING,    /* payload: to be sent back in a pong */
	WS_EVENT_PONG,    /* payload */
	WS_EVENT_CLOSE,  /* close_code (WS_CLOSE_NONE without one), payload: the reason. The last */
	WS_EVENT_FAILED, /* the peer broke the rules: close with close_code, detail says why. The
			    last */
};

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10,
};

enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NONE = 1005, /* never sent: a close frame without a code */
	WS_CLOSE_BAD_UTF8 = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
	WS_CLOSE_RESTART = 1012,
	WS_CLOSE_TRY_LATER = 1013,
	WS_CLOSE_TOKEN_EXPIRED = 4001,
	WS_CLOSE_TOO_SLOW = 4008,
	WS_CLOSE_POSITION_GONE = 4010,
	WS_CLOSE_TOPIC_GONE = 4011,
};

enum ws_role { WS_SERVER, WS_CLIENT };

struct ws_parser {
	size_t message_bytes_max; /* set by ws_parser_init, may be changed */
	struct slice payload;     /* borrowed from the buffer until the next call or change of it */
	bool text;                /* at MESSAGE: text (valid UTF-8), else binary */
	uint16_t close_code;      /* at CLOSE and FAILED */
	const char *detail;       /* at FAILED: static text */
	size_t consumed;          /* bytes to drop from the front before the next call */

	/* Ours. */
	enum ws_role role;
	bool in_message;        /* the first fragment came, the last did not */
	size_t held;            /* bytes of its fragments, at the front of the buffer */
	size_t at;              /* where the next frame begins; ≥ held */
	struct utf8_state utf8; /* of the text so far */
};

/* `role` is ours: a server's frames come masked, a client's must not be. No memory is owned. */
void ws_parser_init(struct ws_parser *p, enum ws_role role);

/* See the file head. Must not be called after CLOSE or FAILED. */
enum ws_event ws_parse(struct ws_parser *p, uint8_t *in, size_t *len);

/* XOR `bytes` with the key, in place; `at` is the place of bytes[0] in the payload. */
void ws_mask(uint8_t *bytes, size_t len, const uint8_t key[4], size_t at);

/* Write a frame's header for `payload_bytes`; returns its size. `mask`: 4 bytes when a client sends
 * (then ws_mask the payload), NULL when a server does. */
size_t ws_header_write(uint8_t to[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, bool fin,
                       size_t payload_bytes, const uint8_t *mask);

/* Append a whole, unfragmented frame; the payload is masked in the copy when `mask` is not NULL. */
void ws_append_frame(struct buf *out, enum ws_opcode opcode, struct slice payload,
                     const uint8_t *mask);

/* Append a close frame. The reason is cut at 123 bytes, at a character's boundary. WS_CLOSE_NONE
 * sends an empty payload. */
void ws_append_close(struct buf *out, uint16_t code, struct slice reason, const uint8_t *mask);

/* True for a code that a peer may send in a close frame. */
bool ws_close_code_ok(uint16_t code);

/* Sec-WebSocket-Accept for a client's key, NUL-terminated. BAD_REQUEST when `key` is not 16 bytes
 * in base64, which the handshake must refuse; NO_MEMORY. */
enum err ws_accept(struct slice key, char accept[WS_ACCEPT_LEN + 1]) MUST_CHECK;

#endif
