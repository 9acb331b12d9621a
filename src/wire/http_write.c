#include "wire/http_write.h"

#include "base/check.h"
#include "wire/timefmt.h"

/* Status, its whole line, and where the reason stands in it. */
#define STATUSES(X)                                                                                \
	X(100, "Continue")                                                                         \
	X(101, "Switching Protocols")                                                              \
	X(200, "OK")                                                                               \
	X(201, "Created")                                                                          \
	X(202, "Accepted")                                                                         \
	X(204, "No Content")                                                                       \
	X(304, "Not Modified")                                                                     \
	X(400, "Bad Request")                                                                      \
	X(401, "Unauthorized")                                                                     \
	X(403, "Forbidden")                                                                        \
	X(404, "Not Found")                                                                        \
	X(405, "Method Not Allowed")                                                               \
	X(406, "Not Acceptable")                                                                   \
	X(408, "Request Timeout")                                                                  \
	X(409, "Conflict")                                                                         \
	X(410, "Gone")                                                                             \
	X(411, "Length Required")                                                                  \
	X(412, "Precondition Failed")                                                              \
	X(413, "Content Too Large")                                                                \
	X(414, "URI Too Long")                                                                     \
	X(415, "Unsupported Media Type")                                                           \
	X(416, "Range Not Satisfiable")                                                            \
	X(417, "Expectation Failed")                                                               \
	X(421, "Misdirected Request")                                                              \
	X(422, "Unprocessable Content")                                                            \
	X(426, "Upgrade Required")                                                                 \
	X(429, "Too Many Requests")                                                                \
	X(431, "Request Header Fields Too Large")                                                  \
	X(500, "Internal Server Error")                                                            \
	X(501, "Not Implemented")                                                                  \
	X(502, "Bad Gateway")                                                                      \
	X(503, "Service Unavailable")                                                              \
	X(504, "Gateway Timeout")                                                                  \
	X(505, "HTTP Version Not Supported")                                                       \
	X(507, "Insufficient Storage")

static struct slice status_line(int status)
{
	switch (status) {
#define X(number, reason)                                                                          \
	case number: return SLICE_LIT("HTTP/1.1 " #number " " reason "\r\n");
		STATUSES(X)
#undef X
	default: return SLICE_NONE;
	}
}

const char *http_reason(int status)
{
	switch (status) {
#define X(number, reason)                                                                          \
	case number: return reason;
		STATUSES(X)
#undef X
	default: return "Unknown";
	}
}

void http_head_begin(struct buf *out, int status)
{
	struct slice line = status_line(status);

	CHECK(status >= 100 && status <= 999);
	if (line.ptr)
		buf_append_slice(out, line);
	else
		buf_printf(out, "HTTP/1.1 %d Unknown\r\n", status);
}

void http_head_field(struct buf *out, const char *name, struct slice value)
{
	CHECK(http_field_value_ok(value));
	buf_append_str(out, name);
	buf_append_lit(out, ": ");
	buf_append_slice(out, value);
	buf_append_lit(out, "\r\n");
}

void http_head_field_int(struct buf *out, const char *name, int64_t value)
{
	buf_append_str(out, name);
	buf_append_lit(out, ": ");
	buf_append_int64(out, value);
	buf_append_lit(out, "\r\n");
}

void http_head_date(struct buf *out, const char date[HTTP_DATE_LEN + 1])
{
	buf_append_lit(out, "Date: ");
	buf_append(out, date, HTTP_DATE_LEN);
	buf_append_lit(out, "\r\n");
}

void http_head_end_length(struct buf *out, size_t body_bytes)
{
	buf_append_lit(out, "Content-Length: ");
	buf_append_int64(out, (int64_t)body_bytes);
	buf_append_lit(out, "\r\n\r\n");
}

void http_head_end_chunked(struct buf *out)
{
	buf_append_lit(out, "Transfer-Encoding: chunked\r\n\r\n");
}

void http_head_end(struct buf *out)
{
	buf_append_lit(out, "\r\n");
}

void http_chunk_end(struct buf *out)
{
	buf_append_lit(out, "0\r\n\r\n");
}

static void two_digits(char *at, unsigned value)
{
	at[0] = (char)('0' + value / 10 % 10);
	at[1] = (char)('0' + value % 10);
}

const char *http_date_format(int64_t wall_ms, char text[HTTP_DATE_LEN + 1])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct civil c = civil_from_ms(wall_ms);

	memcpy(text, "ddd, DD mmm YYyy hh:mm:ss GMT", HTTP_DATE_LEN + 1);
	memcpy(text, days + (size_t)3 * c.weekday, 3);
	two_digits(text + 5, c.day);
	memcpy(text + 8, months + (size_t)3 * (c.month - 1u), 3);
	two_digits(text + 12, (unsigned)c.year / 100);
	two_digits(text + 14, (unsigned)c.year % 100);
	two_digits(text + 17, c.hour);
	two_digits(text + 20, c.minute);
	two_digits(text + 23, c.second);
	return text;
}

bool http_field_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool is_token_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_field_name_ok(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_token_char(name.ptr[i]))
			return false;
	return name.len > 0;
}
