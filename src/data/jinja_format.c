/* Text by a format: Python's % operator and str.format. */
#include "data/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PLACES = 1000, NUMBER = 2 * PLACES + 400 };

struct spec {
    bool zero, alt, group_comma, group_under;
    char sign;  /* '+', ' ' or 0: only a minus */
    char align; /* '<', '>', '^', '=' or 0 */
    int32_t fill;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
};

/* `sign` and prefix, then digits, filled to the width. */
static err_t padded(struct jrun *r, struct jbuf *b, const struct spec *f, const char *sign, const struct jstr *body) {
    const int64_t n = (int64_t)strlen(sign) + body->chars, pad = f->width > n ? f->width - n : 0;
    const int64_t left = f->align == '>' ? pad : f->align == '^' ? pad / 2 : 0, inside = f->align == '=' ? pad : 0;
    TRY(jrun_step(r, pad / 4));
    TRY(jbuf_char(r, b, f->fill, left));
    TRY(jbuf_text(r, b, sign));
    TRY(jbuf_char(r, b, f->fill, inside));
    TRY(jbuf_str(r, b, body));
    return jbuf_char(r, b, f->fill, pad - left - inside);
}

static err_t padded_text(struct jrun *r, struct jbuf *b, const struct spec *f, const char *sign, const char *digits) {
    const struct jstr body = {digits, (int64_t)strlen(digits), (int64_t)strlen(digits), false};
    return padded(r, b, f, sign, &body);
}

static void sign_of(const struct spec *f, bool negative, const char *prefix, char out[8]) {
    const char one[2] = {negative ? '-' : f->sign, 0};
    (void)snprintf(out, 8, "%s%s", one, prefix);
}

/* Separators between every three (or four) digits before the point; width: zeros are filled in first, so that they are grouped too. */
static void group(const struct spec *f, char *digits, int every, int64_t zeros_to) {
    char grouped[NUMBER];
    const char mark = f->group_comma ? ',' : '_';
    size_t whole = strspn(digits, "0123456789abcdefABCDEF"), n = 0;
    if (!mark || (!f->group_comma && !f->group_under)) return;
    size_t zeros = 0;
    while ((int64_t)(whole + zeros + (whole + zeros - 1) / (size_t)every + strlen(digits + whole)) < zeros_to && whole + zeros < PLACES / 2) zeros++;
    for (size_t i = 0; i < whole + zeros; i++) {
        if (i && (whole + zeros - i) % (size_t)every == 0) grouped[n++] = mark;
        grouped[n++] = i < zeros ? '0' : digits[i - zeros];
    }
    (void)snprintf(grouped + n, sizeof grouped - n, "%s", digits + whole);
    (void)snprintf(digits, NUMBER, "%s", grouped);
}

static err_t put_whole(struct jrun *r, struct jbuf *b, const struct spec *f, struct jval v, bool percent) {
    char digits[NUMBER], sign[8];
    const struct jstr *s;
    const bool based = f->type && strchr("xXob", f->type), negative = v.type == J_BIG ? v.u.big->neg : jv_as_int(v) < 0;
    TRY(jbig_digits(r, v, !based ? 10 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 16, f->type == 'X', &s));
    if (f->precision > PLACES || s->bytes > PLACES)
        return JFAIL(r, "a format of a number with more than %d digits, which mop's templates do not know; use fewer", PLACES);
    const size_t n = (size_t)s->bytes, zeros = percent && f->precision > s->bytes ? (size_t)(f->precision - s->bytes) : 0;
    memset(digits, '0', zeros);
    memcpy(digits + zeros, s->p, n);
    digits[zeros + n] = 0;
    sign_of(f, negative, !based || !f->alt ? "" : f->type == 'x' ? "0x" : f->type == 'X' ? "0X" : f->type == 'o' ? "0o" : "0b", sign);
    group(f, digits, based ? 4 : 3, f->align == '=' && f->fill == '0' ? f->width - (int64_t)strlen(sign) : 0);
    return padded_text(r, b, f, sign, digits);
}

