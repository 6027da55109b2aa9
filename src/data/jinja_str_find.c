/* The methods of Python's str that look for a string in a string. Positions are characters; what a method of markup gives is markup. */
#include "data/jinja_int.h"

#include <string.h>

/* Characters [start, end) as Python reads the two optional arguments; they may cross. */
static err_t bounds(struct jrun *r, const struct jstr *s, const struct jval *arg, int64_t *start, int64_t *end) {
    TRY(jarg_int(r, "a start", arg[0], 0, start));
    TRY(jarg_int(r, "an end", arg[1], INT64_MAX, end));
    if (*end > s->chars) *end = s->chars;
    if (*end < 0) *end = *end + s->chars > 0 ? *end + s->chars : 0;
    if (*start < 0) *start = *start + s->chars > 0 ? *start + s->chars : 0;
    return OK;
}

const char *jstr_find_last(const char *p, int64_t n, const struct jstr *sub) {
    for (int64_t at = n - sub->bytes; at >= 0; at--)
        if (memcmp(p + at, sub->p, (size_t)sub->bytes) == 0) return p + at;
    return NULL;
}

static int64_t chars_of(const char *p, int64_t bytes) {
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++) n += ((unsigned char)p[i] & 0xc0) != 0x80;
    return n;
}

static err_t find(struct jrun *r, struct jval v, const struct jval *arg, bool last, int64_t *at) {
    const struct jstr *s = v.u.s, *sub;
    int64_t start, end;
    TRY(jarg_str(r, "what is looked for", arg[0], &sub));
    TRY(bounds(r, s, arg + 1, &start, &end));
    TRY(jrun_step(r, s->bytes / 64 * (last ? 1 + sub->bytes / 64 : 1)));
    *at = -1;
    if (end - start < sub->chars) return OK;
    if (sub->bytes == 0) {
        *at = last ? end : start;
        return OK;
    }
    const int64_t from = jstr_byte(s, start), to = jstr_byte(s, end);
    const char *there = last ? jstr_find_last(s->p + from, to - from, sub) : memmem(s->p + from, (size_t)(to - from), sub->p, (size_t)sub->bytes);
    if (there) *at = start + chars_of(s->p + from, there - s->p - from);
    return OK;
}

static err_t found(struct jrun *r, struct jval v, const struct jval *arg, bool last, bool must, struct jval *out) {
    int64_t at;
    TRY(find(r, v, arg, last, &at));
    if (must && at < 0) return JFAIL(r, "index: the string is not there; use find, which gives -1");
    *out = jv_int(at);
    return OK;
}

static err_t s_find(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return found(r, v, arg, false, false, out); }
static err_t s_rfind(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return found(r, v, arg, true, false, out); }
static err_t s_index(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return found(r, v, arg, false, true, out); }
static err_t s_rindex(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return found(r, v, arg, true, true, out); }

static err_t s_count(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *s = v.u.s, *sub;
    int64_t start, end, n = 0;
    TRY(jarg_str(r, "what is counted", arg[0], &sub));
    TRY(bounds(r, s, arg + 1, &start, &end));
    TRY(jrun_step(r, s->bytes / 64));
    if (sub->bytes == 0) {
        *out = jv_int(end >= start ? end - start + 1 : 0);
        return OK;
    }
    if (end < start) end = start;
    const char *p = s->p + jstr_byte(s, start), *to = s->p + jstr_byte(s, end);
    while (p < to && (p = memmem(p, (size_t)(to - p), sub->p, (size_t)sub->bytes)) != NULL) {
        n++;
        p += sub->bytes;
    }
    *out = jv_int(n);
    return OK;
}

static err_t one_match(struct jrun *r, const struct jstr *s, struct jval affix, int64_t start, int64_t end, bool at_end, bool *yes) {
    const struct jstr *x;
    TRY(jarg_str(r, "a prefix or suffix", affix, &x));
    *yes = end - start >= x->chars;
    if (!*yes) return OK;
    const int64_t from = jstr_byte(s, start), to = jstr_byte(s, end);
    *yes = to - from >= x->bytes && memcmp(at_end ? s->p + to - x->bytes : s->p + from, x->p, (size_t)x->bytes) == 0;
    return OK;
}

