/* Filters that take a value apart by no rule of their own: defaults, numbers, lengths, JSON, markup. */
#include "data/jinja_int.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err_t f_default(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    bool by_truth, truth;
    TRY(jv_truth(r, arg[1], &by_truth));
    TRY(jv_truth(r, v, &truth));
    *out = v;
    if (v.type != J_UNDEFINED && (!by_truth || truth)) return OK;
    if (!jv_given(arg[0])) return jv_text(r, "", out);
    *out = arg[0];
    return OK;
}

static err_t f_length(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    int64_t n;
    TRY(jv_length(r, v, &n));
    *out = jv_int(n);
    return OK;
}

static err_t f_string(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jstr *s;
    TRY(jv_to_str(r, v, &s));
    *out = jv_str(s);
    return OK;
}

/* ---- numbers ---- */

enum { NUMBER_TEXT = 400 };

/* A number's text less the spaces around it and the underscores between its digits; false: too long or misplaced underscores. */
static bool plain_number(const struct jstr *s, char out[NUMBER_TEXT]) {
    int64_t from = 0, to = s->bytes;
    int n = 0, len;
    while (from < to && ju_space(ju_get(s->p + from, &len))) from += len;
    while (to > from) {
        int64_t at = to - 1;
        while (at > from && ((unsigned char)s->p[at] & 0xc0) == 0x80) at--;
        if (!ju_space(ju_get(s->p + at, &len))) break;
        to = at;
    }
    for (int64_t i = from; i < to; i++) {
        const char c = s->p[i];
        const bool inside = i > from && i + 1 < to && strchr("+-._", s->p[i - 1]) == NULL && strchr("+-._", s->p[i + 1]) == NULL;
        if (c == '_' && inside) continue;
        if (c == '_' || !c || n == NUMBER_TEXT - 1) return false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

/* float(s); false where Python raises ValueError. */
static bool float_of(const struct jstr *s, double *f) {
    char text[NUMBER_TEXT], *end;
    if (!plain_number(s, text)) return false;
    const char *p = text + (text[0] == '+' || text[0] == '-');
    if (p[0] == '0' && (p[1] | 0x20) == 'x') return false;
    if (strchr(p, '(')) return false; /* strtod's nan(...) */
    *f = strtod(text, &end);
    return end != text && !*end;
}

/* int(s, base); false where Python raises ValueError. */
static err_t int_of(struct jrun *r, const struct jstr *s, int64_t base, struct jval *out, bool *is) {
    char text[NUMBER_TEXT], *end;
    *is = plain_number(s, text) && base >= 0 && base != 1 && base <= 36;
    if (!*is) return OK;
    char *p = text + (text[0] == '+' || text[0] == '-');
    const char mark = (char)(p[0] == '0' ? p[1] | 0x20 : 0);
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    *is = false;
    if (marked && (base == 0 || base == marked)) {
        base = marked;
        memmove(p, p + 2, strlen(p + 2) + 1);
    } else if (base == 0) {
        base = 10;
        if (p[0] == '0' && strspn(p, "0") != strlen(p)) return OK;
    }
    if (!p[0] || strchr("+- ", p[0]) || (base == 16 && p[0] == '0' && (p[1] | 0x20) == 'x')) return OK;
    errno = 0;
    *out = jv_int(strtoll(text, &end, (int)base));
    *is = !*end;
    if (!*is || !errno) return OK;
    if (base == 10) return jbig_of_text(&r->mem, text, out);
    return JFAIL(r, "int of \"%s\" with base %lld lies beyond 64 bits, which mop's templates do not know", text, (long long)base);
}

static err_t f_int(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    int64_t base;
    double f;
    bool is;
    TRY(jarg_int(r, "int's base", arg[1], 10, &base));
    *out = jv_given(arg[0]) ? arg[0] : jv_int(0);
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type == J_FLOAT) {
        if (isinf(v.u.f)) return JFAIL(r, "int of an infinite number; test it first");
        return isnan(v.u.f) ? OK : jbig_of_float(r, v.u.f, out);
    }
    if (jv_is_whole(v)) *out = v.type == J_BIG ? v : jv_int(jv_as_int(v));
    if (v.type != J_STR) return OK;
    struct jval i;
    TRY(int_of(r, v.u.s, base, &i, &is));
    if (is) *out = i;
    else if (float_of(v.u.s, &f) && isfinite(f)) return jbig_of_float(r, f, out);
    return OK;
}

static err_t f_float(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    double f;
    *out = jv_given(arg[0]) ? arg[0] : jv_float(0);
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (jv_is_number(v)) {
        TRY(jv_to_float(r, v, &f));
        *out = jv_float(f);
    } else if (v.type == J_STR && float_of(v.u.s, &f)) *out = jv_float(f);
    return OK;
}

static err_t f_abs(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    if (v.type == J_FLOAT) {
        *out = jv_float(fabs(v.u.f));
        return OK;
    }
    if (!jv_is_whole(v)) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "abs of a %s; give a number", jv_type(v));
    return jnegate(r, v, v.type == J_BIG ? v.u.big->neg : jv_as_int(v) < 0, out);
}