static err_t put_float(struct jrun *r, struct jbuf *b, const struct spec *f, double x) {
    char digits[NUMBER], sign[8], how[8];
    const char type = f->type == '%' ? 'f' : f->type;
    int64_t precision = f->precision < 0 ? 6 : f->precision;
    if (precision > PLACES) return JFAIL(r, "a format with %lld digits; mop's templates go to %d", (long long)precision, PLACES);
    if (f->type == '%') x *= 100;
    const bool upper = type >= 'A' && type <= 'Z';
    if (!isfinite(x)) {
        (void)snprintf(digits, sizeof digits, "%s", isnan(x) ? (upper ? "NAN" : "nan") : upper ? "INF" : "inf");
    } else if (!type) {
        if (f->precision >= 0)
            return JFAIL(r, "a precision without a type in a format of a float; write .%lldf or .%lldg", (long long)f->precision,
                         (long long)f->precision);
        jfloat_text(fabs(x), digits);
    } else {
        if (type == 'g' || type == 'G') precision = precision == 0 ? 1 : precision;
        (void)snprintf(how, sizeof how, f->alt ? "%%#.*%c" : "%%.*%c", type);
        (void)snprintf(digits, sizeof digits, how, (int)precision, fabs(x)); // NOLINT(clang-diagnostic-format-nonliteral): built above
    }
    if (f->type == '%') (void)snprintf(digits + strlen(digits), 2, "%%");
    sign_of(f, signbit(x) && !isnan(x), "", sign);
    group(f, digits, 3, f->align == '=' && f->fill == '0' ? f->width - (int64_t)strlen(sign) : 0);
    return padded_text(r, b, f, sign, digits);
}

static err_t put_char(struct jrun *r, struct jbuf *b, const struct spec *f, struct jval v) {
    char one[4];
    if (v.type == J_STR && v.u.s->chars == 1) return padded(r, b, f, "", v.u.s);
    if (!jv_is_int(v)) return JFAIL(r, "%%c of a %s; give a character or its number", jv_type(v));
    const int64_t c = jv_as_int(v);
    if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return JFAIL(r, "%lld is the number of no character", (long long)c);
    const struct jstr s = {one, ju_put(one, (int32_t)c), 1, false};
    return padded(r, b, f, "", &s);
}

static err_t put_str(struct jrun *r, struct jbuf *b, const struct spec *f, const struct jstr *s) {
    struct jval part = jv_str(s);
    if (f->precision >= 0 && f->precision < s->chars) TRY(jstr_part(r, s, 0, jstr_byte(s, f->precision), &part));
    return padded(r, b, f, "", part.u.s);
}

