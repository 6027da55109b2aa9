#include "experts/experts_int.h"

#include "base/num.h"
#include "kernels/linear.h"

#include <string.h>

static err_t router_of(const struct experts *m, int layer, struct linear *out) {
    const struct spec *s = m->shape.spec;
    const struct param *p;
    TRY(store_find(m->store, PARAM_ROUTER, layer, -1, &p));
    *out = (struct linear){m->shape.act, m->shape.tokens, s->hidden, s->experts, store_weight(m->store, p), store_grad(m->store, p)};
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

/* Tokens [first, first + tokens) of the batch and what is saved of them. Rows of a chunk are planned, computed and, in backward,
 * computed again together; kept chunks lie one after the other. */
struct chunk {
    int64_t first, tokens;
    int64_t *off;         /* (E+1); the last is the number of rows, once planned */
    int32_t *token, *pos; /* (rows) and (tokens, k), counted within the chunk */
    void *in, *gate_up, *mid, *out;
};

static struct chunk chunk_at(const struct experts *m, int slot, int64_t first) {
    const struct spec *s = m->shape.spec;
    const struct experts_saved *v = &m->saved[slot];
    const int64_t kept = shape_kept(&m->shape) ? first : 0; /* tokens of the set that lie before the chunk */
    const int64_t b = dtype_bytes(m->shape.act), row = kept * s->top_k;
    struct chunk c = {.first = first, .tokens = i64_min(m->shape.tokens - first, EXPERTS_CHUNK)};
    c.off = v->off + kept / EXPERTS_CHUNK * (s->experts + 1);
    c.token = v->token + row;
    c.pos = v->pos + row;
    c.in = (char *)v->in + row * s->hidden * b;
    c.gate_up = (char *)v->gate_up + row * 2 * s->expert_width * b;
    c.mid = (char *)v->mid + row * s->expert_width * b;
    c.out = (char *)v->out + row * s->hidden * b;
    return c;
}

/* Row `first` of a (T, H) array. */
static void *at_token(const struct experts *m, const void *x, int64_t first) {
    return (char *)(uintptr_t)x + first * m->shape.spec->hidden * dtype_bytes(m->shape.act);
}

/* One product per expert over its rows: y = x W_e^T (NT) or dx = dy W_e (NN). */
static void grouped(struct experts *m, const struct chunk *c, enum matmul_kind kind, const void *a, int64_t k, const void *const *w, int64_t ldb,
                    void *y, int64_t n) {
    const enum dtype act = m->shape.act;
    RUN(m->ex, matmul, matmul_args, .kind = kind, .groups = m->shape.spec->experts, .row_off = c->off, .n = n, .k = k, .a = a, .lda = k, .b = w[0],
        .bs = w, .ldb = ldb, .c = y, .ldc = n, .a_dtype = act, .b_dtype = act, .c_dtype = act);
}

/* dW_e += dy^T x over each expert's rows. */
static void grouped_gradient(struct experts *m, const struct chunk *c, const void *dy, int64_t rows_out, const void *x, int64_t cols,
                             float *const *g) {
    const enum dtype act = m->shape.act;
    RUN(m->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = m->shape.spec->experts, .row_off = c->off, .m = rows_out, .n = cols, .a = dy,
        .lda = rows_out, .b = x, .ldb = cols, .c = g[0], .cs = (void *const *)g, .ldc = cols, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32,
        .accumulate = true);
}

/* From the chunk's ids to its experts' outputs. */
static void chunk_forward(struct experts *m, int moe, const struct chunk *c, const void *h) {
    const struct spec *s = m->shape.spec;
    const int64_t hidden = s->hidden, i = s->expert_width;
    RUN(m->ex, rows_plan, rows_plan_args, .tokens = c->tokens, .experts = s->experts, .k = s->top_k,
        .ids = m->ids + ((int64_t)moe * m->shape.tokens + c->first) * s->top_k, .off = c->off, .token = c->token, .pos = c->pos);
    const int64_t rows = c->off[s->experts];
    RUN(m->ex, rows_gather, rows_gather_args, .act = m->shape.act, .rows = rows, .width = hidden, .x_rows = c->tokens, .token = c->token,
        .x = at_token(m, h, c->first), .y = c->in);
    grouped(m, c, MATMUL_NT, c->in, hidden, m->w_in, hidden, c->gate_up, 2 * i);
    RUN(m->ex, swiglu_forward, swiglu_args, .act = m->shape.act, .rows = rows, .width = i, .gate_up = c->gate_up, .h = c->mid);
    grouped(m, c, MATMUL_NT, c->mid, i, m->w_out, i, c->out, hidden);
}

/* Each buffer of the chunk turns into its gradient once its value has been used. */
static void chunk_backward(struct experts *m, const struct chunk *c, const float *weights, const void *dy, void *dh) {
    const struct spec *s = m->shape.spec;
    const enum dtype act = m->shape.act;
    const int64_t hidden = s->hidden, i = s->expert_width, k = s->top_k;
    RUN(m->ex, rows_combine_backward, rows_combine_backward_args, .act = act, .tokens = c->tokens, .width = hidden, .x_rows = c->off[s->experts],
        .k = s->top_k, .pos = c->pos, .w = weights + c->first * k, .x = c->out, .dy = at_token(m, dy, c->first), .dx = c->out,
        .dw = m->dweights + c->first * k);
    grouped_gradient(m, c, c->out, hidden, c->mid, i, m->g_out);
    grouped(m, c, MATMUL_NN, c->out, hidden, m->w_out, i, m->dmid, i);
    RUN(m->ex, swiglu_backward, swiglu_args, .act = act, .rows = c->off[s->experts], .width = i, .gate_up = c->gate_up, .dh = m->dmid,
        .dgate_up = c->gate_up);
    grouped_gradient(m, c, c->gate_up, 2 * i, c->in, hidden, m->g_in);
    grouped(m, c, MATMUL_NN, c->gate_up, 2 * i, m->w_in, hidden, c->out, hidden);
    RUN(m->ex, rows_combine, rows_combine_args, .act = act, .tokens = c->tokens, .width = hidden, .x_rows = c->off[s->experts], .k = s->top_k,
        .pos = c->pos, .x = c->out, .y = at_token(m, dh, c->first));
}

static void forward_here(struct experts *m, int moe, int slot, const void *h, void *y) {
    const struct spec *s = m->shape.spec;
    for (int64_t first = 0; first < m->shape.tokens; first += EXPERTS_CHUNK) {
        const struct chunk c = chunk_at(m, slot, first);
        chunk_forward(m, moe, &c, h);
        RUN(m->ex, rows_combine, rows_combine_args, .act = m->shape.act, .tokens = c.tokens, .width = s->hidden, .x_rows = c.off[s->experts],
            .k = s->top_k, .pos = c.pos, .w = m->saved[slot].weights + first * s->top_k, .x = c.out, .y = at_token(m, y, first));
    }
}

static void backward_here(struct experts *m, int moe, int slot, const void *h, const void *dy, void *dh) {
    for (int64_t first = 0; first < m->shape.tokens; first += EXPERTS_CHUNK) {
        const struct chunk c = chunk_at(m, slot, first);
        if (!shape_kept(&m->shape)) chunk_forward(m, moe, &c, h);
        chunk_backward(m, &c, m->saved[slot].weights, dy, dh);
    }
}

err_t experts_forward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, void *y, bool again) {
    struct experts_saved *v = &m->saved[slot];
    struct linear router;
    TRY(router_of(m, layer, &router));
    linear_forward(m->ex, &router, h, v->logits);
    choose(m, moe, v, start, again);
    if (again) return OK;
    TRY(experts_weights_open(m, layer, false));
    if (experts_travel(&m->shape, &m->opts)) TRY(experts_dispatch_forward(m, moe, v->weights, h, y));
    else forward_here(m, moe, slot, h, y);
    return experts_weights_close(m, false);
}

err_t experts_backward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, const void *dy, void *dh) {
    const struct spec *s = m->shape.spec;
    const enum dtype act = m->shape.act;
    struct experts_saved *v = &m->saved[slot];
    struct linear router;
    TRY(router_of(m, layer, &router));
    TRY(experts_weights_open(m, layer, true));
    if (experts_travel(&m->shape, &m->opts)) TRY(experts_dispatch_backward(m, moe, v->weights, h, dy, dh));
    else backward_here(m, moe, slot, h, dy, dh);
    TRY(experts_weights_close(m, true));
    RUN(m->ex, route_backward, route_backward_args, .fwd = routing(m, moe, v, start), .dweights = m->dweights, .aux = m->aux_grad,
        .dlogits = v->logits);
    linear_backward(m->ex, &router, h, v->logits, m->dh_router);
    RUN(m->ex, add, add_args, .act = act, .count = m->shape.tokens * s->hidden, .a = dh, .b = m->dh_router, .y = dh);
    return OK;
}
