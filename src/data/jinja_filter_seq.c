/* Filters of lists and of what can be walked over. What is a generator in Jinja is one here: it has no length and is walked once. */
#include "data/jinja_int.h"

#include <string.h>

static struct jval iter_value(struct jiter *it) { return (struct jval){.type = J_ITER, .u.it = it}; }

static err_t next_made(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    if (!it->from) {
        struct jlist *l;
        TRY(it->make(r, it->over, it->arg, &l));
        TRY(jiter_open(r, jv_list(l), &it->from));
    }
    return jiter_next(r, it->from, out, got);
}

/* A generator: what is wrong with its arguments is found when it is walked. */
static err_t generator(struct jrun *r, struct jval v, const struct jval *arg,
                       err_t (*make)(struct jrun *, struct jval, const struct jval *, struct jlist **), struct jval *out) {
    struct jiter *it;
    TRY(jiter_new(r, next_made, &it));
    it->over = v;
    it->make = make;
    memcpy(it->arg, arg, sizeof it->arg);
    *out = iter_value(it);
    return OK;
}

err_t jlower_if_str(struct jrun *r, struct jval v, struct jval *out) {
    *out = v;
    return v.type == J_STR ? jstr_case(r, v.u.s, JU_LOWER, out) : OK;
}

/* "a.b.0": items by name, or by number where a part is all digits. */
err_t jget_path(struct jrun *r, struct jval v, struct jval path, struct jval otherwise, struct jval *out) {
    *out = v;
    if (!jv_given(path) || path.type == J_NONE) return OK;
    if (path.type != J_STR) {
        TRY(jitem(r, v, path, out));
        if (out->type == J_UNDEFINED && jv_given(otherwise)) *out = otherwise;
        return OK;
    }
    const struct jstr *s = path.u.s;
    for (int64_t from = 0; from <= s->bytes;) {
        const char *dot = memchr(s->p + from, '.', (size_t)(s->bytes - from));
        const int64_t to = dot ? dot - s->p : s->bytes;
        int64_t number = 0, i = from;
        for (; i < to && i < from + 18 && s->p[i] >= '0' && s->p[i] <= '9'; i++) number = 10 * number + (s->p[i] - '0');
        struct jval part = jv_int(number);
        if (i < to || to == from) TRY(jstr_part(r, s, from, to, &part));
        TRY(jitem(r, *out, part, out));
        if (out->type == J_UNDEFINED && jv_given(otherwise)) *out = otherwise;
        from = to + 1;
    }
    return OK;
}

/* What items are sorted by: their attribute, strings in lower case unless told otherwise. */
static err_t sort_key(struct jrun *r, struct jval item, struct jval path, struct jval otherwise, bool cased, struct jval *out) {
    TRY(jget_path(r, item, path, otherwise, out));
    return cased ? OK : jlower_if_str(r, *out, out);
}

/* ---- ends ---- */

static err_t f_first(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    struct jiter *it;
    bool got;
    TRY(jiter_open(r, v, &it));
    TRY(jiter_next(r, it, out, &got));
    return got ? OK : jv_undefined_why(r, "the first item of nothing is undefined; test it with \"is defined\" first", out);
}

static err_t f_last(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    bool can, got;
    TRY(jiter_reversed(r, v, &can, out));
    if (!can) return JFAIL(r, "last of a %s; make a list of it first (| list)", jv_type(v));
    TRY(jiter_next(r, out->u.it, out, &got));
    return got ? OK : jv_undefined_why(r, "the last item of nothing is undefined; test it with \"is defined\" first", out);
}

static err_t f_reverse(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    bool can;
    struct jlist *l;
    if (v.type == J_STR) {
        const struct jval back[3] = {jv_missing(), jv_missing(), jv_int(-1)};
        return jv_slice(r, v, back, out);
    }
    TRY(jiter_reversed(r, v, &can, out));
    if (can) return OK;
    TRY(jiter_list(r, v, &l));
    for (int64_t a = 0, b = l->n - 1; a < b; a++, b--) {
        const struct jval swap = l->v[a];
        l->v[a] = l->v[b];
        l->v[b] = swap;
    }
    *out = jv_list(l);
    return OK;
}

static err_t f_list(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    struct jlist *l;
    TRY(jiter_list(r, v, &l));
    *out = jv_list(l);
    return OK;
}

