/* Arguments of filters, tests, methods and functions, as Python binds them. */
#include "data/jinja_int.h"

#include <string.h>

static bool next_name(const char **names, const char **name, int *n, bool *optional) {
    while (**names == ' ') (*names)++;
    if (!**names) return false;
    *name = *names;
    *n = (int)strcspn(*names, " ?");
    *names += *n;
    *optional = **names == '?';
    *names += *optional;
    return true;
}

static int64_t keyword(const struct jargs *a, const char *name, int n) {
    for (int64_t i = 0; i < a->nkw; i++)
        if (a->names[i]->bytes == n && memcmp(a->names[i]->p, name, (size_t)n) == 0) return i;
    return -1;
}

err_t jargs_bind(struct jrun *r, const char *what, const struct jargs *a, const char *names, struct jval *out) {
    const bool by_place = names[0] == '/';
    const char *rest = names + by_place, *name;
    int n, at = 0;
    int64_t used = 0;
    bool optional;
    for (; next_name(&rest, &name, &n, &optional); at++) {
        ENSURE(at < JARGS_MAX);
        const int64_t k = by_place ? -1 : keyword(a, name, n);
        out[at] = at < a->n ? a->pos[at] : k >= 0 ? a->kw[k] : jv_missing();
        if (at < a->n && k >= 0) return JFAIL(r, "%s is given its %.*s twice; give it once", what, n, name);
        used += k >= 0;
        if (!jv_given(out[at]) && !optional) return JFAIL(r, "%s lacks its %.*s; give it", what, n, name);
    }
    if (a->n > at) return JFAIL(r, "%s takes %d arguments, not %lld; leave some out", what, at, (long long)a->n);
    if (used == a->nkw) return OK;
    for (int64_t i = 0; i < a->nkw; i++) {
        rest = names + by_place;
        bool known = false;
        while (!by_place && next_name(&rest, &name, &n, &optional))
            known = known || (a->names[i]->bytes == n && memcmp(a->names[i]->p, name, (size_t)n) == 0);
        if (!known) return JFAIL(r, "%s has no argument %.*s=; leave it out", what, (int)a->names[i]->bytes, a->names[i]->p);
    }
    return OK;
}

err_t jarg_int(struct jrun *r, const char *what, struct jval v, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    if (!jv_given(v)) return OK;
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type == J_BIG) return JFAIL(r, "%s lies beyond 64 bits; give a smaller number", what);
    if (!jv_is_int(v)) return JFAIL(r, "%s is a %s; give a whole number", what, jv_type(v));
    *out = jv_as_int(v);
    return OK;
}

err_t jarg_str(struct jrun *r, const char *what, struct jval v, const struct jstr **out) {
    if (v.type == J_UNDEFINED) return JUNDEFINED(r, v);
    if (v.type != J_STR) return JFAIL(r, "%s is a %s; give a string", what, jv_type(v));
    *out = v.u.s;
    return OK;
}

err_t jfn_apply(struct jrun *r, const struct jfn *f, struct jval v, const struct jargs *a, struct jval *out) {
    struct jval arg[JARGS_MAX];
    if (f->raw) return f->raw(r, v, a, out);
    if (!f->fn) return JFAIL(r, "%s of a %s is not known to mop's templates; write the template without it", f->name, jv_type(v));
    TRY(jargs_bind(r, f->name, a, f->args, arg));
    return f->fn(r, v, arg, out);
}

const struct jfn *jfilter_find(const struct jstr *name) {
    const struct jfn *const tables[] = {jfilters_general, jfilters_text, jfilters_seq};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct jfn *f = tables[i]; f->name; f++)
            if (jstr_is(name, f->name)) return f;
    return NULL;
}
