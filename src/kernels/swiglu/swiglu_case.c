#include "kernels/case_int.h"

/* An exponential is taken to be within 8 roundings. */
void case_swiglu_forward(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, w = c->s->width;
    const void *x = numbers(c, c->act, rows * 2 * w);
    void *h = room_for(c, rows * w * dtype_bytes(c->act));
    LAUNCH(c, swiglu_forward, swiglu_args, .act = c->act, .rows = rows, .width = w, .gate_up = x, .h = h);
    wrote(c, "h", c->act, h, rows * w, roundings(8 + 4, 1));
}

void case_swiglu_backward(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, w = c->s->width;
    const void *x = numbers(c, c->act, rows * 2 * w), *dh = numbers(c, c->act, rows * w);
    void *dx = room_for(c, rows * 2 * w * dtype_bytes(c->act)), *h = room_for(c, rows * w * dtype_bytes(c->act));
    LAUNCH(c, swiglu_backward, swiglu_args, .act = c->act, .rows = rows, .width = w, .gate_up = x, .h = h, .dh = dh, .dgate_up = dx);
    wrote(c, "h", c->act, h, rows * w, roundings(8 + 4, 1));
    wrote(c, "d gate and up", c->act, dx, rows * 2 * w, roundings(2 * 8 + 8, 2));
}
