#include "kernels/cost_int.h"

/* Softmax over the experts; one pass of comparisons per choice. */
struct cost route_forward_cost(const struct route_args *a) {
    const double t = (double)a->tokens, chosen = t * a->k;
    return (struct cost){t * a->experts * (4 + (a->ids_given ? 0 : a->k)), t * a->experts * size_of(a->act) + chosen * (2 + 4)};
}

struct cost route_backward_cost(const struct route_backward_args *a) {
    const double t = (double)a->fwd.tokens;
    return (struct cost){t * a->fwd.experts * 8, t * a->fwd.experts * 2 * size_of(a->fwd.act) + t * a->fwd.k * (2 + 4 + 4)};
}
