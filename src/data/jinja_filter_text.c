/* Filters of text. Most take any value and make it a string first. */
#include "data/jinja_int.h"

#include <string.h>

/* The method of that name of the value as a string. */
static err_t method(struct jrun *r, struct jval v, const char *name, const struct jval *arg, struct jval *out) {
    const struct jstr *s;
    TRY(jv_to_str(r, v, &s));
    const struct jstr called = {name, (int64_t)strlen(name), (int64_t)strlen(name), false};
    return jmethod_find(&called)->fn(r, jv_str(s), arg, out);
}

static err_t f_upper(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return method(r, v, "upper", arg, out); }
static err_t f_lower(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return method(r, v, "lower", arg, out); }
static err_t f_capitalize(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return method(r, v, "capitalize", arg, out); }
static err_t f_trim(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return method(r, v, "strip", arg, out); }

static err_t f_center(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jval with[2] = {jv_given(arg[0]) ? arg[0] : jv_int(80), jv_missing()};
    return method(r, v, "center", with, out);
}

static err_t f_replace(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jval with[3] = {arg[0], arg[1], arg[2]};
    TRY(jv_plain(r, v, &v));
    TRY(jv_plain(r, arg[0], &with[0]));
    TRY(jv_plain(r, arg[1], &with[1]));
    if (with[2].type == J_NONE) with[2] = jv_missing();
    return method(r, v, "replace", with, out);
}

/* Words begin behind white space and opening brackets and hyphens. */
static err_t f_title(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jstr *s;
    struct jbuf b = {0};
    TRY(jv_to_str(r, v, &s));
    for (int64_t i = 0; i < s->bytes;) {
        int len, first;
        int64_t end = i;
        const int32_t c = ju_get(s->p + i, &first);
        const bool between = ju_space(c) || (c < 0x80 && strchr("-({[<", (int)c) && c);
        for (; end < s->bytes; end += len) {
            const int32_t d = ju_get(s->p + end, &len);
            if ((ju_space(d) || (d < 0x80 && strchr("-({[<", (int)d) && d)) != between) break;
        }
        struct jval head, tail;
        TRY(jstr_part(r, s, i, i + first, &head));
        TRY(jstr_part(r, s, i + first, end, &tail));
        TRY(jstr_case(r, head.u.s, JU_UPPER, &head));
        TRY(jstr_case(r, tail.u.s, JU_LOWER, &tail));
        TRY(jbuf_str(r, &b, head.u.s));
        TRY(jbuf_str(r, &b, tail.u.s));
        i = end;
    }
    return jbuf_value(r, &b, out);
}

static err_t f_indent(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *s, *by = NULL;
    bool first, blank;
    int64_t width = 4;
    TRY(jarg_str(r, "what is indented", v, &s));
    if (arg[0].type == J_STR) by = arg[0].u.s;
    else TRY(jarg_int(r, "indent's width", arg[0], 4, &width));
    TRY(jv_truth(r, arg[1], &first));
    TRY(jv_truth(r, arg[2], &blank));
    struct jbuf pad = {0}, b = {.safe = s->safe};
    TRY(by ? jbuf_str(r, &pad, by) : jbuf_char(r, &pad, ' ', width));
    if (first) TRY(jbuf_put(r, &b, pad.p, pad.n, pad.chars));
    struct jval with_end, lines;
    struct jbuf whole = {0};
    const struct jval none = jv_missing();
    TRY(jbuf_str(r, &whole, s));
    TRY(jbuf_text(r, &whole, "\n")); /* so that a newline at the end stays one */
    TRY(jbuf_value(r, &whole, &with_end));
    TRY(method(r, with_end, "splitlines", &none, &lines));
    for (int64_t i = 0; i < lines.u.l->n; i++) {
        const struct jstr *line = lines.u.l->v[i].u.s;
        if (i) TRY(jbuf_text(r, &b, "\n"));
        if (i && (blank || line->bytes)) TRY(jbuf_put(r, &b, pad.p, pad.n, pad.chars));
        TRY(jbuf_str(r, &b, line));
    }
    return jbuf_value(r, &b, out);
}

