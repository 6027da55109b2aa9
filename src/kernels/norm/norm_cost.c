#include "kernels/cost_int.h"

struct cost norm_forward_cost(const struct norm_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){4 * n, 2 * n * size_of(a->act) + (a->rstd ? 4 * heads : 0) + (double)a->width * size_of(a->act)};
}

struct cost norm_backward_cost(const struct norm_backward_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){(a->add ? 9 : 8) * n,
                         (a->add ? 4 : 3) * n * size_of(a->act) + 4 * heads + (double)a->width * (size_of(a->act) + 2 * sizeof(float))};
}
