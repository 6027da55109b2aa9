/* What Python says of two values or of one: equal, before, true, how long, the part of it that a slice names. */
#include "data/jinja_int.h"

#include <string.h>

/* ---- undefined ---- */

err_t jv_undefined_why(struct jrun *r, const char *hint, struct jval *out) {
    struct jundef *u;
    TRY(JNEW(&r->mem, 1, &u));
    u->hint = hint;
    *out = (struct jval){.type = J_UNDEFINED, .u.undef = u};
    return OK;
}

err_t jv_undefined_of(struct jrun *r, struct jval of, struct jval name, struct jval *out) {
    struct jundef *u;
    struct jval *copy;
    TRY(JNEW(&r->mem, 1, &u));
    TRY(JNEW(&r->mem, 1, &copy));
    *copy = of;
    u->of = copy;
    if (name.type == J_STR) u->name = name.u.s;
    *out = (struct jval){.type = J_UNDEFINED, .u.undef = u};
    return OK;
}

err_t jundefined_error(struct jrun *r, struct jval v) {
    const struct jundef *u = v.u.undef;
    if (!u) return JFAIL(r, "an undefined value is used; test it with \"is defined\" first");
    if (u->hint) return JFAIL(r, "%s", u->hint);
    if (!u->name) return JFAIL(r, "a %s has no such element; test it with \"is defined\" first", u->of ? jv_type(*u->of) : "value");
    if (!u->of) return JFAIL(r, "\"%.*s\" is undefined; give it, or test it with \"is defined\" first", (int)u->name->bytes, u->name->p);
    return JFAIL(r, "a %s has no \"%.*s\"; test it with \"is defined\" first", jv_type(*u->of), (int)u->name->bytes, u->name->p);
}

/* ---- equality and order ---- */

static err_t compare_numbers(struct jrun *r, struct jval a, struct jval b, int *order) { /* 2: not ordered */
    if (a.type == J_BIG || b.type == J_BIG) {                                            /* a float that meets it is whole, or far from it */
        struct jval *f = a.type == J_FLOAT ? &a : b.type == J_FLOAT ? &b : NULL;
        if (f && f->u.f - f->u.f != 0) {
            *order = f->u.f != f->u.f ? 2 : (f->u.f > 0) == (f == &b) ? -1 : 1;
            return OK;
        }
        if (f) TRY(jbig_of_float(r, f->u.f, f));
        return jbig_compare(r, a, b, order);
    }
    if (jv_is_int(a) && jv_is_int(b)) {
        *order = jv_as_int(a) < jv_as_int(b) ? -1 : jv_as_int(a) > jv_as_int(b);
        return OK;
    }
    const long double x = a.type == J_FLOAT ? (long double)a.u.f : (long double)jv_as_int(a);
    const long double y = b.type == J_FLOAT ? (long double)b.u.f : (long double)jv_as_int(b);
    *order = x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    return OK;
}

static err_t equal_dicts(struct jrun *r, const struct jdict *a, const struct jdict *b,
                         bool *equal) { // NOLINT(misc-no-recursion): jrun_step bounds it
    *equal = a->n == b->n;
    for (int64_t i = 0; i < a->n && *equal; i++) {
        int64_t at;
        TRY(jdict_find(r, b, a->keys[i], &at));
        *equal = at >= 0;
        if (*equal) TRY(jv_equal(r, a->vals[i], b->vals[at], equal));
    }
    return OK;
}

static err_t equal_lists(struct jrun *r, const struct jlist *a, const struct jlist *b, bool *equal) { // NOLINT(misc-no-recursion): the same
    *equal = a->n == b->n;
    for (int64_t i = 0; i < a->n && *equal; i++) TRY(jv_equal(r, a->v[i], b->v[i], equal));
    return OK;
}

