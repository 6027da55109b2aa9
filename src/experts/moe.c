#include "experts/experts.h"

#include "kernels/linear.h"

#include <string.h>

/* The router as a linear layer, and the layer's experts: gate and up of an expert lie back to back, (2I, H). */
static err_t weights(struct experts *m, int layer, struct linear *router) {
    const struct spec *s = m->shape.spec;
    const struct param *p;
    TRY(store_find(m->store, PARAM_ROUTER, layer, -1, &p));
    *router = (struct linear){m->shape.act, m->shape.tokens, s->hidden, s->experts, store_weight(m->store, p), store_grad(m->store, p)};
    for (int e = 0; e < s->experts; e++) {
        const struct param *in, *out;
        TRY(store_find(m->store, PARAM_EXPERT_GATE, layer, e, &in));
        TRY(store_find(m->store, PARAM_EXPERT_DOWN, layer, e, &out));
        m->w_in[e] = store_weight(m->store, in);
        m->w_out[e] = store_weight(m->store, out);
        m->g_in[e] = store_grad(m->store, in);
        m->g_out[e] = store_grad(m->store, out);
    }
    return OK;
}

static struct route_args routing(struct experts *m, int moe, const struct experts_saved *v, const int32_t *start) {
    const struct spec *s = m->shape.spec;
    return (struct route_args){.act = m->shape.act,
                               .tokens = m->shape.tokens,
                               .experts = s->experts,
                               .k = s->top_k,
                               .logits = v->logits,
                               .start = start,
                               .bias = m->bias + (int64_t)moe * s->experts,
                               .renormalise = s->renormalise,
                               .keep_fp32 = s->weights_fp32,
                               .ids = m->ids + (int64_t)moe * m->shape.tokens * s->top_k,
                               .weights = v->weights};
}

/* Router logits to ids and weights. Ids are chosen once; recomputation reads them (I1). */
static void choose(struct experts *m, int moe, const struct experts_saved *v, const int32_t *start, bool again) {
    const struct spec *s = m->shape.spec;
    const int64_t n = m->shape.tokens * s->top_k;
    struct route_args a = routing(m, moe, v, start);
    if (!again) {
        a.prob_sum = m->prob_sum;
        a.count = m->count + (int64_t)moe * s->experts;
        RUN_ARGS(m->ex, route_forward, route_args, &a);
        if (!m->given) return;
        memcpy(a.ids, m->given + moe * n, sizeof(uint16_t) * (size_t)n);
        memset(a.count, 0, sizeof(int64_t) * (size_t)s->experts);
        for (int64_t i = 0; i < n; i++)
            if (a.ids[i] < s->experts) a.count[a.ids[i]]++;
        a.prob_sum = NULL;
        a.count = NULL;
    }
    a.ids_given = true;
    RUN_ARGS(m->ex, route_forward, route_args, &a);
}

/* One product per expert over its rows: y = x W_e^T (NT) or dx = dy W_e (NN). */
static void grouped(struct experts *m, const struct experts_saved *v, enum matmul_kind kind, const void *a, int64_t k, const void *const *w,
                    int64_t ldb, void *c, int64_t n) {
    const enum dtype act = m->shape.act;
    RUN(m->ex, matmul, matmul_args, .kind = kind, .groups = m->shape.spec->experts, .row_off = v->off, .n = n, .k = k, .a = a, .lda = k, .b = w[0],
        .bs = w, .ldb = ldb, .c = c, .ldc = n, .a_dtype = act, .b_dtype = act, .c_dtype = act);
}

/* dW_e += dy^T x over each expert's rows. */
static void grouped_gradient(struct experts *m, const struct experts_saved *v, const void *dy, int64_t rows_out, const void *x, int64_t cols,
                             float *const *g) {
    const enum dtype act = m->shape.act;
    RUN(m->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = m->shape.spec->experts, .row_off = v->off, .m = rows_out, .n = cols, .a = dy,
        .lda = rows_out, .b = x, .ldb = cols, .c = g[0], .cs = (void *const *)g, .ldc = cols, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32,
        .accumulate = true);
}

err_t experts_forward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, void *y, bool again) {
    const struct spec *s = m->shape.spec;
    const int64_t t = m->shape.tokens, hidden = s->hidden, i = s->expert_width;
    struct experts_saved *v = &m->saved[slot];
    struct linear router;
    TRY(weights(m, layer, &router));
    linear_forward(m->ex, &router, h, v->logits);
    choose(m, moe, v, start, again);
    RUN(m->ex, rows_plan, rows_plan_args, .tokens = t, .experts = s->experts, .k = s->top_k, .ids = m->ids + (int64_t)moe * t * s->top_k,
        .off = v->off, .token = v->token, .pos = v->pos);
    const int64_t rows = v->off[s->experts];
    RUN(m->ex, rows_gather, rows_gather_args, .act = m->shape.act, .rows = rows, .width = hidden, .token = v->token, .x = h, .y = v->in);
    grouped(m, v, MATMUL_NT, v->in, hidden, m->w_in, hidden, v->gate_up, 2 * i);
    RUN(m->ex, swiglu_forward, swiglu_args, .act = m->shape.act, .rows = rows, .width = i, .gate_up = v->gate_up, .h = v->mid);
    grouped(m, v, MATMUL_NT, v->mid, i, m->w_out, i, v->out, hidden);
    if (!again)
        RUN(m->ex, rows_combine, rows_combine_args, .act = m->shape.act, .tokens = t, .width = hidden, .k = s->top_k, .pos = v->pos, .w = v->weights,
            .x = v->out, .y = y);
    return OK;
}

err_t experts_backward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, const void *dy, void *dh) {
    const struct spec *s = m->shape.spec;
    const enum dtype act = m->shape.act;
    const int64_t t = m->shape.tokens, hidden = s->hidden, i = s->expert_width;
    struct experts_saved *v = &m->saved[slot];
    struct linear router;
    TRY(weights(m, layer, &router));
    const int64_t rows = v->off[s->experts];
    /* each buffer of the set turns into its gradient once its value has been used */
    RUN(m->ex, rows_combine_backward, rows_combine_backward_args, .act = act, .tokens = t, .width = hidden, .k = s->top_k, .pos = v->pos,
        .w = v->weights, .x = v->out, .dy = dy, .dx = v->out, .dw = m->dweights);
    grouped_gradient(m, v, v->out, hidden, v->mid, i, m->g_out);
    grouped(m, v, MATMUL_NN, v->out, hidden, m->w_out, i, m->dmid, i);
    RUN(m->ex, swiglu_backward, swiglu_args, .act = act, .rows = rows, .width = i, .gate_up = v->gate_up, .dh = m->dmid, .dgate_up = v->gate_up);
    grouped_gradient(m, v, v->gate_up, 2 * i, v->in, hidden, m->g_in);
    grouped(m, v, MATMUL_NN, v->gate_up, 2 * i, m->w_in, hidden, v->out, hidden);
    RUN(m->ex, rows_combine, rows_combine_args, .act = act, .tokens = t, .width = hidden, .k = s->top_k, .pos = v->pos, .x = v->out, .y = dh);
    RUN(m->ex, route_backward, route_backward_args, .fwd = routing(m, moe, v, start), .dweights = m->dweights, .aux = m->aux_grad,
        .dlogits = v->logits);
    linear_backward(m->ex, &router, h, v->logits, m->dh_router);
    RUN(m->ex, add, add_args, .act = act, .count = t * hidden, .a = dh, .b = m->dh_router, .y = dh);
    return OK;
}