static err_t items(struct jrun *r, struct jval v, const struct jval *arg, struct jlist **out) {
    (void)arg;
    struct jview *view;
    if (v.type == J_UNDEFINED) return jlist_new(r, 0, out);
    if (v.type != J_DICT) return JFAIL(r, "items of a %s; give a dict", jv_type(v));
    TRY(JNEW(&r->mem, 1, &view));
    *view = (struct jview){v.u.d, JVIEW_ITEMS};
    return jiter_list(r, (struct jval){.type = J_VIEW, .u.view = view}, out);
}

static err_t f_items(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    const struct jval none[2] = {jv_missing(), jv_missing()};
    return generator(r, v, none, items, out);
}

static err_t f_join(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jbuf b = {0}, d = {0};
    struct jiter *it;
    if (jv_given(arg[0])) TRY(jprint(r, &d, arg[0]));
    TRY(jiter_open(r, v, &it));
    for (bool first = true;; first = false) {
        struct jval item;
        bool got;
        TRY(jiter_next(r, it, &item, &got));
        if (!got) return jbuf_value(r, &b, out);
        if (!first) TRY(jbuf_put(r, &b, d.p, d.n, d.chars));
        TRY(jget_path(r, item, arg[1], jv_missing(), &item));
        TRY(jprint(r, &b, item));
    }
}

/* ---- map, select, reject ---- */

static struct jval keyword(const struct jargs *a, const char *name) {
    for (int64_t i = 0; i < a->nkw; i++)
        if (jstr_is(a->names[i], name)) return a->kw[i];
    return jv_missing();
}

/* The arguments from `from` on, in memory of their own. */
static err_t rest_of(struct jrun *r, const struct jargs *a, int64_t from, const struct jargs **out) {
    struct jargs *rest;
    TRY(JNEW(&r->mem, 1, &rest));
    TRY(JNEW(&r->mem, a->n + 1, &rest->pos));
    TRY(JNEW(&r->mem, a->nkw + 1, &rest->kw));
    TRY(JNEW(&r->mem, a->nkw + 1, &rest->names));
    for (int64_t i = from; i < a->n; i++) rest->pos[rest->n++] = a->pos[i];
    for (; rest->nkw < a->nkw; rest->nkw++) {
        rest->kw[rest->nkw] = a->kw[rest->nkw];
        rest->names[rest->nkw] = a->names[rest->nkw];
    }
    *out = rest;
    return OK;
}

/* What a generator draws from is opened at its first item; a false value has none. */
static err_t draw(struct jrun *r, struct jiter *it, struct jval *item, bool *got) {
    if (!it->from) {
        bool any;
        TRY(jv_truth(r, it->over, &any));
        *got = false;
        if (!any) return OK;
        TRY(jiter_open(r, it->over, &it->from));
    }
    return jiter_next(r, it->from, item, got);
}

static err_t next_mapped(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    struct jval item;
    TRY(draw(r, it, &item, got));
    if (!*got) return OK;
    const struct jargs *a = it->args;
    if (jv_given(it->attr)) return jget_path(r, item, it->attr, it->with, out);
    if (!it->fn) {
        const struct jstr *name;
        if (a->n == 0) return JFAIL(r, "map lacks a filter's name; give it, or attribute=");
        TRY(jarg_str(r, "map's filter", a->pos[0], &name));
        it->fn = jfilter_find(name);
        if (!it->fn) return JFAIL(r, "map: there is no filter \"%.*s\" that mop's templates know", (int)name->bytes, name->p);
        TRY(rest_of(r, a, 1, &it->args));
    }
    return jfn_apply(r, it->fn, item, it->args, out);
}

static err_t f_map(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) {
    struct jiter *it;
    TRY(jiter_new(r, next_mapped, &it));
    it->over = v;
    it->attr = a->n == 0 ? keyword(a, "attribute") : jv_missing();
    it->with = jv_missing();
    if (jv_given(it->attr)) {
        it->with = keyword(a, "default");
        const int64_t known = 1 + jv_given(it->with);
        if (a->nkw != known) return JFAIL(r, "map by attribute= takes default= besides and nothing else");
        if (it->with.type == J_NONE) it->with = jv_missing();
    }
    TRY(rest_of(r, a, 0, &it->args));
    *out = iter_value(it);
    return OK;
}

