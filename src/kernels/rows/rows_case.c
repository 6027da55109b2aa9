#include "kernels/case_int.h"

void case_rows_gather(struct ctx *c) {
    const struct dispatch_rows_args p = case_dealt(c);
    const int64_t rows = p.rows, w = c->s->hidden;
    const void *x = numbers(c, c->act, p.tokens * w);
    void *y = room_for(c, rows * w * dtype_bytes(c->act));
    if (c->full) return;
    dispatch_rows_ref(NULL, &p);
    LAUNCH(c, rows_gather, rows_gather_args, .act = c->act, .rows = rows, .width = w, .x_rows = p.tokens, .token = p.token, .x = x, .y = y);
    wrote(c, "y", c->act, y, rows * w, -1);
}

void case_rows_combine(struct ctx *c) {
    const struct dispatch_rows_args p = case_dealt(c);
    const int64_t rows = p.rows, w = c->s->hidden;
    const void *x = numbers(c, c->act, rows * w);
    const float *weight = numbers(c, DT_F32, p.tokens * p.k);
    void *y = room_for(c, p.tokens * w * dtype_bytes(c->act));
    if (c->full) return;
    dispatch_rows_ref(NULL, &p);
    LAUNCH(c, rows_combine, rows_combine_args, .act = c->act, .tokens = p.tokens, .width = w, .x_rows = rows, .k = p.k, .pos = p.pos, .w = weight,
           .x = x, .y = y);
    wrote(c, "y", c->act, y, p.tokens * w, roundings(p.k + 1, p.k));
}

void case_rows_combine_backward(struct ctx *c) {
    const struct dispatch_rows_args p = case_dealt(c);
    const int64_t rows = p.rows, w = c->s->hidden;
    const void *x = numbers(c, c->act, rows * w), *dy = numbers(c, c->act, p.tokens * w);
    const float *weight = numbers(c, DT_F32, p.tokens * p.k);
    void *dx = room_for(c, rows * w * dtype_bytes(c->act));
    float *dw = room_for(c, 4 * p.tokens * p.k);
    if (c->full) return;
    dispatch_rows_ref(NULL, &p);
    LAUNCH(c, rows_combine_backward, rows_combine_backward_args, .act = c->act, .tokens = p.tokens, .width = w, .x_rows = rows, .k = p.k,
           .pos = p.pos, .w = weight, .x = x, .dy = dy, .dx = dx, .dw = dw);
    wrote(c, "dx", c->act, dx, rows * w, roundings(1, 1));
    wrote(c, "dw", DT_F32, dw, p.tokens * p.k, roundings((double)w + 1, (double)w));
}

/* Rows drawn from a table, as embeddings of tokens are, and in reverse order. */
void case_rows_put(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden, bytes = w * dtype_bytes(c->act);
    const void *x = numbers(c, c->act, c->s->vocab * w);
    const int32_t *from = indices(c, t, c->s->vocab);
    int32_t *to = room_for(c, 4 * t);
    void *y = room_for(c, t * bytes);
    for (int64_t i = 0; !c->full && i < t; i++) to[i] = (int32_t)(t - 1 - i);
    LAUNCH(c, rows_put, rows_put_args, .rows = t, .bytes = bytes, .from = from, .to = to, .x_rows = c->s->vocab, .y_rows = t, .x = x, .y = y);
    wrote(c, "y", c->act, y, t * w, -1);
}

/* Runs of 0, 1, 2, 3 and 0 tokens again and again. */
void case_rows_sum(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w);
    const int32_t *token = indices(c, t, t);
    int32_t *first = room_for(c, 4 * (t + 1));
    float *y = room_for(c, 4 * t * w);
    for (int64_t r = 0; !c->full && r < t; r++) first[r + 1] = (int32_t)i64_min(t, first[r] + r % 5 % 4);
    LAUNCH(c, rows_sum, rows_sum_args, .act = c->act, .rows = t, .width = w, .tokens = t, .first = first, .token = token, .x_rows = t, .x = x,
           .y = y);
    wrote(c, "y", DT_F32, y, t * w, -1);
}

void case_rows_accumulate(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const float *x = numbers(c, DT_F32, t * w);
    float *y = numbers(c, DT_F32, t * w);
    int32_t *to = room_for(c, 4 * t);
    for (int64_t i = 0; !c->full && i < t; i++) to[i] = (int32_t)(t - 1 - i);
    LAUNCH(c, rows_accumulate, rows_accumulate_args, .rows = t, .width = w, .to = to, .y_rows = t, .x = x, .y_acc = y);
    wrote(c, "y", DT_F32, y, t * w, -1);
}
