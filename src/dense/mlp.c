#include "dense/dense.h"

err_t mlp_forward(struct dense *d, int layer, int slot, const void *h, void *y, bool again) {
    const struct spec *s = d->shape.spec;
    const enum dtype act = d->shape.act;
    const int64_t t = d->shape.tokens, f = s->dense_width;
    struct mlp_saved *v = &d->mlp[slot];
    const struct param *gate, *down;
    TRY(store_find(d->store, PARAM_MLP_GATE, layer, -1, &gate));
    TRY(store_find(d->store, PARAM_MLP_DOWN, layer, -1, &down));
    /* gate and up lie back to back: one (2F, H) matrix */
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_NT, .groups = 1, .rows = t, .n = 2 * f, .k = s->hidden, .a = h, .lda = s->hidden,
        .b = store_weight(d->store, gate), .ldb = s->hidden, .c = v->gate_up, .ldc = 2 * f, .a_dtype = act, .b_dtype = act, .c_dtype = act);
    RUN(d->ex, swiglu_forward, swiglu_args, .act = act, .rows = t, .width = f, .gate_up = v->gate_up, .h = v->mid);
    if (again) return OK;
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_NT, .groups = 1, .rows = t, .n = s->hidden, .k = f, .a = v->mid, .lda = f,
        .b = store_weight(d->store, down), .ldb = f, .c = y, .ldc = s->hidden, .a_dtype = act, .b_dtype = act, .c_dtype = act);
    return OK;
}

err_t mlp_backward(struct dense *d, int layer, int slot, const void *h, const void *dy, void *dh) {
    const struct spec *s = d->shape.spec;
    const enum dtype act = d->shape.act;
    const int64_t t = d->shape.tokens, f = s->dense_width;
    struct mlp_saved *v = &d->mlp[slot];
    const struct param *gate, *down;
    TRY(store_find(d->store, PARAM_MLP_GATE, layer, -1, &gate));
    TRY(store_find(d->store, PARAM_MLP_DOWN, layer, -1, &down));
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = 1, .rows = t, .m = s->hidden, .n = f, .a = dy, .lda = s->hidden, .b = v->mid,
        .ldb = f, .c = store_grad(d->store, down), .ldc = f, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32, .accumulate = true);
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_NN, .groups = 1, .rows = t, .n = f, .k = s->hidden, .a = dy, .lda = s->hidden,
        .b = store_weight(d->store, down), .ldb = f, .c = d->dmid, .ldc = f, .a_dtype = act, .b_dtype = act, .c_dtype = act);
    RUN(d->ex, swiglu_backward, swiglu_args, .act = act, .rows = t, .width = f, .gate_up = v->gate_up, .dh = d->dmid, .dgate_up = v->gate_up);
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = 1, .rows = t, .m = 2 * f, .n = s->hidden, .a = v->gate_up, .lda = 2 * f, .b = h,
        .ldb = s->hidden, .c = store_grad(d->store, gate), .ldc = s->hidden, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32, .accumulate = true);
    RUN(d->ex, matmul, matmul_args, .kind = MATMUL_NN, .groups = 1, .rows = t, .n = s->hidden, .k = 2 * f, .a = v->gate_up, .lda = 2 * f,
        .b = store_weight(d->store, gate), .ldb = s->hidden, .c = dh, .ldc = s->hidden, .a_dtype = act, .b_dtype = act, .c_dtype = act);
    return OK;
}
