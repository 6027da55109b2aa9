#include "kernels/case_int.h"

void case_embed_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const int32_t *ids = indices(c, t, c->s->vocab);
    const void *weight = numbers(c, c->act, c->s->vocab * w);
    void *y = room_for(c, t * w * dtype_bytes(c->act));
    LAUNCH(c, embed_forward, embed_args, .act = c->act, .tokens = t, .width = w, .vocab = c->s->vocab, .ids = ids, .w = weight, .y = y);
    wrote(c, "y", c->act, y, t * w, -1);
}

/* Few ids, so that they come again and again; one is left out. */
void case_embed_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const int32_t *ids = indices(c, t, i64_max(3, t / 8));
    const void *dy = numbers(c, c->act, t * w);
    float *dw = numbers(c, DT_F32, c->s->vocab * w);
    LAUNCH(c, embed_backward, embed_args, .act = c->act, .tokens = t, .width = w, .vocab = c->s->vocab, .ids = ids, .dy = dy, .skip = 1,
           .dw_acc = dw);
    wrote(c, "dw", DT_F32, dw, c->s->vocab * w, roundings((double)t + 1, (double)t + 1));
}
