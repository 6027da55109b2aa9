#include "kernels/cost_int.h"

struct cost rope_cost(const struct rope_args *a) {
    const double n = (double)(a->rows * a->heads * a->dim);
    return (struct cost){3 * n, 2 * n * size_of(a->act) + (double)a->rows * (4 + 4 * (double)a->dim)};
}

void rope_touch(const struct rope_args *a, struct touch *t) {
    const int64_t b = act_bytes(a->act);
    if (a->rows == 0) return;
    touch_range(t, TOUCH_READ, a->positions, 4 * a->rows);
    touch_range(t, TOUCH_READ, a->cos, 4 * a->places * (a->dim / 2));
    touch_range(t, TOUCH_READ, a->sin, 4 * a->places * (a->dim / 2));
    if (rope_head_stride(a) == a->dim) touch_rows(t, TOUCH_ADD, a->x, a->rows, a->heads * a->dim * b, a->x_stride * b);
    else
        for (int64_t r = 0; r < a->rows; r++)
            touch_rows(t, TOUCH_ADD, (const char *)a->x + r * a->x_stride * b, a->heads, a->dim * b, a->head_stride * b);
}
