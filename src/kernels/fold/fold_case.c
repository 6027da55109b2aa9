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
