#include "kernels/cost_int.h"

/* Scores of the experts; one pass of comparisons per choice; the softmax for the balancing beside scores of another sort. */
struct cost route_forward_cost(const struct route_args *a) {
    const double t = (double)a->tokens, chosen = t * a->k;
    const int choices = (a->ids_given ? 0 : a->k + (a->groups ? 2 : 0)) + (a->softmax_count ? a->k : 0);
    const int beside = a->score != ROUTE_SOFTMAX && (a->prob_sum || a->softmax_count) ? 4 : 0;
    return (struct cost){t * a->experts * (4 + beside + choices), t * a->experts * size_of(a->act) + chosen * (2 + 4)};
}

struct cost route_backward_cost(const struct route_backward_args *a) {
    const double t = (double)a->fwd.tokens;
    return (struct cost){t * a->fwd.experts * 8, t * a->fwd.experts * 2 * size_of(a->fwd.act) + t * a->fwd.k * (2 + 4 + 4)};
}

void route_forward_touch(const struct route_args *a, struct touch *t) {
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->logits, a->tokens * a->experts * act_bytes(a->act));
    touch_range(t, TOUCH_READ, a->start, 4 * a->tokens);
    if (!a->ids_given) touch_range(t, TOUCH_READ, a->bias, 4 * (int64_t)a->experts);
    touch_range(t, a->ids_given ? TOUCH_ADD : TOUCH_WRITE, a->ids, 2 * a->tokens * a->k); /* padding's are set in any case */
    touch_range(t, TOUCH_WRITE, a->weights, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_ADD, a->prob_sum, 8 * (int64_t)a->experts);
    touch_range(t, TOUCH_ADD, a->count, 8 * (int64_t)a->experts);
    touch_range(t, TOUCH_ADD, a->softmax_count, 8 * (int64_t)a->experts);
}

void route_backward_touch(const struct route_backward_args *a, struct touch *t) {
    const struct route_args *f = &a->fwd;
    const int64_t logits = f->tokens * f->experts * act_bytes(f->act);
    if (f->tokens == 0) return;
    touch_range(t, TOUCH_READ, f->logits, logits);
    touch_range(t, TOUCH_READ, f->start, 4 * f->tokens);
    touch_range(t, TOUCH_READ, f->ids, 2 * f->tokens * f->k);
    touch_range(t, TOUCH_READ, a->dweights, 4 * f->tokens * f->k);
    touch_range(t, TOUCH_READ, a->aux, 4 * (int64_t)f->experts);
    touch_range(t, TOUCH_WRITE, a->dlogits, logits);
}
