#include "kernels/cost_int.h"

/* Pairs of a query and a key that it sees, over all heads; padding sees nothing. */
static double pairs_of(const struct attention_args *a) {
    int64_t pairs = 0;
    for (int64_t i = a->first; i < a->tokens; i++) {
        const int64_t start = a->start[i - a->first];
        pairs += start < 0 ? 0 : i - start + 1;
    }
    return (double)pairs * a->heads;
}

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
