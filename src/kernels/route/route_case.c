#include "kernels/case_int.h"

struct route_args case_routing(struct ctx *c) {
    const int64_t t = c->s->tokens, n = t * c->s->experts, chosen = t * c->s->top_k;
    return (struct route_args){.act = c->act,
                               .tokens = t,
                               .experts = c->s->experts,
                               .k = c->s->top_k,
                               .logits = numbers(c, c->act, n),
                               .renormalise = true,
                               .ids = room_for(c, 2 * chosen),
                               .weights = room_for(c, 4 * chosen)};
}

/* What a softmax over n terms may be off, relative. */
static double softmax_error(int64_t n) { return roundings((double)n + 2 * 8 + 4, 1); }

void case_route_forward(struct ctx *c) {
    struct route_args a = case_routing(c);
    const double error = softmax_error(a.experts);
    double *sum = room_for(c, 8 * (int64_t)a.experts);
    int64_t *count = room_for(c, 8 * (int64_t)a.experts);
    LAUNCH(c, route_forward, route_args, .act = a.act, .tokens = a.tokens, .experts = a.experts, .k = a.k, .logits = a.logits, .renormalise = true,
           .ids = a.ids, .weights = a.weights, .prob_sum = sum, .count = count);
    wrote(c, "ids", DT_U16, a.ids, a.tokens * a.k, -1);
    wrote(c, "count", DT_I64, count, a.experts, -1);
    wrote(c, "weights", DT_F32, a.weights, a.tokens * a.k, 2 * error + 2 * unit_of(c->act)); /* rounded to act, held in fp32 */
    wrote(c, "sum of p", DT_F64, sum, a.experts, (double)a.tokens * error);
}

/* |g| <= 2/P with P >= k/E the sum of the chosen, and the balancing's 1. */
void case_route_backward(struct ctx *c) {
    struct route_args a = case_routing(c);
    const float *dweights = numbers(c, DT_F32, a.tokens * a.k), *aux = numbers(c, DT_F32, a.experts);
    void *dlogits = room_for(c, a.tokens * a.experts * dtype_bytes(c->act));
    if (c->full) return;
    route_forward_ref(NULL, &a);
    LAUNCH(c, route_backward, route_backward_args, .fwd = a, .dweights = dweights, .aux = aux, .dlogits = dlogits);
    const double g = 2.0 * a.experts / a.k + 1;
    wrote(c, "dlogits", c->act, dlogits, a.tokens * a.experts, 4 * g * softmax_error(a.experts));
}
