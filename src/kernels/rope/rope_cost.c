#include "kernels/cost_int.h"

struct cost rope_cost(const struct rope_args *a) {
    const double n = (double)(a->rows * a->heads * a->dim);
    return (struct cost){3 * n, 2 * n * size_of(a->act) + (double)a->rows * (4 + 4 * (double)a->dim)};
}
