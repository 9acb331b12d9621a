#include "hook/lua_pattern.h"

#include "base/check.h"
#include "hook/lua_box.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

enum {
	DEPTH_MAX = 200,       /* of trials inside each other */
	STEPS_SLICE = 1 << 16, /* between two looks at what is left */
};

/* --- a pattern, taken apart ------------------------------------------------------------------- */

enum item_kind {
	ITEM_BYTE,     /* one of a set */
	ITEM_BALANCED, /* %bxy */
	ITEM_FRONTIER, /* %f[set] */
	ITEM_AGAIN,    /* %1: what that capture holds */
	ITEM_OPEN,     /* ( */
	ITEM_PLACE,    /* () */
	ITEM_CLOSE,    /* ) */
	ITEM_END,      /* $ */
	ITEM_LAST,     /* behind all others: it matches */
};

struct parser {
	lua_State *lua;
	const uint8_t *at;
	const uint8_t *end;
	unsigned opened; /* captures */
	bool closed[LUA_CAPTURES_MAX];
};

static bool in_set(const struct lua_item *item, uint8_t c)
{
	return item->set[c >> 6] >> (c & 63) & 1;
}

static void add_byte(struct lua_item *item, uint8_t c)
{
	item->set[c >> 6] |= UINT64_C(1) << (c & 63);
}

static bool in_class(int c, int letter)
{
	switch (letter) {
	case 'a': return isalpha(c);
	case 'c': return iscntrl(c);
	case 'd': return isdigit(c);
	case 'g': return isgraph(c);
	case 'l': return islower(c);
	case 'p': return ispunct(c);
	case 's': return isspace(c);
	case 'u': return isupper(c);
	case 'w': return isalnum(c);
	case 'x': return isxdigit(c);
	case 'z': return c == 0; /* not documented any more */
	default: UNREACHABLE();
	}
}

/* What follows a '%': a class, or the byte itself. */
static void add_escaped(struct lua_item *item, uint8_t letter)
{
	int class = tolower(letter);

	if (class == 0 || !strchr("acdglpsuwxz", class)) {
		add_byte(item, letter);
		return;
	}
	for (int c = 0; c < 256; c++)
		if (in_class(c, class) == (class == letter))
			add_byte(item, (uint8_t)c);
}

static uint8_t next_byte(struct parser *p, const char *missing)
{
	if (p->at == p->end)
		luaL_error(p->lua, "malformed pattern (%s)", missing);
	return *p->at++;
}

static void add_range(struct lua_item *item, unsigned first, unsigned last)
{
	for (unsigned c = first; c <= last; c++)
		add_byte(item, (uint8_t)c);
}

/* From behind the '[' to behind the ']'; one that stands first is meant. */
static void parse_set(struct parser *p, struct lua_item *item)
{
	bool inverted = p->at < p->end && *p->at == '^';
	bool first = true;
	uint8_t c;

	p->at += inverted;
	while ((c = next_byte(p, "missing ']'")) != ']' || first) {
		first = false;
		if (c == '%')
			add_escaped(item, next_byte(p, "missing ']'"));
		else if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
			add_range(item, c, p->at[1]);
			p->at += 2;
		} else {
			add_byte(item, c);
		}
	}
	for (unsigned i = 0; inverted && i < 4; i++)
		item->set[i] = ~item->set[i];
}

static void parse_byte(struct parser *p, struct lua_item *item, uint8_t c)
{
	item->kind = ITEM_BYTE;
	if (c == '.')
		memset(item->set, 0xff, sizeof(item->set));
	else if (c == '[')
		parse_set(p, item);
	else
		add_byte(item, c);
}

static void parse_repeat(struct parser *p, struct lua_item *item)
{
	if (p->at < p->end && *p->at && strchr("*+-?", *p->at))
		item->repeat = *p->at++;
}

static void parse_again(struct parser *p, struct lua_item *item, uint8_t digit)
{
	unsigned index = (unsigned)digit - '1';

	if (digit == '0' || index >= p->opened || !p->closed[index])
		luaL_error(p->lua, "invalid capture index %%%c", digit);
	item->kind = ITEM_AGAIN;
	item->a = (uint8_t)index;
}