static err_t selects(struct jrun *r, struct jiter *it, struct jval item, bool *yes) {
    const struct jargs *a = it->args;
    TRY(jget_path(r, item, it->attr, jv_missing(), &item));
    if (!it->fn) {
        const struct jstr *name;
        if (a->n == 0) return jv_truth(r, item, yes);
        TRY(jarg_str(r, "a test's name", a->pos[0], &name));
        it->fn = jtest_find(name);
        if (!it->fn) return JFAIL(r, "there is no test \"%.*s\" that mop's templates know", (int)name->bytes, name->p);
        TRY(rest_of(r, a, 1, &it->args));
    }
    return jtest_apply(r, it->fn, item, it->args, yes);
}

static err_t next_selected(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    for (;;) {
        bool yes;
        TRY(draw(r, it, out, got));
        if (!*got) return OK;
        TRY(selects(r, it, *out, &yes));
        if (yes != it->negate) return OK;
    }
}

static err_t selection(struct jrun *r, struct jval v, const struct jargs *a, bool by_attr, bool negate, struct jval *out) {
    struct jiter *it;
    TRY(jiter_new(r, next_selected, &it));
    it->over = v;
    it->negate = negate;
    it->attr = jv_missing();
    if (by_attr) {
        if (a->n == 0) return JFAIL(r, "%s lacks an attribute's name; give it", negate ? "rejectattr" : "selectattr");
        it->attr = a->pos[0];
    }
    TRY(rest_of(r, a, by_attr, &it->args));
    *out = iter_value(it);
    return OK;
}

static err_t f_select(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return selection(r, v, a, false, false, out); }
static err_t f_reject(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return selection(r, v, a, false, true, out); }
static err_t f_selectattr(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return selection(r, v, a, true, false, out); }
static err_t f_rejectattr(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) { return selection(r, v, a, true, true, out); }

/* ---- order ---- */

/* The items of `l` in the order of their keys. */
static err_t sorted(struct jrun *r, const struct jlist *l, const struct jval *keys, bool reverse, struct jlist **out) {
    int64_t *order;
    TRY(jsort(r, keys, l->n, reverse, &order));
    TRY(jlist_new(r, l->n, out));
    for (int64_t i = 0; i < l->n; i++) TRY(jlist_add(r, *out, l->v[order[i]]));
    return OK;
}

/* A sort by "a,b" compares lists of the attributes. */
static err_t sort_keys(struct jrun *r, struct jval item, const struct jlist *paths, bool cased, struct jval *out) {
    struct jlist *keys;
    TRY(jlist_new(r, paths->n, &keys));
    for (int64_t i = 0; i < paths->n; i++) {
        struct jval key;
        TRY(sort_key(r, item, paths->v[i], jv_missing(), cased, &key));
        TRY(jlist_add(r, keys, key));
    }
    *out = jv_list(keys);
    return OK;
}

static err_t paths_of(struct jrun *r, struct jval attribute, struct jlist **out) {
    TRY(jlist_new(r, 1, out));
    if (attribute.type != J_STR) return jlist_add(r, *out, attribute);
    const struct jstr *s = attribute.u.s;
    for (int64_t from = 0; from <= s->bytes;) {
        const char *comma = memchr(s->p + from, ',', (size_t)(s->bytes - from));
        const int64_t to = comma ? comma - s->p : s->bytes;
        struct jval part;
        TRY(jstr_part(r, s, from, to, &part));
        TRY(jlist_add(r, *out, part));
        from = to + 1;
    }
    return OK;
}

static err_t f_sort(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jlist *l, *paths, *result;
    struct jval *keys;
    bool reverse, cased;
    TRY(jv_truth(r, arg[0], &reverse));
    TRY(jv_truth(r, arg[1], &cased));
    TRY(jiter_list(r, v, &l));
    TRY(paths_of(r, arg[2], &paths));
    TRY(JNEW(&r->mem, l->n + 1, &keys));
    for (int64_t i = 0; i < l->n; i++) TRY(sort_keys(r, l->v[i], paths, cased, &keys[i]));
    TRY(sorted(r, l, keys, reverse, &result));
    *out = jv_list(result);
    return OK;
}

