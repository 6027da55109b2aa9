/* Which variable a name means, decided before a template runs, as Jinja's compiler does it.
 *
 * Every frame (the template, a loop's body, a macro, a block) has a table of the names it knows; a name is looked for there and outwards. A frame that
 * sets a name has a variable of its own, which begins as the outer one's copy, as what the template was given, or as nothing; an `if` is no frame, and
 * what only one of its branches sets begins as what the template was given. Variables lie in the slots of the function that the frame is in: the
 * template, a macro, a call block, a recursive loop and a loop's test are functions. */
#include "data/jinja_int.h"

#include <string.h>

struct func {
    struct func *up;
    struct {
        const struct jstr *name;
        int level;
    } * var;
    int n, room;
};
struct known {
    const struct jstr *name;
    enum jload how;
    const struct table *outer; /* JL_ALIAS: whose variable it begins as */
    bool stored;
};
struct table {
    struct table *parent;
    struct func *fn;
    int level;
    struct known *k;
    int n, room;
};
struct frame {
    struct table *t;
    bool soft;    /* inside an if */
    bool in_loop; /* of this function: break and continue may stand here */
    bool direct;  /* what is printed is the template's own text, no macro's or block's */
};

struct resolver {
    struct jinja *j;
    struct jmem *mem;
};

#define SCOPEFAIL(r, at, ...) ((void)err_set(ERR_FORMAT, __func__, __VA_ARGS__), jinja_where((r)->j->name, (at)), ERR_FORMAT)

/* ---- tables ---- */

static err_t table_new(struct resolver *r, struct table *parent, struct func *fn, struct table **out) {
    TRY(JNEW(r->mem, 1, out));
    **out = (struct table){.parent = parent, .fn = fn, .level = parent ? parent->level + 1 : 0};
    return OK;
}

static err_t func_new(struct resolver *r, struct func *up, struct func **out) {
    TRY(JNEW(r->mem, 1, out));
    (*out)->up = up;
    return OK;
}

static struct known *own(const struct table *t, const struct jstr *name) {
    for (int i = 0; i < t->n; i++)
        if (jstr_same(t->k[i].name, name)) return &t->k[i];
    return NULL;
}

static const struct table *owner(const struct table *t, const struct jstr *name) {
    while (t && !own(t, name)) t = t->parent;
    return t;
}

static err_t define(struct resolver *r, struct table *t, struct known k) {
    struct known *there = own(t, k.name);
    if (there) {
        *there = k;
        return OK;
    }
    if (t->n == t->room) {
        struct known *more;
        TRY(JNEW(r->mem, 2 * t->room + 8, &more));
        if (t->n) memcpy(more, t->k, (size_t)t->n * sizeof *more);
        t->k = more;
        t->room = 2 * t->room + 8;
    }
    t->k[t->n++] = k;
    return OK;
}

static err_t load(struct resolver *r, struct table *t, const struct jstr *name) {
    return owner(t, name) ? OK : define(r, t, (struct known){.name = name, .how = JL_RESOLVE});
}

static err_t store(struct resolver *r, struct table *t, const struct jstr *name) {
    struct known *k = own(t, name);
    if (k) {
        k->stored = true;
        return OK;
    }
    const struct table *outer = t->parent ? owner(t->parent, name) : NULL;
    return define(r, t, (struct known){.name = name, .how = outer ? JL_ALIAS : JL_UNDEFINED, .outer = outer, .stored = true});
}

static err_t param(struct resolver *r, struct table *t, const struct jstr *name) {
    return define(r, t, (struct known){.name = name, .how = JL_PARAM, .stored = true});
}

static err_t copy(struct resolver *r, const struct table *t, struct table *out) {
    *out = *t;
    TRY(JNEW(r->mem, t->n + 1, &out->k));
    if (t->n) memcpy(out->k, t->k, (size_t)t->n * sizeof *out->k);
    out->room = t->n + 1;
    return OK;
}

