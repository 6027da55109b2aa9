#include "kernels/cost_int.h"

struct cost norm_forward_cost(const struct norm_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){(a->gate ? 9 : 4) * n,
                         (a->gate ? 3 : 2) * n * size_of(a->act) + (a->rstd ? 4 * heads : 0) + (double)a->width * size_of(a->act)};
}

struct cost norm_backward_cost(const struct norm_backward_args *a) {
    const double heads = (double)(a->rows * a->heads), n = heads * (double)a->width;
    return (struct cost){((a->add ? 9 : 8) + (a->gate ? 11 : 0)) * n, ((a->add ? 4 : 3) + (a->gate ? 2 : 0)) * n * size_of(a->act) + 4 * heads +
                                                                          (double)a->width * (size_of(a->act) + 2 * sizeof(float))};
}

void norm_forward_touch(const struct norm_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act), row = a->heads * a->width * b;
    if (a->rows == 0) return;
    touch_rows(t, TOUCH_READ, a->x, a->rows, row, a->x_stride * b);
    touch_range(t, TOUCH_READ, a->w, a->width * b);
    touch_rows(t, TOUCH_READ, a->gate, a->gate ? a->rows : 0, row, a->gate_stride * b);
    touch_rows(t, TOUCH_WRITE, a->y, a->rows, row, a->y_stride * b);
    touch_range(t, TOUCH_WRITE, a->rstd, 4 * a->rows * a->heads);
}

void norm_backward_touch(const struct norm_backward_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act), row = a->heads * a->width * b;
    if (a->rows > 0) {
        touch_rows(t, TOUCH_READ, a->x, a->rows, row, a->x_stride * b);
        touch_range(t, TOUCH_READ, a->w, a->width * b);
        touch_range(t, TOUCH_READ, a->rstd, 4 * a->rows * a->heads);
        touch_rows(t, TOUCH_READ, a->dy, a->rows, row, a->dy_stride * b);
        if (a->gate) {
            touch_rows(t, TOUCH_READ, a->gate, a->rows, row, a->gate_stride * b);
            touch_rows(t, TOUCH_WRITE, a->dgate, a->rows, row, a->gate_stride * b);
        }
        if (a->add) touch_rows(t, TOUCH_READ, a->add, a->rows, row, a->dx_stride * b);
        touch_rows(t, TOUCH_WRITE, a->dx, a->rows, row, a->dx_stride * b);
    }
    touch_range(t, TOUCH_ADD, a->dw_acc, 4 * a->width);
}
