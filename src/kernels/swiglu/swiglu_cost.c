#include "kernels/cost_int.h"

struct cost swiglu_forward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){(a->limit != 0 ? 10 : 5) * n, 3 * n * size_of(a->act)};
}

struct cost swiglu_backward_cost(const struct swiglu_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){(a->limit != 0 ? 17 : 11) * n, (a->h ? 6 : 5) * n * size_of(a->act)};
}

void swiglu_forward_touch(const struct swiglu_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act);
    touch_range(t, TOUCH_READ, a->gate_up, 2 * a->rows * row);
    touch_range(t, TOUCH_WRITE, a->h, a->rows * row);
}

void swiglu_backward_touch(const struct swiglu_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act);
    touch_range(t, TOUCH_READ, a->gate_up, 2 * a->rows * row);
    touch_range(t, TOUCH_READ, a->dh, a->rows * row);
    touch_range(t, TOUCH_WRITE, a->h, a->rows * row);
    touch_range(t, TOUCH_WRITE, a->dgate_up, 2 * a->rows * row);
}