/* What an if's branches know, the if knows. */
static err_t merge(struct resolver *r, struct table *t, const struct table *branch, int branches) {
    const int before = t->n;
    struct table old;
    TRY(copy(r, t, &old));
    for (int b = 0; b < branches; b++)
        for (int i = 0; i < branch[b].n; i++) {
            struct known k = branch[b].k[i];
            const struct known *mine = own(t, k.name);
            k.stored = k.stored || (mine && mine->stored);
            TRY(define(r, t, k));
        }
    for (int i = 0; i < t->n; i++) {
        struct known *k = &t->k[i];
        if (!k->stored || (i < before && old.k[i].stored)) continue;
        k->outer = t->parent ? owner(t->parent, k->name) : NULL;
        k->how = k->outer ? JL_ALIAS : JL_RESOLVE;
    }
    return OK;
}

/* ---- what a frame's statements load and store: blocks with frames of their own are not entered ---- */

static err_t look(struct resolver *r, struct table *t, const struct jnode *n);

static err_t look_list(struct resolver *r, struct table *t, const struct jnode *list) { // NOLINT(misc-no-recursion): as deep as the parser went
    for (; list; list = list->next) TRY(look(r, t, list));
    return OK;
}

static err_t look_target(struct resolver *r, struct table *t, const struct jnode *n, bool parameter) { // NOLINT(misc-no-recursion): the same
    if (n->kind == JN_NSREF) return load(r, t, n->name);
    if (n->kind == JN_NAME) return parameter ? param(r, t, n->name) : store(r, t, n->name);
    for (const struct jnode *i = n->items; i; i = i->next) TRY(look_target(r, t, i, parameter));
    return OK;
}

static err_t look_if(struct resolver *r, struct table *t, const struct jnode *n) { // NOLINT(misc-no-recursion): the same
    const struct jnode *part[3] = {n->body, n->items, n->other};
    struct table branch[3];
    TRY(look(r, t, n->a));
    for (int i = 0; i < 3; i++) {
        TRY(copy(r, t, &branch[i]));
        TRY(look_list(r, &branch[i], part[i]));
    }
    return merge(r, t, branch, 3);
}

static err_t look(struct resolver *r, struct table *t, const struct jnode *n) { // NOLINT(misc-no-recursion): the same
    if (!n) return OK;
    switch (n->kind) {
    case JN_IF: return look_if(r, t, n);
    case JN_FOR: return look(r, t, n->b);
    case JN_SET: TRY(look(r, t, n->b)); return look_target(r, t, n->a, false);
    case JN_SETBLOCK: return look_target(r, t, n->a, false);
    case JN_WITH: return look_list(r, t, n->values);
    case JN_MACRO: return store(r, t, n->name);
    case JN_CALL_BLOCK: return look(r, t, n->a);
    case JN_FILTER_BLOCK: return look(r, t, n->b);
    case JN_NAME: return load(r, t, n->name);
    default:
        TRY(look(r, t, n->a));
        TRY(look(r, t, n->b));
        TRY(look(r, t, n->c));
        TRY(look_list(r, t, n->items));
        return look_list(r, t, n->values);
    }
}

/* ---- names that a body uses without setting them before, through all its blocks ---- */

struct wanted {
    const char *const *name;
    unsigned open, found; /* bits of `name` */
    bool done;
};

static void seek(struct wanted *w, const struct jnode *n, bool target);

static void seek_list(struct wanted *w, const struct jnode *list, bool target) { // NOLINT(misc-no-recursion): as deep as the parser went
    for (; list && !w->done; list = list->next) seek(w, list, target);
}

static void seek_name(struct wanted *w, const struct jstr *name, bool target) {
    for (unsigned i = 0; w->name[i]; i++) {
        if (!jstr_is(name, w->name[i])) continue;
        if (target) w->open &= ~(1u << i);
        else if (w->open >> i & 1) w->found |= 1u << i;
        w->done = w->found && w->found == w->open;
    }
}

