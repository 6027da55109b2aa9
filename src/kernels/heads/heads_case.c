#include "kernels/case_int.h"

/* A third of a head is shared; the whole is numbers in either direction, for what is not overwritten is read. */
static struct heads_args heads_of(struct ctx *c) {
    const int64_t t = c->s->tokens, h = c->s->heads, shared = c->s->head_dim / 3, own = c->s->head_dim - shared;
    return (struct heads_args){.act = c->act,
                               .rows = t,
                               .heads = h,
                               .own_dim = own,
                               .shared_dim = shared,
                               .own = numbers(c, c->act, t * h * own),
                               .own_stride = h * own,
                               .shared = numbers(c, c->act, t * shared),
                               .shared_stride = shared,
                               .y = numbers(c, c->act, t * h * (own + shared)),
                               .y_stride = h * (own + shared)};
}

void case_heads_forward(struct ctx *c) {
    const struct heads_args a = heads_of(c);
    LAUNCH(c, heads_forward, heads_args, .act = a.act, .rows = a.rows, .heads = a.heads, .own_dim = a.own_dim, .shared_dim = a.shared_dim,
           .own = a.own, .own_stride = a.own_stride, .shared = a.shared, .shared_stride = a.shared_stride, .y = a.y, .y_stride = a.y_stride);
    wrote(c, "y", c->act, a.y, a.rows * a.y_stride, -1);
}

void case_heads_backward(struct ctx *c) {
    const struct heads_args a = heads_of(c);
    LAUNCH(c, heads_backward, heads_args, .act = a.act, .rows = a.rows, .heads = a.heads, .own_dim = a.own_dim, .shared_dim = a.shared_dim,
           .own = a.own, .own_stride = a.own_stride, .shared = a.shared, .shared_stride = a.shared_stride, .y = a.y, .y_stride = a.y_stride);
    wrote(c, "own", c->act, a.own, a.rows * a.own_stride, -1);
    wrote(c, "shared", c->act, a.shared, a.rows * a.shared_stride, -1);
}
