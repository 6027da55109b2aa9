#include "kernels/cost_int.h"

struct cost copy_rows_cost(const struct copy_rows_args *a) {
    return (struct cost){0, 2 * (double)a->rows * (double)a->bytes};
}

struct cost convert_cost(const struct convert_args *a) {
    return (struct cost){0, (double)(a->rows * a->width) * (size_of(a->from_type) + size_of(a->to_type))};
}

struct cost accumulate_cost(const struct accumulate_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){n, n * (size_of(a->from_type) + 8)};
}