/* Python's round of a float: to the nearest decimal, of two equally near the even one. */
static double round_float(double f, int64_t places) {
    char text[800];
    if (!isfinite(f) || places > 350) return f;
    if (places >= 0) {
        (void)snprintf(text, sizeof text, "%.*f", (int)places, f);
        return strtod(text, NULL);
    }
    if (places < -308) return copysign(0, f);
    const double unit = pow(10, (double)-places);
    return rint(f / unit) * unit;
}

/* Of a whole number to tens, hundreds ...; of two equally near the even one. */
static err_t round_whole(struct jrun *r, struct jval v, int64_t places, struct jval *out) {
    struct jval unit, rest, down, twice, even;
    bool less, same;
    *out = v.type == J_BOOL ? jv_int(v.u.b) : v;
    if (places >= 0) return OK;
    TRY(jbinary(r, JO_POW, jv_int(10), jv_int(places < -JBIG_DIGITS ? JBIG_DIGITS : -places), &unit));
    TRY(jbinary(r, JO_MOD, v, unit, &rest));
    TRY(jbinary(r, JO_SUB, v, rest, &down));
    TRY(jbinary(r, JO_MUL, rest, jv_int(2), &twice));
    TRY(jbinary(r, JO_FLOORDIV, down, unit, &even));
    TRY(jbinary(r, JO_MOD, even, jv_int(2), &even));
    TRY(jv_less(r, twice, unit, JO_LT, &less));
    TRY(jv_equal(r, twice, unit, &same));
    *out = down;
    return less || (same && even.u.i == 0) ? OK : jbinary(r, JO_ADD, down, unit, out);
}

static err_t f_round(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    int64_t places;
    const struct jstr *method = NULL;
    TRY(jarg_int(r, "round's precision", arg[0], 0, &places));
    if (jv_given(arg[1])) TRY(jarg_str(r, "round's method", arg[1], &method));
    const bool ceil_it = method && jstr_is(method, "ceil"), floor_it = method && jstr_is(method, "floor");
    if (method && !ceil_it && !floor_it && !jstr_is(method, "common")) return JFAIL(r, "round's method must be common, ceil or floor");
    if (!jv_is_number(v)) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "round of a %s; give a number", jv_type(v));
    if (!ceil_it && !floor_it) {
        if (jv_is_whole(v)) return round_whole(r, v, places, out);
        *out = jv_float(round_float(v.u.f, places));
        return OK;
    }
    struct jval unit, scaled;
    TRY(jbinary(r, JO_POW, jv_int(10), jv_int(places), &unit));
    TRY(jbinary(r, JO_MUL, v, unit, &scaled));
    if (scaled.type == J_FLOAT) {
        if (!isfinite(scaled.u.f)) return JFAIL(r, "round of a number that is not finite; test it first");
        TRY(jbig_of_float(r, ceil_it ? ceil(scaled.u.f) : floor(scaled.u.f), &scaled));
    }
    return jbinary(r, JO_DIV, scaled, unit, out);
}

