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

struct cost rows_put_cost(const struct rows_put_args *a) {
    return (struct cost){0, (double)a->rows * (2 * (double)a->bytes + (a->from ? 4 : 0) + (a->to ? 4 : 0))};
}

struct cost rows_sum_cost(const struct rows_sum_args *a) {
    const double n = (double)(a->tokens * a->width);
    return (struct cost){n, n * size_of(a->act) + 4 * (double)(a->rows * a->width + a->tokens + a->rows)};
}

struct cost rows_accumulate_cost(const struct rows_accumulate_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){n, 12 * n + (a->to ? 4 * (double)a->rows : 0)};
}
