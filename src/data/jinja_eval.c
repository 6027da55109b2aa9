/* Expressions: walking their trees. */
#include "data/jinja_int.h"

#include <string.h>

err_t jrun_step(struct jrun *r, int64_t steps) {
    r->steps += steps;
    if (r->steps <= JINJA_STEPS) return OK;
    return JFAIL(r, "the template takes more than %d steps; it loops too long", JINJA_STEPS);
}

static struct jval *slot(struct jact *a, const struct jnode *n) {
    for (int i = 0; i < n->hops; i++) a = a->up;
    return &a->slots[n->slot];
}

static err_t eval_name(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jundef *u;
    *out = *slot(a, n);
    if (jv_given(*out)) return OK;
    TRY(JNEW(&r->mem, 1, &u));
    u->name = n->name;
    *out = (struct jval){.type = J_UNDEFINED, .u.undef = u};
    return OK;
}

static err_t eval_list(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jlist *l;
    TRY(jlist_new(r, 0, &l));
    for (const struct jnode *i = n->items; i; i = i->next) {
        struct jval v;
        TRY(jeval(r, a, i, &v));
        TRY(jlist_add(r, l, v));
    }
    *out = n->kind == JN_LIST ? jv_list(l) : jv_tuple(l);
    return OK;
}

static err_t eval_dict(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jdict *d;
    TRY(jdict_new(r, 0, &d));
    for (const struct jnode *i = n->items; i; i = i->next->next) {
        struct jval key, v;
        TRY(jeval(r, a, i, &key));
        TRY(jeval(r, a, i->next, &v));
        TRY(jdict_put(r, d, key, v));
    }
    *out = jv_dict(d);
    return OK;
}

static err_t eval_concat(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jbuf b = {0};
    for (const struct jnode *i = n->items; i; i = i->next) {
        struct jval v;
        TRY(jeval(r, a, i, &v));
        TRY(jprint(r, &b, v));
    }
    TRY(jrun_step(r, b.n / 64));
    return jbuf_value(r, &b, out);
}

static err_t compared(struct jrun *r, enum jop op, struct jval a, struct jval b, bool *yes) {
    switch (op) {
    case JO_EQ: return jv_equal(r, a, b, yes);
    case JO_NE: TRY(jv_equal(r, a, b, yes)); break;
    case JO_IN: return jv_contains(r, b, a, yes);
    case JO_NOT_IN: TRY(jv_contains(r, b, a, yes)); break;
    default: return jv_less(r, a, b, op, yes);
    }
    *yes = !*yes;
    return OK;
}

static err_t eval_compare(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jval left, right;
    bool yes = true;
    TRY(jeval(r, a, n->a, &left));
    for (const struct jnode *i = n->items; i && yes; i = i->next) {
        TRY(jeval(r, a, i->a, &right));
        TRY(compared(r, (enum jop)i->op, left, right, &yes));
        left = right;
    }
    *out = jv_bool(yes);
    return OK;
}

static err_t eval_logic(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    bool truth;
    TRY(jeval(r, a, n->a, out));
    TRY(jv_truth(r, *out, &truth));
    return truth == (n->kind == JN_AND) ? jeval(r, a, n->b, out) : OK;
}

static err_t eval_condition(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jval test;
    bool truth;
    TRY(jeval(r, a, n->b, &test));
    TRY(jv_truth(r, test, &truth));
    if (truth) return jeval(r, a, n->a, out);
    if (n->c) return jeval(r, a, n->c, out);
    return jv_undefined_why(r, "an if without else was false, so that it has no value; give it an else", out);
}

static err_t eval_item(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jval of, key, part[3];
    TRY(jeval(r, a, n->a, &of));
    if (n->b->kind != JN_SLICE) {
        TRY(jeval(r, a, n->b, &key));
        return jitem(r, of, key, out);
    }
    const struct jnode *const parts[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++) {
        part[i] = jv_missing();
        if (parts[i]) TRY(jeval(r, a, parts[i], &part[i]));
    }
    return jv_slice(r, of, part, out);
}