err_t jv_equal(struct jrun *r, struct jval a, struct jval b, bool *equal) { // NOLINT(misc-no-recursion): jrun_step bounds it
    err_t err = OK;
    TRY(jrun_step(r, 1));
    *equal = false;
    if (jv_is_number(a) && jv_is_number(b)) {
        int order;
        TRY(compare_numbers(r, a, b, &order));
        *equal = order == 0;
        return OK;
    }
    if (a.type != b.type) return OK;
    if (++r->depth > JINJA_DEPTH) return JFAIL(r, "values more than %d deep in one another; mop's templates go no deeper", JINJA_DEPTH);
    switch (a.type) {
    case J_UNDEFINED:
    case J_NONE: *equal = true; break;
    case J_STR: *equal = jstr_same(a.u.s, b.u.s); break;
    case J_LIST:
    case J_TUPLE: err = equal_lists(r, a.u.l, b.u.l, equal); break;
    case J_DICT: err = equal_dicts(r, a.u.d, b.u.d, equal); break;
    case J_RANGE:
        *equal = a.u.r->n == b.u.r->n && (a.u.r->n == 0 || (a.u.r->start == b.u.r->start && (a.u.r->n == 1 || a.u.r->step == b.u.r->step)));
        break;
    case J_VIEW: err = JFAIL(r, "views of dicts are not compared by mop's templates; make lists of them (| list)"); break;
    case J_METHOD: err = JFAIL(r, "methods are not compared by mop's templates; call them"); break;
    case J_GLOBAL: *equal = a.u.global == b.u.global; break;
    default: *equal = a.u.it == b.u.it; break; /* the same object */
    }
    r->depth--;
    return err;
}

static err_t less_lists(struct jrun *r, const struct jlist *a, const struct jlist *b, enum jop op,
                        bool *less) { // NOLINT(misc-no-recursion): the same
    for (int64_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        TRY(jv_equal(r, a->v[i], b->v[i], &same));
        if (!same) return jv_less(r, a->v[i], b->v[i], op, less);
    }
    return jv_less(r, jv_int(a->n), jv_int(b->n), op, less);
}

err_t jv_less(struct jrun *r, struct jval a, struct jval b, enum jop op, bool *less) { // NOLINT(misc-no-recursion): the same
    static const char *const SIGN[] = {[JO_LT] = "<", [JO_LE] = "<=", [JO_GT] = ">", [JO_GE] = ">="};
    TRY(jrun_step(r, 1));
    if (a.type == J_UNDEFINED) return JUNDEFINED(r, a);
    if (b.type == J_UNDEFINED) return JUNDEFINED(r, b);
    int order;
    if (jv_is_number(a) && jv_is_number(b)) {
        TRY(compare_numbers(r, a, b, &order));
    } else if (a.type == J_STR && b.type == J_STR) { /* the order of UTF-8 is that of the code points */
        const int64_t n = a.u.s->bytes < b.u.s->bytes ? a.u.s->bytes : b.u.s->bytes;
        order = n ? memcmp(a.u.s->p, b.u.s->p, (size_t)n) : 0;
        if (order == 0) order = a.u.s->bytes < b.u.s->bytes ? -1 : a.u.s->bytes > b.u.s->bytes;
        order = order < 0 ? -1 : order > 0;
    } else if (a.type == b.type && (a.type == J_LIST || a.type == J_TUPLE)) {
        return less_lists(r, a.u.l, b.u.l, op, less);
    } else {
        return JFAIL(r, "%s %s %s: they have no order; compare values of one kind", jv_type(a), SIGN[op], jv_type(b));
    }
    *less = order != 2 && ((order < 0 && (op == JO_LT || op == JO_LE)) || (order > 0 && (op == JO_GT || op == JO_GE)) ||
                           (order == 0 && (op == JO_LE || op == JO_GE)));
    return OK;
}

/* ---- truth and length ---- */

bool jv_has_length(struct jval v) {
    return v.type == J_STR || v.type == J_LIST || v.type == J_TUPLE || v.type == J_DICT || v.type == J_RANGE || v.type == J_VIEW ||
           v.type == J_UNDEFINED || v.type == J_LOOP;
}

err_t jv_length(struct jrun *r, struct jval v, int64_t *n) {
    switch (v.type) {
    case J_UNDEFINED: *n = 0; return OK;
    case J_STR: *n = v.u.s->chars; return OK;
    case J_LIST:
    case J_TUPLE: *n = v.u.l->n; return OK;
    case J_DICT: *n = v.u.d->n; return OK;
    case J_VIEW: *n = v.u.view->d->n; return OK;
    case J_RANGE: *n = v.u.r->n; return OK;
    case J_LOOP: return jloop_length(r, v.u.loop, n);
    default: return JFAIL(r, "a %s has no length; take it of a list, a dict or a string", jv_type(v));
    }
}