static void seek(struct wanted *w, const struct jnode *n, bool target) { // NOLINT(misc-no-recursion): the same
    if (!n || w->done) return;
    const bool sets = n->kind == JN_FOR || n->kind == JN_SET || n->kind == JN_SETBLOCK;
    const bool items_set = n->kind == JN_WITH || n->kind == JN_MACRO || n->kind == JN_CALL_BLOCK;
    if (n->kind == JN_NAME) {
        seek_name(w, n->name, target);
        return;
    }
    if (n->kind == JN_FILTER_BLOCK) seek_list(w, n->body, false);
    seek(w, n->kind == JN_COND ? n->b : n->a, sets || target);
    if (n->kind == JN_IF) seek_list(w, n->body, false);
    seek(w, n->kind == JN_COND ? n->a : n->b, false);
    seek_list(w, n->items, items_set || target);
    seek_list(w, n->values, false);
    if (n->kind != JN_IF && n->kind != JN_FILTER_BLOCK) seek_list(w, n->body, false);
    seek_list(w, n->other, false);
    seek(w, n->c, false);
}

static unsigned undeclared(const struct jnode *body, const char *const *names) {
    struct wanted w = {.name = names};
    for (unsigned i = 0; names[i]; i++) w.open |= 1u << i;
    seek_list(&w, body, false);
    return w.found;
}

/* The line of a tag below that sets a variable called loop; 0: none. */
static int sets_loop(const struct jnode *n);

static int target_is_loop(const struct jnode *n) { // NOLINT(misc-no-recursion): as deep as the parser went
    if (n->kind == JN_NAME) return jstr_is(n->name, "loop") ? n->line : 0;
    int line = 0;
    for (const struct jnode *i = n->kind == JN_TUPLE ? n->items : NULL; i && !line; i = i->next) line = target_is_loop(i);
    return line;
}

static int list_sets_loop(const struct jnode *list) { // NOLINT(misc-no-recursion): the same
    int line = 0;
    for (; list && !line; list = list->next) line = sets_loop(list);
    return line;
}

static int sets_loop(const struct jnode *n) { // NOLINT(misc-no-recursion): the same
    int line = 0;
    if (n->kind == JN_FOR || n->kind == JN_SET || n->kind == JN_SETBLOCK) line = target_is_loop(n->a);
    if (!line && n->kind == JN_IF) line = list_sets_loop(n->items);
    if (!line) line = list_sets_loop(n->body);
    return line ? line : list_sets_loop(n->other);
}

/* ---- slots ---- */

static err_t slot_of(struct resolver *r, struct func *f, int level, const struct jstr *name, int *slot) {
    for (*slot = 0; *slot < f->n; (*slot)++)
        if (f->var[*slot].level == level && jstr_same(f->var[*slot].name, name)) return OK;
    if (f->n == f->room) {
        void *more;
        TRY(jmem_get(r->mem, (2 * f->room + 16) * (int64_t)sizeof *f->var, &more));
        if (f->n) memcpy(more, f->var, (size_t)f->n * sizeof *f->var);
        f->var = more;
        f->room = 2 * f->room + 16;
    }
    f->var[f->n].name = name;
    f->var[f->n++].level = level;
    return OK;
}

static int hops(const struct func *from, const struct func *to) {
    int n = 0;
    for (; from && from != to; from = from->up) n++;
    return n;
}

static err_t resolve_name(struct resolver *r, const struct table *t, struct jnode *n) {
    const struct table *o = owner(t, n->name);
    if (!o) return SCOPEFAIL(r, n->line, "\"%.*s\" cannot be found from here; set it before this block", (int)n->name->bytes, n->name->p);
    n->hops = hops(t->fn, o->fn);
    return slot_of(r, o->fn, o->level, n->name, &n->slot);
}

/* What entering the frame does to the variables that it has so far. */
static err_t seal(struct resolver *r, const struct table *t, struct jscope *s) {
    TRY(JNEW(r->mem, t->n + 1, &s->var));
    s->n = t->n;
    for (int i = 0; i < t->n; i++) {
        const struct known *k = &t->k[i];
        struct jscope_var *v = &s->var[i];
        *v = (struct jscope_var){.name = k->name, .how = k->how};
        TRY(slot_of(r, t->fn, t->level, k->name, &v->slot));
        if (k->how != JL_ALIAS) continue;
        v->hops = hops(t->fn, k->outer->fn);
        TRY(slot_of(r, k->outer->fn, k->outer->level, k->name, &v->from));
    }
    return OK;
}

/* ---- walking the tree, frame by frame ---- */

static err_t walk(struct resolver *r, struct frame f, struct jnode *n);

