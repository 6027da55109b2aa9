/* The methods of Python's str that cut, join, fill, change the case or ask for the kind of characters. */
#include "data/jinja_int.h"

#include <string.h>

/* ---- cutting ---- */

static bool in_set(int32_t c, const struct jstr *set) {
    for (int64_t i = 0; set && i < set->bytes;) {
        int len;
        if (ju_get(set->p + i, &len) == c) return true;
        i += len;
    }
    return set ? false : ju_space(c);
}

static int64_t char_before(const struct jstr *s, int64_t at) {
    for (at--; ((unsigned char)s->p[at] & 0xc0) == 0x80;) at--;
    return at;
}

static err_t strip(struct jrun *r, struct jval v, struct jval chars, bool left, bool right, struct jval *out) {
    const struct jstr *s = v.u.s, *set = NULL;
    int64_t from = 0, to = s->bytes;
    int len;
    if (jv_given(chars) && chars.type != J_NONE) TRY(jarg_str(r, "the characters to strip", chars, &set));
    for (; left && from < to && in_set(ju_get(s->p + from, &len), set); from += len) TRY(jrun_step(r, set ? set->bytes / 16 : 0));
    while (right && to > from && in_set(ju_get(s->p + char_before(s, to), &len), set)) {
        to = char_before(s, to);
        TRY(jrun_step(r, set ? set->bytes / 16 : 0));
    }
    return jstr_part(r, s, from, to, out);
}

static err_t s_strip(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return strip(r, v, arg[0], true, true, out); }
static err_t s_lstrip(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return strip(r, v, arg[0], true, false, out); }
static err_t s_rstrip(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return strip(r, v, arg[0], false, true, out); }

static err_t add_part(struct jrun *r, struct jlist *l, const struct jstr *s, int64_t from, int64_t to) {
    struct jval part;
    TRY(jstr_part(r, s, from, to, &part));
    TRY(jrun_step(r, 1));
    return jlist_add(r, l, part);
}

static int64_t skip(const struct jstr *s, int64_t at, bool space) {
    int len;
    while (at < s->bytes && ju_space(ju_get(s->p + at, &len)) == space) at += len;
    return at;
}

static int64_t skip_back(const struct jstr *s, int64_t at, bool space) {
    int len;
    while (at > 0 && ju_space(ju_get(s->p + char_before(s, at), &len)) == space) at = char_before(s, at);
    return at;
}

static err_t split_spaces(struct jrun *r, const struct jstr *s, int64_t most, bool back, struct jlist *l) {
    int64_t at = back ? s->bytes : 0;
    for (; most > 0; most--) {
        const int64_t begin = back ? skip_back(s, at, true) : skip(s, at, true);
        const int64_t end = back ? skip_back(s, begin, false) : skip(s, begin, false);
        if (begin == end) return OK;
        TRY(back ? add_part(r, l, s, end, begin) : add_part(r, l, s, begin, end));
        at = end;
    }
    at = back ? skip_back(s, at, true) : skip(s, at, true);
    if (back) return at > 0 ? add_part(r, l, s, 0, at) : OK;
    return at < s->bytes ? add_part(r, l, s, at, s->bytes) : OK;
}

static err_t split_at(struct jrun *r, const struct jstr *s, const struct jstr *sep, int64_t most, bool back, struct jlist *l) {
    int64_t from = 0, to = s->bytes;
    for (; most > 0; most--) {
        const char *at = back ? jstr_find_last(s->p, to, sep) : memmem(s->p + from, (size_t)(to - from), sep->p, (size_t)sep->bytes);
        if (!at) break;
        const int64_t here = at - s->p;
        TRY(back ? add_part(r, l, s, here + sep->bytes, to) : add_part(r, l, s, from, here));
        if (back) to = here;
        else from = here + sep->bytes;
    }
    return add_part(r, l, s, from, to);
}

static void turn_around(struct jlist *l) {
    for (int64_t a = 0, b = l->n - 1; a < b; a++, b--) {
        const struct jval v = l->v[a];
        l->v[a] = l->v[b];
        l->v[b] = v;
    }
}

