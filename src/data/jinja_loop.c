/* A loop's own variable. Its iterator is drawn one item ahead where the template asks what comes, and to its end where it asks how many. */
#include "data/jinja_int.h"

#include <string.h>

static err_t peek(struct jrun *r, struct jloop *l, bool *got) {
    if (!l->peeked && !l->ended) {
        TRY(jiter_next(r, l->it, &l->ahead, got));
        l->peeked = *got;
        l->ended = !*got;
    }
    *got = l->peeked;
    return OK;
}

err_t jloop_next(struct jrun *r, struct jloop *l, bool *got) {
    TRY(peek(r, l, got));
    if (!*got) return OK;
    l->index0++;
    l->before = l->now;
    l->now = l->ahead;
    l->peeked = false;
    return OK;
}

err_t jloop_length(struct jrun *r, struct jloop *l, int64_t *n) {
    if (l->length < 0 && jv_has_length(l->over)) TRY(jv_length(r, l->over, &l->length));
    if (l->length < 0) { /* a generator: all of it is drawn */
        struct jlist *rest;
        TRY(jiter_list(r, (struct jval){.type = J_ITER, .u.it = l->it}, &rest));
        TRY(jiter_open(r, jv_list(rest), &l->it));
        l->length = rest->n + l->index0 + 1 + l->peeked;
        l->ended = l->ended && rest->n == 0;
    }
    *n = l->length;
    return OK;
}

enum which { INDEX, INDEX0, FIRST, LAST, LENGTH, REVINDEX, REVINDEX0, DEPTH, DEPTH0, PREVITEM, NEXTITEM, NONE };

static enum which which_of(const struct jstr *name) {
    static const char *const NAME[] = {"index",     "index0", "first",  "last",     "length",  "revindex",
                                       "revindex0", "depth",  "depth0", "previtem", "nextitem"};
    for (int i = 0; i < NONE; i++)
        if (jstr_is(name, NAME[i])) return (enum which)i;
    return NONE;
}

err_t jloop_attr(struct jrun *r, struct jloop *l, const struct jstr *name, struct jval *out, bool *got) {
    const enum which which = which_of(name);
    int64_t n;
    bool ahead;
    *got = which != NONE;
    switch (which) {
    case INDEX: *out = jv_int(l->index0 + 1); return OK;
    case INDEX0: *out = jv_int(l->index0); return OK;
    case FIRST: *out = jv_bool(l->index0 == 0); return OK;
    case DEPTH: *out = jv_int(l->depth0 + 1); return OK;
    case DEPTH0: *out = jv_int(l->depth0); return OK;
    case LAST:
        TRY(peek(r, l, &ahead));
        *out = jv_bool(!ahead);
        return OK;
    case NEXTITEM:
        TRY(peek(r, l, &ahead));
        *out = l->ahead;
        return ahead ? OK : jv_undefined_why(r, "a loop's last item has no next one; test it with \"is defined\" first", out);
    case PREVITEM:
        *out = l->before;
        return l->index0 ? OK : jv_undefined_why(r, "a loop's first item has no one before it; test it with \"is defined\" first", out);
    case LENGTH:
    case REVINDEX:
    case REVINDEX0:
        TRY(jloop_length(r, l, &n));
        *out = jv_int(which == LENGTH ? n : n - l->index0 - (which == REVINDEX0));
        return OK;
    default: return OK;
    }
}

static err_t m_cycle(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) {
    if (a->n == 0 || a->nkw) return JFAIL(r, "loop.cycle takes one value or more, without names");
    *out = a->pos[v.u.loop->index0 % a->n];
    return OK;
}

static err_t m_changed(struct jrun *r, struct jval v, const struct jargs *a, struct jval *out) {
    struct jlist *now;
    bool same = false;
    if (a->nkw) return JFAIL(r, "loop.changed takes values without names");
    TRY(jlist_new(r, a->n, &now));
    for (int64_t i = 0; i < a->n; i++) TRY(jlist_add(r, now, a->pos[i]));
    if (jv_given(v.u.loop->changed)) TRY(jv_equal(r, v.u.loop->changed, jv_tuple(now), &same));
    v.u.loop->changed = jv_tuple(now);
    *out = jv_bool(!same);
    return OK;
}

const struct jfn jloop_methods[] = {{"cycle", NULL, NULL, m_cycle}, {"changed", NULL, NULL, m_changed}, {0}};