static err_t f_filesizeformat(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    static const char *const unit[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                           {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    bool binary;
    char text[400];
    const struct jstr *s;
    double f;
    TRY(jv_truth(r, arg[0], &binary));
    if (v.type == J_STR && float_of(v.u.s, &f)) v = jv_float(f);
    if (!jv_is_number(v)) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "filesizeformat of a %s; give a number", jv_type(v));
    TRY(jv_to_float(r, v, &f));
    const double base = binary ? 1024 : 1000;
    if (!isfinite(f)) return JFAIL(r, "filesizeformat of a number that is not finite; test it first");
    if (f == 1) return jv_text(r, "1 Byte", out);
    if (f < base) {
        (void)snprintf(text, sizeof text, "%.0f Bytes", trunc(f));
    } else {
        double u = base * base;
        int i = 0;
        for (; i < 7 && f >= u; i++) u *= base;
        (void)snprintf(text, sizeof text, "%.1f %s", base * f / u, unit[binary][i]);
    }
    TRY(jstr_copy(&r->mem, text, (int64_t)strlen(text), &s));
    *out = jv_str(s);
    return OK;
}

/* ---- markup ---- */

static err_t f_safe(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jstr *s;
    struct jstr *safe;
    TRY(jv_to_str(r, v, &s));
    TRY(JNEW(&r->mem, 1, &safe));
    *safe = *s;
    safe->safe = true;
    *out = jv_str(safe);
    return OK;
}

static err_t f_escape(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    return jescape(r, v, out);
}

static err_t f_forceescape(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    TRY(jv_plain(r, v, &v));
    return jescape(r, v, out);
}

static err_t f_xmlattr(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jbuf b = {0};
    bool space = true;
    if (jv_given(arg[0])) TRY(jv_truth(r, arg[0], &space));
    if (v.type != J_DICT) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "xmlattr of a %s; give a dict", jv_type(v));
    for (int64_t i = 0; i < v.u.d->n; i++) {
        struct jval key = v.u.d->keys[i], value = v.u.d->vals[i];
        const struct jstr *s;
        if (value.type == J_NONE || value.type == J_UNDEFINED) continue;
        TRY(jarg_str(r, "an attribute's name", key, &s));
        for (int64_t k = 0; k < s->bytes; k++)
            if (strchr(" \t\n\r\f\v/>=", s->p[k]) && s->p[k]) return JFAIL(r, "xmlattr: \"%.*s\" can be no attribute's name", (int)s->bytes, s->p);
        TRY(jescape(r, key, &key));
        TRY(jescape(r, value, &value));
        if (space || b.n) TRY(jbuf_text(r, &b, " "));
        TRY(jbuf_str(r, &b, key.u.s));
        TRY(jbuf_text(r, &b, "=\""));
        TRY(jbuf_str(r, &b, value.u.s));
        TRY(jbuf_text(r, &b, "\""));
    }
    return jbuf_value(r, &b, out);
}

static err_t f_tojson(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return jjson(r, a, v, out); }

/* As obj.name, but never obj["name"]. */
static err_t f_attr(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    const struct jstr *name;
    bool got;
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    TRY(jarg_str(r, "attr's name", arg[0], &name));
    TRY(jattr_only(r, v, name, out, &got));
    return got ? jattr(r, v, name, out) : jv_undefined_of(r, v, arg[0], out);
}

const struct jfn jfilters_general[] = {
    {"default", "default_value? boolean?", f_default, NULL},
    {"d", "default_value? boolean?", f_default, NULL},
    {"length", "", f_length, NULL},
    {"count", "", f_length, NULL},
    {"string", "", f_string, NULL},
    {"tojson", NULL, NULL, f_tojson},
    {"int", "default? base?", f_int, NULL},
    {"float", "default?", f_float, NULL},
    {"abs", "", f_abs, NULL},
    {"round", "precision? method?", f_round, NULL},
    {"filesizeformat", "binary?", f_filesizeformat, NULL},
    {"safe", "", f_safe, NULL},
    {"escape", "", f_escape, NULL},
    {"e", "", f_escape, NULL},
    {"forceescape", "", f_forceescape, NULL},
    {"xmlattr", "autospace?", f_xmlattr, NULL},
    {"attr", "name", f_attr, NULL},
    {0},
};