static void parse_escaped(struct parser *p, struct lua_item *item)
{
	uint8_t c = next_byte(p, "ends with '%'");

	if (c == 'b') {
		item->kind = ITEM_BALANCED;
		item->a = next_byte(p, "missing arguments to '%b'");
		item->b = next_byte(p, "missing arguments to '%b'");
	} else if (c == 'f') {
		item->kind = ITEM_FRONTIER;
		if (next_byte(p, "missing '[' after '%f'") != '[')
			luaL_error(p->lua, "missing '[' after '%%f' in pattern");
		parse_set(p, item);
	} else if (isdigit(c)) {
		parse_again(p, item, c);
	} else {
		item->kind = ITEM_BYTE;
		add_escaped(item, c);
		parse_repeat(p, item);
	}
}

static void parse_open(struct parser *p, struct lua_item *item)
{
	bool place = p->at < p->end && *p->at == ')';

	if (p->opened == LUA_CAPTURES_MAX)
		luaL_error(p->lua, "too many captures");
	item->kind = place ? ITEM_PLACE : ITEM_OPEN;
	item->a = (uint8_t)p->opened;
	p->closed[p->opened++] = place;
	p->at += place;
}

static void parse_close(struct parser *p, struct lua_item *item)
{
	unsigned open = p->opened;

	while (open > 0 && p->closed[open - 1])
		open--;
	if (open == 0)
		luaL_error(p->lua, "invalid pattern capture");
	p->closed[open - 1] = true;
	item->kind = ITEM_CLOSE;
	item->a = (uint8_t)(open - 1);
}

static void parse_item(struct parser *p, struct lua_item *item)
{
	uint8_t c = *p->at++;

	switch (c) {
	case '%': parse_escaped(p, item); return;
	case '(': parse_open(p, item); return;
	case ')': parse_close(p, item); return;
	case '$':
		if (p->at == p->end) {
			item->kind = ITEM_END;
			return;
		}
		break;
	default: break;
	}
	parse_byte(p, item, c);
	parse_repeat(p, item);
}

const struct lua_pattern *lua_pattern_push(lua_State *lua, const char *text, size_t len,
                                           bool anchors)
{
	struct parser p = {
		.lua = lua, .at = (const uint8_t *)text, .end = (const uint8_t *)text + len};
	struct lua_pattern *made;
	struct lua_item *item;

	made = lua_newuserdatauv(lua, sizeof(*made) + (len + 1) * sizeof(*item), 0);
	memset(made, 0, sizeof(*made) + (len + 1) * sizeof(*item));
	made->anchored = anchors && len > 0 && *p.at == '^';
	p.at += made->anchored;
	for (item = made->items; p.at < p.end; item++)
		parse_item(&p, item);
	item->kind = ITEM_LAST;
	for (unsigned i = 0; i < p.opened; i++)
		if (!p.closed[i])
			luaL_error(lua, "unfinished capture");
	made->capture_count = p.opened;
	return made;
}

/* --- matching --------------------------------------------------------------------------------- */

void lua_match_pay(struct lua_match *m)
{
	lua_box_spend(m->lua, (int64_t)(m->steps / LUA_STEPS_OF_INSTRUCTION) + 1);
	m->steps = 0;
}

static void step(struct lua_match *m, size_t count)
{
	m->steps += count;
	if (m->steps >= STEPS_SLICE)
		lua_match_pay(m);
}

static const uint8_t *match(struct lua_match *m, const uint8_t *at, const struct lua_item *item);

/* As many as there are, then one less each time. */
static const uint8_t *match_longest(struct lua_match *m, const uint8_t *at,
                                    const struct lua_item *item, ptrdiff_t least)
{
	const uint8_t *end = at;

	while (end < m->end && in_set(item, *end))
		end++;
	step(m, (size_t)(end - at));
	for (; end - at >= least; end--) {
		const uint8_t *behind = match(m, end, item + 1);

		if (behind)
			return behind;
	}
	return NULL;
}

/* None, then one more each time. */
static const uint8_t *match_shortest(struct lua_match *m, const uint8_t *at,
                                     const struct lua_item *item)
{
	for (;; at++) {
		const uint8_t *behind = match(m, at, item + 1);

		if (behind || at == m->end || !in_set(item, *at))
			return behind;
	}
}

static const uint8_t *match_maybe(struct lua_match *m, const uint8_t *at,
                                  const struct lua_item *item)
{
	const uint8_t *behind = NULL;

	if (at < m->end && in_set(item, *at))
		behind = match(m, at + 1, item + 1);
	return behind ? behind : match(m, at, item + 1);
}

