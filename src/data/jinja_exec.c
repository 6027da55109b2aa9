/* Statements: printing, branching, loops, macros. */
#include "data/jinja_int.h"

#include <string.h>

/* ---- scopes and variables ---- */

void jscope_enter(struct jrun *r, struct jact *a, const struct jscope *s) {
    for (int i = 0; i < s->n; i++) {
        const struct jscope_var *v = &s->var[i];
        if (v->how == JL_PARAM) continue;
        struct jval *to = &a->slots[v->slot];
        *to = jv_missing();
        if (v->how == JL_ALIAS) {
            const struct jact *outer = a;
            for (int k = 0; k < v->hops; k++) outer = outer->up;
            *to = outer->slots[v->from];
        } else if (v->how == JL_RESOLVE) {
            const int64_t at = jdict_str(r->vars, v->name);
            const int global = at < 0 ? jglobal_find(v->name) : 0;
            if (at >= 0) *to = r->vars->vals[at];
            else if (global) *to = (struct jval){.type = J_GLOBAL, .u.global = global};
        }
    }
}

static void leave(struct jact *a, const struct jscope *s) {
    for (int i = 0; i < s->n; i++) a->slots[s->var[i].slot] = jv_missing();
}

static struct jval *slot(struct jact *a, const struct jnode *n) {
    for (int i = 0; i < n->hops; i++) a = a->up;
    return &a->slots[n->slot];
}

static err_t act_new(struct jrun *r, struct jact *up, int slots, struct jact **out) {
    TRY(JNEW(&r->mem, 1, out));
    (*out)->up = up;
    return JNEW(&r->mem, slots + 1, &(*out)->slots);
}

err_t jexec_assign(struct jrun *r, struct jact *a, const struct jnode *target,
                   struct jval v) { // NOLINT(misc-no-recursion): as deep as the parser went
    if (target->kind == JN_NAME) {
        *slot(a, target) = v;
        return OK;
    }
    if (target->kind == JN_NSREF) {
        if (target->attr->p[0] == '_')
            return JFAIL(r, "a name that begins with an underscore (%.*s) is not for templates; rename it", (int)target->attr->bytes,
                         target->attr->p);
        return jdict_put(r, slot(a, target)->u.ns, jv_str(target->attr), v);
    }
    struct jlist *l;
    int64_t count = 0, i = 0;
    for (const struct jnode *t = target->items; t; t = t->next) count++;
    TRY(jiter_list(r, v, &l));
    if (l->n != count) return JFAIL(r, "%lld values for %lld variables; give as many", (long long)l->n, (long long)count);
    for (const struct jnode *t = target->items; t; t = t->next) TRY(jexec_assign(r, a, t, l->v[i++]));
    return OK;
}

/* Only namespaces have attributes that can be set; known before the value is. */
static err_t check_target(struct jrun *r, struct jact *a, const struct jnode *target) { // NOLINT(misc-no-recursion): the same
    if (target->kind == JN_NSREF && slot(a, target)->type != J_NAMESPACE)
        return JFAIL(r, "%.*s is no namespace, so that %.*s.%.*s cannot be set; make one: {%% set %.*s = namespace() %%}", (int)target->name->bytes,
                     target->name->p, (int)target->name->bytes, target->name->p, (int)target->attr->bytes, target->attr->p, (int)target->name->bytes,
                     target->name->p);
    for (const struct jnode *t = target->kind == JN_TUPLE ? target->items : NULL; t; t = t->next) TRY(check_target(r, a, t));
    return OK;
}

/* ---- loops ---- */

/* The next item for which the loop's test holds, as the test's targets hold it. */
static err_t next_tested(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    if (!it->at++) jscope_enter(r, it->act, &it->node->test_scope);
    for (;;) {
        struct jval test;
        bool yes;
        TRY(jiter_next(r, it->from, out, got));
        if (!*got) return OK;
        TRY(jexec_assign(r, it->act, it->node->d, *out));
        TRY(jeval(r, it->act, it->node->c, &test));
        TRY(jv_truth(r, test, &yes));
        if (yes) return jeval(r, it->act, it->node->d, out);
    }
}

