#include "wire/problem.h"

#include "wire/json.h"
#include "wire/utf8.h"

/* A detail quotes what a peer sent, so it may be anything. */
static void append_text(struct buf *out, struct slice text)
{
	struct buf clean = BUF_INIT(text.len);

	if (utf8_valid(text)) {
		json_append_string(out, text);
		return;
	}
	buf_append_slice(&clean, text);
	for (size_t i = 0; i < clean.len; i++)
		if (clean.ptr[i] >= 0x80)
			clean.ptr[i] = '?';
	json_append_string(out, buf_slice(&clean));
	buf_fini(&clean);
}

static void append_member(struct buf *out, const char *name)
{
	buf_append_lit(out, ",\"");
	buf_append_str(out, name);
	buf_append_lit(out, "\":");
}

void problem_append(struct buf *out, const struct problem *problem)
{
	buf_append_lit(out, "{\"type\":\"about:blank\"");
	append_member(out, "title");
	json_append_string(out, slice_str(err_text(problem->code)));
	append_member(out, "status");
	buf_append_int64(out, problem->status ? problem->status : err_http_status(problem->code));
	append_member(out, "code");
	json_append_string(out, slice_str(err_slug(problem->code)));
	if (problem->detail.len > 0) {
		append_member(out, "detail");
		append_text(out, problem->detail);
	}
	if (problem->request_id.len > 0) {
		append_member(out, "request_id");
		append_text(out, problem->request_id);
	}
	for (size_t i = 0; i < problem->member_count; i++) {
		append_member(out, problem->members[i].name);
		buf_append_int64(out, problem->members[i].value);
	}
	buf_append_lit(out, "}");
}
