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

void add_touch(const struct add_args *a, struct touch *t) {
    const int64_t bytes = a->count * act_bytes(a->act);
    touch_range(t, TOUCH_READ, a->a, bytes);
    touch_range(t, TOUCH_READ, a->b, bytes);
    touch_range(t, TOUCH_WRITE, a->y, bytes);
}

void bias_forward_touch(const struct bias_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    if (a->rows > 0) touch_range(t, TOUCH_READ, a->bias, a->width * b);
    touch_rows(t, TOUCH_ADD, a->x, a->rows, a->width * b, a->stride * b);
}

void bias_backward_touch(const struct bias_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, a->x, a->rows, a->width * b, a->stride * b);
    touch_range(t, TOUCH_ADD, a->db_acc, 4 * a->width);
}

void clamp_forward_touch(const struct clamp_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_ADD, a->y, a->rows, a->width * b, a->stride * b);
}

void clamp_backward_touch(const struct clamp_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, a->x, a->rows, a->width * b, a->x_stride * b);
    touch_rows(t, TOUCH_ADD, a->y, a->rows, a->width * b, a->stride * b);
}
