/* A template's text as tokens, by Jinja's rules with trim_blocks and lstrip_blocks: which white space around a tag goes is decided here. */
#include "data/jinja_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BALANCE = 256 };

struct scan {
    struct jlex *l;
    const char *p; /* the text, newlines made \n, one at its end gone */
    int64_t n, at;
    int64_t counted; /* `line` is that of the byte there */
    int line;
    bool line_starting; /* the last match ended with a newline, or there was none */
    char open[BALANCE];
    int depth;
};

static int line_of(struct scan *s, int64_t at) {
    for (; s->counted < at; s->counted++) s->line += s->p[s->counted] == '\n';
    return s->line;
}

#define LEXFAIL(s, at, ...) ((void)err_set(ERR_FORMAT, __func__, __VA_ARGS__), jinja_where((s)->l->name, line_of((s), (at))), ERR_FORMAT)

static err_t add(struct scan *s, enum jtok type, int64_t at, const struct jstr *text, struct jval value) {
    struct jlex *l = s->l;
    if (l->n == l->room) {
        struct jtoken *more;
        TRY(JNEW(l->mem, 2 * l->room + 64, &more));
        if (l->n) memcpy(more, l->tok, (size_t)l->n * sizeof *more);
        l->tok = more;
        l->room = 2 * l->room + 64;
    }
    l->tok[l->n++] = (struct jtoken){type, line_of(s, at), text, value};
    return OK;
}

static err_t add_text(struct scan *s, enum jtok type, int64_t at, const char *p, int64_t bytes) {
    const struct jstr *text;
    TRY(jstr_new(s->l->mem, p, bytes, &text));
    return add(s, type, at, text, jv_missing());
}

static bool is(const struct scan *s, int64_t at, const char *what) {
    const int64_t n = (int64_t)strlen(what);
    return at + n <= s->n && memcmp(s->p + at, what, (size_t)n) == 0;
}

static int64_t skip_space(const struct scan *s, int64_t at) {
    int len;
    while (at < s->n && ju_space(ju_get(s->p + at, &len))) at += len;
    return at;
}

static int64_t strip_end(const struct scan *s, int64_t from, int64_t to) {
    while (to > from) {
        int64_t at = to - 1;
        int len;
        while (at > from && ((unsigned char)s->p[at] & 0xc0) == 0x80) at--;
        if (!ju_space(ju_get(s->p + at, &len))) break;
        to = at;
    }
    return to;
}

/* Data in [from, to) before a tag whose sign is `sign`: less the white space that the tag takes with it. */
static err_t add_data(struct scan *s, int64_t from, int64_t to, char sign, bool lstrip) {
    if (sign == '-') {
        to = strip_end(s, from, to);
    } else if (sign != '+' && lstrip) {
        int64_t begin = to;
        while (begin > from && s->p[begin - 1] != '\n') begin--;
        if ((begin > from || s->line_starting) && strip_end(s, begin, to) == begin) to = begin;
    }
    return to > from ? add_text(s, JT_DATA, from, s->p + from, to - from) : OK;
}

/* The end of a block or comment at `at`: "+%}", "-%}" and all white space, "%}" and a newline. Returns what is behind it, or -1. */
static int64_t tag_end(const struct scan *s, int64_t at, const char *end) {
    if (at < s->n && s->p[at] == '+' && is(s, at + 1, end)) return at + 3;
    if (at < s->n && s->p[at] == '-' && is(s, at + 1, end)) return skip_space(s, at + 3);
    if (!is(s, at, end)) return -1;
    return at + 2 + (at + 2 < s->n && s->p[at + 2] == '\n');
}

static char sign_at(const struct scan *s, int64_t at) { return at < s->n && (s->p[at] == '-' || s->p[at] == '+') ? s->p[at] : 0; }

static void move(struct scan *s, int64_t to) {
    s->line_starting = to > s->at ? s->p[to - 1] == '\n' : s->line_starting;
    s->at = to;
}

