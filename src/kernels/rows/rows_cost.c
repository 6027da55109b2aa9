#include "kernels/cost_int.h"

struct cost rows_gather_cost(const struct rows_gather_args *a) {
    return (struct cost){0, (double)a->rows * (2 * (double)a->width * size_of(a->act) + 4)};
}

struct cost rows_combine_cost(const struct rows_combine_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){(a->w ? 2 : 1) * n * a->k, n * (a->k + 1) * size_of(a->act) + t * a->k * (a->w ? 8 : 4)};
}

struct cost rows_combine_backward_cost(const struct rows_combine_backward_args *a) {
    const double t = (double)a->tokens, n = t * (double)a->width;
    return (struct cost){3 * n * a->k, n * (2 * a->k + 1) * size_of(a->act) + t * a->k * 12};
}

struct cost rows_put_cost(const struct rows_put_args *a) {
    return (struct cost){0, (double)a->rows * (2 * (double)a->bytes + (a->from ? 4 : 0) + (a->to ? 4 : 0))};
}

struct cost rows_sum_cost(const struct rows_sum_args *a) {
    const double n = (double)(a->tokens * a->width);
    return (struct cost){n, n * size_of(a->act) + 4 * (double)(a->rows * a->width + a->tokens + a->rows)};
}

struct cost rows_accumulate_cost(const struct rows_accumulate_args *a) {
    const double n = (double)(a->rows * a->width);
    return (struct cost){n, 12 * n + (a->to ? 4 * (double)a->rows : 0)};
}

void rows_gather_touch(const struct rows_gather_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act);
    if (a->rows == 0) return;
    touch_range(t, TOUCH_READ, a->token, 4 * a->rows);
    touch_range(t, TOUCH_READ, a->x, a->x_rows * row);
    touch_range(t, TOUCH_WRITE, a->y, a->rows * row);
}

void rows_combine_touch(const struct rows_combine_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act), apart = rows_combine_apart(a);
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->pos, 4 * a->tokens * a->k);
    if (a->w) touch_rows(t, TOUCH_READ, a->w, a->tokens, 4 * a->k, 4 * apart * a->k);
    touch_range(t, TOUCH_READ, a->x, a->x_rows * row);
    touch_rows(t, TOUCH_WRITE, a->y, a->tokens, row, apart * row);
}

void rows_combine_backward_touch(const struct rows_combine_backward_args *a, struct touch *t) {
    const int64_t row = a->width * act_bytes(a->act);
    if (a->tokens == 0) return;
    touch_range(t, TOUCH_READ, a->pos, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_READ, a->w, 4 * a->tokens * a->k);
    touch_range(t, TOUCH_READ, a->x, a->x_rows * row);
    touch_range(t, TOUCH_READ, a->dy, a->tokens * row);
    touch_range(t, TOUCH_WRITE, a->dx, a->x_rows * row);
    touch_range(t, TOUCH_WRITE, a->dw, 4 * a->tokens * a->k);
}

void rows_put_touch(const struct rows_put_args *a, struct touch *t) {
    if (a->rows == 0) return;
    touch_range(t, TOUCH_READ, a->from, 4 * a->rows);
    touch_range(t, TOUCH_READ, a->to, 4 * a->rows);
    touch_range(t, TOUCH_READ, a->x, (a->from ? a->x_rows : a->rows) * a->bytes);
    if (a->to || a->from) touch_range(t, TOUCH_SOME, a->y, (a->to ? a->y_rows : a->rows) * a->bytes);
    else touch_range(t, TOUCH_WRITE, a->y, a->rows * a->bytes);
}

void rows_sum_touch(const struct rows_sum_args *a, struct touch *t) {
    if (a->rows == 0) return;
    touch_range(t, TOUCH_READ, a->first, 4 * (a->rows + 1));
    touch_range(t, TOUCH_READ, a->token, 4 * a->tokens);
    touch_range(t, TOUCH_READ, a->x, a->x_rows * a->width * act_bytes(a->act));
    touch_range(t, TOUCH_WRITE, a->y, 4 * a->rows * a->width);
}

void rows_accumulate_touch(const struct rows_accumulate_args *a, struct touch *t) {
    if (a->rows == 0) return;
    touch_range(t, TOUCH_READ, a->to, 4 * a->rows);
    touch_range(t, TOUCH_READ, a->x, 4 * a->rows * a->width);
    touch_range(t, TOUCH_ADD, a->y_acc, 4 * (a->to ? a->y_rows : a->rows) * a->width);
}
