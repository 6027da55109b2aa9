#include "dense/dense.h"

err_t embed_forward(struct dense *d, const int32_t *ids, void *x) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    RUN(d->ex, embed_forward, embed_args, .act = d->shape.act, .tokens = d->shape.tokens, .width = d->shape.spec->hidden, .ids = ids,
        .w = store_weight(d->store, w), .y = x);
    return OK;
}

err_t embed_backward(struct dense *d, const int32_t *ids, const int32_t *doc, const void *dx) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    RUN(d->ex, embed_backward, embed_args, .act = d->shape.act, .tokens = d->shape.tokens, .width = d->shape.spec->hidden, .ids = ids, .dy = dx,
        .start = doc, .skip = (int32_t)d->shape.spec->pad_id, .dw_acc = store_grad(d->store, w));
    return OK;
}
