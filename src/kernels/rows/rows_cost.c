#include "kernels/cost_int.h"

struct cost rows_plan_cost(const struct rows_plan_args *a) {
    const double chosen = (double)a->tokens * a->k;
    return (struct cost){chosen, chosen * (2 + 4 + 4)};
}

struct cost rows_gather_cost(const struct rows_gather_args *a) {
    return (struct cost){0, (double)a->rows * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost rows_combine_cost(const struct rows_combine_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){(a->w ? 2 : 1) * n * a->k, n * (a->k + 1) * size_of(a->act) + t * a->k * (a->w ? 8 : 4)};
}

struct cost rows_combine_backward_cost(const struct rows_combine_backward_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){3 * n * a->k, n * (2 * a->k + 1) * size_of(a->act) + t * a->k * 12};
}
