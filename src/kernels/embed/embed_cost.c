#include "kernels/cost_int.h"

struct cost embed_forward_cost(const struct embed_args *a) {
    return (struct cost){0, (double)a->tokens * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost embed_backward_cost(const struct embed_args *a) {
    const double n = (double)(a->tokens * a->width);
    return (struct cost){n, n * (size_of(a->act) + 8) + (double)a->tokens * 8};
}
