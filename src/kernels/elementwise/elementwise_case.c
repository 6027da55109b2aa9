#include "kernels/case_int.h"

void case_add(struct ctx *c) {
    const int64_t n = c->s->tokens * c->s->hidden;
    const void *a = numbers(c, c->act, n), *b = numbers(c, c->act, n);
    void *y = room_for(c, n * dtype_bytes(c->act));
    LAUNCH(c, add, add_args, .act = c->act, .count = n, .a = a, .b = b, .y = y);
    wrote(c, "y", c->act, y, n, roundings(1, 2));
}

void case_bias_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *x = numbers(c, c->act, t * w);
    const void *bias = numbers(c, c->act, w);
    LAUNCH(c, bias_forward, bias_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = x, .bias = bias);
    wrote(c, "x", c->act, x, t * w, roundings(1, 2));
}

void case_bias_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *dx = numbers(c, c->act, t * w);
    float *db = numbers(c, DT_F32, w);
    LAUNCH(c, bias_backward, bias_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = dx, .db_acc = db);
    wrote(c, "db", DT_F32, db, w, roundings((double)t + 1, (double)t + 1));
}

void case_clamp_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *y = numbers(c, c->act, t * w);
    LAUNCH(c, clamp_forward, clamp_args, .act = c->act, .rows = t, .width = w, .stride = w, .y = y, .limit = 0.5f);
    wrote(c, "y", c->act, y, t * w, -1);
}

void case_clamp_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w);
    void *dy = numbers(c, c->act, t * w);
    LAUNCH(c, clamp_backward, clamp_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = x, .x_stride = w, .y = dy, .limit = 0.5f);
    wrote(c, "dx", c->act, dy, t * w, -1);
}