static err_t split(struct jrun *r, struct jval v, const struct jval *arg, bool back, struct jval *out) {
    const struct jstr *sep;
    struct jlist *l;
    int64_t most;
    TRY(jarg_int(r, "maxsplit", arg[1], -1, &most));
    if (most < 0) most = INT64_MAX;
    TRY(jrun_step(r, v.u.s->bytes / 16));
    TRY(jlist_new(r, 0, &l));
    if (!jv_given(arg[0]) || arg[0].type == J_NONE) {
        TRY(split_spaces(r, v.u.s, most, back, l));
    } else {
        TRY(jarg_str(r, "a separator", arg[0], &sep));
        if (sep->bytes == 0) return JFAIL(r, "split by an empty separator; give one, or none for white space");
        TRY(split_at(r, v.u.s, sep, most, back, l));
    }
    if (back) turn_around(l);
    *out = jv_list(l);
    return OK;
}

static err_t s_split(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return split(r, v, arg, false, out); }
static err_t s_rsplit(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return split(r, v, arg, true, out); }

static err_t s_splitlines(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *s = v.u.s;
    struct jlist *l;
    bool keep;
    TRY(jv_truth(r, arg[0], &keep));
    TRY(jrun_step(r, s->bytes / 16));
    TRY(jlist_new(r, 0, &l));
    for (int64_t at = 0; at < s->bytes;) {
        int64_t end = at;
        int len = 0;
        while (end < s->bytes && !ju_line_break(ju_get(s->p + end, &len))) end += len;
        int64_t next = end < s->bytes ? end + len : end;
        if (next < s->bytes && s->p[end] == '\r' && s->p[next] == '\n') next++;
        TRY(add_part(r, l, s, at, keep ? next : end));
        at = next;
    }
    *out = jv_list(l);
    return OK;
}

static err_t partition(struct jrun *r, struct jval v, const struct jval *arg, bool last, struct jval *out) {
    const struct jstr *s = v.u.s, *sep;
    struct jlist *l;
    TRY(jarg_str(r, "a separator", arg[0], &sep));
    if (sep->bytes == 0) return JFAIL(r, "partition by an empty separator; give one");
    TRY(jrun_step(r, s->bytes / 16));
    const char *at = last ? jstr_find_last(s->p, s->bytes, sep) : memmem(s->p, (size_t)s->bytes, sep->p, (size_t)sep->bytes);
    const int64_t from = at ? at - s->p : last ? 0 : s->bytes, to = at ? from + sep->bytes : from;
    TRY(jlist_new(r, 3, &l));
    TRY(add_part(r, l, s, 0, from));
    TRY(add_part(r, l, s, from, to));
    TRY(add_part(r, l, s, to, s->bytes));
    *out = jv_tuple(l);
    return OK;
}

static err_t s_partition(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return partition(r, v, arg, false, out); }
static err_t s_rpartition(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return partition(r, v, arg, true, out); }

static err_t s_join(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jbuf b = {.safe = v.u.s->safe};
    struct jiter *it;
    TRY(jiter_open(r, arg[0], &it));
    for (bool first = true;; first = false) {
        struct jval item;
        bool got;
        TRY(jiter_next(r, it, &item, &got));
        if (!got) return jbuf_value(r, &b, out);
        if (!first) TRY(jbuf_str(r, &b, v.u.s));
        if (item.type != J_STR && !b.safe)
            return JFAIL(r, "join meets a %s among its strings; make it a string first (| map('string'))", jv_type(item));
        if (b.safe) TRY(jescape(r, item, &item));
        TRY(jbuf_str(r, &b, item.u.s));
    }
}

/* ---- widths ---- */

static err_t fill_char(struct jrun *r, struct jval v, int32_t *c) {
    const struct jstr *s;
    int len;
    *c = ' ';
    if (!jv_given(v)) return OK;
    TRY(jarg_str(r, "what is filled with", v, &s));
    if (s->chars != 1) return JFAIL(r, "what is filled with must be one character, not %lld", (long long)s->chars);
    *c = ju_get(s->p, &len);
    return OK;
}

