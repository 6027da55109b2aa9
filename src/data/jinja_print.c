/* Values as text: str and repr as Python has them, and JSON as json.dumps writes it. */
#include "data/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest digits that read back as the same number, as Python lays them out. */
void jfloat_text(double f, char out[JFLOAT_TEXT]) {
    char e[64];
    if (!isfinite(f)) {
        (void)snprintf(out, JFLOAT_TEXT, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(e, sizeof e, "%.*e", digits - 1, f);
        if (strtod(e, NULL) == f) break;
    }
    char *mark = strchr(e, 'e');
    const int power = (int)strtol(mark + 1, NULL, 10), sign = e[0] == '-';
    *mark = 0;
    char digit[32];
    int n = 0;
    for (const char *p = e + sign; *p; p++)
        if (*p != '.') digit[n++] = *p;
    digit[n] = 0;
    char *to = out;
    if (sign) *to++ = '-';
    if (power < -4 || power >= 16) {
        (void)snprintf(to, JFLOAT_TEXT - 1, "%c%s%se%c%02d", digit[0], n > 1 ? "." : "", digit + 1, power < 0 ? '-' : '+', abs(power));
    } else if (power < 0) {
        (void)snprintf(to, JFLOAT_TEXT - 1, "0.%.*s%s", -power - 1, "0000", digit);
    } else if (n <= power + 1) {
        (void)snprintf(to, JFLOAT_TEXT - 1, "%s%.*s.0", digit, power + 1 - n, "0000000000000000");
    } else {
        (void)snprintf(to, JFLOAT_TEXT - 1, "%.*s.%s", power + 1, digit, digit + power + 1);
    }
}

static err_t put_hex(struct jrun *r, struct jbuf *b, const char *before, int digits, uint32_t c) {
    char text[16];
    (void)snprintf(text, sizeof text, "%s%0*x", before, digits, (unsigned)c);
    return jbuf_text(r, b, text);
}

static err_t repr_str(struct jrun *r, struct jbuf *b, const struct jstr *s) {
    const bool single = memchr(s->p, '\'', (size_t)s->bytes), twice = memchr(s->p, '"', (size_t)s->bytes);
    const char quote = single && !twice ? '"' : '\'';
    if (s->safe) TRY(jbuf_text(r, b, "Markup("));
    TRY(jbuf_char(r, b, quote, 1));
    for (int64_t i = 0; i < s->bytes;) {
        int len;
        const int32_t c = ju_get(s->p + i, &len);
        if (c == quote || c == '\\') {
            TRY(jbuf_char(r, b, '\\', 1));
            TRY(jbuf_char(r, b, c, 1));
        } else if (c == '\n' || c == '\r' || c == '\t') {
            TRY(jbuf_text(r, b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t"));
        } else if (ju_printable(c)) {
            TRY(jbuf_put(r, b, s->p + i, len, 1));
        } else {
            TRY(put_hex(r, b, c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U", c < 0x100 ? 2 : c < 0x10000 ? 4 : 8, (uint32_t)c));
        }
        i += len;
    }
    TRY(jbuf_char(r, b, quote, 1));
    return s->safe ? jbuf_text(r, b, ")") : OK;
}

static err_t repr_list(struct jrun *r, struct jbuf *b, const struct jlist *l, bool tuple) {
    TRY(jbuf_text(r, b, tuple ? "(" : "["));
    for (int64_t i = 0; i < l->n; i++) {
        if (i) TRY(jbuf_text(r, b, ", "));
        TRY(jrepr(r, b, l->v[i]));
    }
    return jbuf_text(r, b, !tuple ? "]" : l->n == 1 ? ",)" : ")");
}

static err_t repr_dict(struct jrun *r, struct jbuf *b, const struct jdict *d) {
    TRY(jbuf_text(r, b, "{"));
    for (int64_t i = 0; i < d->n; i++) {
        if (i) TRY(jbuf_text(r, b, ", "));
        TRY(jrepr(r, b, d->keys[i]));
        TRY(jbuf_text(r, b, ": "));
        TRY(jrepr(r, b, d->vals[i]));
    }
    return jbuf_text(r, b, "}");
}

static err_t repr_view(struct jrun *r, struct jbuf *b, struct jval v) {
    static const char *const NAME[] = {"dict_keys(", "dict_values(", "dict_items("};
    struct jlist *l;
    TRY(jiter_list(r, v, &l));
    TRY(jbuf_text(r, b, NAME[v.u.view->what]));
    TRY(repr_list(r, b, l, false));
    return jbuf_text(r, b, ")");
}

static err_t repr_macro(struct jrun *r, struct jbuf *b, const struct jmacro *m) {
    if (!m->name) return jbuf_text(r, b, "<Macro anonymous>");
    TRY(jbuf_text(r, b, "<Macro "));
    TRY(repr_str(r, b, m->name));
    return jbuf_text(r, b, ">");
}

static err_t repr_other(struct jrun *r, struct jbuf *b, struct jval v) {
    char text[JFLOAT_TEXT];
    const struct jstr *s;
    switch (v.type) {
    case J_UNDEFINED: return jbuf_text(r, b, "Undefined");
    case J_NONE: return jbuf_text(r, b, "None");
    case J_BOOL: return jbuf_text(r, b, v.u.b ? "True" : "False");
    case J_INT: (void)snprintf(text, sizeof text, "%lld", (long long)v.u.i); return jbuf_text(r, b, text);
    case J_BIG: TRY(jbig_text(r, v, &s)); return jbuf_str(r, b, s);
    case J_FLOAT: jfloat_text(v.u.f, text); return jbuf_text(r, b, text);
    case J_RANGE:
        (void)snprintf(text, sizeof text, v.u.r->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)", (long long)v.u.r->start,
                       (long long)v.u.r->stop, (long long)v.u.r->step);
        return jbuf_text(r, b, text);
    case J_LOOP: {
        int64_t n;
        TRY(jv_length(r, v, &n));
        (void)snprintf(text, sizeof text, "<LoopContext %lld/%lld>", (long long)v.u.loop->index0 + 1, (long long)n);
        return jbuf_text(r, b, text);
    }
    case J_NAMESPACE:
        TRY(jbuf_text(r, b, "<Namespace "));
        TRY(repr_dict(r, b, v.u.ns));
        return jbuf_text(r, b, ">");
    case J_MACRO: return repr_macro(r, b, v.u.macro);
    default: return JFAIL(r, "a %s is printed: Python would print its place in memory; print what it gives (| list, or call it)", jv_type(v));
    }
}

err_t jrepr(struct jrun *r, struct jbuf *b, struct jval v) { // NOLINT(misc-no-recursion): bounded by JINJA_DEPTH
    err_t err;
    TRY(jrun_step(r, 1));
    if (++r->depth > JINJA_DEPTH) return JFAIL(r, "values more than %d deep in one another; mop's templates go no deeper", JINJA_DEPTH);
    switch (v.type) {
    case J_STR: err = repr_str(r, b, v.u.s); break;
    case J_LIST:
    case J_TUPLE: err = repr_list(r, b, v.u.l, v.type == J_TUPLE); break;
    case J_DICT: err = repr_dict(r, b, v.u.d); break;
    case J_VIEW: err = repr_view(r, b, v); break;
    default: err = repr_other(r, b, v); break;
    }
    r->depth--;
    return err;
}

err_t jprint(struct jrun *r, struct jbuf *b, struct jval v) {
    if (v.type == J_STR) return jbuf_str(r, b, v.u.s);
    return v.type == J_UNDEFINED ? OK : jrepr(r, b, v);
}

err_t jv_to_str(struct jrun *r, struct jval v, const struct jstr **out) {
    struct jbuf b = {0};
    struct jval text;
    if (v.type == J_STR) {
        *out = v.u.s;
        return OK;
    }
    TRY(jprint(r, &b, v));
    TRY(jbuf_value(r, &b, &text));
    *out = text.u.s;
    return OK;
}

err_t jescape(struct jrun *r, struct jval v, struct jval *out) {
    const struct jstr *s;
    struct jbuf b = {.safe = true};
    TRY(jv_to_str(r, v, &s));
    if (s->safe) {
        *out = jv_str(s);
        return OK;
    }
    for (int64_t i = 0; i < s->bytes;) {
        int len;
        const int32_t c = ju_get(s->p + i, &len);
        const char *text = c == '&' ? "&amp;" : c == '>' ? "&gt;" : c == '<' ? "&lt;" : c == '\'' ? "&#39;" : c == '"' ? "&#34;" : NULL;
        TRY(text ? jbuf_text(r, &b, text) : jbuf_put(r, &b, s->p + i, len, 1));
        i += len;
    }
    return jbuf_value(r, &b, out);
}

err_t jv_plain(struct jrun *r, struct jval v, struct jval *out) {
    const struct jstr *s;
    struct jstr *copy;
    TRY(jv_to_str(r, v, &s));
    TRY(JNEW(&r->mem, 1, &copy));
    *copy = *s;
    copy->safe = false;
    *out = jv_str(copy);
    return OK;
}

/* ---- JSON ---- */

struct json_out {
    struct jrun *r;
    struct jbuf b;
    bool ascii, sorted;
    const struct jstr *indent; /* NULL: all on one line */
    const struct jstr *item, *colon;
};

static err_t json_char(struct json_out *o, const char *p, int len, int32_t c) {
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    for (int i = 0; shorts[i]; i += 2)
        if (c == shorts[i]) {
            const char text[3] = {'\\', shorts[i + 1], 0};
            return jbuf_text(o->r, &o->b, text);
        }
    if (c < 0x20 || (o->ascii && c == 0x7f)) return put_hex(o->r, &o->b, "\\u", 4, (uint32_t)c);
    if (c < 0x80 || !o->ascii) return jbuf_put(o->r, &o->b, p, len, 1);
    if (c < 0x10000) return put_hex(o->r, &o->b, "\\u", 4, (uint32_t)c);
    TRY(put_hex(o->r, &o->b, "\\u", 4, 0xd800 + ((uint32_t)(c - 0x10000) >> 10)));
    return put_hex(o->r, &o->b, "\\u", 4, 0xdc00 + ((uint32_t)(c - 0x10000) & 0x3ff));
}

static err_t json_string(struct json_out *o, const struct jstr *s) {
    TRY(jbuf_text(o->r, &o->b, "\""));
    for (int64_t i = 0; i < s->bytes;) {
        int len;
        const int32_t c = ju_get(s->p + i, &len);
        TRY(json_char(o, s->p + i, len, c));
        i += len;
    }
    return jbuf_text(o->r, &o->b, "\"");
}

static err_t json_line(struct json_out *o, int level) {
    if (!o->indent) return OK;
    TRY(jbuf_text(o->r, &o->b, "\n"));
    for (; level > 0; level--) TRY(jbuf_str(o->r, &o->b, o->indent));
    return OK;
}

static err_t json_scalar(struct json_out *o, struct jval v, bool *done) {
    char text[JFLOAT_TEXT];
    const struct jstr *s;
    *done = true;
    switch (v.type) {
    case J_NONE: return jbuf_text(o->r, &o->b, "null");
    case J_BOOL: return jbuf_text(o->r, &o->b, v.u.b ? "true" : "false");
    case J_INT: (void)snprintf(text, sizeof text, "%lld", (long long)v.u.i); return jbuf_text(o->r, &o->b, text);
    case J_BIG: TRY(jbig_text(o->r, v, &s)); return jbuf_str(o->r, &o->b, s);
    case J_FLOAT:
        jfloat_text(v.u.f, text);
        if (!isfinite(v.u.f)) (void)snprintf(text, sizeof text, "%s", isnan(v.u.f) ? "NaN" : v.u.f > 0 ? "Infinity" : "-Infinity");
        return jbuf_text(o->r, &o->b, text);
    default: *done = false; return OK;
    }
}

static err_t json_value(struct json_out *o, struct jval v, int level);

static err_t json_list(struct json_out *o, const struct jlist *l, int level) { // NOLINT(misc-no-recursion): bounded by JINJA_DEPTH
    if (l->n == 0) return jbuf_text(o->r, &o->b, "[]");
    TRY(jbuf_text(o->r, &o->b, "["));
    for (int64_t i = 0; i < l->n; i++) {
        if (i) TRY(jbuf_str(o->r, &o->b, o->item));
        TRY(json_line(o, level + 1));
        TRY(json_value(o, l->v[i], level + 1));
    }
    TRY(json_line(o, level));
    return jbuf_text(o->r, &o->b, "]");
}

static err_t json_key(struct json_out *o, struct jval key) {
    bool done;
    if (key.type == J_STR) return json_string(o, key.u.s);
    TRY(jbuf_text(o->r, &o->b, "\""));
    TRY(json_scalar(o, key, &done));
    if (!done) return JFAIL(o->r, "a %s as a key has no JSON; use a string", jv_type(key));
    return jbuf_text(o->r, &o->b, "\"");
}

static err_t json_dict(struct json_out *o, const struct jdict *d, int level) { // NOLINT(misc-no-recursion): the same
    if (d->n == 0) return jbuf_text(o->r, &o->b, "{}");
    int64_t *order = NULL;
    if (o->sorted) TRY(jsort(o->r, d->keys, d->n, false, &order));
    TRY(jbuf_text(o->r, &o->b, "{"));
    for (int64_t i = 0; i < d->n; i++) {
        const int64_t at = order ? order[i] : i;
        if (i) TRY(jbuf_str(o->r, &o->b, o->item));
        TRY(json_line(o, level + 1));
        TRY(json_key(o, d->keys[at]));
        TRY(jbuf_str(o->r, &o->b, o->colon));
        TRY(json_value(o, d->vals[at], level + 1));
    }
    TRY(json_line(o, level));
    return jbuf_text(o->r, &o->b, "}");
}

static err_t json_value(struct json_out *o, struct jval v, int level) { // NOLINT(misc-no-recursion): the same
    err_t err;
    bool done;
    TRY(jrun_step(o->r, 1));
    TRY(json_scalar(o, v, &done));
    if (done) return OK;
    if (level > JINJA_DEPTH) return JFAIL(o->r, "values more than %d deep in one another; mop's templates go no deeper", JINJA_DEPTH);
    switch (v.type) {
    case J_STR: err = json_string(o, v.u.s); break;
    case J_LIST:
    case J_TUPLE: err = json_list(o, v.u.l, level); break;
    case J_DICT: err = json_dict(o, v.u.d, level); break;
    case J_UNDEFINED: err = JUNDEFINED(o->r, v); break;
    default: err = JFAIL(o->r, "a %s has no JSON; give tojson a list, a dict or a plain value", jv_type(v)); break;
    }
    return err;
}

static err_t json_indent(struct jrun *r, struct jval v, const struct jstr **out) {
    struct jbuf b = {0};
    struct jval text;
    if (!jv_given(v) || v.type == J_NONE) return OK;
    if (v.type == J_STR) {
        *out = v.u.s;
        return OK;
    }
    if (!jv_is_int(v)) return JFAIL(r, "tojson's indent is a %s; give a whole number or a string", jv_type(v));
    TRY(jbuf_char(r, &b, ' ', jv_as_int(v)));
    TRY(jbuf_value(r, &b, &text));
    *out = text.u.s;
    return OK;
}

static err_t json_separators(struct jrun *r, struct jval v, struct json_out *o) {
    struct jval text;
    TRY(jv_text(r, o->indent ? "," : ", ", &text));
    o->item = text.u.s;
    TRY(jv_text(r, ": ", &text));
    o->colon = text.u.s;
    if (!jv_given(v) || v.type == J_NONE) return OK;
    struct jlist *l;
    TRY(jiter_list(r, v, &l));
    if (l->n != 2 || l->v[0].type != J_STR || l->v[1].type != J_STR)
        return JFAIL(r, "tojson's separators are not two strings; write separators=(',', ':')");
    o->item = l->v[0].u.s;
    o->colon = l->v[1].u.s;
    return OK;
}

err_t jjson(struct jrun *r, const struct jargs *a, struct jval v, struct jval *out) {
    struct jval arg[4];
    struct json_out o = {.r = r};
    TRY(jargs_bind(r, "tojson", a, "ensure_ascii? indent? separators? sort_keys?", arg));
    TRY(jv_truth(r, arg[0], &o.ascii));
    TRY(json_indent(r, arg[1], &o.indent));
    TRY(json_separators(r, arg[2], &o));
    TRY(jv_truth(r, arg[3], &o.sorted));
    TRY(json_value(&o, v, 0));
    return jbuf_value(r, &o.b, out);
}
