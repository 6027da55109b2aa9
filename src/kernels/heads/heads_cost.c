#include "kernels/cost_int.h"

static double heads_bytes(const struct heads_args *a) {
    const double own = (double)(a->heads * a->own_dim), shared = (double)a->shared_dim;
    return (double)a->rows * (2 * own + shared * (double)(a->heads + 1)) * size_of(a->act);
}

struct cost heads_forward_cost(const struct heads_args *a) {
    return (struct cost){0, heads_bytes(a)};
}

struct cost heads_backward_cost(const struct heads_args *a) {
    return (struct cost){(double)(a->rows * a->heads * a->shared_dim), heads_bytes(a)};
}

/* Parts and whole: one is read, the other written. */
static void heads_touch(const struct heads_args *a, struct touch *t, enum access parts, enum access whole) {
    const int64_t b = act_bytes(a->act);
    touch_rows(t, parts, a->own, a->rows, a->heads * a->own_dim * b, a->own_stride * b);
    touch_rows(t, parts, a->shared, a->rows, a->shared_dim * b, a->shared_stride * b);
    touch_rows(t, whole, a->y, a->rows, a->heads * (a->own_dim + a->shared_dim) * b, a->y_stride * b);
}

void heads_forward_touch(const struct heads_args *a, struct touch *t) { heads_touch(a, t, TOUCH_READ, TOUCH_WRITE); }
void heads_backward_touch(const struct heads_args *a, struct touch *t) { heads_touch(a, t, TOUCH_WRITE, TOUCH_READ); }
