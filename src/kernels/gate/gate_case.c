#include "kernels/case_int.h"

/* An exponential is taken to be within 8 roundings; a sigmoid that is rounded to act may fall to the other side. */
void case_gate_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *gate = numbers(c, c->act, t * w);
    void *y = room_for(c, t * w * dtype_bytes(c->act));
    LAUNCH(c, gate_forward, gate_args, .act = c->act, .rows = t, .width = w, .x = x, .x_stride = w, .gate = gate, .gate_stride = w, .y = y,
           .y_stride = w);
    wrote(c, "y", c->act, y, t * w, roundings(8 + 3, 1) + 2 * unit_of(c->act));
}

void case_gate_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *gate = numbers(c, c->act, t * w), *dy = numbers(c, c->act, t * w);
    void *dx = room_for(c, t * w * dtype_bytes(c->act)), *dgate = room_for(c, t * w * dtype_bytes(c->act));
    LAUNCH(c, gate_backward, gate_backward_args,
           .fwd = {.act = c->act, .rows = t, .width = w, .x = x, .x_stride = w, .gate = gate, .gate_stride = w, .y_stride = w}, .dy = dy, .dx = dx,
           .dgate = dgate);
    wrote(c, "dx", c->act, dx, t * w, roundings(8 + 3, 1) + 2 * unit_of(c->act));
    wrote(c, "dgate", c->act, dgate, t * w, roundings(2 * 8 + 6, 1));
}