static err_t padded(struct jrun *r, struct jval v, const struct jval *arg, int where, struct jval *out) {
    struct jbuf b = {.safe = v.u.s->safe};
    int64_t width;
    int32_t c;
    TRY(jarg_int(r, "a width", arg[0], 0, &width));
    TRY(fill_char(r, arg[1], &c));
    const int64_t pad = width > v.u.s->chars ? width - v.u.s->chars : 0;
    const int64_t left = where > 0 ? pad : where < 0 ? 0 : pad / 2 + (pad & width & 1);
    TRY(jrun_step(r, pad / 4));
    TRY(jbuf_char(r, &b, c, left));
    TRY(jbuf_str(r, &b, v.u.s));
    TRY(jbuf_char(r, &b, c, pad - left));
    return jbuf_value(r, &b, out);
}

static err_t s_center(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return padded(r, v, arg, 0, out); }
static err_t s_ljust(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return padded(r, v, arg, -1, out); }
static err_t s_rjust(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return padded(r, v, arg, 1, out); }

static err_t s_zfill(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jbuf b = {.safe = v.u.s->safe};
    const struct jstr *s = v.u.s;
    int64_t width;
    TRY(jarg_int(r, "a width", arg[0], 0, &width));
    const int64_t sign = s->bytes && (s->p[0] == '+' || s->p[0] == '-') && width > s->chars;
    TRY(jrun_step(r, width > s->chars ? (width - s->chars) / 4 : 0));
    TRY(jbuf_put(r, &b, s->p, sign, sign));
    TRY(jbuf_char(r, &b, '0', width - s->chars));
    TRY(jbuf_put(r, &b, s->p + sign, s->bytes - sign, s->chars - sign));
    return jbuf_value(r, &b, out);
}

static err_t s_expandtabs(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jbuf b = {.safe = v.u.s->safe};
    int64_t tab, column = 0;
    TRY(jarg_int(r, "a tab's size", arg[0], 8, &tab));
    for (int64_t i = 0; i < v.u.s->bytes;) {
        int len;
        const int32_t c = ju_get(v.u.s->p + i, &len);
        const int64_t spaces = c != '\t' ? 0 : tab > 0 ? tab - column % tab : 0;
        TRY(c == '\t' ? jbuf_char(r, &b, ' ', spaces) : jbuf_put(r, &b, v.u.s->p + i, len, 1));
        column = c == '\n' || c == '\r' ? 0 : column + (c == '\t' ? spaces : 1);
        TRY(jrun_step(r, spaces / 4));
        i += len;
    }
    return jbuf_value(r, &b, out);
}

/* ---- casing and kinds of characters ---- */

