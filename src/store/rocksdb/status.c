#include "store/rocksdb/status.h"

#include "base/buf.h"
#include "base/check.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 4096 };

static const struct {
	const char *front;
	enum err code;
} kinds[] = {
	{"IO error: No space left on device", ERR_DISK_FULL},
	{"IO error: Space limit reached", ERR_DISK_FULL},
	{"IO error: ", ERR_IO},
	{"Corruption: ", ERR_CORRUPT},
	{"Result incomplete: ", ERR_BUSY},
	{"Resource busy: ", ERR_BUSY},
	{"Operation timed out: ", ERR_BUSY},
	{"Invalid argument: ", ERR_CONFIG},
	{"Shutdown in progress: ", ERR_SHUTTING_DOWN},
};

enum err status_code(const char *text)
{
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		if (!slice_starts_with(slice_str(text), slice_str(kinds[i].front)))
			continue;
		/* A quota is a disk that is full for us; the system's words are at the end. */
		if (kinds[i].code == ERR_IO && strstr(text, "Disk quota exceeded"))
			return ERR_DISK_FULL;
		return kinds[i].code;
	}
	return ERR_IO;
}

/* --- words ----------------------------------------------------------------------------------- */

/* The next word of `*rest`, and the space before it. */
static struct slice cut_word(struct slice *rest, bool *has_space)
{
	size_t from = 0, to;

	while (from < rest->len && rest->ptr[from] == ' ')
		from++;
	for (to = from; to < rest->len && rest->ptr[to] != ' ';)
		to++;
	*has_space = from > 0;
	*rest = slice_of(rest->ptr + to, rest->len - to);
	return slice_of(rest->ptr - (to - from), to - from);
}

static bool ends_with(struct slice word, struct slice end)
{
	return word.len > end.len && memcmp(word.ptr + word.len - end.len, end.ptr, end.len) == 0;
}

/* As RocksDB calls its files. */
static bool is_file(struct slice word)
{
	return ends_with(word, SLICE_LIT(".sst")) || ends_with(word, SLICE_LIT(".ldb")) ||
	       ends_with(word, SLICE_LIT(".log")) || ends_with(word, SLICE_LIT(".blob")) ||
	       slice_eq(word, SLICE_LIT("CURRENT")) ||
	       slice_starts_with(word, SLICE_LIT("MANIFEST-"));
}

static struct slice without_end(struct slice word)
{
	while (word.len > 0 && strchr(".,:;", word.ptr[word.len - 1]))
		word.len--;
	return word;
}

static struct slice without_dir(struct slice word)
{
	size_t at = word.len;

	while (at > 0 && word.ptr[at - 1] != '/')
		at--;
	if (!is_file(without_end(slice_of(word.ptr + at, word.len - at))))
		return word;
	return slice_of(word.ptr + at, word.len - at);
}

enum err status_fault(struct fault *f, const char *step, const char *text)
{
	struct slice rest = slice_str(text);
	struct buf words = BUF_INIT(TEXT_BYTES_MAX);

	while (rest.len > 0 && !words.failed) {
		bool has_space;
		struct slice word = without_dir(cut_word(&rest, &has_space));

		buf_append(&words, " ", has_space);
		buf_append_slice(&words, word);
	}
	fault_set(f, status_code(text), 0, "%s: %.*s", step, SLICE_FMT(buf_slice(&words)));
	buf_fini(&words);
	return status_code(text);
}

bool status_place(const char *text, struct slice *file, int64_t *at)
{
	struct slice rest = slice_str(text);
	bool unused;

	*at = -1;
	while (rest.len > 0) {
		struct slice word = without_end(without_dir(cut_word(&rest, &unused)));

		if (!is_file(word))
			continue;
		*file = word;
		if (slice_eq(cut_word(&rest, &unused), SLICE_LIT("offset")) &&
		    !slice_to_int64(cut_word(&rest, &unused), at))
			*at = -1;
		return true;
	}
	return false;
}
