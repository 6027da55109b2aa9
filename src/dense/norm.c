#include "dense/dense.h"

/* The model's ways are the kernel's. */
_Static_assert((int)NORM_TWICE == (int)NORM_WAY_TWICE && (int)NORM_ONCE == (int)NORM_WAY_ONCE && (int)NORM_PLUS_ONE == (int)NORM_WAY_PLUS_ONE,
               "one order of both lists");

err_t dense_norm_forward(struct dense *d, enum param_kind kind, int layer, const void *x, struct normed *n) {
    const int64_t width = d->shape.spec->hidden;
    const struct param *w;
    TRY(store_find(d->store, kind, layer, -1, &w));
    RUN(d->ex, norm_forward, norm_args, .act = d->shape.act, .way = (enum norm_way)d->shape.spec->norm, .rows = d->shape.tokens, .heads = 1,
        .width = width, .x = x, .x_stride = width, .w = store_weight(d->store, w), .eps = d->shape.spec->norm_eps, .y = n->h, .y_stride = width,
        .rstd = n->rstd);
    return OK;
}

err_t dense_norm_backward(struct dense *d, enum param_kind kind, int layer, const void *x, const struct normed *n, void *dh, void *dx) {
    const int64_t width = d->shape.spec->hidden;
    const struct param *w;
    TRY(store_find(d->store, kind, layer, -1, &w));
    RUN(d->ex, norm_backward, norm_backward_args, .act = d->shape.act, .way = (enum norm_way)d->shape.spec->norm, .rows = d->shape.tokens, .heads = 1,
        .width = width, .x = x, .x_stride = width, .w = store_weight(d->store, w), .rstd = n->rstd, .dy = dh, .dy_stride = width, .dx = dx,
        .dx_stride = width, .add = dx, .dw_acc = store_grad(d->store, w));
    return OK;
}

void dense_add(struct dense *d, const void *x, void *y) {
    RUN(d->ex, add, add_args, .act = d->shape.act, .count = d->shape.tokens * d->shape.spec->hidden, .a = x, .b = y, .y = y);
}
