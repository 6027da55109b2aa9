#include "kernels/case_int.h"

static struct fold_args fold_of(struct ctx *c) {
    const int64_t r = c->s->vocab_rows, v = c->s->vocab;
    float *m = room_for(c, 4 * r);
    for (int64_t i = 0; m && i < r; i++) m[i] = -INFINITY;
    return (struct fold_args){.rows = r,
                              .cols = v,
                              .ld = v,
                              .y = numbers(c, DT_F32, r * v),
                              .targets = indices(c, r, v),
                              .m = m,
                              .z = room_for(c, 4 * r),
                              .yt = room_for(c, 4 * r)};
}

void case_fold_forward(struct ctx *c) {
    struct fold_args f = fold_of(c);
    const double v = (double)c->s->vocab;
    LAUNCH(c, fold_forward, fold_args, .rows = f.rows, .cols = f.cols, .ld = f.ld, .y = f.y, .targets = f.targets, .m = f.m, .z = f.z, .yt = f.yt);
    wrote(c, "m", DT_F32, f.m, f.rows, -1);
    wrote(c, "z", DT_F32, f.z, f.rows, roundings(v + 8 + 2, v));
    wrote(c, "y of the target", DT_F32, f.yt, f.rows, -1);
}

void case_fold_backward(struct ctx *c) {
    struct fold_args f = fold_of(c);
    void *dy = room_for(c, f.rows * f.cols * dtype_bytes(c->act));
    if (c->full) return;
    fold_forward_ref(NULL, &f);
    LAUNCH(c, fold_backward, fold_backward_args, .fwd = f, .scale = 0.5f, .act = c->act, .dy = dy, .dy_ld = f.cols);
    wrote(c, "dY", c->act, dy, f.rows * f.cols, roundings(8 + 4, 1));
}

void case_fold_init(struct ctx *c) {
    const int64_t r = c->s->tokens;
    float *m = numbers(c, DT_F32, 3 * r);
    LAUNCH(c, fold_init, fold_init_args, .rows = r, .m = m, .z = m + r, .yt = m + 2 * r);
    wrote(c, "m, z, y of the target", DT_F32, m, 3 * r, -1);
}

/* Sums of `parts` columns each. */
void case_fold_join(struct ctx *c) {
    enum { PARTS = 4 };
    const int64_t r = c->s->tokens;
    float *from = numbers(c, DT_F32, PARTS * 3 * r), *m = room_for(c, 12 * r);
    for (int64_t i = 0; !c->full && i < PARTS * 3 * r; i++)
        if (i / r % 3 == 1) from[i] = fabsf(from[i]);
    LAUNCH(c, fold_join, fold_join_args, .rows = r, .parts = PARTS, .from = from, .m = m, .z = m + r, .yt = m + 2 * r);
    wrote(c, "m, z, y of the target", DT_F32, m, 3 * r, -1);
}

static const float *losses_of(struct ctx *c) {
    const int64_t r = c->s->tokens;
    float *m = numbers(c, DT_F32, 3 * r);
    for (int64_t i = 0; m && i < r; i++) m[r + i] = 1.5f + m[r + i];
    return m;
}

void case_loss_sum(struct ctx *c) {
    const int64_t r = c->s->tokens;
    const float *m = losses_of(c);
    double *sum = room_for(c, 8);
    int64_t *count = room_for(c, 8);
    LAUNCH(c, loss_sum, loss_sum_args, .rows = r, .m = m, .z = m + r, .yt = m + 2 * r, .targets = indices(c, r, c->s->vocab), .sum_acc = sum,
           .count_acc = count);
    wrote(c, "sum", DT_F64, sum, 1, -1);
    wrote(c, "count", DT_I64, count, 1, -1);
}

void case_token_losses(struct ctx *c) {
    const int64_t r = c->s->tokens;
    const float *m = losses_of(c);
    float *each = room_for(c, 4 * r);
    LAUNCH(c, token_losses, token_losses_args, .rows = r, .m = m, .z = m + r, .yt = m + 2 * r, .targets = indices(c, r, c->s->vocab), .each = each);
    wrote(c, "losses", DT_F32, each, r, -1);
}

void case_loss_tally(struct ctx *c) {
    double *sum = room_for(c, 8), *total = room_for(c, 8);
    if (c->full) return;
    *sum = 0.7;
    *total = 0.1;
    LAUNCH(c, loss_tally, loss_tally_args, .sum = sum, .total_acc = total);
    wrote(c, "total", DT_F64, total, 1, -1);
}
