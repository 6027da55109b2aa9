#include "kernels/cost_int.h"

/* Padding sees nothing. */
double attention_pairs(const int32_t *start, int64_t first, int64_t tokens) {
    int64_t pairs = 0;
    for (int64_t i = first; i < tokens; i++) pairs += start[i - first] < 0 ? 0 : i - start[i - first] + 1;
    return (double)pairs;
}

static double pairs_of(const struct attention_args *a) { return a->pairs * a->heads; }

/* Elements of q (o, their gradients) and of k (v, their gradients). */
static void sizes_of(const struct attention_args *a, double *q, double *kv) {
    *q = (double)(a->tokens - a->first) * a->heads * a->head_dim;
    *kv = (double)a->tokens * a->kv_heads * a->head_dim;
}

struct cost attention_forward_cost(const struct attention_args *a) {
    double q, kv;
    sizes_of(a, &q, &kv);
    return (struct cost){pairs_of(a) * (4.0 * a->head_dim + 4), size_of(a->act) * 2 * (q + kv) + 4 * (double)(a->tokens - a->first) * (a->heads + 1)};
}

/* Five products where the forward has two: the scores again, dV, dP, dQ and dK. */
struct cost attention_backward_cost(const struct attention_backward_args *a) {
    double q, kv;
    sizes_of(&a->fwd, &q, &kv);
    return (struct cost){pairs_of(&a->fwd) * (10.0 * a->fwd.head_dim + 6) + 2 * q,
                         size_of(a->fwd.act) * 4 * (q + kv) + 4 * (double)a->fwd.tokens * (3 * a->fwd.heads + 1)};
}

/* What both directions read. */
static void attention_reads(const struct attention_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act), queries = a->tokens - a->first;
    touch_rows(t, TOUCH_READ, a->q, queries, a->heads * a->head_dim * b, a->q_stride * b);
    touch_rows(t, TOUCH_READ, a->k, a->tokens, a->kv_heads * a->head_dim * b, a->k_stride * b);
    touch_rows(t, TOUCH_READ, a->v, a->tokens, a->kv_heads * a->head_dim * b, a->v_stride * b);
    touch_range(t, TOUCH_READ, a->start, 4 * queries);
}

void attention_forward_touch(const struct attention_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act), queries = a->tokens - a->first;
    attention_reads(a, t);
    touch_rows(t, TOUCH_WRITE, a->o, queries, a->heads * a->head_dim * b, a->o_stride * b);
    touch_range(t, TOUCH_WRITE, a->lse, 4 * a->heads * queries);
}

void attention_backward_touch(const struct attention_backward_args *a, struct touch *t) {
    const struct attention_args *f = &a->fwd;
    const int64_t b = act_bytes(f->act), out = f->heads * f->head_dim * b, kv = f->kv_heads * f->head_dim * b;
    attention_reads(f, t);
    touch_rows(t, TOUCH_READ, f->o, f->tokens, out, f->o_stride * b);
    touch_rows(t, TOUCH_READ, a->dout, f->tokens, out, f->o_stride * b);
    touch_range(t, TOUCH_READ, f->lse, 4 * f->heads * f->tokens);
    touch_range(t, TOUCH_WORK, a->delta, 4 * f->heads * f->tokens);
    touch_rows(t, TOUCH_WRITE, a->dq, f->tokens, out, f->q_stride * b);
    touch_rows(t, TOUCH_WRITE, a->dk, f->tokens, kv, f->k_stride * b);
    touch_rows(t, TOUCH_WRITE, a->dv, f->tokens, kv, f->v_stride * b);
}