static const uint8_t *behind_balanced(struct lua_match *m, const uint8_t *at,
                                      const struct lua_item *item)
{
	const uint8_t *from = at;
	size_t open = 1;

	if (at == m->end || *at++ != item->a)
		return NULL;
	for (; at < m->end && open > 0; at++) {
		if (*at == item->b)
			open--;
		else if (*at == item->a)
			open++;
	}
	step(m, (size_t)(at - from));
	return open == 0 ? at : NULL;
}

static bool is_frontier(const struct lua_match *m, const uint8_t *at, const struct lua_item *item)
{
	uint8_t before = at == m->begin ? 0 : at[-1];
	uint8_t after = at == m->end ? 0 : *at;

	return !in_set(item, before) && in_set(item, after);
}

static const uint8_t *behind_again(struct lua_match *m, const uint8_t *at,
                                   const struct lua_item *item)
{
	const struct lua_capture *c = &m->captures[item->a];
	ptrdiff_t len = c->len == LUA_PLACE ? 0 : c->len;

	step(m, (size_t)len);
	return m->end - at >= len && memcmp(at, c->at, (size_t)len) == 0 ? at + len : NULL;
}

/* The capture becomes what it was if the rest does not match: another trial may need that. */
static const uint8_t *match_capture(struct lua_match *m, const uint8_t *at,
                                    const struct lua_item *item)
{
	struct lua_capture *c = &m->captures[item->a];
	struct lua_capture was = *c;
	const uint8_t *behind;

	if (item->kind == ITEM_CLOSE)
		c->len = at - c->at;
	else
		*c = (struct lua_capture){at, item->kind == ITEM_PLACE ? LUA_PLACE : 0};
	behind = match(m, at, item + 1);
	if (!behind)
		*c = was;
	return behind;
}

static const uint8_t *match_repeated(struct lua_match *m, const uint8_t *at,
                                     const struct lua_item *item)
{
	switch (item->repeat) {
	case '*': return match_longest(m, at, item, 0);
	case '+': return match_longest(m, at, item, 1);
	case '-': return match_shortest(m, at, item);
	case '?': return match_maybe(m, at, item);
	default: UNREACHABLE();
	}
}

/* Items that can match in one way only, one after the other; then the rest. */
static const uint8_t *match_on(struct lua_match *m, const uint8_t *at, const struct lua_item *item)
{
	for (; at; item++) {
		step(m, 1);
		switch (item->kind) {
		case ITEM_BYTE:
			if (item->repeat)
				return match_repeated(m, at, item);
			at = at < m->end && in_set(item, *at) ? at + 1 : NULL;
			break;
		case ITEM_BALANCED: at = behind_balanced(m, at, item); break;
		case ITEM_FRONTIER: at = is_frontier(m, at, item) ? at : NULL; break;
		case ITEM_AGAIN: at = behind_again(m, at, item); break;
		case ITEM_END: at = at == m->end ? at : NULL; break;
		case ITEM_LAST: return at;
		default: return match_capture(m, at, item);
		}
	}
	return NULL;
}

/* What stands behind the match of these items at that place; NULL: they do not match there. */
static const uint8_t *match(struct lua_match *m, const uint8_t *at, const struct lua_item *item)
{
	const uint8_t *behind;

	if (++m->depth > DEPTH_MAX)
		luaL_error(m->lua, "pattern too complex");
	behind = match_on(m, at, item);
	m->depth--;
	return behind;
}

const uint8_t *lua_match_at(struct lua_match *m, const uint8_t *at)
{
	return match(m, at, m->pattern->items);
}

const uint8_t *lua_match_search(struct lua_match *m, const uint8_t **at)
{
	for (;; ++*at) {
		const uint8_t *behind = match(m, *at, m->pattern->items);

		if (behind || m->pattern->anchored || *at == m->end)
			return behind;
	}
}

void lua_match_init(struct lua_match *m, lua_State *lua, const struct lua_pattern *pattern,
                    const char *text, size_t len)
{
	m->lua = lua;
	m->pattern = pattern;
	m->begin = (const uint8_t *)text;
	m->end = m->begin + len;
	m->depth = 0;
	m->steps = 0;
}