err_t jv_truth(struct jrun *r, struct jval v, bool *truth) {
    int64_t n;
    switch (v.type) {
    case J_MISSING:
    case J_UNDEFINED:
    case J_NONE: *truth = false; return OK;
    case J_BOOL: *truth = v.u.b; return OK;
    case J_INT: *truth = v.u.i != 0; return OK;
    case J_FLOAT: *truth = v.u.f != 0; return OK;
    case J_BIG: *truth = true; return OK;
    default:
        *truth = true;
        if (!jv_has_length(v)) return OK;
        TRY(jv_length(r, v, &n));
        *truth = n != 0;
        return OK;
    }
}

/* ---- slices ---- */

static err_t slice_index(struct jrun *r, struct jval v, int64_t *out) {
    if (!jv_is_int(v)) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "a %s in a slice; its parts must be whole numbers", jv_type(v));
    *out = jv_as_int(v);
    return OK;
}

static int64_t clamp(int64_t i, int64_t n, int64_t lo, int64_t hi) {
    if (i < 0) i += n;
    return i < lo ? lo : i > hi ? hi : i;
}

err_t jv_slice_bounds(struct jrun *r, int64_t n, const struct jval part[3], int64_t *start, int64_t *step, int64_t *count) {
    *step = 1;
    if (jv_given(part[2]) && part[2].type != J_NONE) TRY(slice_index(r, part[2], step));
    if (*step == 0) return JFAIL(r, "a slice with step 0; give another step");
    if (*step < -INT64_MAX) *step = -INT64_MAX;
    const bool back = *step < 0;
    int64_t stop = back ? -1 : n, from = back ? n - 1 : 0, i;
    if (jv_given(part[0]) && part[0].type != J_NONE) {
        TRY(slice_index(r, part[0], &i));
        from = clamp(i, n, back ? -1 : 0, back ? n - 1 : n);
    }
    if (jv_given(part[1]) && part[1].type != J_NONE) {
        TRY(slice_index(r, part[1], &i));
        stop = clamp(i, n, back ? -1 : 0, back ? n - 1 : n);
    }
    *start = from;
    const int64_t span = back ? from - stop : stop - from, by = back ? -*step : *step;
    *count = span > 0 ? (span - 1) / by + 1 : 0;
    return OK;
}

static err_t slice_string(struct jrun *r, const struct jstr *s, int64_t start, int64_t step, int64_t count, struct jval *out) {
    if (step == 1) {
        const int64_t from = jstr_byte(s, start);
        return jstr_part(r, s, from, count ? jstr_byte(s, start + count) : from, out);
    }
    const char **at;
    struct jbuf b = {.safe = s->safe};
    TRY(jrun_step(r, s->chars / 16));
    TRY(JNEW(&r->mem, s->chars + 1, &at));
    int64_t n = 0;
    for (const char *p = s->p; p <= s->p + s->bytes; p++)
        if (p == s->p + s->bytes || ((unsigned char)*p & 0xc0) != 0x80) at[n++] = p;
    for (int64_t i = 0; i < count; i++) TRY(jbuf_put(r, &b, at[start + i * step], at[start + i * step + 1] - at[start + i * step], 1));
    return jbuf_value(r, &b, out);
}

err_t jv_slice(struct jrun *r, struct jval v, const struct jval part[3], struct jval *out) {
    int64_t n, start, step, count;
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type != J_STR && v.type != J_LIST && v.type != J_TUPLE && v.type != J_RANGE)
        return JFAIL(r, "a %s cannot be sliced; slice a list or a string", jv_type(v));
    TRY(jv_length(r, v, &n));
    TRY(jv_slice_bounds(r, n, part, &start, &step, &count));
    TRY(jrun_step(r, count / 16));
    if (v.type == J_STR) return slice_string(r, v.u.s, start, step, count, out);
    if (v.type == J_RANGE) return JFAIL(r, "a slice of a range is not known to mop's templates; make a list of it (| list)");
    struct jlist *l;
    TRY(jlist_new(r, count, &l));
    for (int64_t i = 0; i < count; i++) l->v[l->n++] = v.u.l->v[start + i * step];
    *out = v.type == J_LIST ? jv_list(l) : jv_tuple(l);
    return OK;
}
