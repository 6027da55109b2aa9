/* What stands behind a dot or in brackets: attributes before items, items before attributes, as Jinja's sandbox gives them. What would change a
 * list or dict, and what begins with an underscore, is undefined there. */
#include "data/jinja_int.h"

#include <math.h>
#include <string.h>

/* ---- methods of lists, tuples, dicts, numbers, ranges ---- */

static err_t view_of(struct jrun *r, struct jval v, int what, struct jval *out) {
    struct jview *view;
    TRY(JNEW(&r->mem, 1, &view));
    *view = (struct jview){v.u.d, what};
    *out = (struct jval){.type = J_VIEW, .u.view = view};
    return OK;
}

static err_t m_keys(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    return view_of(r, v, JVIEW_KEYS, out);
}

static err_t m_values(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    return view_of(r, v, JVIEW_VALUES, out);
}

static err_t m_items(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)arg;
    return view_of(r, v, JVIEW_ITEMS, out);
}

static err_t m_get(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    int64_t at;
    TRY(jdict_find(r, v.u.d, arg[0], &at));
    *out = at >= 0 ? v.u.d->vals[at] : jv_given(arg[1]) ? arg[1] : jv_none();
    return OK;
}

static err_t m_copy(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    *out = v; /* nothing changes it */
    return OK;
}

static err_t m_fromkeys(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) {
    (void)v;
    return jglobal_call(r, JG_FROMKEYS, a, out);
}

static err_t m_index(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    int64_t n, start, end;
    struct jlist *l;
    TRY(jiter_list(r, v, &l));
    n = l->n;
    TRY(jarg_int(r, "a start", arg[1], 0, &start));
    TRY(jarg_int(r, "an end", arg[2], n, &end));
    if (start < 0) start = start + n > 0 ? start + n : 0;
    if (end < 0) end += n;
    for (int64_t i = start; i < end && i < n; i++) {
        bool same;
        TRY(jv_equal(r, l->v[i], arg[0], &same));
        if (!same) continue;
        *out = jv_int(i);
        return OK;
    }
    return JFAIL(r, "index: the value is not in the %s; test it with \"in\" first", jv_type(v));
}

static err_t m_count(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    int64_t n = 0;
    struct jlist *l;
    TRY(jiter_list(r, v, &l));
    for (int64_t i = 0; i < l->n; i++) {
        bool same;
        TRY(jv_equal(r, l->v[i], arg[0], &same));
        n += same;
    }
    *out = jv_int(n);
    return OK;
}

static err_t m_is_integer(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    *out = jv_bool(jv_is_int(v) || (isfinite(v.u.f) && v.u.f == floor(v.u.f)));
    return OK;
}

static const struct jfn of_dict[] = {{"keys", "", m_keys, NULL},
                                     {"values", "", m_values, NULL},
                                     {"items", "", m_items, NULL},
                                     {"get", "/ key default?", m_get, NULL},
                                     {"copy", "", m_copy, NULL},
                                     {"fromkeys", NULL, NULL, m_fromkeys},
                                     {0}};
static const struct jfn of_list[] = {
    {"index", "/ value start? stop?", m_index, NULL}, {"count", "/ value", m_count, NULL}, {"copy", "", m_copy, NULL}, {0}};
static const struct jfn of_tuple[] = {{"index", "/ value start? stop?", m_index, NULL}, {"count", "/ value", m_count, NULL}, {0}};
static const struct jfn of_float[] = {{"is_integer", "", m_is_integer, NULL}, {"conjugate", NULL, NULL, NULL},
                                      {"as_integer_ratio", NULL, NULL, NULL}, {"hex", NULL, NULL, NULL},
                                      {"fromhex", NULL, NULL, NULL},          {0}};
static const struct jfn of_int[] = {{"conjugate", NULL, NULL, NULL},
                                    {"bit_length", NULL, NULL, NULL},
                                    {"bit_count", NULL, NULL, NULL},
                                    {"to_bytes", NULL, NULL, NULL},
                                    {"from_bytes", NULL, NULL, NULL},
                                    {"as_integer_ratio", NULL, NULL, NULL},
                                    {0}};
static const struct jfn of_view[] = {{"isdisjoint", NULL, NULL, NULL}, {0}};

static const struct jfn *find_fn(const struct jfn *table, const struct jstr *name) {
    for (; table->name; table++)
        if (jstr_is(name, table->name)) return table;
    return NULL;
}

