#include "kernels/cost_int.h"

struct cost swiglu_forward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){5 * n, 3 * n * size_of(a->act)};
}

struct cost swiglu_backward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){11 * n, (a->h ? 6 : 5) * n * size_of(a->act)};
}