/* ---- calls ---- */

static err_t add_keyword(struct jrun *r, struct jargs *args, int64_t room, const struct jstr *name, struct jval v) {
    for (int64_t i = 0; i < args->nkw; i++)
        if (jstr_same(args->names[i], name)) return JFAIL(r, "the argument %.*s= is given twice; give it once", (int)name->bytes, name->p);
    ENSURE(args->nkw < room);
    args->names[args->nkw] = name;
    args->kw[args->nkw++] = v;
    return OK;
}

/* The arguments of a call, filter or test; caller: of a call block, or missing. */
static err_t eval_args(struct jrun *r, struct jact *a, const struct jnode *n, struct jval caller, struct jargs *args) {
    struct jlist *star = NULL;
    const struct jdict *stars = NULL;
    int64_t positional = 0, keywords = jv_given(caller);
    memset(args, 0, sizeof *args);
    for (const struct jnode *i = n->items; i; i = i->next) *(i->kind == JN_KEYWORD ? &keywords : &positional) += 1;
    for (const struct jnode *i = n->values; i; i = i->next) {
        struct jval v;
        TRY(jeval(r, a, i->a, &v));
        if (i->kind == JN_STAR) {
            TRY(jiter_list(r, v, &star));
            positional += star->n;
        } else {
            if (v.type != J_DICT) return v.type == J_UNDEFINED ? JUNDEFINED(r, v) : JFAIL(r, "** takes a dict, not a %s", jv_type(v));
            stars = v.u.d;
            keywords += stars->n;
        }
    }
    TRY(JNEW(&r->mem, positional + 1, &args->pos));
    if (keywords) {
        TRY(JNEW(&r->mem, keywords, &args->kw));
        TRY(JNEW(&r->mem, keywords, &args->names));
    }
    for (const struct jnode *i = n->items; i; i = i->next) {
        struct jval v;
        TRY(jeval(r, a, i->kind == JN_KEYWORD ? i->a : i, &v));
        if (i->kind == JN_KEYWORD) TRY(add_keyword(r, args, keywords, i->name, v));
        else args->pos[args->n++] = v;
    }
    for (int64_t i = 0; star && i < star->n; i++) args->pos[args->n++] = star->v[i];
    if (jv_given(caller)) {
        const struct jstr *name;
        TRY(jstr_new(&r->mem, "caller", 6, &name));
        TRY(add_keyword(r, args, keywords, name, caller));
    }
    for (int64_t i = 0; stars && i < stars->n; i++) {
        const struct jstr *name;
        TRY(jarg_str(r, "a name in **", stars->keys[i], &name));
        TRY(add_keyword(r, args, keywords, name, stars->vals[i]));
    }
    return OK;
}

err_t jcall(struct jrun *r, struct jval fn, const struct jargs *args, struct jval *out) {
    struct jval over;
    switch (fn.type) {
    case J_MACRO: return jmacro_call(r, fn.u.macro, args, out);
    case J_METHOD: return jfn_apply(r, fn.u.method->fn, fn.u.method->self, args, out);
    case J_GLOBAL: return jglobal_call(r, fn.u.global, args, out);
    case J_LOOP: TRY(jargs_bind(r, "loop", args, "iterable", &over)); return jloop_again(r, fn.u.loop, over, out);
    case J_JOINER:
        if (args->n || args->nkw) return JFAIL(r, "a joiner is called without arguments");
        if (fn.u.joiner->used) {
            *out = fn.u.joiner->sep;
            return OK;
        }
        fn.u.joiner->used = true;
        return jv_text(r, "", out);
    case J_UNDEFINED: return JUNDEFINED(r, fn);
    default: return JFAIL(r, "a %s is no function and cannot be called", jv_type(fn));
    }
}

