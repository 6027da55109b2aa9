#include "kernels/cost_int.h"

struct cost fold_forward_cost(const struct fold_args *a) {
    const double n = (double)(a->rows * a->cols);
    return (struct cost){4 * n, 4 * n + 28 * (double)a->rows};
}

struct cost fold_backward_cost(const struct fold_backward_args *a) {
    const double n = (double)(a->fwd.rows * a->fwd.cols);
    return (struct cost){4 * n, n * (4 + size_of(a->act)) + 12 * (double)a->fwd.rows};
}
