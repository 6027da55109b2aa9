/* Regular expressions of a tokenizer.json are written for Oniguruma with Ruby's syntax and Unicode 16. This file rewrites
 * one so that PCRE2 finds the same: \s, \w, \d, \b and \p{..} become classes that hold what Oniguruma's hold ((?m) is
 * PCRE2's (?s); x{n,m}+ repeats x{n,m} there, it is not possessive; \h is a hexadecimal digit). Whatever may mean something
 * else, or nothing, to PCRE2 is refused by name. */
#include "data/tokenizer_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_GROUPS = 128 };

struct re {
    const char *pattern, *p, *end;
    char *out;
    int64_t n, room;
    int64_t atom;                                     /* where the item that a quantifier would repeat begins in out; -1: none */
    int64_t group[MAX_GROUPS], first[MAX_GROUPS + 1]; /* where each open group and its content begin in out */
    int depth;
};

static const struct {
    int32_t first, last;
} spaces[] = {{9, 13},          {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
              {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
enum { SPACES = sizeof spaces / sizeof *spaces };

/* General categories by their short and long names, and scripts, with the characters below 128 that are in them: named
 * apart, they spare PCRE2 a look into its tables. */
static const struct {
    const char *name, *lng, *ascii;
    bool script;
} properties[] = {
    {"L", "Letter", "A-Za-z", false},
    {"Lu", "UppercaseLetter", "A-Z", false},
    {"Ll", "LowercaseLetter", "a-z", false},
    {"Lt", "TitlecaseLetter", "", false},
    {"Lm", "ModifierLetter", "", false},
    {"Lo", "OtherLetter", "", false},
    {"M", "Mark", "", false},
    {"Mn", "NonspacingMark", "", false},
    {"Mc", "SpacingMark", "", false},
    {"Me", "EnclosingMark", "", false},
    {"N", "Number", "0-9", false},
    {"Nd", "DecimalNumber", "0-9", false},
    {"Nl", "LetterNumber", "", false},
    {"No", "OtherNumber", "", false},
    {"P", "Punctuation", "!-#%-*,-\\/:;?@\\[-\\]_{}", false},
    {"Pc", "ConnectorPunctuation", "_", false},
    {"Pd", "DashPunctuation", "\\-", false},
    {"Ps", "OpenPunctuation", "(\\[{", false},
    {"Pe", "ClosePunctuation", ")\\]}", false},
    {"Pi", "InitialPunctuation", "", false},
    {"Pf", "FinalPunctuation", "", false},
    {"Po", "OtherPunctuation", "", false},
    {"S", "Symbol", "$+<->\\^`|~", false},
    {"Sm", "MathSymbol", "+<->|~", false},
    {"Sc", "CurrencySymbol", "$", false},
    {"Sk", "ModifierSymbol", "\\^`", false},
    {"So", "OtherSymbol", "", false},
    {"Z", "Separator", " ", false},
    {"Zs", "SpaceSeparator", " ", false},
    {"Zl", "LineSeparator", "", false},
    {"Zp", "ParagraphSeparator", "", false},
    {"Cc", "Control", "", false},
    {"Arabic", "Arab", "", true},
    {"Cyrillic", "Cyrl", "", true},
    {"Devanagari", "Deva", "", true},
    {"Greek", "Grek", "", true},
    {"Han", "Hani", "", true},
    {"Hangul", "Hang", "", true},
    {"Hebrew", "Hebr", "", true},
    {"Hiragana", "Hira", "", true},
    {"Katakana", "Kana", "", true},
    {"Latin", "Latn", "A-Za-z", true},
    {"Thai", "Thai", "", true},
};
enum { PROPERTIES = sizeof properties / sizeof *properties };

static err_t put(struct re *r, const char *text, int64_t bytes) {
    TRY(tok_grow((void **)&r->out, &r->room, r->n + bytes + 1, 1));
    memcpy(r->out + r->n, text, (size_t)bytes);
    r->n += bytes;
    return OK;
}
static err_t puts_(struct re *r, const char *text) { return put(r, text, (int64_t)strlen(text)); }

static err_t put_code(struct re *r, int32_t c) {
    char b[16];
    int n = 0;
    b[n++] = '\\';
    b[n++] = 'x';
    b[n++] = '{';
    for (int shift = 20; shift >= 0; shift -= 4) b[n++] = "0123456789abcdef"[(c >> shift) & 15];
    b[n++] = '}';
    return put(r, b, n);
}
static err_t put_range(struct re *r, int32_t first, int32_t last) {
    if (first > last) return OK;
    TRY(put_code(r, first));
    if (first == last) return OK;
    TRY(puts_(r, "-"));
    return put_code(r, last);
}

static err_t refuse(const struct re *r, const char *at, const char *what) {
    return FAIL(ERR_FORMAT, "%s at byte %lld of the regular expression is not supported; use a tokenizer whose pattern does without it", what,
                (long long)(at - r->pattern));
}

/* Ranges that Unicode 14 did not have of a category (one letter: all of its kind) or script. */
static err_t put_newer(struct re *r, const char *name) {
    int count;
    const struct unicode_range *g = unicode_newer(&count);
    size_t n = strlen(name);
    for (int i = 0; i < count; i++)
        if (strcmp(g[i].name, name) == 0 || (n == 1 && g[i].name[0] == name[0] && !g[i].name[2])) TRY(put_range(r, g[i].first, g[i].last));
    return OK;
}

/* What stands between [ and ] for the property. */
static err_t put_property(struct re *r, int i) {
    TRY(puts_(r, properties[i].ascii));
    TRY(puts_(r, properties[i].script ? "\\p{sc:" : "\\p{"));
    TRY(puts_(r, properties[i].name));
    TRY(puts_(r, "}"));
    return put_newer(r, properties[i].name);
}

/* Oniguruma's \w: Alphabetic, M, Nd, Pc; and, but not inside [..], the superscripts and fractions of Latin-1. */
static err_t put_word(struct re *r, bool in_class) {
    TRY(puts_(r, "A-Za-z0-9_\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"));
    if (!in_class) TRY(puts_(r, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"));
    TRY(put_newer(r, "L"));
    TRY(put_newer(r, "M"));
    return put_newer(r, "Nd");
}
static err_t put_spaces(struct re *r, bool all_others) {
    int32_t next = 0;
    for (int i = 0; i < SPACES; i++) {
        TRY(all_others ? put_range(r, next, spaces[i].first - 1) : put_range(r, spaces[i].first, spaces[i].last));
        next = spaces[i].last + 1;
    }
    return all_others ? put_range(r, next, 0x10ffff) : OK;
}

static bool same_name(const char *name, const char *p, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i++) {
        if (p[i] == ' ' || p[i] == '_' || p[i] == '-') continue;
        if (!*name || (*name | 32) != (p[i] | 32)) return false;
        name++;
    }
    return *name == 0;
}

/* r->p is behind \p or \P: read {NAME} or {^NAME}. */
static err_t read_property(struct re *r, bool *negated, int *index) {
    const char *at = r->p - 2;
    const char *close = r->p < r->end && *r->p == '{' ? memchr(r->p, '}', (size_t)(r->end - r->p)) : NULL;
    if (!close) return refuse(r, at, "\\p without {NAME}");
    const char *name = r->p + 1;
    if (*name == '^') {
        *negated = !*negated;
        name++;
    }
    r->p = close + 1;
    for (int i = 0; i < PROPERTIES; i++)
        if (same_name(properties[i].name, name, close - name) || same_name(properties[i].lng, name, close - name)) {
            *index = i;
            return OK;
        }
    char what[64];
    (void)snprintf(what, sizeof what, "\\p{%.*s}", (int)(close - name > 40 ? 40 : close - name), name);
    return refuse(r, at, what);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* An escape that stands for one character; r->p is behind the letter e. *c is -1 if it is none of those. */
static err_t read_char_escape(struct re *r, char e, int32_t *c) {
    const char *at = r->p - 2;
    static const char letters[] = "tnrfvae", codes[] = "\x09\x0a\x0d\x0c\x0b\x07\x1b";
    const char *l = e ? strchr(letters, e) : NULL;
    *c = -1;
    if (l) {
        *c = (unsigned char)codes[l - letters];
    } else if (e == 'x' || e == 'u') {
        bool braces = e == 'x' && r->p < r->end && *r->p == '{';
        int64_t most = braces ? 8 : e == 'x' ? 2 : 4, digits = 0;
        if (braces) r->p++;
        int64_t v = 0;
        for (; digits < most && r->p < r->end && hex_value(*r->p) >= 0; digits++) v = v * 16 + hex_value(*r->p++);
        if (braces && (r->p == r->end || *r->p++ != '}')) return refuse(r, at, "\\x{ without }");
        if (digits == 0 || (e == 'u' && digits != 4)) return refuse(r, at, "an incomplete hexadecimal escape");
        if (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) || (e == 'x' && !braces && v >= 0x80)) return refuse(r, at, "this hexadecimal escape");
        *c = (int32_t)v;
    } else if (e == '0') {
        if (r->p < r->end && *r->p >= '0' && *r->p <= '9') return refuse(r, at, "an octal escape");
        *c = 0;
    } else if ((unsigned char)e < 0x80 && !(e >= '0' && e <= '9') && !((e | 32) >= 'a' && (e | 32) <= 'z')) {
        *c = (unsigned char)e;
    }
    return OK;
}

/* \s \S \d \D \w \W \h \H \p \P, for which *is is set; r->p is behind the letter. What they hold goes between the brackets of a class. */
static err_t set_escape(struct re *r, char e, bool in_class, bool *is) {
    const char *at = r->p - 2;
    *is = e && strchr("sSdDwWhHpP", e) != NULL;
    if (!*is) return OK;
    bool negated = e >= 'A' && e <= 'Z';
    int property = 0;
    if (e == 'p' || e == 'P') TRY(read_property(r, &negated, &property));
    if (negated && in_class && e != 'S') return refuse(r, at, "a negated property inside [..]");
    bool complement = negated && in_class;
    if (!in_class) TRY(puts_(r, negated ? "[^" : "["));
    switch (e | 32) {
    case 's': TRY(put_spaces(r, complement)); break;
    case 'w': TRY(put_word(r, in_class)); break;
    case 'h': TRY(puts_(r, "0-9A-Fa-f")); break;
    case 'd':
        TRY(puts_(r, "0-9\\p{Nd}"));
        TRY(put_newer(r, "Nd"));
        break;
    default: TRY(put_property(r, property)); break;
    }
    return in_class ? OK : puts_(r, "]");
}

static err_t word_border(struct re *r, bool inside) {
    TRY(puts_(r, "(?:(?<=["));
    TRY(put_word(r, false));
    TRY(puts_(r, inside ? "])(?=[" : "])(?!["));
    TRY(put_word(r, false));
    TRY(puts_(r, "])|(?<!["));
    TRY(put_word(r, false));
    TRY(puts_(r, inside ? "])(?![" : "])(?=["));
    TRY(put_word(r, false));
    return puts_(r, "]))");
}

/* r->p is behind [ ; writes the class and leaves r->p behind ]. */
static err_t read_class(struct re *r) {
    const char *open = r->p - 1;
    TRY(puts_(r, "["));
    if (r->p < r->end && *r->p == '^') {
        TRY(puts_(r, "^"));
        r->p++;
    }
    if (r->p < r->end && *r->p == ']') return refuse(r, open, "a class that begins with ]");
    int32_t from = -1; /* a character that could begin a range */
    bool range = false;
    for (;;) {
        if (r->p == r->end) return refuse(r, open, "[ without ]");
        const char *at = r->p;
        char c = *r->p++;
        int32_t code = (unsigned char)c;
        if (c == ']') break;
        if (c == '[') return refuse(r, at, "a class inside a class");
        if (c == '&' && r->p < r->end && *r->p == '&') return refuse(r, at, "&& inside [..]");
        if (c == '\\') {
            if (r->p == r->end) return refuse(r, at, "a backslash at the end");
            char e = *r->p++;
            bool set;
            TRY(set_escape(r, e, true, &set));
            if (set) {
                if (range) return refuse(r, at, "a range that ends in a property");
                from = -1;
                continue;
            }
            TRY(read_char_escape(r, e, &code));
            if (code < 0) return refuse(r, at, "this escape");
        } else if (c == '-' && from >= 0 && !range && r->p < r->end && *r->p != ']') {
            range = true;
            continue;
        } else if ((unsigned char)c >= 0x80) {
            int len;
            code = unicode_get(at, r->end - at, &len);
            r->p = at + len;
        }
        if (range) {
            if (code < from) return refuse(r, at, "a range that runs backwards");
            TRY(puts_(r, "-"));
        }
        TRY(put_code(r, code));
        from = range ? -1 : code;
        range = false;
    }
    return puts_(r, "]");
}

/* r->p is behind ( : the opening of a group, or all of a comment or an option. */
static err_t read_group(struct re *r) {
    const char *at = r->p - 1;
    if (r->depth == MAX_GROUPS) return refuse(r, at, "so many open groups");
    int64_t begin = r->n;
    char head[8] = "(";
    if (r->p < r->end && *r->p == '?') {
        static const char *const kinds[] = {"?:", "?=", "?!", "?>", "?<=", "?<!"};
        size_t k = 0, left = (size_t)(r->end - r->p);
        for (; k < 6; k++)
            if (left >= strlen(kinds[k]) && memcmp(r->p, kinds[k], strlen(kinds[k])) == 0) break;
        if (k < 6) {
            (void)snprintf(head, sizeof head, "(%s", kinds[k]);
            r->p += strlen(kinds[k]);
        } else {
            bool off = false;
            size_t n = 2;
            head[1] = '?';
            for (r->p++; r->p < r->end && *r->p != ':' && *r->p != ')'; r->p++) {
                char f = *r->p == 'i' ? 'i' : *r->p == 'm' ? 's' : *r->p == '-' && !off ? '-' : 0; /* Ruby's m: the dot matches a newline */
                if (!f || n + 2 >= sizeof head) return refuse(r, at, "this kind of group");
                off = off || f == '-';
                head[n++] = f;
            }
            if (r->p == r->end || n == 2) return refuse(r, at, "this kind of group");
            if (*r->p++ == ')') { /* to the end of the group; in Ruby what is before and an alternative | are inside it, so: */
                if (begin != r->first[r->depth]) return refuse(r, at, "an option that does not begin its group");
                TRY(puts_(r, head));
                TRY(puts_(r, ")"));
                r->first[r->depth] = r->n;
                r->atom = -1;
                return OK;
            }
            head[n++] = ':';
            head[n] = 0;
        }
    } else {
        (void)snprintf(head, sizeof head, "(?:"); /* nobody asks for captures, and none can be referred to */
    }
    r->group[r->depth++] = begin;
    TRY(puts_(r, head));
    r->first[r->depth] = r->n;
    r->atom = -1;
    return OK;
}

/* A quantifier at r->p - 1; *is false if { begins none. */
static err_t read_quantifier(struct re *r, bool *is) {
    const char *at = r->p - 1;
    char q[32];
    int n = 0;
    bool interval = *at == '{', exact = false;
    *is = true;
    if (interval) {
        int64_t lo = -1, hi = -1;
        const char *p = r->p;
        for (; p < r->end && *p >= '0' && *p <= '9' && lo < 100000; p++) lo = (lo < 0 ? 0 : lo * 10) + (*p - '0');
        exact = p < r->end && *p == '}';
        if (p < r->end && *p == ',')
            for (p++; p < r->end && *p >= '0' && *p <= '9' && hi < 100000; p++) hi = (hi < 0 ? 0 : hi * 10) + (*p - '0');
        *is = p < r->end && *p == '}' && (lo >= 0 || hi >= 0);
        if (!*is) return OK;
        if (hi >= 0 && hi < lo) return refuse(r, at, "a repetition whose limits are exchanged");
        r->p = p + 1;
        if (exact) n = snprintf(q, sizeof q, "{%lld}", (long long)lo);
        else if (hi < 0) n = snprintf(q, sizeof q, "{%lld,}", (long long)lo);
        else n = snprintf(q, sizeof q, "{%lld,%lld}", (long long)(lo < 0 ? 0 : lo), (long long)hi);
    } else {
        q[n++] = *at;
    }
    if (r->atom < 0) return refuse(r, at, "a repetition of nothing");
    TRY(put(r, q, n));
    char next = r->p < r->end ? *r->p : 0;
    if (interval && (next == '+' || (next == '?' && exact))) { /* a quantifier of its own: close what it repeats in a group */
        TRY(puts_(r, "(?:)"));
        memmove(r->out + r->atom + 3, r->out + r->atom, (size_t)(r->n - r->atom - 4));
        memcpy(r->out + r->atom, "(?:", 3);
        r->out[r->n - 1] = ')';
        return OK; /* the same atom, which the next round repeats */
    }
    if (next == '?' || next == '+') {
        TRY(put(r, &next, 1));
        r->p++;
    }
    r->atom = -1;
    return OK;
}

static err_t read_escape(struct re *r) {
    const char *at = r->p - 1;
    if (r->p == r->end) return refuse(r, at, "a backslash at the end");
    char e = *r->p++;
    bool set;
    r->atom = r->n;
    TRY(set_escape(r, e, false, &set));
    if (set) return OK;
    if (e == 'b' || e == 'B') return word_border(r, e == 'B');
    if (e == 'A' || e == 'z' || e == 'Z') {
        r->atom = -1;
        return put(r, at, 2);
    }
    int32_t code;
    if ((unsigned char)e >= 0x80) {
        int len;
        code = unicode_get(at + 1, r->end - at - 1, &len);
        r->p = at + 1 + len;
    } else {
        TRY(read_char_escape(r, e, &code));
    }
    if (code < 0) return refuse(r, at, "this escape");
    return put_code(r, code);
}

static err_t translate(struct re *r) {
    r->atom = -1;
    while (r->p < r->end) {
        const char *at = r->p;
        char c = *r->p++;
        bool is = false;
        switch (c) {
        case '\\': TRY(read_escape(r)); continue;
        case '[':
            r->atom = r->n;
            TRY(read_class(r));
            continue;
        case '(': TRY(read_group(r)); continue;
        case ')':
            if (r->depth == 0) return refuse(r, at, ") without (");
            r->atom = r->group[--r->depth];
            TRY(puts_(r, ")"));
            continue;
        case '|':
        case '^':
        case '$':
            r->atom = -1;
            TRY(put(r, &c, 1));
            continue;
        case '.':
            r->atom = r->n;
            TRY(put(r, &c, 1));
            continue;
        case '*':
        case '+':
        case '?':
        case '{':
            TRY(read_quantifier(r, &is));
            if (is) continue;
            break;
        default: break;
        }
        int len = 1;
        r->atom = r->n;
        TRY(put_code(r, unicode_get(at, r->end - at, &len)));
        r->p = at + len;
    }
    return r->depth ? refuse(r, r->end, "( without )") : OK;
}

err_t tok_regex_compile(const char *pattern, int64_t bytes, bool literal, pcre2_code **out) {
    struct re r = {.pattern = pattern, .p = pattern, .end = pattern + bytes};
    err_t err = OK;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) return FAIL(ERR_NOMEM, "no memory for a regular expression; free some");
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    if (literal) TRY_OR(put(&r, pattern, bytes), done);
    else TRY_OR(translate(&r), done);
    int code = 0;
    size_t at = 0;
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_MULTILINE);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(r.out ? r.out : ""), (size_t)r.n, options, &code, &at, context);
    if (!re) {
        char why[160] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        err = FAIL(code == PCRE2_ERROR_HEAP_FAILED ? ERR_NOMEM : ERR_FORMAT, "the regular expression does not compile: %s; correct it", why);
        goto done;
    }
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* where there is no JIT, pcre2_match interprets */
    *out = re;
done:
    pcre2_compile_context_free(context);
    free(r.out);
    return err;
}