err_t jeval_call(struct jrun *r, struct jact *a, const struct jnode *n, struct jval caller, struct jval *out) {
    struct jval fn;
    struct jargs args;
    TRY(jeval(r, a, n->a, &fn));
    TRY(eval_args(r, a, n, caller, &args));
    r->line = n->line;
    return jcall(r, fn, &args, out);
}

static err_t unknown(struct jrun *r, const struct jnode *n, const char *what) {
    return JFAIL(r, "there is no %s \"%.*s\" that mop's templates know; write the template without it", what, (int)n->name->bytes, n->name->p);
}

err_t jeval_filter(struct jrun *r, struct jact *a, const struct jnode *n, struct jval block,
                   struct jval *out) { // NOLINT(misc-no-recursion): as deep as the parser went
    struct jargs args;
    struct jval v = block;
    if (n->a && n->a->kind == JN_FILTER) TRY(jeval_filter(r, a, n->a, block, &v));
    else if (n->a) TRY(jeval(r, a, n->a, &v));
    TRY(eval_args(r, a, n, jv_missing(), &args));
    r->line = n->line;
    return n->fn ? jfn_apply(r, n->fn, v, &args, out) : unknown(r, n, "filter");
}

static err_t eval_test(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jargs args;
    struct jval v;
    bool yes;
    TRY(jeval(r, a, n->a, &v));
    TRY(eval_args(r, a, n, jv_missing(), &args));
    r->line = n->line;
    if (!n->fn) return unknown(r, n, "test");
    TRY(jtest_apply(r, n->fn, v, &args, &yes));
    *out = jv_bool(yes);
    return OK;
}

static err_t eval(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jval left, right;
    bool truth;
    switch (n->kind) {
    case JN_CONST: *out = n->value; return OK;
    case JN_NAME: return eval_name(r, a, n, out);
    case JN_LIST:
    case JN_TUPLE: return eval_list(r, a, n, out);
    case JN_DICT: return eval_dict(r, a, n, out);
    case JN_COND: return eval_condition(r, a, n, out);
    case JN_OR:
    case JN_AND: return eval_logic(r, a, n, out);
    case JN_NOT:
        TRY(jeval(r, a, n->a, &left));
        TRY(jv_truth(r, left, &truth));
        *out = jv_bool(!truth);
        return OK;
    case JN_COMPARE: return eval_compare(r, a, n, out);
    case JN_BINARY:
        TRY(jeval(r, a, n->a, &left));
        TRY(jeval(r, a, n->b, &right));
        r->line = n->line;
        return jbinary(r, (enum jop)n->op, left, right, out);
    case JN_NEG:
    case JN_POS: TRY(jeval(r, a, n->a, &left)); return jnegate(r, left, n->kind == JN_NEG, out);
    case JN_CONCAT: return eval_concat(r, a, n, out);
    case JN_ATTR:
        TRY(jeval(r, a, n->a, &left));
        r->line = n->line;
        return jattr(r, left, n->name, out);
    case JN_ITEM: return eval_item(r, a, n, out);
    case JN_CALL: return jeval_call(r, a, n, jv_missing(), out);
    case JN_FILTER: return jeval_filter(r, a, n, jv_missing(), out);
    case JN_TEST: return eval_test(r, a, n, out);
    case JN_SLICE: return JFAIL(r, "a slice stands in a list of keys; give one slice in brackets");
    default: return FAIL(ERR_BUG, "internal: no value of a node of kind %d; please report it with the template", (int)n->kind);
    }
}

err_t jeval(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) { // NOLINT(misc-no-recursion): bounded by JINJA_DEPTH
    r->line = n->line;
    TRY(jrun_step(r, 1));
    if (++r->depth > JINJA_DEPTH)
        return JFAIL(r, "calls and expressions more than %d deep in one another; the template calls itself too often", JINJA_DEPTH);
    TRY(eval(r, a, n, out));
    r->depth--;
    return OK;
}