const struct jfn *jmethod_find(const struct jstr *name) {
    const struct jfn *f = find_fn(jmethods_str, name);
    return f ? f : find_fn(jmethods_find, name);
}

static const struct jfn *method_of(struct jval v, const struct jstr *name) {
    switch (v.type) {
    case J_STR: return jmethod_find(name);
    case J_DICT: return find_fn(of_dict, name);
    case J_LIST: return find_fn(of_list, name);
    case J_TUPLE:
    case J_RANGE: return find_fn(of_tuple, name);
    case J_FLOAT: return find_fn(of_float, name);
    case J_BOOL:
    case J_INT: return find_fn(of_int, name);
    case J_VIEW: return find_fn(of_view, name);
    case J_LOOP: return find_fn(jloop_methods, name);
    default: return NULL;
    }
}

/* ---- attributes that are values ---- */

static err_t names_of(struct jrun *r, const struct jnode *parameters, struct jval *out) {
    struct jlist *l;
    TRY(jlist_new(r, 0, &l));
    for (; parameters; parameters = parameters->next) TRY(jlist_add(r, l, jv_str(parameters->name)));
    *out = jv_tuple(l);
    return OK;
}

static err_t macro_attr(struct jrun *r, const struct jmacro *m, const struct jstr *name, struct jval *out, bool *got) {
    const struct jnode *n = m->node;
    *got = true;
    if (jstr_is(name, "name")) *out = m->name ? jv_str(m->name) : jv_none();
    else if (jstr_is(name, "arguments")) return names_of(r, n->items, out);
    else if (jstr_is(name, "catch_kwargs")) *out = jv_bool(n->special & JM_KWARGS);
    else if (jstr_is(name, "catch_varargs")) *out = jv_bool(n->special & JM_VARARGS);
    else if (jstr_is(name, "caller")) *out = jv_bool(n->special & JM_CALLER);
    else *got = false;
    return OK;
}

static err_t cycler_fn(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    struct jcycler *c = v.u.cycler;
    *out = c->items->v[c->at];
    c->at = (c->at + 1) % c->items->n;
    return OK;
}

static err_t cycler_reset(struct jrun *r, struct jval v, const struct jval *arg, struct jval *out) {
    (void)r;
    (void)arg;
    v.u.cycler->at = 0;
    *out = jv_none();
    return OK;
}

static const struct jfn of_cycler[] = {{"next", "", cycler_fn, NULL}, {"reset", "", cycler_reset, NULL}, {0}};

static err_t method_value(struct jrun *r, struct jval v, const struct jfn *f, struct jval *out, bool *got) {
    struct jmethod *m;
    *got = f;
    if (!f) return OK;
    TRY(JNEW(&r->mem, 1, &m));
    *m = (struct jmethod){v, f};
    *out = (struct jval){.type = J_METHOD, .u.method = m};
    return OK;
}

err_t jattr_only(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out, bool *got) {
    int64_t at;
    *got = true;
    switch (v.type) {
    case J_UNDEFINED: return JUNDEFINED(r, v);
    case J_NAMESPACE:
        at = jdict_str(v.u.ns, name);
        *got = at >= 0;
        if (*got) *out = v.u.ns->vals[at];
        return OK;
    case J_MACRO: return macro_attr(r, v.u.macro, name, out, got);
    case J_LOOP:
        TRY(jloop_attr(r, v.u.loop, name, out, got));
        if (*got) return OK;
        break;
    case J_CYCLER:
        if (jstr_is(name, "current")) *out = v.u.cycler->items->v[v.u.cycler->at];
        else if (jstr_is(name, "items")) *out = jv_tuple(v.u.cycler->items);
        else if (jstr_is(name, "pos")) *out = jv_int(v.u.cycler->at);
        else return method_value(r, v, find_fn(of_cycler, name), out, got);
        return OK;
    case J_JOINER:
        *got = jstr_is(name, "sep") || jstr_is(name, "used");
        if (*got) *out = jstr_is(name, "sep") ? v.u.joiner->sep : jv_bool(v.u.joiner->used);
        return OK;
    case J_GLOBAL:
        *got = v.u.global == JG_DICT && jstr_is(name, "fromkeys");
        *out = (struct jval){.type = J_GLOBAL, .u.global = JG_FROMKEYS};
        return OK;
    case J_TUPLE:
        if (!v.u.l->group || (!jstr_is(name, "grouper") && !jstr_is(name, "list"))) break;
        *out = v.u.l->v[jstr_is(name, "list")];
        return OK;
    case J_RANGE:
        if (!jstr_is(name, "start") && !jstr_is(name, "stop") && !jstr_is(name, "step")) break;
        *out = jv_int(jstr_is(name, "start") ? v.u.r->start : jstr_is(name, "stop") ? v.u.r->stop : v.u.r->step);
        return OK;
    case J_INT:
    case J_BOOL:
    case J_FLOAT:
        if (jstr_is(name, "real")) *out = v.type == J_FLOAT ? v : jv_int(jv_as_int(v));
        else if (jstr_is(name, "imag")) *out = v.type == J_FLOAT ? jv_float(0) : jv_int(0);
        else if (v.type != J_FLOAT && jstr_is(name, "numerator")) *out = jv_int(jv_as_int(v));
        else if (v.type != J_FLOAT && jstr_is(name, "denominator")) *out = jv_int(1);
        else break;
        return OK;
    default: break;
    }
    return method_value(r, v, method_of(v, name), out, got);
}

