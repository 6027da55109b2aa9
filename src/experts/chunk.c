/* A chunk of tokens on the device: where its rows lie, and rows out of tokens and back. Buffers are the caller's (a set's, or a leg's); the numbers of
 * rows in their lists are those that the last dispatch_count or dispatch_place left in work->number. */
#include "experts/experts_int.h"

void chunk_deal(struct experts *m, const struct chunk *c, int moe, int lists, bool by_expert) {
    const struct experts_work *w = m->work;
    if (c->tokens == 0) return;
    RUN(m->ex, dispatch_rows, dispatch_rows_args, .tokens = m->shape.tokens, .first = c->first, .step = c->step, .count = c->tokens, .rows = c->rows,
        .k = m->shape.spec->top_k, .lists = lists, .ids = by_expert ? ids_of(m, moe) : NULL, .list = w->list, .number = w->number, .base = c->base,
        .token = c->token, .pos = c->pos);
}

void chunk_gather(struct experts *m, const struct chunk *c, const void *x, void *rows) {
    if (c->rows == 0) return;
    RUN(m->ex, rows_gather, rows_gather_args, .act = m->shape.act, .rows = c->rows, .width = m->shape.spec->hidden, .x_rows = m->shape.tokens,
        .token = c->token, .x = x, .y = rows);
}

void chunk_combine(struct experts *m, const struct chunk *c, const float *weights, const void *rows, void *y) {
    const int64_t k = m->shape.spec->top_k, hidden = m->shape.spec->hidden;
    if (c->tokens == 0) return;
    RUN(m->ex, rows_combine, rows_combine_args, .act = m->shape.act, .tokens = c->tokens, .width = hidden, .x_rows = c->rows, .apart = c->step,
        .k = (int)k, .pos = c->pos, .w = weights ? weights + c->first * k : NULL, .x = rows,
        .y = (char *)y + c->first * hidden * dtype_bytes(m->shape.act));
}

void chunk_weights(struct experts *m, const struct chunk *c, float *weights, float *of_rows, bool home) {
    if (c->tokens == 0) return;
    RUN(m->ex, dispatch_weights, dispatch_weights_args, .first = c->first, .step = c->step, .count = c->tokens, .rows = c->rows,
        .k = m->shape.spec->top_k, .home = home, .pos = c->pos, .weights = weights, .of_rows = of_rows);
}
