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

void copy_rows_touch(const struct copy_rows_args *a, struct touch *t) {
    touch_rows(t, TOUCH_READ, a->from, a->rows, a->bytes, a->from_stride);
    touch_rows(t, TOUCH_WRITE, a->to, a->rows, a->bytes, a->to_stride);
}

void convert_touch(const struct convert_args *a, struct touch *t) {
    const int64_t from = act_bytes(a->from_type), to = act_bytes(a->to_type);
    touch_rows(t, TOUCH_READ, a->from, a->rows, a->width * from, a->from_stride * from);
    touch_rows(t, TOUCH_WRITE, a->to, a->rows, a->width * to, a->to_stride * to);
}

void accumulate_touch(const struct accumulate_args *a, struct touch *t) {
    const int64_t from = act_bytes(a->from_type);
    touch_rows(t, TOUCH_READ, a->from, a->rows, a->width * from, a->from_stride * from);
    touch_rows(t, TOUCH_ADD, a->to_acc, a->rows, 4 * a->width, 4 * a->to_stride);
}