static err_t walk_list(struct resolver *r, struct frame f, struct jnode *list) { // NOLINT(misc-no-recursion): as deep as the parser went
    for (; list; list = list->next) TRY(walk(r, f, list));
    return OK;
}

static err_t walk_for(struct resolver *r, struct frame f, struct jnode *n) { // NOLINT(misc-no-recursion): the same
    static const char *const LOOP[] = {"loop", NULL};
    const int set_at = target_is_loop(n->a) ? n->line : sets_loop(n);
    if (set_at) return SCOPEFAIL(r, set_at, "\"loop\" is the loop's own and cannot be set inside it; use another name");
    TRY(walk(r, f, n->b));
    struct func *fn = f.t->fn;
    if (n->flag) TRY(func_new(r, fn, &fn));
    struct table *body, *other;
    TRY(table_new(r, f.t, fn, &body));
    const bool extended = n->flag || undeclared(n->body, LOOP);
    const struct jstr *loop = NULL;
    if (extended) {
        TRY(jstr_new(r->mem, LOOP[0], 4, &loop));
        TRY(param(r, body, loop));
    }
    TRY(look_target(r, body, n->a, true));
    TRY(look_list(r, body, n->body));
    if (n->c) {
        struct func *test_fn;
        struct table *test;
        TRY(func_new(r, f.t->fn, &test_fn));
        TRY(table_new(r, f.t, test_fn, &test));
        TRY(look_target(r, test, n->d, true));
        TRY(look(r, test, n->c));
        TRY(seal(r, test, &n->test_scope));
        const struct frame inner = {.t = test};
        TRY(walk(r, inner, n->d));
        TRY(walk(r, inner, n->c));
        n->test_slots = test_fn->n;
    }
    TRY(seal(r, body, &n->scope));
    struct frame inner = {.t = body, .in_loop = true, .direct = f.direct && !n->flag};
    TRY(walk(r, inner, n->a));
    TRY(walk_list(r, inner, n->body));
    if (extended) TRY(slot_of(r, fn, body->level, loop, &n->slot));
    TRY(table_new(r, f.t, fn, &other));
    TRY(look_list(r, other, n->other));
    TRY(seal(r, other, &n->other_scope));
    inner = (struct frame){.t = other, .in_loop = f.in_loop && !n->flag, .direct = inner.direct};
    TRY(walk_list(r, inner, n->other));
    n->slots = n->flag ? fn->n : 0;
    return OK;
}

static err_t special_param(struct resolver *r, struct table *t, const char *name, int *slot) {
    const struct jstr *s;
    TRY(jstr_new(r->mem, name, (int64_t)strlen(name), &s));
    TRY(param(r, t, s));
    return slot_of(r, t->fn, t->level, s, slot);
}

static err_t walk_macro(struct resolver *r, struct frame f, struct jnode *n) { // NOLINT(misc-no-recursion): the same
    static const char *const SPECIAL[] = {"caller", "kwargs", "varargs", NULL};
    struct func *fn;
    struct table *t;
    TRY(func_new(r, f.t->fn, &fn));
    TRY(table_new(r, f.t, fn, &t));
    const unsigned found = undeclared(n->body, SPECIAL);
    unsigned named = 0;
    int position = 0, count = 0, defaults = 0;
    for (const struct jnode *d = n->values; d; d = d->next) defaults++;
    for (const struct jnode *p = n->items; p; p = p->next) count++;
    for (const struct jnode *p = n->items; p; p = p->next, position++) {
        TRY(param(r, t, p->name));
        for (unsigned i = 0; SPECIAL[i]; i++)
            if (jstr_is(p->name, SPECIAL[i])) named |= 1u << i;
        if (jstr_is(p->name, SPECIAL[0]) && (found & 1) && position < count - defaults)
            return SCOPEFAIL(r, n->line, "the parameter \"caller\" has no default; give it one, or leave it out");
    }
    n->special = (int)(found & ~(named & 6u)); /* a parameter called caller is both */
    if (found & 1 & ~named) TRY(special_param(r, t, SPECIAL[0], &n->caller_slot));
    if (named & 1) n->caller_slot = -1;
    if (n->special & JM_KWARGS) TRY(special_param(r, t, SPECIAL[1], &n->kwargs_slot));
    if (n->special & JM_VARARGS) TRY(special_param(r, t, SPECIAL[2], &n->varargs_slot));
    TRY(look_list(r, t, n->values));
    TRY(look_list(r, t, n->body));
    TRY(seal(r, t, &n->scope));
    const struct frame inner = {.t = t};
    TRY(walk_list(r, inner, n->items));
    TRY(walk_list(r, inner, n->values));
    TRY(walk_list(r, inner, n->body));
    n->slots = fn->n;
    return OK;
}