#define CASING(name, how)                                                                        \
    static err_t name(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { \
        (void)arg;                                                                               \
        return jstr_case(r, v.u.s, how, out);                                                    \
    }
CASING(s_upper, JU_UPPER)
CASING(s_lower, JU_LOWER)
CASING(s_title, JU_EACH_WORD)
CASING(s_capitalize, JU_CAPITALIZE)
CASING(s_casefold, JU_FOLD)
CASING(s_swapcase, JU_SWAP)

static err_t all_are(const struct jstr *s, bool (*is)(int32_t c), bool if_empty, struct jval *out) {
    bool yes = s->bytes > 0 || if_empty;
    for (int64_t i = 0; i < s->bytes && yes;) {
        int len;
        yes = is(ju_get(s->p + i, &len));
        i += len;
    }
    *out = jv_bool(yes);
    return OK;
}

static bool is_ascii(int32_t c) { return c < 0x80; }
static bool is_word(int32_t c) { return c == '_' || ju_alnum(c); }

#define KIND(name, test, if_empty)                                                               \
    static err_t name(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { \
        (void)arg;                                                                               \
        TRY(jrun_step(r, v.u.s->bytes / 16));                                                    \
        return all_are(v.u.s, test, if_empty, out);                                              \
    }
KIND(s_isalnum, ju_alnum, false)
KIND(s_isalpha, ju_alpha, false)
KIND(s_isascii, is_ascii, true)
KIND(s_isdecimal, ju_decimal, false)
KIND(s_isdigit, ju_digit, false)
KIND(s_isnumeric, ju_numeric, false)
KIND(s_isprintable, ju_printable, true)
KIND(s_isspace, ju_space, false)

static err_t s_isidentifier(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    int len;
    TRY(all_are(v.u.s, is_word, false, out));
    if (out->u.b) out->u.b = !ju_numeric(ju_get(v.u.s->p, &len));
    return OK;
}

/* Has a cased character, and none of the other case (0: neither upper nor title in a lower string; 1: neither lower nor title in an upper one). */
static err_t one_case(const struct jstr *s, bool upper, struct jval *out) {
    bool any = false, other = false;
    for (int64_t i = 0; i < s->bytes && !other;) {
        int len;
        const int32_t c = ju_get(s->p + i, &len);
        other = ju_title(c) || (upper ? ju_lower(c) : ju_upper(c));
        any = any || (upper ? ju_upper(c) : ju_lower(c));
        i += len;
    }
    *out = jv_bool(any && !other);
    return OK;
}

static err_t s_islower(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    return one_case(v.u.s, false, out);
}

static err_t s_isupper(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    return one_case(v.u.s, true, out);
}

static err_t s_istitle(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    bool any = false, inside = false, ok = true;
    for (int64_t i = 0; i < v.u.s->bytes && ok;) {
        int len;
        const int32_t c = ju_get(v.u.s->p + i, &len);
        const bool up = ju_upper(c) || ju_title(c), low = ju_lower(c);
        ok = up ? !inside : !low || inside;
        inside = up || low;
        any = any || inside;
        i += len;
    }
    *out = jv_bool(ok && any);
    return OK;
}

static err_t s_format(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return jformat_braces(r, v.u.s, a, out); }

static err_t s_format_map(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    if (arg[0].type != J_DICT) return JFAIL(r, "format_map takes a dict, not a %s", jv_type(arg[0]));
    const struct jdict *d = arg[0].u.d;
    struct jargs a = {.nkw = d->n, .kw = d->vals};
    TRY(JNEW(&r->mem, d->n + 1, &a.names));
    for (int64_t i = 0; i < d->n; i++) TRY(jarg_str(r, "a name in format_map's dict", d->keys[i], &a.names[i]));
    return jformat_braces(r, v.u.s, &a, out);
}

const struct jfn jmethods_str[] = {
    {"split", "sep? maxsplit?", s_split, NULL},
    {"strip", "/ chars?", s_strip, NULL},
    {"lstrip", "/ chars?", s_lstrip, NULL},
    {"rstrip", "/ chars?", s_rstrip, NULL},
    {"join", "/ iterable", s_join, NULL},
    {"upper", "", s_upper, NULL},
    {"lower", "", s_lower, NULL},
    {"title", "", s_title, NULL},
    {"capitalize", "", s_capitalize, NULL},
    {"casefold", "", s_casefold, NULL},
    {"swapcase", "", s_swapcase, NULL},
    {"rsplit", "sep? maxsplit?", s_rsplit, NULL},
    {"splitlines", "keepends?", s_splitlines, NULL},
    {"partition", "/ sep", s_partition, NULL},
    {"rpartition", "/ sep", s_rpartition, NULL},
    {"center", "/ width fillchar?", s_center, NULL},
    {"ljust", "/ width fillchar?", s_ljust, NULL},
    {"rjust", "/ width fillchar?", s_rjust, NULL},
    {"zfill", "/ width", s_zfill, NULL},
    {"expandtabs", "tabsize?", s_expandtabs, NULL},
    {"format", NULL, NULL, s_format},
    {"format_map", "/ mapping", s_format_map, NULL},
    {"isalnum", "", s_isalnum, NULL},
    {"isalpha", "", s_isalpha, NULL},
    {"isascii", "", s_isascii, NULL},
    {"isdecimal", "", s_isdecimal, NULL},
    {"isdigit", "", s_isdigit, NULL},
    {"isidentifier", "", s_isidentifier, NULL},
    {"islower", "", s_islower, NULL},
    {"isnumeric", "", s_isnumeric, NULL},
    {"isprintable", "", s_isprintable, NULL},
    {"isspace", "", s_isspace, NULL},
    {"istitle", "", s_istitle, NULL},
    {"isupper", "", s_isupper, NULL},
    {"encode", NULL, NULL, NULL},
    {"translate", NULL, NULL, NULL},
    {"maketrans", NULL, NULL, NULL},
    {0},
};