/* A tag of that one word at `at` ("{%"): where its word ends, or -1. */
static int64_t word_tag(const struct scan *s, int64_t at, const char *word, char *sign) {
    *sign = sign_at(s, at + 2);
    at = skip_space(s, at + 2 + (*sign != 0));
    if (!is(s, at, word)) return -1;
    return skip_space(s, at + (int64_t)strlen(word));
}

static int64_t raw_begin(const struct scan *s, int64_t at, char *sign) {
    const int64_t end = word_tag(s, at, "raw", sign);
    if (end < 0) return -1;
    if (is(s, end, "-%}")) return skip_space(s, end + 3);
    return is(s, end, "%}") ? end + 2 : -1;
}

static err_t raw_body(struct scan *s) {
    for (int64_t at = s->at; at < s->n; at++) {
        if (!is(s, at, "{%")) continue;
        char sign;
        const int64_t word = word_tag(s, at, "endraw", &sign), end = word < 0 ? -1 : tag_end(s, word, "%}");
        if (end < 0) continue;
        TRY(add_data(s, s->at, at, sign, true));
        move(s, end);
        return OK;
    }
    return LEXFAIL(s, s->at, "{%% raw %%} has no end; write {%% endraw %%} behind it");
}

static err_t comment(struct scan *s) {
    for (int64_t at = s->at; at < s->n; at++) {
        const int64_t end = tag_end(s, at, "#}");
        if (end < 0) continue;
        move(s, end);
        return OK;
    }
    return LEXFAIL(s, s->at, "a comment {# has no end; write #} behind it");
}

static bool digit(const struct scan *s, int64_t at) { return at < s->n && s->p[at] >= '0' && s->p[at] <= '9'; }

/* Digits with single underscores between them, from one that is a digit. */
static int64_t digits(const struct scan *s, int64_t at) {
    while (digit(s, at) || (at < s->n && s->p[at] == '_' && digit(s, at + 1))) at++;
    return at;
}

