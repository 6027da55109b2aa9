#include "dense/dense.h"
#include "kernels/linear.h"

/* gate and up lie back to back: one (2F, H) matrix. */
static err_t weights(const struct dense *d, int layer, struct linear *gate_up, struct linear *down) {
    const struct spec *s = d->shape.spec;
    const struct param *g, *w;
    TRY(store_find(d->store, PARAM_MLP_GATE, layer, -1, &g));
    TRY(store_find(d->store, PARAM_MLP_DOWN, layer, -1, &w));
    *gate_up = (struct linear){d->shape.act, d->shape.tokens, s->hidden, 2 * s->dense_width, store_weight(d->store, g), store_grad(d->store, g)};
    *down = (struct linear){d->shape.act, d->shape.tokens, s->dense_width, s->hidden, store_weight(d->store, w), store_grad(d->store, w)};
    return OK;
}

err_t mlp_forward(struct dense *d, int layer, int slot, const void *h, void *y, bool again) {
    struct mlp_saved *v = &d->mlp[slot];
    struct linear gate_up, down;
    TRY(weights(d, layer, &gate_up, &down));
    linear_forward(d->ex, &gate_up, h, v->gate_up);
    RUN(d->ex, swiglu_forward, swiglu_args, .act = d->shape.act, .rows = down.rows, .width = down.in, .gate_up = v->gate_up, .h = v->mid);
    if (!again) linear_forward(d->ex, &down, v->mid, y);
    return OK;
}

err_t mlp_backward(struct dense *d, int layer, int slot, const void *h, const void *dy, void *dh) {
    struct mlp_saved *v = &d->mlp[slot];
    struct linear gate_up, down;
    TRY(weights(d, layer, &gate_up, &down));
    linear_backward(d->ex, &down, v->mid, dy, d->dmid);
    RUN(d->ex, swiglu_backward, swiglu_args, .act = d->shape.act, .rows = down.rows, .width = down.in, .gate_up = v->gate_up, .dh = d->dmid,
        .dgate_up = v->gate_up);
    linear_backward(d->ex, &gate_up, h, v->gate_up, dh);
    return OK;
}