static err_t f_truncate(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *s, *end;
    int64_t length, leeway;
    bool kill;
    struct jval dots, cut;
    TRY(jv_text(r, "...", &dots));
    if (jv_given(arg[2])) dots = arg[2];
    *out = v;
    if (v.type != J_STR && jv_has_length(v)) { /* what is short enough is left alone, whatever it is */
        int64_t n;
        TRY(jarg_int(r, "truncate's length", arg[0], 255, &length));
        TRY(jv_length(r, v, &n));
        if (n <= length) return OK;
    }
    TRY(jarg_str(r, "what is truncated", v, &s));
    TRY(jarg_int(r, "truncate's length", arg[0], 255, &length));
    TRY(jv_truth(r, arg[1], &kill));
    TRY(jarg_str(r, "truncate's end", dots, &end));
    TRY(jarg_int(r, "truncate's leeway", arg[3].type == J_NONE ? jv_missing() : arg[3], 5, &leeway));
    if (length < end->chars || leeway < 0)
        return JFAIL(r, "truncate to %lld characters with a leeway of %lld: its end alone takes %lld; give more", (long long)length,
                     (long long)leeway, (long long)end->chars);
    if (s->chars <= length || s->chars - length <= leeway) return OK;
    TRY(jstr_part(r, s, 0, jstr_byte(s, length - end->chars), &cut));
    if (!kill) {
        const char *space = memrchr(cut.u.s->p, ' ', (size_t)cut.u.s->bytes);
        if (space) TRY(jstr_part(r, cut.u.s, 0, space - cut.u.s->p, &cut));
    }
    return jbinary(r, JO_ADD, cut, dots, out);
}

static err_t f_wordcount(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jstr *s;
    bool inside = false;
    int64_t n = 0;
    TRY(jv_to_str(r, v, &s));
    TRY(jrun_step(r, s->bytes / 16));
    for (int64_t i = 0; i < s->bytes;) {
        int len;
        const int32_t c = ju_get(s->p + i, &len);
        const bool word = c == '_' || ju_alnum(c);
        n += word && !inside;
        inside = word;
        i += len;
    }
    *out = jv_int(n);
    return OK;
}

static err_t f_format(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) {
    const struct jstr *s;
    struct jlist *l;
    struct jdict *d;
    TRY(jv_to_str(r, v, &s));
    if (a->n && a->nkw) return JFAIL(r, "format takes arguments with names or without, not both");
    if (a->nkw) {
        TRY(jdict_new(r, a->nkw, &d));
        for (int64_t i = 0; i < a->nkw; i++) TRY(jdict_put(r, d, jv_str(a->names[i]), a->kw[i]));
        return jformat_percent(r, s, jv_dict(d), out);
    }
    TRY(jlist_new(r, a->n, &l));
    for (int64_t i = 0; i < a->n; i++) TRY(jlist_add(r, l, a->pos[i]));
    return jformat_percent(r, s, jv_tuple(l), out);
}

/* ---- addresses and markup ---- */

static err_t quote(struct jrun *r, struct jbuf *b, struct jval v, bool query) {
    static const char hex[] = "0123456789ABCDEF";
    const struct jstr *s;
    TRY(jv_to_str(r, v, &s));
    for (int64_t i = 0; i < s->bytes; i++) {
        const unsigned char c = (unsigned char)s->p[i];
        const bool kept = (c < 0x80 && (ju_alnum(c) || strchr("_.-~", c)) && c) || (c == '/' && !query);
        const char code[4] = {'%', hex[c >> 4], hex[c & 15], 0}, one[2] = {(char)c, 0};
        TRY(jbuf_text(r, b, kept ? one : c == ' ' && query ? "+" : code));
    }
    return OK;
}