static err_t walk_block(struct resolver *r, struct frame f, struct jnode *n) { // NOLINT(misc-no-recursion): the same
    struct frame inner = {.in_loop = f.in_loop, .direct = f.direct && n->kind == JN_WITH};
    TRY(table_new(r, f.t, f.t->fn, &inner.t));
    if (n->kind == JN_WITH) {
        TRY(walk_list(r, f, n->values));
        for (const struct jnode *i = n->items; i; i = i->next) TRY(look_target(r, inner.t, i, true));
    }
    TRY(look_list(r, inner.t, n->body));
    if (n->kind == JN_FILTER_BLOCK) TRY(look(r, inner.t, n->b));
    TRY(seal(r, inner.t, &n->scope));
    if (n->kind == JN_WITH) TRY(walk_list(r, inner, n->items));
    TRY(walk_list(r, inner, n->body));
    if (n->kind == JN_SETBLOCK) TRY(walk(r, f, n->a));
    return n->kind == JN_WITH ? OK : walk(r, inner, n->b);
}

static err_t walk_applied(struct resolver *r, struct frame f, struct jnode *n) { // NOLINT(misc-no-recursion): the same
    n->fn = n->kind == JN_FILTER ? (const void *)jfilter_find(n->name) : (const void *)jtest_find(n->name);
    if (!n->fn && !f.soft)
        return SCOPEFAIL(r, n->line, "there is no %s \"%.*s\" that mop's templates know; write the template without it",
                         n->kind == JN_FILTER ? "filter" : "test", (int)n->name->bytes, n->name->p);
    TRY(walk(r, f, n->a));
    TRY(walk_list(r, f, n->items));
    return walk_list(r, f, n->values);
}

static err_t walk(struct resolver *r, struct frame f, struct jnode *n) { // NOLINT(misc-no-recursion): the same
    if (!n) return OK;
    struct frame soft = f;
    soft.soft = true;
    switch (n->kind) {
    case JN_NAME:
    case JN_NSREF: return resolve_name(r, f.t, n);
    case JN_FOR: return walk_for(r, f, n);
    case JN_IF:
    case JN_COND: f = soft; break;
    case JN_MACRO: TRY(walk_macro(r, f, n)); return resolve_name(r, f.t, n);
    case JN_CALL_BLOCK:
        if (!n->a) r->j->in_function_marks = r->j->in_function_marks || !f.direct;
        TRY(walk_macro(r, f, n));
        return walk(r, f, n->a);
    case JN_WITH:
    case JN_SETBLOCK:
    case JN_FILTER_BLOCK: return walk_block(r, f, n);
    case JN_FILTER:
    case JN_TEST: return walk_applied(r, f, n);
    case JN_BREAK:
    case JN_CONTINUE:
        if (f.in_loop) return OK;
        return SCOPEFAIL(r, n->line, "{%% %s %%} stands in no loop; take it out", n->kind == JN_BREAK ? "break" : "continue");
    default: break;
    }
    TRY(walk(r, f, n->a));
    TRY(walk(r, f, n->b));
    TRY(walk(r, f, n->c));
    TRY(walk_list(r, f, n->items));
    TRY(walk_list(r, f, n->values));
    TRY(walk_list(r, f, n->body));
    return walk_list(r, f, n->other);
}

err_t jscope_resolve(struct jinja *j) {
    struct resolver r = {j, &j->mem};
    struct func *fn;
    struct frame root = {.direct = true};
    TRY(func_new(&r, NULL, &fn));
    TRY(table_new(&r, NULL, fn, &root.t));
    TRY(look_list(&r, root.t, j->body));
    TRY(seal(&r, root.t, &j->scope));
    TRY(walk_list(&r, root, j->body));
    j->slots = fn->n;
    return OK;
}
