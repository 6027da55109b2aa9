#include "kernels/case_int.h"

void case_rope(struct ctx *c) {
    const int64_t t = c->s->tokens, d = c->s->head_dim, stride = c->s->heads * d;
    void *x = numbers(c, c->act, t * stride);
    const float *cosines = numbers(c, DT_F32, c->s->seq * d / 2), *sines = numbers(c, DT_F32, c->s->seq * d / 2);
    const int32_t *positions = indices(c, t, c->s->seq);
    LAUNCH(c, rope, rope_args, .act = c->act, .rows = t, .heads = c->s->heads, .dim = d, .x = x, .x_stride = stride, .positions = positions,
           .places = c->s->seq, .cos = cosines, .sin = sines);
    wrote(c, "x", c->act, x, t * stride, roundings(3, 2));
}
