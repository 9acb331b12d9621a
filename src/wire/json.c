#include "wire/json.h"

#include "base/check.h"
#include "wire/base64.h"
#include "wire/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

_Static_assert(JSON_DEPTH_MAX <= 64, "a bit for each level");

/* --- scanning, of text that may be anything --------------------------------------------------- */

struct scanner {
	const uint8_t *at; /* when a scan fails: the byte that cannot be right, or the end */
	const uint8_t *end;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Inline, as are the others on the way of each member: the scanner then stays in registers. Most
 * places where there may be space have none. */
static inline void skip_space(struct scanner *s)
{
	while (s->at < s->end && *s->at <= ' ' && is_space(*s->at))
		s->at++;
}

static bool take(struct scanner *s, uint8_t c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* In each byte the high bit is set when that byte of `word` is below `below` (≤ 0x80); exact for
 * the lowest such byte, which is all that is asked for. */
static uint64_t bytes_below(uint64_t word, uint8_t below)
{
	return (word - 0x0101010101010101u * below) & ~word & 0x8080808080808080u;
}

static uint64_t bytes_equal(uint64_t word, uint8_t c)
{
	return bytes_below(word ^ (0x0101010101010101u * c), 1);
}

/* A string cannot just go over a special byte: quote, backslash, control, or not ASCII. Returns the
 * index of the first of 8; 8: there is none. */
static unsigned special_of_8(const uint8_t *at)
{
	uint64_t word, special;

	memcpy(&word, at, sizeof(word));
	special = bytes_equal(word, '"') | bytes_equal(word, '\\') | bytes_below(word, 0x20) |
	          (word & 0x8080808080808080u);
	return special ? (unsigned)__builtin_ctzll(special) / 8 : 8;
}

#if defined(__SSE2__)
/* All ones in each byte of 16 that is special. */
static __m128i specials(const uint8_t *at)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
	__m128i quoting = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
	                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));

	/* Signed: what is not ASCII is below a space too. */
	return _mm_or_si128(quoting, _mm_cmpgt_epi8(_mm_set1_epi8(0x20), bytes));
}

/* A bit for each of 16. */
static unsigned special_of_16(const uint8_t *at)
{
	return (unsigned)_mm_movemask_epi8(specials(at));
}

static bool has_special_in_64(const uint8_t *at)
{
	__m128i first = _mm_or_si128(specials(at), specials(at + 16));
	__m128i second = _mm_or_si128(specials(at + 32), specials(at + 48));

	return _mm_movemask_epi8(_mm_or_si128(first, second)) != 0;
}
#else
static unsigned special_of_16(const uint8_t *at)
{
	unsigned first = special_of_8(at), second = special_of_8(at + 8);

	return (first < 8 ? 1u << first : 0) | (second < 8 ? 0x100u << second : 0);
}

static bool has_special_in_64(const uint8_t *at)
{
	return special_of_16(at) || special_of_16(at + 16) || special_of_16(at + 32) ||
	       special_of_16(at + 48);
}
#endif

/* The first special byte, or `end`. The place moves on by a constant, not by what was found: the
 * processor then looks at several words at once. */
static inline const uint8_t *find_special(const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 64 && !has_special_in_64(at))
		at += 64;
	for (; end - at >= 16; at += 16) {
		unsigned special = special_of_16(at);

		if (special)
			return at + __builtin_ctz(special);
	}
	if (end - at >= 8)
		at += special_of_8(at);
	while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

static bool scan_unicode(struct scanner *s)
{
	struct utf8_state state = {0};

	do {
		if (s->at == s->end || !utf8_feed(&state, slice_of(s->at, 1)))
			return false;
		s->at++;
	} while (!utf8_complete(&state));
	return true;
}

static int hex_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* After the backslash. */
static bool scan_escape(struct scanner *s)
{
	if (s->at == s->end)
		return false;
	switch (*s->at) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't': s->at++; return true;
	case 'u': break;
	default: return false;
	}
	s->at++;
	for (int i = 0; i < 4; i++, s->at++)
		if (s->at == s->end || hex_value(*s->at) < 0)
			return false;
	return true;
}