static err_t loop_new(struct jrun *r, struct jact *outer, const struct jnode *n, struct jval over, int64_t depth0, struct jloop **out) {
    struct jiter *it;
    struct jloop *l;
    TRY(jiter_open(r, over, &it));
    if (n->c) {
        struct jiter *tested;
        TRY(jiter_new(r, next_tested, &tested));
        tested->from = it;
        tested->node = n;
        TRY(act_new(r, outer, n->test_slots, &tested->act));
        it = tested;
        over = (struct jval){.type = J_ITER, .u.it = it};
    }
    TRY(JNEW(&r->mem, 1, &l));
    *l = (struct jloop){.it = it, .over = over, .index0 = -1, .length = -1, .depth0 = depth0, .node = n->flag ? n : NULL, .act = outer};
    *out = l;
    return OK;
}

/* outer: where the loop stands; inner: where its variables lie, the same unless it is recursive. */
static err_t run_loop(struct jrun *r, struct jact *outer, struct jact *inner, const struct jnode *n, struct jval over, int64_t depth0,
                      struct jbuf *out, enum jflow *flow) {
    struct jloop *l = NULL;
    bool none = true, got;
    enum jflow own = JF_ON;
    TRY(loop_new(r, outer, n, over, depth0, &l));
    while (own != JF_BREAK) {
        TRY(jloop_next(r, l, &got));
        if (!got) break;
        TRY(jexec_assign(r, inner, n->a, l->now));
        if (n->slot >= 0) inner->slots[n->slot] = (struct jval){.type = J_LOOP, .u.loop = l};
        jscope_enter(r, inner, &n->scope);
        own = JF_ON;
        TRY(jexec(r, inner, n->body, out, &own));
        if (own == JF_ON) none = false; /* as Jinja: an item left by continue does not count */
    }
    leave(inner, &n->scope);
    if (!n->other || !none) return OK;
    jscope_enter(r, inner, &n->other_scope);
    TRY(jexec(r, inner, n->other, out, flow));
    leave(inner, &n->other_scope);
    return OK;
}

static err_t recursive_loop(struct jrun *r, struct jact *outer, const struct jnode *n, struct jval over, int64_t depth0, struct jval *out) {
    struct jact *inner;
    struct jbuf b = {0};
    enum jflow flow = JF_ON;
    TRY(act_new(r, outer, n->slots, &inner));
    TRY(run_loop(r, outer, inner, n, over, depth0, &b, &flow));
    return jbuf_value(r, &b, out);
}

err_t jloop_again(struct jrun *r, struct jloop *l, struct jval over, struct jval *out) {
    if (!l->node) return JFAIL(r, "loop is called, but the loop is not recursive; write {%% for ... recursive %%}");
    return recursive_loop(r, l->act, l->node, over, l->depth0 + 1, out);
}

static err_t exec_for(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out, enum jflow *flow) {
    struct jval over, text;
    TRY(jeval(r, a, n->b, &over));
    r->line = n->line;
    if (!n->flag) return run_loop(r, a, a, n, over, 0, out, flow);
    TRY(recursive_loop(r, a, n, over, 0, &text));
    return jbuf_str(r, out, text.u.s);
}

/* ---- macros ---- */

static int64_t keyword(const struct jargs *args, const bool *used, const struct jstr *name) {
    for (int64_t i = 0; i < args->nkw; i++)
        if (!used[i] && jstr_same(args->names[i], name)) return i;
    return -1;
}

/* kwargs: what no parameter took. */
static err_t rest_of(struct jrun *r, const struct jargs *args, const bool *used, struct jval *out) {
    struct jdict *d;
    TRY(jdict_new(r, args->nkw, &d));
    for (int64_t i = 0; i < args->nkw; i++)
        if (!used[i]) TRY(jdict_put(r, d, jv_str(args->names[i]), args->kw[i]));
    *out = jv_dict(d);
    return OK;
}

static err_t bind_special(struct jrun *r, const struct jmacro *m, struct jact *a, const struct jargs *args, bool *used, int64_t position,
                          bool found_caller) {
    const struct jnode *n = m->node;
    const struct jstr caller = {"caller", 6, 6, false};
    if (n->special & JM_CALLER && !found_caller) {
        const int64_t k = keyword(args, used, &caller);
        if (k >= 0) used[k] = true;
        struct jval v = k >= 0 ? args->kw[k] : jv_none();
        if (v.type == J_NONE) TRY(jv_undefined_why(r, "this macro was not called by {% call %}, so that it has no caller", &v));
        if (n->caller_slot >= 0) a->slots[n->caller_slot] = v;
    }
    if (n->special & JM_KWARGS) TRY(rest_of(r, args, used, &a->slots[n->kwargs_slot]));
    for (int64_t i = 0; i < args->nkw && !(n->special & JM_KWARGS); i++)
        if (!used[i]) return JFAIL(r, "the macro takes no argument %.*s=; leave it out", (int)args->names[i]->bytes, args->names[i]->p);
    if (n->special & JM_VARARGS) {
        struct jlist *l;
        TRY(jlist_new(r, 0, &l));
        for (int64_t i = position; i < args->n; i++) TRY(jlist_add(r, l, args->pos[i]));
        a->slots[n->varargs_slot] = jv_tuple(l);
    } else if (args->n > position) {
        return JFAIL(r, "the macro takes %lld arguments, not %lld; leave some out", (long long)position, (long long)args->n);
    }
    return OK;
}