/* ---- the sandbox ---- */

static bool changes(struct jval v, const struct jstr *name) {
    static const char *const list[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL};
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    for (const char *const *n = v.type == J_LIST ? list : v.type == J_DICT ? dict : NULL; n && *n; n++)
        if (jstr_is(name, *n)) return true;
    return false;
}

/* An attribute that is there and must not be reached: undefined, and an error that says so where it is used. */
static err_t unsafe(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out, bool *is) {
    const bool dunder = name->bytes > 4 && memcmp(name->p, "__", 2) == 0 && memcmp(name->p + name->bytes - 2, "__", 2) == 0;
    *is = dunder || changes(v, name);
    if (!*is) return OK;
    return jv_undefined_why(r,
                            dunder ? "an attribute with underscores around its name is Python's own, which a template may not reach; leave it out"
                                   : "a template may not change a list or a dict; build a new one instead (a + [b], or a namespace)",
                            out);
}

err_t jattr(struct jrun *r, struct jval v, const struct jstr *name, struct jval *out) {
    bool got;
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    TRY(unsafe(r, v, name, out, &got));
    if (got) return OK;
    TRY(jattr_only(r, v, name, out, &got));
    if (got) return OK;
    const int64_t at = v.type == J_DICT ? jdict_str(v.u.d, name) : -1;
    if (at < 0) return jv_undefined_of(r, v, jv_str(name), out);
    *out = v.u.d->vals[at];
    return OK;
}

static bool hashable(struct jval v) { // NOLINT(misc-no-recursion): as deep as the value was built
    if (v.type == J_LIST || v.type == J_DICT) return false;
    bool all = true;
    for (int64_t i = 0; v.type == J_TUPLE && i < v.u.l->n && all; i++) all = hashable(v.u.l->v[i]);
    return all;
}

/* v[key] where Python has it. */
static err_t item(struct jrun *r, struct jval v, struct jval key, struct jval *out, bool *got) {
    int64_t n, i;
    *got = false;
    if (v.type == J_DICT) {
        if (!hashable(key)) return OK;
        TRY(jdict_find(r, v.u.d, key, &i));
        *got = i >= 0;
        if (*got) *out = v.u.d->vals[i];
        return OK;
    }
    if ((v.type != J_LIST && v.type != J_TUPLE && v.type != J_STR && v.type != J_RANGE) || !jv_is_int(key)) return OK;
    TRY(jv_length(r, v, &n));
    i = jv_as_int(key);
    if (i < 0) i += n;
    *got = i >= 0 && i < n;
    if (!*got) return OK;
    if (v.type == J_STR) {
        const int64_t from = jstr_byte(v.u.s, i);
        int len;
        (void)ju_get(v.u.s->p + from, &len);
        TRY(jrun_step(r, v.u.s->chars == v.u.s->bytes ? 0 : from / 64));
        return jstr_part(r, v.u.s, from, from + len, out);
    }
    *out = v.type == J_RANGE ? jv_int(v.u.r->start + i * v.u.r->step) : v.u.l->v[i];
    return OK;
}

err_t jitem(struct jrun *r, struct jval v, struct jval key, struct jval *out) {
    bool got;
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    TRY(item(r, v, key, out, &got));
    if (got) return OK;
    if (key.type == J_STR) {
        TRY(unsafe(r, v, key.u.s, out, &got));
        if (got) return OK;
        TRY(jattr_only(r, v, key.u.s, out, &got));
        if (got) return OK;
    }
    return jv_undefined_of(r, v, key, out);
}
