/* Operators, by Python's rules for the types they meet. */
#include "data/jinja_int.h"

#include <math.h>
#include <string.h>

static const char *const SIGN[] = {"+", "-", "*", "/", "//", "%", "**"};

static err_t by_zero(struct jrun *r, enum jop op) { return JFAIL(r, "%s by zero; test the divisor first", SIGN[op]); }

static bool is_zero(struct jval v) { return v.type != J_BIG && jv_as_int(v) == 0; }

/* Whole numbers, by 64 bits where the result fits. */
static err_t wholes(struct jrun *r, enum jop op, struct jval x, struct jval y, struct jval *out) {
    const bool small = x.type != J_BIG && y.type != J_BIG, divides = op == JO_DIV || op == JO_FLOORDIV || op == JO_MOD;
    const int64_t a = small ? jv_as_int(x) : 0, b = small ? jv_as_int(y) : 0, exact = (int64_t)1 << 53;
    int64_t i = 0;
    bool over = !small;
    if (divides && is_zero(y)) return by_zero(r, op);
    if (op == JO_POW && (y.type == J_BIG ? y.u.big->neg : jv_as_int(y) < 0)) {
        double base, exponent;
        if (is_zero(x)) return by_zero(r, op);
        TRY(jv_to_float(r, x, &base));
        TRY(jv_to_float(r, y, &exponent));
        *out = jv_float(pow(base, exponent));
        return OK;
    }
    if (small) switch (op) {
        case JO_ADD: over = __builtin_add_overflow(a, b, &i); break;
        case JO_SUB: over = __builtin_sub_overflow(a, b, &i); break;
        case JO_MUL: over = __builtin_mul_overflow(a, b, &i); break;
        case JO_DIV:
            if (a < -exact || a > exact || b < -exact || b > exact) break;
            *out = jv_float((double)a / (double)b);
            return OK;
        case JO_FLOORDIV:
        case JO_MOD:
            over = b == -1; /* the lowest number by it traps */
            if (over) break;
            i = op == JO_MOD ? a % b : a / b;
            if (a % b != 0 && (a % b < 0) != (b < 0)) i += op == JO_MOD ? b : -1;
            break;
        default: break;
        }
    if (over || op == JO_DIV || op == JO_POW) return jbig_binary(r, op, x, y, out);
    *out = jv_int(i);
    return OK;
}

static err_t floats(struct jrun *r, enum jop op, double a, double b, struct jval *out) {
    double f, mod;
    switch (op) {
    case JO_ADD: f = a + b; break;
    case JO_SUB: f = a - b; break;
    case JO_MUL: f = a * b; break;
    case JO_DIV:
        if (b == 0) return by_zero(r, op);
        f = a / b;
        break;
    case JO_FLOORDIV:
    case JO_MOD:
        if (b == 0) return by_zero(r, op);
        mod = fmod(a, b);
        f = (a - mod) / b;
        if (mod != 0 && (b < 0) != (mod < 0)) {
            mod += b;
            f -= 1;
        } else if (mod == 0) {
            mod = copysign(0, b);
        }
        if (op == JO_MOD) f = mod;
        else f = f != 0 ? floor(f) + (f - floor(f) > 0.5) : copysign(0, a / b);
        break;
    default:
        if (a == 0 && b < 0) return by_zero(r, op);
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            return JFAIL(r, "a negative number to a power that is not whole is complex, which mop's templates do not know; take its abs first");
        f = pow(a, b);
        if (isinf(f) && isfinite(a) && isfinite(b)) return JFAIL(r, "the result of ** is beyond what a double holds; use smaller numbers");
        break;
    }
    *out = jv_float(f);
    return OK;
}

static err_t add_lists(struct jrun *r, struct jval a, struct jval b, struct jval *out) {
    struct jlist *l;
    const int64_t n = a.u.l->n + b.u.l->n;
    TRY(jrun_step(r, n / 16));
    TRY(jlist_new(r, n, &l));
    if (a.u.l->n) memcpy(l->v, a.u.l->v, (size_t)a.u.l->n * sizeof *l->v);
    if (b.u.l->n) memcpy(l->v + a.u.l->n, b.u.l->v, (size_t)b.u.l->n * sizeof *l->v);
    l->n = n;
    *out = a.type == J_LIST ? jv_list(l) : jv_tuple(l);
    return OK;
}