/* str, repr or ascii of a value. */
static err_t converted(struct jrun *r, struct jval v, char how, const struct jstr **out) {
    struct jbuf b = {0}, plain = {0};
    struct jval text;
    if (how == 's') return jv_to_str(r, v, out);
    TRY(jrepr(r, &b, v));
    TRY(jbuf_value(r, &b, &text));
    *out = text.u.s;
    if (how == 'r') return OK;
    for (int64_t i = 0; i < b.n;) {
        int len;
        char code[16];
        const int32_t c = ju_get(b.p + i, &len);
        (void)snprintf(code, sizeof code, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        TRY(c < 0x80 ? jbuf_put(r, &plain, b.p + i, 1, 1) : jbuf_text(r, &plain, code));
        i += len;
    }
    TRY(jbuf_value(r, &plain, &text));
    *out = text.u.s;
    return OK;
}

/* ---- % ---- */

struct percent {
    struct jrun *r;
    const struct jstr *s;
    int64_t at; /* in s */
    struct jval args;
    int64_t next; /* of a tuple */
    struct jbuf b;
};

static err_t next_arg(struct percent *p, struct jval *out) {
    const bool tuple = p->args.type == J_TUPLE;
    if (p->next >= (tuple ? p->args.u.l->n : 1)) return JFAIL(p->r, "%% lacks values for its format; give as many as the format names");
    *out = tuple ? p->args.u.l->v[p->next] : p->args;
    p->next++;
    return OK;
}

static char here(const struct percent *p) { return p->at < p->s->bytes ? p->s->p[p->at] : 0; }

static err_t percent_number(struct percent *p, int64_t *out) {
    struct jval v;
    if (here(p) == '*') {
        p->at++;
        TRY(next_arg(p, &v));
        if (!jv_is_int(v)) return JFAIL(p->r, "* in a format takes a whole number, not a %s", jv_type(v));
        *out = jv_as_int(v);
        return OK;
    }
    for (*out = 0; here(p) >= '0' && here(p) <= '9'; p->at++)
        if (*out < JINJA_BYTES) *out = 10 * *out + (here(p) - '0');
    return OK;
}

/* %(name)s: the value of that name. */
static err_t percent_key(struct percent *p, struct jval *v) {
    const int64_t from = ++p->at;
    for (int depth = 1; depth > 0; p->at++) {
        if (p->at >= p->s->bytes) return JFAIL(p->r, "%%( in a format has no end; write %%(NAME)s");
        depth += (here(p) == '(') - (here(p) == ')');
    }
    struct jval key;
    int64_t at;
    TRY(jstr_part(p->r, p->s, from, p->at - 1, &key));
    if (p->args.type != J_DICT) return JFAIL(p->r, "%%(%.*s) in a format needs a dict, not a %s", (int)key.u.s->bytes, key.u.s->p, jv_type(p->args));
    TRY(jdict_find(p->r, p->args.u.d, key, &at));
    if (at < 0) return JFAIL(p->r, "the dict of a format has no \"%.*s\"; give it", (int)key.u.s->bytes, key.u.s->p);
    *v = p->args.u.d->vals[at];
    return OK;
}

static err_t percent_put(struct percent *p, struct spec *f, struct jval v) {
    const struct jstr *s;
    double x;
    struct jrun *r = p->r;
    switch (f->type) {
    case 's':
    case 'r':
    case 'a':
        TRY(converted(r, v, f->type, &s));
        if (p->b.safe) {
            TRY(jescape(r, jv_str(s), &v));
            s = v.u.s;
        }
        return put_str(r, &p->b, f, s);
    case 'c': return put_char(r, &p->b, f, v);
    default: break;
    }
    if (!jv_is_number(v)) return JFAIL(r, "%%%c of a %s; give a number", f->type, jv_type(v));
    if (f->zero && f->align != '<') {
        f->align = '=';
        f->fill = '0';
    }
    switch (f->type) {
    case 'd':
    case 'i':
    case 'u':
        if (v.type == J_FLOAT) {
            if (!isfinite(v.u.f)) return JFAIL(r, "%%%c of a number that is not finite; test it first", f->type);
            TRY(jbig_of_float(r, v.u.f, &v));
        }
        return put_whole(r, &p->b, f, v, true);
    case 'x':
    case 'X':
    case 'o':
        if (v.type == J_FLOAT) return JFAIL(r, "%%%c of a float; give a whole number", f->type);
        return put_whole(r, &p->b, f, v, true);
    default: TRY(jv_to_float(r, v, &x)); return put_float(r, &p->b, f, x);
    }
}

static err_t percent_field(struct percent *p) {
    struct spec f = {.fill = ' ', .align = '>', .precision = -1};
    struct jval v = jv_missing();
    if (here(p) == '(') TRY(percent_key(p, &v));
    for (; here(p) && strchr("-+ #0", here(p)); p->at++) {
        const char c = here(p);
        if (c == '-') f.align = '<';
        else if (c == '#') f.alt = true;
        else if (c == '0') f.zero = true;
        else if (c == '+' || !f.sign) f.sign = c;
    }
    TRY(percent_number(p, &f.width));
    if (f.width < 0) {
        f.align = '<';
        f.width = -f.width;
    }
    if (here(p) == '.') {
        p->at++;
        TRY(percent_number(p, &f.precision));
        if (f.precision < 0) f.precision = 0;
    }
    if (here(p) && strchr("hlL", here(p))) p->at++;
    f.type = here(p);
    if (f.type == '%') {
        p->at++;
        return jbuf_text(p->r, &p->b, "%");
    }
    if (!f.type || !strchr("srcadiuxXoeEfFgG", f.type))
        return JFAIL(p->r, "a format's %% before \"%c\" means nothing; write %%%% for the sign itself", f.type ? f.type : ' ');
    p->at++;
    if (!jv_given(v)) TRY(next_arg(p, &v));
    return percent_put(p, &f, v);
}

err_t jformat_percent(struct jrun *r, const struct jstr *format, struct jval args, struct jval *out) {
    struct percent p = {.r = r, .s = format, .args = args, .b = {.safe = format->safe}};
    /* what has items but is no tuple may be left unused */
    const bool mapping = args.type == J_DICT || args.type == J_LIST || args.type == J_RANGE || args.type == J_UNDEFINED;
    while (p.at < format->bytes) {
        const char *from = format->p + p.at, *sign = memchr(from, '%', (size_t)(format->bytes - p.at));
        const int64_t n = sign ? sign - from : format->bytes - p.at;
        struct jval plain;
        TRY(jstr_part(r, format, p.at, p.at + n, &plain));
        TRY(jbuf_str(r, &p.b, plain.u.s));
        p.at += n + 1;
        if (sign) TRY(percent_field(&p));
    }
    if (!mapping && p.next < (args.type == J_TUPLE ? args.u.l->n : 1))
        return JFAIL(r, "%% is given more values than its format names; leave some out");
    return jbuf_value(r, &p.b, out);
}

/* ---- str.format ---- */

struct braces {
    struct jrun *r;
    const struct jargs *args;
    int64_t next; /* number of the next {}; -1: fields are numbered by hand */
    bool safe;
};

static err_t braces_text(struct braces *f, const struct jstr *s, int depth, struct jbuf *b);

static int64_t all_digits(const struct jstr *s) { /* -1: they are not */
    int64_t n = 0;
    if (s->bytes == 0 || s->bytes > 9) return -1;
    for (int64_t i = 0; i < s->bytes; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return -1;
        n = 10 * n + (s->p[i] - '0');
    }
    return n;
}

/* The value that "0.name[key]" means. */
static err_t field_value(struct braces *f, const struct jstr *name, struct jval *out) {
    struct jrun *r = f->r;
    int64_t end = 0;
    struct jval part;
    while (end < name->bytes && name->p[end] != '.' && name->p[end] != '[') end++;
    TRY(jstr_part(r, name, 0, end, &part));
    int64_t number = all_digits(part.u.s);
    if (name->bytes == 0 || number >= 0) {
        const bool by_hand = name->bytes != 0;
        if (by_hand ? f->next > 0 : f->next < 0) return JFAIL(r, "format numbers some fields by hand and some not; do one of them");
        if (by_hand) f->next = -1;
        else number = f->next++;
        if (number >= f->args->n) return JFAIL(r, "format has no value number %lld; give it", (long long)number);
        *out = f->args->pos[number];
    } else {
        int64_t i = 0;
        while (i < f->args->nkw && !jstr_same(f->args->names[i], part.u.s)) i++;
        if (i == f->args->nkw) return JFAIL(r, "format has no value \"%.*s\"; give it", (int)part.u.s->bytes, part.u.s->p);
        *out = f->args->kw[i];
    }
    while (end < name->bytes) {
        const bool attr = name->p[end] == '.';
        const int64_t from = ++end;
        while (end < name->bytes && (attr ? name->p[end] != '.' && name->p[end] != '[' : name->p[end] != ']')) end++;
        if (end == from || (!attr && end == name->bytes)) return JFAIL(r, "the field {%.*s} of a format is not complete", (int)name->bytes, name->p);
        TRY(jstr_part(r, name, from, end, &part));
        number = all_digits(part.u.s);
        if (attr) TRY(jattr(r, *out, part.u.s, out));
        else TRY(jitem(r, *out, number >= 0 ? jv_int(number) : part, out));
        end += !attr;
        if (!attr && end < name->bytes && name->p[end] != '.' && name->p[end] != '[')
            return JFAIL(r, "the field {%.*s} of a format is not complete", (int)name->bytes, name->p);
    }
    return OK;
}

static err_t parse_spec(struct jrun *r, const struct jstr *s, struct spec *f) {
    int64_t at = 0;
    int len = 0;
    *f = (struct spec){.fill = ' ', .precision = -1};
    if (s->bytes) (void)ju_get(s->p, &len);
    if (len && len < s->bytes && strchr("<>^=", s->p[len])) {
        f->fill = ju_get(s->p, &len);
        f->align = s->p[len];
        at = len + 1;
    } else if (s->bytes && strchr("<>^=", s->p[0])) {
        f->align = s->p[0];
        at = 1;
    }
    if (at < s->bytes && strchr("+- ", s->p[at])) {
        f->sign = s->p[at] == '-' ? 0 : s->p[at];
        at++;
    }
    f->alt = at < s->bytes && s->p[at] == '#';
    at += f->alt;
    f->zero = at < s->bytes && s->p[at] == '0';
    at += f->zero;
    for (; at < s->bytes && s->p[at] >= '0' && s->p[at] <= '9'; at++)
        if (f->width < JINJA_BYTES) f->width = 10 * f->width + (s->p[at] - '0');
    f->group_comma = at < s->bytes && s->p[at] == ',';
    f->group_under = at < s->bytes && s->p[at] == '_';
    at += f->group_comma || f->group_under;
    if (at < s->bytes && s->p[at] == '.') {
        f->precision = 0;
        const int64_t from = ++at;
        for (; at < s->bytes && s->p[at] >= '0' && s->p[at] <= '9'; at++)
            if (f->precision < JINJA_BYTES) f->precision = 10 * f->precision + (s->p[at] - '0');
        if (at == from) return JFAIL(r, "a format's precision lacks its number: \"%.*s\"", (int)s->bytes, s->p);
    }
    if (at < s->bytes) f->type = s->p[at++];
    if (at < s->bytes) return JFAIL(r, "\"%.*s\" is no format that mop's templates know", (int)s->bytes, s->p);
    if (!f->zero) return OK;
    if (!f->align || f->align == '=') f->align = f->align ? f->align : '0';
    if (f->fill == ' ') f->fill = '0';
    return OK;
}

static err_t put_formatted(struct jrun *r, struct jbuf *b, struct jval v, const struct jstr *how) {
    struct spec f;
    const struct jstr *s;
    double x;
    if (how->bytes == 0) return jprint(r, b, v);
    TRY(parse_spec(r, how, &f));
    const bool number = jv_is_number(v), grouped = f.group_comma || f.group_under;
    if (!number && v.type != J_STR) return JFAIL(r, "the format \"%.*s\" of a %s; format a string or a number", (int)how->bytes, how->p, jv_type(v));
    if (f.align == '0') f.align = number ? '=' : '<'; /* by the flag 0 */
    if (!f.align) f.align = number ? '>' : '<';
    if (v.type == J_STR) {
        if (f.align == '=' || f.sign || f.alt || grouped || (f.type && f.type != 's'))
            return JFAIL(r, "\"%.*s\" is no format of a string", (int)how->bytes, how->p);
        TRY(jv_to_str(r, v, &s));
        return put_str(r, b, &f, s);
    }
    if (jv_is_whole(v) && (!f.type || strchr("dbxXo", f.type))) {
        if (f.precision >= 0 || (f.group_comma && f.type && f.type != 'd'))
            return JFAIL(r, "\"%.*s\" is no format of a whole number", (int)how->bytes, how->p);
        return put_whole(r, b, &f, v, false);
    }
    if (jv_is_int(v) && f.type == 'c' && !grouped) {
        if (f.align == '>') f.align = how->p[0] == '>' || (how->bytes > 1 && how->p[1] == '>') ? '>' : '<';
        return put_char(r, b, &f, v);
    }
    if (f.type && !strchr("eEfFgG%", f.type))
        return JFAIL(r, "\"%.*s\" is no format of a %s that mop's templates know", (int)how->bytes, how->p, jv_type(v));
    TRY(jv_to_float(r, v, &x));
    return put_float(r, b, &f, x);
}

/* Behind a "{" at `at`: up to the "}" that closes it. */
static err_t braces_field(struct braces *f, const struct jstr *s, int64_t *at, int depth, struct jbuf *b) {
    struct jrun *r = f->r;
    int64_t end = *at, name_end = -1, open = 1, bracket = 0;
    char conversion = 0;
    for (; end < s->bytes; end++) {
        const char c = s->p[end];
        bracket += name_end < 0 && c == '[' ? 1 : 0;
        if (name_end < 0 && c == ']') bracket = 0;
        if (bracket) continue;
        open += (c == '{') - (c == '}');
        if (open == 0) break;
        if (name_end < 0 && (c == ':' || c == '!')) name_end = end;
    }
    if (end >= s->bytes) return JFAIL(r, "a { in a format has no }; write {{ for the brace itself");
    struct jval name, how, v;
    int64_t rest = name_end < 0 ? end : name_end;
    TRY(jstr_part(r, s, *at, rest, &name));
    if (rest < end && s->p[rest] == '!') {
        conversion = s->p[rest + 1];
        rest += 2;
        if (!strchr("sra", conversion) || (rest < end && s->p[rest] != ':'))
            return JFAIL(r, "!%c in a format is not known; write !s, !r or !a", conversion);
    }
    TRY(jstr_part(r, s, rest < end ? rest + 1 : end, end, &how));
    TRY(field_value(f, name.u.s, &v));
    if (conversion) {
        const struct jstr *text;
        TRY(converted(r, v, conversion, &text));
        v = jv_str(text);
    }
    if (memchr(how.u.s->p, '{', (size_t)how.u.s->bytes) || memchr(how.u.s->p, '}', (size_t)how.u.s->bytes)) {
        struct jbuf spec = {0};
        if (depth == 0) return JFAIL(r, "formats in formats go one deep");
        TRY(braces_text(f, how.u.s, depth - 1, &spec));
        TRY(jbuf_value(r, &spec, &how));
    }
    struct jbuf one = {0};
    TRY(put_formatted(r, &one, v, how.u.s));
    if (f->safe) {
        TRY(jbuf_value(r, &one, &v));
        TRY(jescape(r, v, &v));
        TRY(jbuf_str(r, b, v.u.s));
    } else {
        TRY(jbuf_put(r, b, one.p, one.n, one.chars));
    }
    *at = end + 1;
    return OK;
}

static err_t braces_text(struct braces *f, const struct jstr *s, int depth, struct jbuf *b) { // NOLINT(misc-no-recursion): one deep
    for (int64_t at = 0; at < s->bytes;) {
        int64_t n = 0;
        while (at + n < s->bytes && s->p[at + n] != '{' && s->p[at + n] != '}') n++;
        struct jval plain;
        TRY(jstr_part(f->r, s, at, at + n, &plain));
        TRY(jbuf_str(f->r, b, plain.u.s));
        at += n;
        if (at >= s->bytes) return OK;
        const char c = s->p[at++];
        if (at < s->bytes && s->p[at] == c) {
            TRY(jbuf_char(f->r, b, c, 1));
            at++;
        } else if (c == '}') {
            return JFAIL(f->r, "a } in a format closes nothing; write }} for the brace itself");
        } else {
            TRY(braces_field(f, s, &at, depth, b));
        }
    }
    return OK;
}

err_t jformat_braces(struct jrun *r, const struct jstr *format, const struct jargs *args, struct jval *out) {
    struct braces f = {.r = r, .args = args, .safe = format->safe};
    struct jbuf b = {.safe = format->safe};
    TRY(braces_text(&f, format, 1, &b));
    return jbuf_value(r, &b, out);
}
