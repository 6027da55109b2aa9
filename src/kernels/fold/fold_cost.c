#include "kernels/cost_int.h"

struct cost fold_forward_cost(const struct fold_args *a) {
    const double n = (double)(a->rows * a->cols);
    return (struct cost){4 * n, 4 * n + 28 * (double)a->rows};
}

struct cost fold_backward_cost(const struct fold_backward_args *a) {
    const double n = (double)(a->fwd.rows * a->fwd.cols);
    return (struct cost){4 * n, n * (4 + size_of(a->act)) + 12 * (double)a->fwd.rows};
}

struct cost fold_init_cost(const struct fold_init_args *a) {
    return (struct cost){0, 12 * (double)a->rows};
}

struct cost fold_join_cost(const struct fold_join_args *a) {
    const double n = (double)a->rows * a->parts;
    return (struct cost){6 * n, 12 * (n + (double)a->rows)};
}

struct cost loss_sum_cost(const struct loss_sum_args *a) {
    return (struct cost){4 * (double)a->rows, 16 * (double)a->rows};
}

struct cost token_losses_cost(const struct token_losses_args *a) {
    return (struct cost){3 * (double)a->rows, 20 * (double)a->rows};
}

void fold_forward_touch(const struct fold_args *a, struct touch *t) {
    touch_rows(t, TOUCH_READ, a->y, a->rows, 4 * a->cols, 4 * a->ld);
    touch_range(t, TOUCH_READ, a->targets, 4 * a->rows);
    touch_range(t, TOUCH_ADD, a->m, 4 * a->rows);
    touch_range(t, TOUCH_ADD, a->z, 4 * a->rows);
    touch_range(t, TOUCH_ADD, a->yt, 4 * a->rows);
}

void fold_backward_touch(const struct fold_backward_args *a, struct touch *t) {
    const struct fold_args *f = &a->fwd;
    const int64_t b = act_bytes(a->act);
    touch_rows(t, TOUCH_READ, f->y, f->rows, 4 * f->cols, 4 * f->ld);
    touch_range(t, TOUCH_READ, f->targets, 4 * f->rows);
    touch_range(t, TOUCH_READ, f->m, 4 * f->rows);
    touch_range(t, TOUCH_READ, f->z, 4 * f->rows);
    touch_rows(t, TOUCH_WRITE, a->dy, f->rows, f->cols * b, a->dy_ld * b);
}

void fold_init_touch(const struct fold_init_args *a, struct touch *t) {
    touch_range(t, TOUCH_WRITE, a->m, 4 * a->rows);
    touch_range(t, TOUCH_WRITE, a->z, 4 * a->rows);
    touch_range(t, TOUCH_WRITE, a->yt, 4 * a->rows);
}

void fold_join_touch(const struct fold_join_args *a, struct touch *t) {
    touch_range(t, TOUCH_READ, a->from, 12 * a->parts * a->rows);
    touch_range(t, TOUCH_WRITE, a->m, 4 * a->rows);
    touch_range(t, TOUCH_WRITE, a->z, 4 * a->rows);
    touch_range(t, TOUCH_WRITE, a->yt, 4 * a->rows);
}

static void losses_touch(int64_t rows, const float *m, const float *z, const float *yt, const int32_t *targets, struct touch *t) {
    touch_range(t, TOUCH_READ, m, 4 * rows);
    touch_range(t, TOUCH_READ, z, 4 * rows);
    touch_range(t, TOUCH_READ, yt, 4 * rows);
    touch_range(t, TOUCH_READ, targets, 4 * rows);
}

void loss_sum_touch(const struct loss_sum_args *a, struct touch *t) {
    losses_touch(a->rows, a->m, a->z, a->yt, a->targets, t);
    touch_range(t, TOUCH_ADD, a->sum_acc, 8);
    touch_range(t, TOUCH_ADD, a->count_acc, 8);
}

void token_losses_touch(const struct token_losses_args *a, struct touch *t) {
    losses_touch(a->rows, a->m, a->z, a->yt, a->targets, t);
    touch_range(t, TOUCH_WRITE, a->each, 4 * a->rows);
}

struct cost loss_tally_cost(const struct loss_tally_args *a) {
    (void)a;
    return (struct cost){1, 24};
}

void loss_tally_touch(const struct loss_tally_args *a, struct touch *t) {
    touch_range(t, TOUCH_READ, a->sum, 8);
    touch_range(t, TOUCH_ADD, a->total_acc, 8);
}