static err_t affix(struct jrun *r, struct jval v, const struct jval *arg, bool at_end, struct jval *out) {
    int64_t start, end;
    bool yes = false;
    TRY(bounds(r, v.u.s, arg + 1, &start, &end));
    if (arg[0].type != J_TUPLE) TRY(one_match(r, v.u.s, arg[0], start, end, at_end, &yes));
    for (int64_t i = 0; arg[0].type == J_TUPLE && i < arg[0].u.l->n && !yes; i++)
        TRY(one_match(r, v.u.s, arg[0].u.l->v[i], start, end, at_end, &yes));
    *out = jv_bool(yes);
    return OK;
}

static err_t s_startswith(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return affix(r, v, arg, false, out); }
static err_t s_endswith(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return affix(r, v, arg, true, out); }

static err_t without(struct jrun *r, struct jval v, const struct jval *arg, bool at_end, struct jval *out) {
    const struct jstr *s = v.u.s, *x;
    bool yes;
    TRY(one_match(r, s, arg[0], 0, s->chars, at_end, &yes));
    TRY(jarg_str(r, "a prefix or suffix", arg[0], &x));
    if (!yes) return jstr_part(r, s, 0, s->bytes, out);
    return at_end ? jstr_part(r, s, 0, s->bytes - x->bytes, out) : jstr_part(r, s, x->bytes, s->bytes, out);
}

static err_t s_removeprefix(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return without(r, v, arg, false, out); }
static err_t s_removesuffix(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return without(r, v, arg, true, out); }

static err_t s_replace(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *s = v.u.s, *old, *new;
    struct jval with = arg[1];
    struct jbuf b = {.safe = s->safe};
    int64_t count;
    TRY(jarg_str(r, "what is replaced", arg[0], &old));
    TRY(jarg_str(r, "a replacement", with, &new));
    if (s->safe) {
        TRY(jescape(r, with, &with));
        new = with.u.s;
    }
    TRY(jarg_int(r, "a count", arg[2], -1, &count));
    if (count < 0) count = INT64_MAX;
    const char *p = s->p, *end = s->p + s->bytes;
    while (count > 0) {
        const char *at = old->bytes == 0 ? p : memmem(p, (size_t)(end - p), old->p, (size_t)old->bytes);
        if (!at) break;
        TRY(jrun_step(r, 1 + (at - p) / 64));
        TRY(jbuf_put(r, &b, p, at - p, chars_of(p, at - p)));
        TRY(jbuf_str(r, &b, new));
        p = at + old->bytes;
        count--;
        if (old->bytes > 0) continue;
        if (p == end) break; /* nothing is replaced before each character, and at the end */
        int len;
        (void)ju_get(p, &len);
        TRY(jbuf_put(r, &b, p, len, 1));
        p += len;
    }
    TRY(jbuf_put(r, &b, p, end - p, chars_of(p, end - p)));
    return jbuf_value(r, &b, out);
}

const struct jfn jmethods_find[] = {
    {"startswith", "/ prefix start? end?", s_startswith, NULL},
    {"endswith", "/ suffix start? end?", s_endswith, NULL},
    {"replace", "/ old new count?", s_replace, NULL},
    {"removeprefix", "/ prefix", s_removeprefix, NULL},
    {"removesuffix", "/ suffix", s_removesuffix, NULL},
    {"find", "/ sub start? end?", s_find, NULL},
    {"rfind", "/ sub start? end?", s_rfind, NULL},
    {"index", "/ sub start? end?", s_index, NULL},
    {"rindex", "/ sub start? end?", s_rindex, NULL},
    {"count", "/ sub start? end?", s_count, NULL},
    {0},
};
