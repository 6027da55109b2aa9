#include "kernels/case_int.h"

/* mean(x^2): width roundings of positive terms, so relative; its root halves them. A product that is rounded to act inside may fall to
 * the other side. */
void case_norm_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *weight = numbers(c, c->act, w);
    void *y = room_for(c, t * w * dtype_bytes(c->act));
    float *rstd = room_for(c, 4 * t);
    LAUNCH(c, norm_forward, norm_args, .act = c->act, .rows = t, .heads = 1, .width = w, .x = x, .x_stride = w, .w = weight, .eps = 1e-6, .y = y,
           .y_stride = w, .rstd = rstd);
    const double r = most(rstd, t), n = (double)w / 2 + 6;
    wrote(c, "y", c->act, y, t * w, roundings(n, r) + 2 * unit_of(c->act) * r);
    wrote(c, "rstd", DT_F32, rstd, t, roundings(n, r));
}

/* dx = rstd (dn - n mean(dn n)) + add with |dn| <= 1, |n| <= rstd. */
void case_norm_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *weight = numbers(c, c->act, w), *dy = numbers(c, c->act, t * w), *add = numbers(c, c->act, t * w);
    void *dx = room_for(c, t * w * dtype_bytes(c->act));
    float *dw = numbers(c, DT_F32, w), *rstd = room_for(c, 4 * t);
    for (int64_t i = 0; !c->full && i < t; i++) rstd[i] = 1.5f;
    LAUNCH(c, norm_backward, norm_backward_args, .act = c->act, .rows = t, .heads = 1, .width = w, .x = x, .x_stride = w, .w = weight, .rstd = rstd,
           .dy = dy, .dy_stride = w, .dx = dx, .dx_stride = w, .add = add, .dw_acc = dw);
    wrote(c, "dx", c->act, dx, t * w, roundings((double)w + 8, 1.5 + 1.5 * 1.5 * 1.5 + 1));
    wrote(c, "dw", DT_F32, dw, w, roundings((double)t + 2, 1.5 * (double)t + 1));
}