static inline bool scan_string(struct scanner *s)
{
	if (!take(s, '"'))
		return false;
	for (;;) {
		s->at = find_special(s->at, s->end);
		if (s->at == s->end || *s->at < 0x20)
			return false;
		if (take(s, '"'))
			return true;
		if (take(s, '\\') ? !scan_escape(s) : !scan_unicode(s))
			return false;
	}
}

static bool scan_digits(struct scanner *s)
{
	const uint8_t *from = s->at;

	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return s->at > from;
}

static bool scan_number(struct scanner *s)
{
	take(s, '-');
	if (!take(s, '0') && !scan_digits(s))
		return false;
	if (take(s, '.') && !scan_digits(s))
		return false;
	if (!take(s, 'e') && !take(s, 'E'))
		return true;
	if (!take(s, '+'))
		take(s, '-');
	return scan_digits(s);
}

static bool scan_word(struct scanner *s, const char *word)
{
	for (; *word; word++)
		if (!take(s, (uint8_t)*word))
			return false;
	return true;
}

static bool scan_scalar(struct scanner *s)
{
	if (s->at == s->end)
		return false;
	switch (*s->at) {
	case '"': return scan_string(s);
	case 't': return scan_word(s, "true");
	case 'f': return scan_word(s, "false");
	case 'n': return scan_word(s, "null");
	default: return scan_number(s);
	}
}

/* --- validation ------------------------------------------------------------------------------- */

/* The containers around the current place, innermost in the lowest bit: set for an object. */
struct nesting {
	uint64_t objects;
	unsigned depth;
	unsigned depth_max;
};

/* A member's name and colon, up to its value. */
static inline bool scan_key(struct scanner *s)
{
	skip_space(s);
	if (!scan_string(s))
		return false;
	skip_space(s);
	return take(s, ':');
}

/* One value, or the opening of a container that is not empty up to its first value: then `*whole`
 * is false. */
static bool scan_value(struct scanner *s, struct nesting *n, bool *whole)
{
	bool object;

	skip_space(s);
	*whole = true;
	if (s->at == s->end || (*s->at != '{' && *s->at != '['))
		return scan_scalar(s);
	if (n->depth == n->depth_max)
		return false;
	object = *s->at++ == '{';
	skip_space(s);
	if (take(s, object ? '}' : ']'))
		return true;
	*whole = false;
	n->objects = n->objects << 1 | object;
	n->depth++;
	return !object || scan_key(s);
}

/* After a whole value: close what ends here. `*more` when another value follows. */
static bool scan_after(struct scanner *s, struct nesting *n, bool *more)
{
	*more = false;
	while (n->depth > 0) {
		bool object = n->objects & 1;

		skip_space(s);
		if (take(s, ',')) {
			*more = true;
			return !object || scan_key(s);
		}
		if (!take(s, object ? '}' : ']'))
			return false;
		n->objects >>= 1;
		n->depth--;
	}
	return true;
}

static bool scan_text(struct scanner *s, unsigned depth_max)
{
	struct nesting n = {.depth_max = depth_max};
	bool more = true;

	while (more) {
		bool whole;

		if (!scan_value(s, &n, &whole))
			return false;
		if (whole && !scan_after(s, &n, &more))
			return false;
	}
	skip_space(s);
	return s->at == s->end;
}

bool json_validate(struct slice text, unsigned depth_max, size_t *error_at)
{
	struct scanner s;

	CHECK(depth_max <= JSON_DEPTH_MAX);
	if (text.len == 0) /* may be NULL, which knows no arithmetic */
		text = SLICE_LIT("");
	s = (struct scanner){.at = text.ptr, .end = text.ptr + text.len};
	if (scan_text(&s, depth_max))
		return true;
	if (error_at)
		*error_at = (size_t)(s.at - text.ptr);
	return false;
}

/* --- walking, of validated text --------------------------------------------------------------- */

static enum json_kind kind_of(uint8_t first)
{
	switch (first) {
	case '{': return JSON_OBJECT;
	case '[': return JSON_ARRAY;
	case '"': return JSON_STRING;
	case 't': return JSON_TRUE;
	case 'f': return JSON_FALSE;
	case 'n': return JSON_NULL;
	default: return JSON_NUMBER;
	}
}