/* Parameters that were not given: their defaults, which see those before them. */
static err_t bind_defaults(struct jrun *r, const struct jnode *n, struct jact *a) {
    int without = 0;
    for (const struct jnode *p = n->items; p; p = p->next) without++;
    for (const struct jnode *d = n->values; d; d = d->next) without--;
    const struct jnode *d = n->values;
    for (const struct jnode *p = n->items; p; p = p->next) {
        const struct jnode *own = without-- > 0 ? NULL : d;
        if (own) d = d->next;
        if (jv_given(a->slots[p->slot])) continue;
        if (own) TRY(jeval(r, a, own, &a->slots[p->slot]));
        else TRY(jv_undefined_why(r, "a macro's parameter was not given and has no default", &a->slots[p->slot]));
    }
    return OK;
}

err_t jmacro_call(struct jrun *r, struct jmacro *m, const struct jargs *args, struct jval *out) {
    const struct jnode *n = m->node;
    struct jact *a;
    bool *used, found_caller = false;
    int64_t position = 0;
    TRY(act_new(r, m->up, n->slots, &a));
    TRY(JNEW(&r->mem, args->nkw + 1, &used));
    for (const struct jnode *p = n->items; p; p = p->next, position++) {
        found_caller = found_caller || jstr_is(p->name, "caller");
        if (position < args->n) {
            a->slots[p->slot] = args->pos[position];
            continue;
        }
        const int64_t k = keyword(args, used, p->name);
        if (k < 0) continue;
        used[k] = true;
        a->slots[p->slot] = args->kw[k];
    }
    TRY(bind_special(r, m, a, args, used, position, found_caller));
    jscope_enter(r, a, &n->scope);
    TRY(bind_defaults(r, n, a));
    struct jbuf b = {0};
    enum jflow flow = JF_ON;
    TRY(jexec(r, a, n->body, &b, &flow));
    return jbuf_value(r, &b, out);
}

static err_t macro_new(struct jrun *r, struct jact *a, const struct jnode *n, struct jval *out) {
    struct jmacro *m;
    TRY(JNEW(&r->mem, 1, &m));
    *m = (struct jmacro){n, a, n->kind == JN_MACRO ? n->name : NULL};
    *out = (struct jval){.type = J_MACRO, .u.macro = m};
    return OK;
}

/* What {% generation %} holds, and where in the text it stands. */
static err_t generation(struct jrun *r, struct jval body, struct jval *out) {
    const struct jargs none = {0};
    TRY(jcall(r, body, &none, out));
    if (r->span_count == r->span_room) {
        struct jinja_span *more;
        TRY(JNEW(&r->mem, 2 * r->span_room + 16, &more));
        if (r->span_count) memcpy(more, r->spans, (size_t)r->span_count * sizeof *more);
        r->spans = more;
        r->span_room = 2 * r->span_room + 16;
    }
    r->spans[r->span_count++] = (struct jinja_span){r->out.n, r->out.n + out->u.s->bytes, r->out.chars, r->out.chars + out->u.s->chars};
    return OK;
}

static err_t exec_call_block(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out) {
    struct jval caller, text;
    TRY(macro_new(r, a, n, &caller));
    TRY(n->a ? jeval_call(r, a, n->a, caller, &text) : generation(r, caller, &text));
    if (text.type != J_STR) return JFAIL(r, "what {%% call %%} calls gives a %s, not text; call a macro", jv_type(text));
    return jbuf_str(r, out, text.u.s);
}

/* ---- the other tags ---- */