static err_t f_urlencode(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    struct jbuf b = {0};
    if (v.type == J_STR || !jv_iterable(v)) {
        TRY(quote(r, &b, v, false));
        return jbuf_value(r, &b, out);
    }
    const struct jview items = {v.type == J_DICT ? v.u.d : NULL, JVIEW_ITEMS};
    struct jlist *pairs, *pair;
    TRY(jiter_list(r, v.type == J_DICT ? (struct jval){.type = J_VIEW, .u.view = &items} : v, &pairs));
    for (int64_t i = 0; i < pairs->n; i++) {
        TRY(jiter_list(r, pairs->v[i], &pair));
        if (pair->n != 2) return JFAIL(r, "urlencode meets a list of %lld among its pairs; give a dict", (long long)pair->n);
        if (i) TRY(jbuf_text(r, &b, "&"));
        TRY(quote(r, &b, pair->v[0], true));
        TRY(jbuf_text(r, &b, "="));
        TRY(quote(r, &b, pair->v[1], true));
    }
    return jbuf_value(r, &b, out);
}

/* An entity at p ("&"): the character it stands for and its length; 0: it is none; -1: it may be one of the two thousand that are not known here. */
static int entity(const char *p, int64_t bytes, int32_t *c) {
    static const struct {
        const char *name;
        int32_t c;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0}, {"&#39;", '\''}, {"&#34;", '"'}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const int64_t n = (int64_t)strlen(known[i].name);
        if (n > bytes || memcmp(p, known[i].name, (size_t)n) != 0) continue;
        *c = known[i].c;
        return (int)n;
    }
    int64_t n = 1;
    while (n < bytes && !strchr("\t\n\f <&;", p[n])) n++;
    return n > 2 ? -1 : 0;
}

static err_t f_striptags(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jstr *s;
    struct jbuf b = {0}, text = {0};
    TRY(jv_to_str(r, v, &s));
    const char *p = s->p, *end = s->p + s->bytes;
    for (const char *tag; (tag = memchr(p, '<', (size_t)(end - p))) != NULL;) {
        const bool comment = end - tag >= 4 && memcmp(tag, "<!--", 4) == 0;
        const char *close = comment ? memmem(tag + 4, (size_t)(end - tag - 4), "-->", 3) : memchr(tag, '>', (size_t)(end - tag));
        if (!close) break;
        TRY(jbuf_put(r, &b, p, tag - p, 0));
        p = close + (comment ? 3 : 1);
    }
    TRY(jbuf_put(r, &b, p, end - p, 0));
    const struct jstr *joined;
    TRY(jstr_new(&r->mem, b.p ? b.p : "", b.n, &joined));
    const struct jval none[2] = {jv_missing(), jv_missing()};
    struct jval words, one_space, spaced;
    TRY(method(r, jv_str(joined), "split", none, &words));
    TRY(jv_text(r, " ", &one_space));
    TRY(method(r, one_space, "join", &words, &spaced));
    for (int64_t i = 0; i < spaced.u.s->bytes;) {
        int32_t c;
        int len = spaced.u.s->p[i] == '&' ? entity(spaced.u.s->p + i, spaced.u.s->bytes - i, &c) : 0;
        if (len < 0)
            return JFAIL(r, "striptags meets \"%.*s\", which may be an HTML entity that mop's templates do not know; write the character",
                         (int)(spaced.u.s->bytes - i < 10 ? spaced.u.s->bytes - i : 10), spaced.u.s->p + i);
        const bool is_entity = len > 0;
        if (!is_entity) c = ju_get(spaced.u.s->p + i, &len);
        TRY(jbuf_char(r, &text, c, 1));
        i += len;
    }
    return jbuf_value(r, &text, out);
}

const struct jfn jfilters_text[] = {
    {"trim", "chars?", f_trim, NULL},
    {"upper", "", f_upper, NULL},
    {"lower", "", f_lower, NULL},
    {"capitalize", "", f_capitalize, NULL},
    {"title", "", f_title, NULL},
    {"replace", "old new count?", f_replace, NULL},
    {"indent", "width? first? blank?", f_indent, NULL},
    {"truncate", "length? killwords? end? leeway?", f_truncate, NULL},
    {"center", "width?", f_center, NULL},
    {"wordcount", "", f_wordcount, NULL},
    {"format", NULL, NULL, f_format},
    {"urlencode", "", f_urlencode, NULL},
    {"striptags", "", f_striptags, NULL},
    {0},
};