static struct slice trim(struct slice s)
{
	while (s.len && is_space(s.ptr[0]))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct json_value json_root(struct slice text)
{
	struct slice raw = trim(text);

	CHECK(raw.len > 0);
	return (struct json_value){.kind = kind_of(raw.ptr[0]), .raw = raw};
}

/* Past the string that begins at `at`: at the first quote with an even number of backslashes
 * before. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *first = at + 1, *from = first;

	for (;;) {
		const uint8_t *quote = memchr(from, '"', (size_t)(end - from));
		const uint8_t *before = quote;

		CHECK(quote);
		while (before > first && before[-1] == '\\')
			before--;
		if ((quote - before) % 2 == 0)
			return quote + 1;
		from = quote + 1;
	}
}

static const uint8_t *container_end(const uint8_t *at, const uint8_t *end)
{
	unsigned depth = 0;

	while (at < end) {
		switch (*at) {
		case '"': at = string_end(at, end); continue;
		case '{':
		case '[': depth++; break;
		case '}':
		case ']': depth--; break;
		default: break;
		}
		at++;
		if (depth == 0)
			break;
	}
	return at;
}

static const uint8_t *value_end(const uint8_t *at, const uint8_t *end)
{
	if (*at == '"')
		return string_end(at, end);
	if (*at == '{' || *at == '[')
		return container_end(at, end);
	while (at < end && !is_space(*at) && *at != ',' && *at != '}' && *at != ']')
		at++;
	return at;
}

void json_iter_init(struct json_iter *it, struct json_value container)
{
	CHECK(container.kind == JSON_OBJECT || container.kind == JSON_ARRAY);
	CHECK(container.raw.len >= 2);
	it->is_object = container.kind == JSON_OBJECT;
	it->rest = trim(slice_of(container.raw.ptr + 1, container.raw.len - 2));
}

/* Cut `len` bytes, then the separator `c` with white space around it, from the front of the
 * rest. */
static struct slice cut_value(struct json_iter *it, uint8_t c)
{
	const uint8_t *at = value_end(it->rest.ptr, it->rest.ptr + it->rest.len);
	struct slice value = slice_of(it->rest.ptr, (size_t)(at - it->rest.ptr));

	CHECK(value.len <= it->rest.len);
	it->rest = trim(slice_of(at, it->rest.len - value.len));
	if (it->rest.len > 0) {
		CHECK(it->rest.ptr[0] == c);
		it->rest = trim(slice_of(it->rest.ptr + 1, it->rest.len - 1));
	}
	return value;
}

bool json_iter_next(struct json_iter *it, struct slice *key, struct json_value *value)
{
	if (it->rest.len == 0)
		return false;
	*key = it->is_object ? cut_value(it, ':') : SLICE_NONE;
	value->raw = cut_value(it, ',');
	value->kind = kind_of(value->raw.ptr[0]);
	return true;
}

bool json_object_get(struct json_value object, const char *name, struct json_value *value)
{
	struct json_iter it;
	struct json_value member;
	struct slice key;
	bool found = false;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &member)) {
		if (json_string_is(key, name)) {
			*value = member;
			found = true;
		}
	}
	return found;
}

bool json_to_int64(struct json_value value, int64_t *out)
{
	return value.kind == JSON_NUMBER && slice_to_int64(value.raw, out);
}

/* --- strings ---------------------------------------------------------------------------------- */

static struct slice unquote(struct slice raw)
{
	CHECK(raw.len >= 2);
	CHECK(raw.ptr[0] == '"');
	return slice_of(raw.ptr + 1, raw.len - 2);
}

static uint32_t four_hex(const uint8_t *at)
{
	uint32_t code = 0;

	for (int i = 0; i < 4; i++)
		code = code << 4 | (uint32_t)hex_value(at[i]);
	return code;
}

/* The character that "\uXXXX" or a pair of them at the front of `rest` stands for; false for a lone
 * surrogate. */