static err_t add_strings(struct jrun *r, struct jval a, struct jval b, struct jval *out) {
    struct jbuf buf = {.safe = a.u.s->safe || b.u.s->safe};
    if (buf.safe) {
        TRY(jescape(r, a, &a));
        TRY(jescape(r, b, &b));
    }
    const struct jstr *x = a.u.s, *y = b.u.s;
    TRY(jrun_step(r, (x->bytes + y->bytes) / 64));
    TRY(jmem_get(&r->mem, x->bytes + y->bytes + 1, (void **)&buf.p));
    buf.room = x->bytes + y->bytes;
    TRY(jbuf_str(r, &buf, x));
    TRY(jbuf_str(r, &buf, y));
    return jbuf_value(r, &buf, out);
}

/* A string, list or tuple, n times. */
static err_t repeated(struct jrun *r, struct jval v, int64_t n, struct jval *out) {
    int64_t each;
    TRY(jv_length(r, v, &each));
    if (n < 0 || each == 0) n = 0;
    if (n && n > JINJA_BYTES / each)
        return JFAIL(r, "a %s %lld times is more than a template may build; repeat it less often", jv_type(v), (long long)n);
    TRY(jrun_step(r, n * each / 16));
    if (v.type == J_STR) {
        struct jbuf b = {.safe = v.u.s->safe};
        for (int64_t i = 0; i < n; i++) TRY(jbuf_str(r, &b, v.u.s));
        return jbuf_value(r, &b, out);
    }
    struct jlist *l;
    TRY(jlist_new(r, n * each, &l));
    for (int64_t i = 0; i < n * each; i++) l->v[l->n++] = v.u.l->v[i % each];
    *out = v.type == J_LIST ? jv_list(l) : jv_tuple(l);
    return OK;
}

static bool repeats(struct jval v, struct jval times) { return (v.type == J_STR || v.type == J_LIST || v.type == J_TUPLE) && jv_is_int(times); }

err_t jbinary(struct jrun *r, enum jop op, struct jval a, struct jval b, struct jval *out) {
    if (op == JO_MOD && a.type == J_STR) return jformat_percent(r, a.u.s, b, out);
    if (a.type == J_UNDEFINED) return JUNDEFINED(r, a);
    if (b.type == J_UNDEFINED) return JUNDEFINED(r, b);
    if (jv_is_whole(a) && jv_is_whole(b)) return wholes(r, op, a, b, out);
    if (jv_is_number(a) && jv_is_number(b)) {
        double x, y;
        TRY(jv_to_float(r, a, &x));
        TRY(jv_to_float(r, b, &y));
        return floats(r, op, x, y, out);
    }
    if (op == JO_ADD && a.type == J_STR && b.type == J_STR) return add_strings(r, a, b, out);
    if (op == JO_ADD && a.type == b.type && (a.type == J_LIST || a.type == J_TUPLE)) return add_lists(r, a, b, out);
    if (op == JO_MUL && repeats(a, b)) return repeated(r, a, jv_as_int(b), out);
    if (op == JO_MUL && repeats(b, a)) return repeated(r, b, jv_as_int(a), out);
    return JFAIL(r, "%s %s %s does not go; make both of one kind, by ~ or | string for text", jv_type(a), SIGN[op], jv_type(b));
}

err_t jnegate(struct jrun *r, struct jval v, bool minus, struct jval *out) {
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type == J_FLOAT) {
        *out = jv_float(minus ? -v.u.f : v.u.f);
        return OK;
    }
    if (!jv_is_whole(v)) return JFAIL(r, "a %s has no sign; put + or - before a number", jv_type(v));
    return wholes(r, minus ? JO_SUB : JO_ADD, jv_int(0), v, out);
}

err_t jv_contains(struct jrun *r, struct jval in, struct jval v, bool *found) {
    struct jiter *it;
    *found = false;
    if (in.type == J_STR) {
        if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
        if (v.type != J_STR) return JFAIL(r, "a %s in a string; only a string can be", jv_type(v));
        TRY(jrun_step(r, in.u.s->bytes / 64));
        *found = v.u.s->bytes == 0 || memmem(in.u.s->p, (size_t)in.u.s->bytes, v.u.s->p, (size_t)v.u.s->bytes);
        return OK;
    }
    const bool keys = in.type == J_VIEW && in.u.view->what == JVIEW_KEYS;
    if (in.type == J_DICT || keys) {
        int64_t at;
        TRY(jdict_find(r, keys ? in.u.view->d : in.u.d, v, &at));
        *found = at >= 0;
        return OK;
    }
    if (!jv_iterable(in)) return JFAIL(r, "nothing can be \"in\" a %s; give a list, a dict or a string", jv_type(in));
    TRY(jiter_open(r, in, &it));
    while (!*found) {
        struct jval item;
        bool got;
        TRY(jiter_next(r, it, &item, &got));
        if (!got) return OK;
        TRY(jv_equal(r, item, v, found));
    }
    return OK;
}