static err_t exec_set_block(struct jrun *r, struct jact *a, const struct jnode *n, enum jflow *flow) {
    struct jbuf b = {0};
    struct jval text;
    TRY(check_target(r, a, n->a));
    jscope_enter(r, a, &n->scope);
    TRY(jexec(r, a, n->body, &b, flow));
    if (*flow != JF_ON) return OK;
    TRY(jbuf_value(r, &b, &text));
    if (n->b) TRY(jeval_filter(r, a, n->b, text, &text));
    TRY(jexec_assign(r, a, n->a, text));
    leave(a, &n->scope);
    return OK;
}

static err_t exec_filter_block(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out, enum jflow *flow) {
    struct jbuf b = {0};
    struct jval text;
    jscope_enter(r, a, &n->scope);
    TRY(jexec(r, a, n->body, &b, flow));
    if (*flow != JF_ON) return OK;
    TRY(jbuf_value(r, &b, &text));
    TRY(jeval_filter(r, a, n->b, text, &text));
    if (text.type != J_STR) return JFAIL(r, "the filter of {%% filter %%} gives a %s, not text; add | string", jv_type(text));
    TRY(jbuf_str(r, out, text.u.s));
    leave(a, &n->scope);
    return OK;
}

static err_t exec_with(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out, enum jflow *flow) {
    jscope_enter(r, a, &n->scope);
    const struct jnode *value = n->values;
    for (const struct jnode *t = n->items; t; t = t->next, value = value->next) {
        struct jval v;
        TRY(jeval(r, a, value, &v));
        TRY(jexec_assign(r, a, t, v));
    }
    TRY(jexec(r, a, n->body, out, flow));
    leave(a, &n->scope);
    return OK;
}

static err_t exec_print(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out) {
    for (const struct jnode *i = n->items; i; i = i->next) {
        struct jval v;
        if (i->kind == JN_DATA) {
            TRY(jbuf_str(r, out, i->name));
            continue;
        }
        TRY(jeval(r, a, i, &v));
        TRY(jprint(r, out, v));
    }
    return OK;
}

static err_t exec_if(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out, enum jflow *flow) {
    const struct jnode *branch = n, *elif = n->items;
    for (; branch; branch = elif, elif = elif ? elif->next : NULL) {
        struct jval test;
        bool truth;
        TRY(jeval(r, a, branch->a, &test));
        TRY(jv_truth(r, test, &truth));
        if (truth) return jexec(r, a, branch->body, out, flow);
    }
    return jexec(r, a, n->other, out, flow);
}

static err_t exec(struct jrun *r, struct jact *a, const struct jnode *n, struct jbuf *out, enum jflow *flow) {
    struct jval v;
    switch (n->kind) {
    case JN_PRINT: return exec_print(r, a, n, out);
    case JN_IF: return exec_if(r, a, n, out, flow);
    case JN_FOR: return exec_for(r, a, n, out, flow);
    case JN_SET:
        TRY(check_target(r, a, n->a));
        TRY(jeval(r, a, n->b, &v));
        r->line = n->line;
        return jexec_assign(r, a, n->a, v);
    case JN_SETBLOCK: return exec_set_block(r, a, n, flow);
    case JN_WITH: return exec_with(r, a, n, out, flow);
    case JN_MACRO: return macro_new(r, a, n, slot(a, n));
    case JN_CALL_BLOCK: return exec_call_block(r, a, n, out);
    case JN_FILTER_BLOCK: return exec_filter_block(r, a, n, out, flow);
    case JN_BREAK: *flow = JF_BREAK; return OK;
    case JN_CONTINUE: *flow = JF_CONTINUE; return OK;
    case JN_REFUSED:
        return JFAIL(r, "{%% %.*s %%} asks for another template, and a chat template stands alone; write it out", (int)n->name->bytes, n->name->p);
    default: return FAIL(ERR_BUG, "internal: a node of kind %d is no statement; please report it with the template", (int)n->kind);
    }
}

err_t jexec(struct jrun *r, struct jact *a, const struct jnode *body, struct jbuf *out,
            enum jflow *flow) { // NOLINT(misc-no-recursion): bounded by JINJA_DEPTH
    if (++r->depth > JINJA_DEPTH)
        return JFAIL(r, "blocks and calls more than %d deep in one another; the template calls itself too often", JINJA_DEPTH);
    for (; body && *flow == JF_ON; body = body->next) {
        r->line = body->line;
        TRY(jrun_step(r, 1));
        TRY(exec(r, a, body, out, flow));
    }
    r->depth--;
    return OK;
}
