/* Tests: what may stand behind `is`. */
#include "data/jinja_int.h"

#include <string.h>

#define IS(name, what)                                                                    \
    static err_t name(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { \
        (void)r;                                                                          \
        (void)arg;                                                                        \
        *out = (what);                                                                    \
        return OK;                                                                        \
    }
IS(t_defined, v.type != J_UNDEFINED)
IS(t_undefined, v.type == J_UNDEFINED)
IS(t_none, v.type == J_NONE)
IS(t_boolean, v.type == J_BOOL)
IS(t_true, v.type == J_BOOL && v.u.b)
IS(t_false, v.type == J_BOOL && !v.u.b)
IS(t_integer, v.type == J_INT || v.type == J_BIG)
IS(t_float, v.type == J_FLOAT)
IS(t_number, jv_is_number(v))
IS(t_string, v.type == J_STR)
IS(t_mapping, v.type == J_DICT)
IS(t_iterable, jv_iterable(v))
IS(t_sequence, jv_has_length(v) && v.type != J_VIEW && v.type != J_LOOP)
IS(t_callable, v.type == J_MACRO || v.type == J_METHOD || v.type == J_GLOBAL || v.type == J_LOOP || v.type == J_JOINER || v.type == J_UNDEFINED)
IS(t_escaped, v.type == J_STR && v.u.s->safe)
IS(t_test, v.type == J_STR && jtest_find(v.u.s))

static err_t remainder_is(struct jrun *r, struct jval v, struct jval by, int64_t rest, bool *out) {
    struct jval left;
    TRY(jbinary(r, JO_MOD, v, by, &left));
    return jv_equal(r, left, jv_int(rest), out);
}

static err_t t_odd(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    (void)arg;
    return remainder_is(r, v, jv_int(2), 1, out);
}

static err_t t_even(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    (void)arg;
    return remainder_is(r, v, jv_int(2), 0, out);
}

static err_t t_divisibleby(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return remainder_is(r, v, arg[0], 0, out); }

static err_t cased(struct jrun *r, struct jval v, const char *how, bool *out) {
    const struct jstr *s;
    struct jval yes;
    TRY(jv_to_str(r, v, &s));
    const struct jstr called = {how, (int64_t)strlen(how), (int64_t)strlen(how), false};
    TRY(jmethod_find(&called)->fn(r, jv_str(s), NULL, &yes));
    *out = yes.u.b;
    return OK;
}

static err_t t_lower(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    (void)arg;
    return cased(r, v, "islower", out);
}

static err_t t_upper(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    (void)arg;
    return cased(r, v, "isupper", out);
}

static err_t t_eq(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_equal(r, v, arg[0], out); }
static err_t t_ne(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    TRY(jv_equal(r, v, arg[0], out));
    *out = !*out;
    return OK;
}
static err_t t_lt(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_less(r, v, arg[0], JO_LT, out); }
static err_t t_le(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_less(r, v, arg[0], JO_LE, out); }
static err_t t_gt(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_less(r, v, arg[0], JO_GT, out); }
static err_t t_ge(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_less(r, v, arg[0], JO_GE, out); }
static err_t t_in(struct jrun *r, struct jval v, const struct jval *arg, bool *out) { return jv_contains(r, arg[0], v, out); }

/* The same object. For numbers and strings that depends on what Python keeps once; where it is not certain it is refused. */
static err_t t_sameas(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    const struct jval w = arg[0];
    *out = false;
    if (v.type != w.type) return OK;
    switch (v.type) {
    case J_NONE: *out = true; return OK;
    case J_BOOL: *out = v.u.b == w.u.b; return OK;
    case J_INT: *out = v.u.i == w.u.i && v.u.i >= -5 && v.u.i <= 256; break; /* those Python keeps */
    case J_STR: *out = v.u.s == w.u.s; break;
    case J_BIG:
    case J_FLOAT: break;
    case J_GLOBAL: *out = v.u.global == w.u.global; return OK;
    case J_METHOD: return OK;
    default: *out = v.u.it == w.u.it; return OK;
    }
    bool equal;
    TRY(jv_equal(r, v, w, &equal));
    if (equal && !*out) return JFAIL(r, "sameas of two equal values of type %s depends on Python's memory; use ==", jv_type(v));
    return OK;
}

static err_t t_filter(struct jrun *r, struct jval v, const struct jval *arg, bool *out) {
    static const char *const lacking[] = {"pprint", "random", "urlize", "wordwrap"}; /* Jinja has them */
    uint64_t hash;
    (void)arg;
    TRY(jv_hash(r, v, &hash)); /* what can be no name at all is an error */
    *out = v.type == J_STR && jfilter_find(v.u.s);
    for (size_t i = 0; v.type == J_STR && i < sizeof lacking / sizeof *lacking; i++) *out = *out || jstr_is(v.u.s, lacking[i]);
    return OK;
}

static const struct jtest tests[] = {
    {"defined", "", t_defined},   {"undefined", "", t_undefined},
    {"none", "", t_none},         {"string", "", t_string},
    {"mapping", "", t_mapping},   {"iterable", "", t_iterable},
    {"sequence", "", t_sequence}, {"true", "", t_true},
    {"false", "", t_false},       {"boolean", "", t_boolean},
    {"number", "", t_number},     {"integer", "", t_integer},
    {"float", "", t_float},       {"callable", "", t_callable},
    {"escaped", "", t_escaped},   {"odd", "", t_odd},
    {"even", "", t_even},         {"divisibleby", "num", t_divisibleby},
    {"lower", "", t_lower},       {"upper", "", t_upper},
    {"in", "seq", t_in},          {"sameas", "other", t_sameas},
    {"filter", "", t_filter},     {"test", "", t_test},
    {"eq", "/ b", t_eq},          {"equalto", "/ b", t_eq},
    {"==", "/ b", t_eq},          {"ne", "/ b", t_ne},
    {"!=", "/ b", t_ne},          {"lt", "/ b", t_lt},
    {"lessthan", "/ b", t_lt},    {"<", "/ b", t_lt},
    {"le", "/ b", t_le},          {"<=", "/ b", t_le},
    {"gt", "/ b", t_gt},          {"greaterthan", "/ b", t_gt},
    {">", "/ b", t_gt},           {"ge", "/ b", t_ge},
    {">=", "/ b", t_ge},
};

const struct jtest *jtest_find(const struct jstr *name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (jstr_is(name, tests[i].name)) return &tests[i];
    return NULL;
}

err_t jtest_apply(struct jrun *r, const struct jtest *t, struct jval v, const struct jargs *a, bool *out) {
    struct jval arg[JARGS_MAX];
    TRY(jargs_bind(r, t->name, a, t->args, arg));
    return t->fn(r, v, arg, out);
}