static bool take_unicode_escape(struct slice *rest, uint32_t *code)
{
	uint32_t low;
	size_t len = 6;

	*code = four_hex(rest->ptr + 2);
	if (*code >= 0xd800 && *code <= 0xdfff) {
		if (*code > 0xdbff || rest->len < 12 || rest->ptr[6] != '\\' || rest->ptr[7] != 'u')
			return false;
		low = four_hex(rest->ptr + 8);
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
		len = 12;
	}
	*rest = slice_of(rest->ptr + len, rest->len - len);
	return true;
}

/* Decode the escape at the front of `rest`, backslash first. */
static bool decode_escape(struct slice *rest, struct buf *out)
{
	static const char letters[] = "bfnrt", stand_for[] = "\b\f\n\r\t";
	uint8_t utf8[4];
	uint32_t code;
	const char *letter;

	CHECK(rest->len >= 2);
	if (rest->ptr[1] == 'u') {
		if (!take_unicode_escape(rest, &code))
			return false;
		buf_append(out, utf8, utf8_encode(code, utf8));
		return true;
	}
	letter = strchr(letters, rest->ptr[1]);
	buf_append(out, letter ? (const void *)(stand_for + (letter - letters)) : rest->ptr + 1, 1);
	*rest = slice_of(rest->ptr + 2, rest->len - 2);
	return true;
}

bool json_string_decode(struct slice raw, struct buf *out)
{
	struct slice rest = unquote(raw);

	for (;;) {
		const uint8_t *escape = rest.len ? memchr(rest.ptr, '\\', rest.len) : NULL;
		size_t plain = escape ? (size_t)(escape - rest.ptr) : rest.len;

		buf_append(out, rest.ptr, plain);
		rest = slice_of(rest.ptr + plain, rest.len - plain);
		if (rest.len == 0)
			return true;
		if (!decode_escape(&rest, out))
			return false;
	}
}

bool json_string_is(struct slice raw, const char *text)
{
	struct slice inner = unquote(raw), wanted = slice_str(text);
	uint8_t memory[JSON_NAME_BYTES_MAX];
	struct buf decoded = BUF_IN(memory);

	CHECK(wanted.len <= sizeof(memory));
	if (inner.len == 0 || !memchr(inner.ptr, '\\', inner.len))
		return slice_eq(inner, wanted);
	return json_string_decode(raw, &decoded) && !decoded.failed &&
	       slice_eq(buf_slice(&decoded), wanted);
}

static void append_escape(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "btn?fr"; /* of 8 to 13; 11 has none */
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (c == '"' || c == '\\')
		text[1] = (char)c;
	else if (c >= 8 && c <= 13 && c != 11)
		text[1] = letters[c - 8];
	buf_append(out, text, text[1] == 'u' ? 6 : 2);
}

/* Bytes at the front that need no escape. */
static size_t plain_length(struct slice text)
{
	const uint8_t *at = text.ptr, *end = text.ptr + text.len;

	for (;;) {
		at = find_special(at, end);
		if (at == end || *at < 0x80)
			return (size_t)(at - text.ptr);
		at++;
	}
}

void json_append_string(struct buf *out, struct slice text)
{
	struct slice rest = text;

	buf_reserve(out, text.len + 2);
	buf_append_lit(out, "\"");
	while (rest.len > 0) {
		size_t plain = plain_length(rest);

		buf_append(out, rest.ptr, plain);
		rest = slice_of(rest.ptr + plain, rest.len - plain);
		if (rest.len > 0) {
			append_escape(out, rest.ptr[0]);
			rest = slice_of(rest.ptr + 1, rest.len - 1);
		}
	}
	buf_append_lit(out, "\"");
}

void json_append_base64(struct buf *out, struct slice bytes)
{
	buf_append_lit(out, "\"");
	base64_encode(BASE64_STD, bytes, out);
	buf_append_lit(out, "\"");
}

bool json_append_bytes(struct buf *out, struct slice bytes)
{
	bool is_text = utf8_valid(bytes);

	if (is_text)
		json_append_string(out, bytes);
	else
		json_append_base64(out, bytes);
	return !is_text;
}
