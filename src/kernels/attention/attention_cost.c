#include "kernels/cost_int.h"

/* Padding sees nothing. */
double attention_pairs(const int32_t *start, int64_t first, int64_t tokens, int64_t window) {
    const struct attention_args a = {.first = first, .window = window, .start = start};
    int64_t pairs = 0;
    for (int64_t i = 0; i < tokens - first; i++)
        if (start[i] >= 0) pairs += first + i + 1 - attention_first_key(&a, i);
    return (double)pairs;
}

static double pairs_of(const struct attention_args *a) { return a->pairs * a->heads; }

/* Elements of q, o, k and v together, each of which has a gradient of its size. */
static double elements_of(const struct attention_args *a) {
    const double queries = (double)(a->tokens - a->first) * a->heads, keys = (double)a->tokens * a->kv_heads;
    return (queries + keys) * (a->head_dim + attention_value_dim(a));
}

static double sinks_of(const struct attention_args *a) { return a->sinks ? a->heads : 0; }

struct cost attention_forward_cost(const struct attention_args *a) {
    const double queries = (double)(a->tokens - a->first), dims = a->head_dim + attention_value_dim(a);
    return (struct cost){pairs_of(a) * (2 * dims + 4), size_of(a->act) * (elements_of(a) + sinks_of(a)) + 4 * queries * (a->heads + 1)};
}

/* Five products where the forward has two: the scores again, dQ and dK of head_dim, dV and dP of value_dim. */
struct cost attention_backward_cost(const struct attention_backward_args *b) {
    const struct attention_args *a = &b->fwd;
    const double rows = (double)a->tokens * a->heads, values = attention_value_dim(a), sinks = sinks_of(a);
    return (struct cost){pairs_of(a) * (6.0 * a->head_dim + 4 * values + 6) + 2 * rows * values + 3 * (double)a->tokens * sinks,
                         size_of(a->act) * (2 * elements_of(a) + sinks) + 4 * (3 * rows + (double)a->tokens + 2 * sinks)};
}

/* Bytes of a row of q, o, k and v. */
struct row_bytes {
    int64_t q, o, k, v;
};
static struct row_bytes rows_of(const struct attention_args *a) {
    const int64_t b = act_bytes(a->act), dim = a->head_dim * b, values = attention_value_dim(a) * b;
    return (struct row_bytes){a->heads * dim, a->heads * values, a->kv_heads * dim, a->kv_heads * values};
}

/* What both directions read: of the keys those that the first query, or one behind it, may see. */
static void attention_reads(const struct attention_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act), queries = a->tokens - a->first;
    const int64_t key = a->window ? i64_max(0, a->first - a->window + 1) : 0, keys = queries > 0 ? a->tokens - key : 0;
    const struct row_bytes r = rows_of(a);
    touch_rows(t, TOUCH_READ, a->q, queries, r.q, a->q_stride * b);
    touch_rows(t, TOUCH_READ, (const char *)a->k + key * a->k_stride * b, keys, r.k, a->k_stride * b);
    touch_rows(t, TOUCH_READ, (const char *)a->v + key * a->v_stride * b, keys, r.v, a->v_stride * b);
    touch_range(t, TOUCH_READ, a->start, 4 * queries);
    touch_range(t, TOUCH_READ, a->sinks, queries > 0 ? a->heads * b : 0);
}

void attention_forward_touch(const struct attention_args *a, struct touch *t) {
    const int64_t queries = a->tokens - a->first;
    attention_reads(a, t);
    touch_rows(t, TOUCH_WRITE, a->o, queries, rows_of(a).o, a->o_stride * act_bytes(a->act));
    touch_range(t, TOUCH_WRITE, a->lse, 4 * a->heads * queries);
}

void attention_backward_touch(const struct attention_backward_args *a, struct touch *t) {
    const struct attention_args *f = &a->fwd;
    const int64_t b = act_bytes(f->act);
    const struct row_bytes r = rows_of(f);
    attention_reads(f, t);
    touch_rows(t, TOUCH_READ, f->o, f->tokens, r.o, f->o_stride * b);
    touch_rows(t, TOUCH_READ, a->dout, f->tokens, r.o, f->o_stride * b);
    touch_range(t, TOUCH_READ, f->lse, 4 * f->heads * f->tokens);
    touch_range(t, TOUCH_WORK, a->delta, 4 * f->heads * f->tokens);
    touch_rows(t, TOUCH_WRITE, a->dq, f->tokens, r.q, f->q_stride * b);
    touch_rows(t, TOUCH_WRITE, a->dk, f->tokens, r.k, f->k_stride * b);
    touch_rows(t, TOUCH_WRITE, a->dv, f->tokens, r.v, f->v_stride * b);
    if (f->sinks) touch_range(t, TOUCH_ADD, a->dsinks_acc, 4 * f->heads);
}
