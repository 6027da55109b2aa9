/* Walking over values, one item at a time as Python does it: what a generator has given it does not give again. */
#include "data/jinja_int.h"

#include <string.h>

err_t jiter_new(struct jrun *r, err_t (*next)(struct jrun *, struct jiter *, struct jval *, bool *), struct jiter **out) {
    TRY(JNEW(&r->mem, 1, out));
    (*out)->next = next;
    return OK;
}

err_t jiter_next(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    *got = false;
    if (it->done) return OK;
    TRY(jrun_step(r, 1));
    TRY(it->next(r, it, out, got));
    it->done = !*got;
    return OK;
}

static err_t next_nothing(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    (void)r;
    (void)it;
    (void)out;
    *got = false;
    return OK;
}

static err_t next_of_list(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    (void)r;
    *got = it->at < it->over.u.l->n;
    if (*got) *out = it->over.u.l->v[it->at++];
    return OK;
}

static err_t next_of_string(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    const struct jstr *s = it->over.u.s;
    *got = it->at < s->bytes;
    if (!*got) return OK;
    int len;
    (void)ju_get(s->p + it->at, &len);
    it->at += len;
    return jstr_part(r, s, it->at - len, it->at, out);
}

static err_t view_item(struct jrun *r, const struct jview *v, int64_t at, struct jval *out) {
    if (v->what == JVIEW_ITEMS) return jpair(r, v->d->keys[at], v->d->vals[at], out);
    *out = v->what == JVIEW_KEYS ? v->d->keys[at] : v->d->vals[at];
    return OK;
}

static err_t next_of_dict(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    const struct jview keys = {it->over.type == J_DICT ? it->over.u.d : NULL, JVIEW_KEYS}, *v = it->over.type == J_DICT ? &keys : it->over.u.view;
    *got = it->at < v->d->n;
    return *got ? view_item(r, v, it->at++, out) : OK;
}

static err_t next_of_range(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    (void)r;
    const struct jrange *range = it->over.u.r;
    *got = it->at < range->n;
    if (*got) *out = jv_int(range->start + it->at++ * range->step);
    return OK;
}

bool jv_iterable(struct jval v) { return v.type == J_ITER || jv_has_length(v); }

err_t jiter_open(struct jrun *r, struct jval v, struct jiter **out) {
    err_t (*next)(struct jrun *, struct jiter *, struct jval *, bool *);
    switch (v.type) {
    case J_ITER: *out = v.u.it; return OK;
    case J_UNDEFINED: next = next_nothing; break;
    case J_LIST:
    case J_TUPLE: next = next_of_list; break;
    case J_STR: next = next_of_string; break;
    case J_DICT:
    case J_VIEW: next = next_of_dict; break;
    case J_RANGE: next = next_of_range; break;
    default: return JFAIL(r, "a %s cannot be walked over; give a list, a dict or a string", jv_type(v));
    }
    TRY(jiter_new(r, next, out));
    (*out)->over = v;
    return OK;
}

err_t jiter_list(struct jrun *r, struct jval v, struct jlist **out) {
    struct jiter *it;
    TRY(jiter_open(r, v, &it));
    TRY(jlist_new(r, 0, out));
    for (;;) {
        struct jval item;
        bool got;
        TRY(jiter_next(r, it, &item, &got));
        if (!got) return OK;
        TRY(jlist_add(r, *out, item));
    }
}

static err_t next_reversed(struct jrun *r, struct jiter *it, struct jval *out, bool *got) {
    *got = it->left > 0;
    if (!*got) return OK;
    const int64_t at = --it->left;
    const struct jval v = it->over;
    if (v.type == J_DICT) *out = v.u.d->keys[at];
    else if (v.type == J_VIEW) return view_item(r, v.u.view, at, out);
    else if (v.type == J_RANGE) *out = jv_int(v.u.r->start + at * v.u.r->step);
    else *out = v.u.l->v[at];
    return OK;
}

err_t jiter_reversed(struct jrun *r, struct jval v, bool *can, struct jval *out) {
    struct jiter *it;
    *can = jv_has_length(v) && v.type != J_LOOP;
    if (!*can) return OK;
    if (v.type == J_STR) {
        struct jlist *l;
        TRY(jiter_list(r, v, &l));
        v = jv_list(l);
    }
    TRY(jiter_new(r, next_reversed, &it));
    it->over = v;
    TRY(jv_length(r, v, &it->left));
    *out = (struct jval){.type = J_ITER, .u.it = it};
    return OK;
}

/* Merge from[lo, mid) and from[mid, hi) into to. */
static err_t merge(struct jrun *r, const struct jval *keys, bool reverse, const int64_t *from, int64_t lo, int64_t mid, int64_t hi, int64_t *to) {
    int64_t a = lo, b = mid;
    for (int64_t i = lo; i < hi; i++) {
        bool second = a >= mid;
        if (a < mid && b < hi)
            TRY(reverse ? jv_less(r, keys[from[a]], keys[from[b]], JO_LT, &second) : jv_less(r, keys[from[b]], keys[from[a]], JO_LT, &second));
        to[i] = second ? from[b++] : from[a++];
    }
    return OK;
}

err_t jsort(struct jrun *r, const struct jval *keys, int64_t n, bool reverse, int64_t **order) {
    int64_t *from, *to;
    TRY(JNEW(&r->mem, n + 1, &from));
    TRY(JNEW(&r->mem, n + 1, &to));
    for (int64_t i = 0; i < n; i++) from[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            const int64_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
            TRY(merge(r, keys, reverse, from, lo, mid, hi, to));
        }
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    *order = from;
    return OK;
}
