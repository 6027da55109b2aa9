#include "kernels/cost_int.h"

struct cost add_cost(const struct add_args *a) {
    return (struct cost){(double)a->count, 3 * (double)a->count * size_of(a->act)};
}

static struct cost bias_cost(const struct bias_args *a, double passes) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){n, passes * n * size_of(a->act) + (double)a->width * 8};
}

struct cost bias_forward_cost(const struct bias_args *a) {
    return bias_cost(a, 2);
}
struct cost bias_backward_cost(const struct bias_args *a) {
    return bias_cost(a, 1);
}

static struct cost clamp_cost(const struct clamp_args *a, double passes) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){2 * n, passes * n * size_of(a->act)};
}

struct cost clamp_forward_cost(const struct clamp_args *a) {
    return clamp_cost(a, 2);
}
struct cost clamp_backward_cost(const struct clamp_args *a) {
    return clamp_cost(a, 3);
}