static err_t f_dictsort(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    bool cased, reverse;
    const struct jstr *by = NULL;
    struct jlist *pairs, *result;
    struct jval *keys;
    TRY(jv_truth(r, arg[0], &cased));
    if (jv_given(arg[1])) TRY(jarg_str(r, "dictsort's by", arg[1], &by));
    TRY(jv_truth(r, arg[2], &reverse));
    const bool by_value = by && jstr_is(by, "value");
    if (by && !by_value && !jstr_is(by, "key")) return JFAIL(r, "dictsort sorts by key or value, not by \"%.*s\"", (int)by->bytes, by->p);
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type != J_DICT) return JFAIL(r, "dictsort of a %s; give a dict", jv_type(v));
    const struct jdict *d = v.u.d;
    TRY(JNEW(&r->mem, d->n + 1, &keys));
    TRY(jlist_new(r, d->n, &pairs));
    for (int64_t i = 0; i < d->n; i++) {
        struct jval pair;
        TRY(jpair(r, d->keys[i], d->vals[i], &pair));
        TRY(jlist_add(r, pairs, pair));
        keys[i] = by_value ? d->vals[i] : d->keys[i];
        if (!cased) TRY(jlower_if_str(r, keys[i], &keys[i]));
    }
    TRY(sorted(r, pairs, keys, reverse, &result));
    *out = jv_list(result);
    return OK;
}

static err_t unique(struct jrun *r, struct jval v, const struct jval *arg, struct jlist **out) {
    bool cased;
    struct jlist *l, *result;
    struct jdict *seen;
    TRY(jv_truth(r, arg[0], &cased));
    TRY(jiter_list(r, v, &l));
    TRY(jlist_new(r, 0, &result));
    TRY(jdict_new(r, 0, &seen));
    for (int64_t i = 0; i < l->n; i++) {
        struct jval key;
        int64_t at;
        TRY(sort_key(r, l->v[i], arg[1], jv_missing(), cased, &key));
        TRY(jdict_find(r, seen, key, &at));
        if (at >= 0) continue;
        TRY(jdict_add(r, seen, key, jv_none()));
        TRY(jlist_add(r, result, l->v[i]));
    }
    *out = result;
    return OK;
}

static err_t f_unique(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return generator(r, v, arg, unique, out); }

static err_t extreme(struct jrun *r, struct jval v, const struct jval *arg, enum jop op, struct jval *out) {
    bool cased;
    struct jlist *l;
    struct jval best = jv_missing(), key;
    TRY(jv_truth(r, arg[0], &cased));
    TRY(jiter_list(r, v, &l));
    if (l->n == 0) return jv_undefined_why(r, "min or max of nothing is undefined; test it with \"is defined\" first", out);
    for (int64_t i = 0; i < l->n; i++) {
        bool better = i == 0;
        TRY(sort_key(r, l->v[i], arg[1], jv_missing(), cased, &key));
        if (i) TRY(jv_less(r, key, best, op, &better));
        if (!better) continue;
        best = key;
        *out = l->v[i];
    }
    return OK;
}

static err_t f_min(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return extreme(r, v, arg, JO_LT, out); }
static err_t f_max(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return extreme(r, v, arg, JO_GT, out); }

static err_t f_sum(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    struct jiter *it;
    *out = jv_given(arg[1]) ? arg[1] : jv_int(0);
    if (out->type == J_STR) return JFAIL(r, "sum of strings does not go; use join");
    TRY(jiter_open(r, v, &it));
    for (;;) {
        struct jval item;
        bool got;
        TRY(jiter_next(r, it, &item, &got));
        if (!got) return OK;
        TRY(jget_path(r, item, arg[0], jv_missing(), &item));
        TRY(jbinary(r, JO_ADD, *out, item, out));
    }
}

/* ---- groups ---- */

