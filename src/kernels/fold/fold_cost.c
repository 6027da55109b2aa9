#include "kernels/cost_int.h"

struct cost fold_forward_cost(const struct fold_args *a) {
    const double n = (double)(a->rows * a->cols);
    return (struct cost){4 * n, 4 * n + 28 * (double)a->rows};
}

struct cost fold_backward_cost(const struct fold_backward_args *a) {
    const double n = (double)(a->fwd.rows * a->fwd.cols);
    return (struct cost){4 * n, n * (4 + size_of(a->act)) + 12 * (double)a->fwd.rows};
}

struct cost fold_init_cost(const struct fold_init_args *a) {
    return (struct cost){0, 12 * (double)a->rows};
}

struct cost fold_join_cost(const struct fold_join_args *a) {
    const double n = (double)a->rows * a->parts;
    return (struct cost){6 * n, 12 * (n + (double)a->rows)};
}

struct cost loss_sum_cost(const struct loss_sum_args *a) {
    return (struct cost){4 * (double)a->rows, 16 * (double)a->rows};
}

struct cost token_losses_cost(const struct token_losses_args *a) {
    return (struct cost){3 * (double)a->rows, 20 * (double)a->rows};
}