static int64_t exponent(const struct scan *s, int64_t at) {
    if (at >= s->n || (s->p[at] != 'e' && s->p[at] != 'E')) return -1;
    at++;
    if (at < s->n && (s->p[at] == '+' || s->p[at] == '-')) at++;
    return digit(s, at) ? digits(s, at) : -1;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static int64_t based_digits(const struct scan *s, int64_t at, int base) {
    int64_t end = at;
    for (;;) {
        const int64_t next = end < s->n && s->p[end] == '_' ? end + 1 : end;
        if (next >= s->n || digit_value(s->p[next]) >= base) return end;
        end = next + 1;
    }
}

static err_t number(struct scan *s) {
    const int64_t from = s->at;
    int64_t whole = digits(s, from), end = -1;
    if (from == 0 || s->p[from - 1] != '.') { /* x.0.1 has no 0.1 in it */
        end = exponent(s, whole);
        if (end < 0 && whole < s->n && s->p[whole] == '.' && digit(s, whole + 1)) {
            const int64_t fraction = digits(s, whole + 1), e = exponent(s, fraction);
            end = e < 0 ? fraction : e;
        }
    }
    const bool real = end >= 0;
    int base = 10;
    int64_t first = from;
    if (!real) {
        const char x = from + 1 < s->n ? (char)(s->p[from + 1] | 0x20) : 0;
        const int b = s->p[from] != '0' ? 0 : x == 'x' ? 16 : x == 'o' ? 8 : x == 'b' ? 2 : 0;
        if (b && based_digits(s, from + 2, b) > from + 2) {
            base = b;
            first = from + 2;
            end = based_digits(s, first, b);
        } else if (s->p[from] == '0') {
            for (end = from + 1; end < s->n && (s->p[end] == '0' || (s->p[end] == '_' && is(s, end + 1, "0"))); end++) {
            }
        } else {
            end = whole;
        }
    }
    char text[512];
    int n = 0;
    for (int64_t i = first; i < end; i++) {
        if (n == (int)sizeof text - 1) return LEXFAIL(s, from, "a number of more than %d digits; shorten it", n);
        if (s->p[i] != '_') text[n++] = s->p[i];
    }
    text[n] = 0;
    struct jval v;
    if (real) {
        v = jv_float(strtod(text, NULL));
        if (v.u.f > 1.7976931348623157e308) return LEXFAIL(s, from, "the number %s is beyond what a double holds; write a smaller one", text);
    } else {
        errno = 0;
        v = jv_int(strtoll(text, NULL, base));
        if (errno && base != 10)
            return LEXFAIL(s, from, "the number %s of base %d is beyond 64 bits, which mop's templates do not know; write it in base 10", text, base);
        if (errno) TRY(jbig_of_text(s->l->mem, text, &v));
    }
    TRY(add(s, real ? JT_FLOAT : JT_INT, from, NULL, v));
    move(s, end);
    return OK;
}

/* How Python writes a character beyond ASCII in an escape: \xe9, \u4e2d, \U0001f600, without the backslash. */
static int escape_name(int32_t c, char out[12]) {
    static const char hex[] = "0123456789abcdef";
    const int n = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
    out[0] = c < 0x100 ? 'x' : c < 0x10000 ? 'u' : 'U';
    for (int i = 0; i < n; i++) out[1 + i] = hex[(c >> (4 * (n - 1 - i))) & 15];
    return n + 1;
}

/* What stands behind a backslash, at `at`; to `to`, never longer than it was. */
static err_t unescape(struct scan *s, int64_t *at, int64_t end, char *to, int *put) {
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const char c = s->p[*at];
    *put = 0;
    if (c == '\n') {
        (*at)++;
        return OK;
    }
    for (int i = 0; plain[i]; i += 2)
        if (plain[i] == c) {
            to[(*put)++] = plain[i + 1];
            (*at)++;
            return OK;
        }
    int want = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, base = 16;
    int64_t from = *at + 1;
    if (c >= '0' && c <= '7') {
        want = 3;
        base = 8;
        from = *at;
    } else if (c == 'N') {
        return LEXFAIL(s, *at, "characters by name (\\N) in a string are not known here; write the character itself or \\uXXXX");
    } else if (!want) { /* not an escape: it stays as it is */
        to[(*put)++] = '\\';
        if ((unsigned char)c < 0x80) {
            to[(*put)++] = c;
            (*at)++;
            return OK;
        }
        int len;
        *put += escape_name(ju_get(s->p + *at, &len), to + *put);
        *at += len;
        return OK;
    }
    int64_t i = from, value = 0;
    for (; i < end && i < from + want && digit_value(s->p[i]) < base; i++) value = value * base + digit_value(s->p[i]);
    if (base == 16 && i < from + want) return LEXFAIL(s, *at, "the escape \\%c in a string lacks digits; it takes %d", c, want);
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return LEXFAIL(s, *at, "the escape \\%c in a string gives no character (U+%llX); write another", c, (unsigned long long)value);
    *put = ju_put(to, (int32_t)value);
    *at = i;
    return OK;
}

static err_t string(struct scan *s) {
    const char quote = s->p[s->at];
    int64_t end = s->at + 1;
    while (end < s->n && s->p[end] != quote) end += s->p[end] == '\\' ? 2 : 1;
    if (end >= s->n) return LEXFAIL(s, s->at, "a string that begins with %c has no end; close it", quote);
    char *to;
    TRY(jmem_get(s->l->mem, 6 * (end - s->at), (void **)&to)); /* a backslash before a character beyond ASCII grows to ten */
    int64_t n = 0;
    for (int64_t i = s->at + 1; i < end;) {
        if (s->p[i] != '\\') {
            to[n++] = s->p[i++];
            continue;
        }
        int put;
        i++;
        TRY(unescape(s, &i, end, to + n, &put));
        n += put;
    }
    TRY(add_text(s, JT_STRING, s->at, to, n));
    move(s, end + 1);
    return OK;
}

static err_t operator(struct scan *s) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    const char c = s->p[s->at];
    int n = strchr("+-/*%~[](){}><=.:|,;", c) ? 1 : 0;
    for (int i = 0; i < 6; i++)
        if (is(s, s->at, two[i])) n = 2;
    if (!n) {
        int len;
        (void)ju_get(s->p + s->at, &len);
        return LEXFAIL(s, s->at, "\"%.*s\" means nothing in a template's tag; take it out", len, s->p + s->at);
    }
    if (n == 1 && strchr("([{", c)) {
        if (s->depth == BALANCE) return LEXFAIL(s, s->at, "more than %d brackets in one another; split the expression", BALANCE);
        s->open[s->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (n == 1 && strchr(")]}", c)) {
        if (!s->depth || s->open[--s->depth] != c) return LEXFAIL(s, s->at, "\"%c\" closes nothing; check the brackets before it", c);
    }
    TRY(add_text(s, JT_OP, s->at, s->p + s->at, n));
    move(s, s->at + n);
    return OK;
}

static int64_t name_end(const struct scan *s, int64_t at) {
    while (at < s->n) {
        int len;
        const int32_t c = ju_get(s->p + at, &len);
        if (c != '_' && !ju_alnum(c)) break;
        at += len;
    }
    return at;
}

/* Inside {% %} or {{ }}, up to its end or that of the text. */
static err_t inside(struct scan *s, bool block) {
    for (s->depth = 0; s->at < s->n;) {
        int64_t end = -1;
        if (s->depth == 0) {
            if (block) end = tag_end(s, s->at, "%}");
            else if (is(s, s->at, "-}}")) end = skip_space(s, s->at + 3);
            else if (is(s, s->at, "}}")) end = s->at + 2;
        }
        if (end >= 0) {
            TRY(add(s, block ? JT_BLOCK_END : JT_VAR_END, s->at, NULL, jv_missing()));
            move(s, end);
            return OK;
        }
        const int64_t space = skip_space(s, s->at), name = name_end(s, s->at);
        if (space > s->at) {
            move(s, space);
        } else if (digit(s, s->at)) {
            TRY(number(s));
        } else if (name > s->at) {
            TRY(add_text(s, JT_NAME, s->at, s->p + s->at, name - s->at));
            move(s, name);
        } else if (s->p[s->at] == '"' || s->p[s->at] == '\'') {
            TRY(string(s));
        } else {
            TRY(operator(s));
        }
    }
    return OK;
}

static err_t next_tag(struct scan *s) {
    int64_t at = s->at;
    while (at < s->n && !is(s, at, "{{") && !is(s, at, "{%") && !is(s, at, "{#")) at++;
    if (at >= s->n) {
        TRY(add_text(s, JT_DATA, s->at, s->p + s->at, s->n - s->at));
        move(s, s->n);
        return OK;
    }
    const char kind = s->p[at + 1];
    char sign = sign_at(s, at + 2);
    const int64_t raw = kind == '%' ? raw_begin(s, at, &sign) : -1;
    TRY(add_data(s, s->at, at, sign, kind != '{'));
    if (raw >= 0) {
        move(s, raw);
        return raw_body(s);
    }
    move(s, at + 2 + (sign != 0));
    if (kind == '#') return comment(s);
    TRY(add(s, kind == '%' ? JT_BLOCK_BEGIN : JT_VAR_BEGIN, at, NULL, jv_missing()));
    return inside(s, kind == '%');
}

err_t jlex_all(struct jlex *l, const char *text, int64_t bytes) {
    char *p;
    int64_t n = 0;
    TRY(jmem_get(l->mem, bytes + 1, (void **)&p));
    for (int64_t i = 0; i < bytes; i++) {
        if (text[i] == '\r' && i + 1 < bytes && text[i + 1] == '\n') continue;
        p[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (n && p[n - 1] == '\n') n--;
    struct scan s = {.l = l, .p = p, .n = n, .line = 1, .line_starting = true};
    while (s.at < s.n) TRY(next_tag(&s));
    return add(&s, JT_EOF, s.n, NULL, jv_missing());
}