static err_t f_groupby(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    bool cased;
    struct jlist *l, *groups, *members = NULL;
    struct jval *keys;
    int64_t *order;
    const struct jval otherwise = arg[1].type == J_NONE ? jv_missing() : arg[1];
    TRY(jv_truth(r, arg[2], &cased));
    TRY(jiter_list(r, v, &l));
    TRY(JNEW(&r->mem, l->n + 1, &keys));
    for (int64_t i = 0; i < l->n; i++) TRY(sort_key(r, l->v[i], arg[0], otherwise, cased, &keys[i]));
    TRY(jsort(r, keys, l->n, false, &order));
    TRY(jlist_new(r, 0, &groups));
    for (int64_t i = 0; i < l->n; i++) {
        bool same = false;
        if (i) TRY(jv_equal(r, keys[order[i]], keys[order[i - 1]], &same));
        if (!same) {
            struct jlist *pair;
            struct jval key;
            TRY(jget_path(r, l->v[order[i]], arg[0], otherwise, &key)); /* as the first of the group writes it */
            TRY(jlist_new(r, 0, &members));
            TRY(jlist_new(r, 2, &pair));
            pair->group = true;
            TRY(jlist_add(r, pair, key));
            TRY(jlist_add(r, pair, jv_list(members)));
            TRY(jlist_add(r, groups, jv_tuple(pair)));
        }
        TRY(jlist_add(r, members, l->v[order[i]]));
    }
    *out = jv_list(groups);
    return OK;
}

static err_t batches(struct jrun *r, struct jval v, const struct jval *arg, struct jlist **out) {
    int64_t size;
    struct jlist *l, *rows, *row = NULL;
    TRY(jarg_int(r, "batch's size", arg[0], 0, &size));
    TRY(jiter_list(r, v, &l));
    TRY(jlist_new(r, 0, &rows));
    for (int64_t i = 0; i < l->n; i++) {
        if (!row || row->n == size) {
            TRY(jlist_new(r, 0, &row));
            TRY(jlist_add(r, rows, jv_list(row)));
        }
        TRY(jlist_add(r, row, l->v[i]));
    }
    if (row && jv_given(arg[1]) && arg[1].type != J_NONE) {
        TRY(jrun_step(r, size > row->n ? (size - row->n) / 4 : 0));
        while (row->n < size) TRY(jlist_add(r, row, arg[1]));
    }
    *out = rows;
    return OK;
}

static err_t f_batch(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return generator(r, v, arg, batches, out); }

static err_t columns_of(struct jrun *r, struct jval v, const struct jval *arg, struct jlist **out) {
    int64_t slices;
    struct jlist *l, *columns;
    TRY(jarg_int(r, "slice's number", arg[0], 0, &slices));
    TRY(jiter_list(r, v, &l));
    if (slices == 0) return JFAIL(r, "slice into 0 lists; give at least 1");
    if (slices > 0) TRY(jrun_step(r, slices));
    TRY(jlist_new(r, 0, &columns));
    int64_t at = 0;
    for (int64_t i = 0; i < slices; i++) {
        struct jlist *column;
        const int64_t take = l->n / slices + (i < l->n % slices);
        TRY(jlist_new(r, take + 1, &column));
        for (int64_t k = 0; k < take; k++) TRY(jlist_add(r, column, l->v[at++]));
        if (jv_given(arg[1]) && arg[1].type != J_NONE && i >= l->n % slices) TRY(jlist_add(r, column, arg[1]));
        TRY(jlist_add(r, columns, jv_list(column)));
    }
    *out = columns;
    return OK;
}

static err_t f_slice(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) { return generator(r, v, arg, columns_of, out); }

const struct jfn jfilters_seq[] = {
    {"join", "d? attribute?", f_join, NULL},
    {"map", NULL, NULL, f_map},
    {"list", "", f_list, NULL},
    {"first", "", f_first, NULL},
    {"last", "", f_last, NULL},
    {"select", NULL, NULL, f_select},
    {"reject", NULL, NULL, f_reject},
    {"selectattr", NULL, NULL, f_selectattr},
    {"rejectattr", NULL, NULL, f_rejectattr},
    {"items", "", f_items, NULL},
    {"reverse", "", f_reverse, NULL},
    {"sort", "reverse? case_sensitive? attribute?", f_sort, NULL},
    {"dictsort", "case_sensitive? by? reverse?", f_dictsort, NULL},
    {"unique", "case_sensitive? attribute?", f_unique, NULL},
    {"min", "case_sensitive? attribute?", f_min, NULL},
    {"max", "case_sensitive? attribute?", f_max, NULL},
    {"sum", "attribute? start?", f_sum, NULL},
    {"groupby", "attribute default? case_sensitive?", f_groupby, NULL},
    {"batch", "linecount fill_with?", f_batch, NULL},
    {"slice", "slices fill_with?", f_slice, NULL},
    {0},
};
