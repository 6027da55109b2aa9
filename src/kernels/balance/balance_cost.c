#include "kernels/cost_int.h"

struct cost balance_cost(const struct balance_args *a) {
    const double n = (double)a->layers * a->experts;
    return (struct cost){2 * n + 8.0 * a->experts, 24 * n + 12.0 * a->experts + 24};
}

struct cost balance_bias_cost(const struct balance_bias_args *a) {
    const double n = (double)a->layers * a->experts;
    return (struct cost){4 * n, 16 * n};
}

void balance_touch(const struct balance_args *a, struct touch *t) {
    const int64_t n = (int64_t)a->layers * a->experts;
    touch_range(t, TOUCH_READ, a->tokens, 8);
    touch_range(t, TOUCH_READ, a->count, 8 * n);
    touch_range(t, TOUCH_READ, a->prob_sum, 8 * (int64_t)a->experts);
    touch_range(t, TOUCH_ADD, a->step_acc, 8 * n);
    touch_range(t, TOUCH_WRITE, a->aux_grad, 4 * (int64_t)a->experts);
    touch_range(t, TOUCH_ADD, a->aux_acc, 8);
}

void balance_bias_touch(const struct balance_bias_args *a, struct touch *t) {
    const int64_t n = (int64_t)a->layers * a->experts;
    touch_range(t, TOUCH_READ, a->count, 8 * n);
    touch_range(t, TOUCH_ADD, a->bias, 4 * n);
}
