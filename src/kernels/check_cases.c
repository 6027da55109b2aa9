/* One case per kernel: its arguments from a shape, and how far its outputs may be from another's. */
#include "base/num.h"
#include "base/os.h"
#include "kernels/check.h"

#include <math.h>

const struct case_shape case_awkward = {.tokens = 13,
                                        .seq = 7,
                                        .hidden = 45,
                                        .heads = 6,
                                        .kv_heads = 2,
                                        .head_dim = 22,
                                        .experts = 5,
                                        .top_k = 2,
                                        .width = 19,
                                        .vocab = 131,
                                        .vocab_rows = 13,
                                        .weights = 1003};
const struct case_shape case_demo = {.tokens = 2048,
                                     .seq = 512,
                                     .hidden = 256,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .head_dim = 64,
                                     .experts = 16,
                                     .top_k = 4,
                                     .width = 256,
                                     .vocab = 4096,
                                     .vocab_rows = 256,
                                     .weights = 4 << 20};

static const double U32 = 0x1p-24, U16 = 0x1p-8; /* half an ulp at most, relative: fp32, bf16 */

/* A case at work. */
struct ctx {
    const struct kernels *k;
    struct pool *pool;
    enum dtype act;
    const struct case_shape *s;
    char *at, *end;
    uint64_t stream;
    int64_t budget_ns;
    bool full; /* the memory did not suffice */
    struct case_run *out;
};

/* What n roundings of terms up to `most` do to either side. */
static double roundings(double n, double most) { return 2 * n * U32 * most; }

static double unit_of(enum dtype act) { return act == DT_BF16 ? U16 : U32; }

static void *room_for(struct ctx *c, int64_t bytes) {
    char *p = c->at;
    const int64_t take = i64_round_up(bytes + 1, 64);
    if (take > c->end - c->at) {
        c->full = true;
        return NULL;
    }
    memset(p, 0, (size_t)take);
    c->at += take;
    return p;
}

/* n numbers in [-1, 1), the next stream (splitmix64 of stream and index). NULL where there is no room. */
static void *numbers(struct ctx *c, enum dtype t, int64_t n) {
    void *p = room_for(c, n * dtype_bytes(t));
    const uint64_t stream = c->stream++ << 40;
    for (int64_t i = 0; p && i < n; i++) {
        uint64_t z = (stream + (uint64_t)i) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        const float x = (float)((z ^ (z >> 31)) >> 41) * 0x1p-22f - 1.0f;
        if (t == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32(x);
        else ((float *)p)[i] = x;
    }
    return p;
}

/* Whole numbers in [0, below). */
static int32_t *indices(struct ctx *c, int64_t n, int64_t below) {
    float *x = numbers(c, DT_F32, n);
    int32_t *p = room_for(c, n * 4);
    for (int64_t i = 0; x && p && i < n; i++) p[i] = (int32_t)i64_min(below - 1, (int64_t)((double)(x[i] + 1) / 2 * (double)below));
    return p;
}

static void wrote(struct ctx *c, const char *what, enum dtype t, const void *p, int64_t n, double bound) {
    c->out->out[c->out->outs++] = (struct case_out){what, t, p, n, bound};
}

static double most(const float *p, int64_t n) {
    float m = 0;
    for (int64_t i = 0; p && i < n; i++) m = fabsf(p[i]) > m ? fabsf(p[i]) : m;
    return m;
}

/* Once, or as often as the budget gives; not at all where memory is missing. */
#define LAUNCH(c, op, args, ...)                                          \
    do {                                                                  \
        const struct args launch_ = {__VA_ARGS__};                        \
        const int64_t begin_ = os_now_ns();                               \
        int64_t best_ = INT64_MAX, now_ = begin_;                         \
        do {                                                              \
            if ((c)->full) break;                                         \
            (c)->k->op((c)->pool, &launch_);                              \
            const int64_t end_ = os_now_ns();                             \
            best_ = i64_min(best_, end_ - now_);                          \
            now_ = os_now_ns();                                           \
        } while (now_ - begin_ < (c)->budget_ns);                         \
        if (!(c)->full) add_launch((c)->out, best_, op##_cost(&launch_)); \
    } while (0)

static void add_launch(struct case_run *r, int64_t ns, struct cost cost) {
    r->ns += ns;
    r->cost.flops += cost.flops;
    r->cost.bytes += cost.bytes;
}

/* A sum of n products and of what was there: n + 1 roundings on either side. Sets that make three BF16 of a number have n/16 + 2 more,
 * and leave out 2^-22 of each term, which is 4 (matmul_cpu_split_amx.c); no number here is so small that they lose it. */
static double product_error(int64_t n) { return roundings((double)n + 1 + ((double)n / 16 + 2 + 4) / 2, (double)n + 1); }

/* The experts' three products: up (NT), its gradient (NN), the weights' gradient (TN, added to what is there). One expert has no rows. */
static void case_matmul(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, in = c->s->hidden, out = 2 * c->s->width;
    const int e = c->s->experts;
    const void *x = numbers(c, c->act, rows * in);
    const char *w = numbers(c, c->act, e * out * in);
    void *y = room_for(c, rows * out * dtype_bytes(c->act)), *dx = room_for(c, rows * in * dtype_bytes(c->act));
    float *dw = numbers(c, DT_F32, e * out * in);
    int64_t *off = room_for(c, (e + 1) * 8);
    const void **bs = room_for(c, e * (int64_t)sizeof *bs);
    void **cs = room_for(c, e * (int64_t)sizeof *cs);
    const void *dy = numbers(c, c->act, rows * out);
    if (c->full) return;
    for (int g = 0; g < e; g++) {
        off[g + 1] = g == 0 ? 0 : rows * g / (e - 1);
        bs[g] = w + (int64_t)g * out * in * dtype_bytes(c->act);
        cs[g] = dw + (int64_t)g * out * in;
    }
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_NT, .groups = e, .row_off = off, .n = out, .k = in, .a = x, .lda = in, .b = w, .bs = bs, .ldb = in,
           .c = y, .ldc = out, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = c->act);
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_NN, .groups = e, .row_off = off, .n = in, .k = out, .a = dy, .lda = out, .b = w, .bs = bs,
           .ldb = in, .c = dx, .ldc = in, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = c->act);
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_TN, .groups = e, .row_off = off, .m = out, .n = in, .a = dy, .lda = out, .b = x, .ldb = in, .c = dw,
           .cs = cs, .ldc = in, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = DT_F32, .accumulate = true);
    wrote(c, "y", c->act, y, rows * out, product_error(in));
    wrote(c, "dx", c->act, dx, rows * in, product_error(out));
    wrote(c, "dW", DT_F32, dw, e * out * in, product_error(rows));
}

/* mean(x^2): width roundings of positive terms, so relative; its root halves them. A product that is rounded to act inside may fall to
 * the other side. */
static void case_norm_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *weight = numbers(c, c->act, w);
    void *y = room_for(c, t * w * dtype_bytes(c->act));
    float *rstd = room_for(c, 4 * t);
    LAUNCH(c, norm_forward, norm_args, .act = c->act, .rows = t, .heads = 1, .width = w, .x = x, .x_stride = w, .w = weight, .eps = 1e-6, .y = y,
           .y_stride = w, .rstd = rstd);
    const double r = most(rstd, t), n = (double)w / 2 + 6;
    wrote(c, "y", c->act, y, t * w, roundings(n, r) + 2 * unit_of(c->act) * r);
    wrote(c, "rstd", DT_F32, rstd, t, roundings(n, r));
}

/* dx = rstd (dn - n mean(dn n)) + add with |dn| <= 1, |n| <= rstd. */
static void case_norm_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w), *weight = numbers(c, c->act, w), *dy = numbers(c, c->act, t * w), *add = numbers(c, c->act, t * w);
    void *dx = room_for(c, t * w * dtype_bytes(c->act));
    float *dw = numbers(c, DT_F32, w), *rstd = room_for(c, 4 * t);
    for (int64_t i = 0; !c->full && i < t; i++) rstd[i] = 1.5f;
    LAUNCH(c, norm_backward, norm_backward_args, .act = c->act, .rows = t, .heads = 1, .width = w, .x = x, .x_stride = w, .w = weight, .rstd = rstd,
           .dy = dy, .dy_stride = w, .dx = dx, .dx_stride = w, .add = add, .dw_acc = dw);
    wrote(c, "dx", c->act, dx, t * w, roundings((double)w + 8, 1.5 + 1.5 * 1.5 * 1.5 + 1));
    wrote(c, "dw", DT_F32, dw, w, roundings((double)t + 2, 1.5 * (double)t + 1));
}

static void case_rope(struct ctx *c) {
    const int64_t t = c->s->tokens, d = c->s->head_dim, stride = c->s->heads * d;
    void *x = numbers(c, c->act, t * stride);
    const float *cosines = numbers(c, DT_F32, c->s->seq * d / 2), *sines = numbers(c, DT_F32, c->s->seq * d / 2);
    const int32_t *positions = indices(c, t, c->s->seq);
    LAUNCH(c, rope, rope_args, .act = c->act, .rows = t, .heads = c->s->heads, .dim = d, .x = x, .x_stride = stride, .positions = positions,
           .cos = cosines, .sin = sines);
    wrote(c, "x", c->act, x, t * stride, roundings(3, 2));
}

static struct attention_args attention_of(struct ctx *c) {
    const struct case_shape *s = c->s;
    const int64_t t = s->tokens, q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
    int32_t *start = room_for(c, 4 * t);
    for (int64_t i = 0; start && i < t; i++) start[i] = (int32_t)(i / s->seq * s->seq);
    return (struct attention_args){.act = c->act,
                                   .tokens = t,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_dim = s->head_dim,
                                   .group = s->heads / s->kv_heads,
                                   .scale = 1.0f / sqrtf((float)s->head_dim),
                                   .q = numbers(c, c->act, t * q),
                                   .k = numbers(c, c->act, t * kv),
                                   .v = numbers(c, c->act, t * kv),
                                   .q_stride = q,
                                   .k_stride = kv,
                                   .v_stride = kv,
                                   .start = start,
                                   .o = room_for(c, t * q * dtype_bytes(c->act)),
                                   .o_stride = q,
                                   .lse = room_for(c, 4 * t * s->heads)};
}

/* A score is scale times a sum of head_dim terms up to 1, and what it is off is a relative error of its exponential. */
static double weight_error(const struct ctx *c) {
    const double d = c->s->head_dim;
    return roundings(d + 4, sqrt(d)) + roundings((double)c->s->seq + 16, 1);
}

/* In BF16 a set may round each p and ds to BF16 before it multiplies by them. */
static double term_rounding(enum dtype act) { return act == DT_BF16 ? U16 : 0; }

static void case_attention_forward(struct ctx *c) {
    struct attention_args a = attention_of(c);
    const double error = weight_error(c);
    LAUNCH(c, attention_forward, attention_args, .act = a.act, .tokens = a.tokens, .heads = a.heads, .kv_heads = a.kv_heads, .head_dim = a.head_dim,
           .group = a.group, .scale = a.scale, .q = a.q, .k = a.k, .v = a.v, .q_stride = a.q_stride, .k_stride = a.k_stride, .v_stride = a.v_stride,
           .start = a.start, .o = a.o, .o_stride = a.o_stride, .lse = a.lse);
    wrote(c, "o", c->act, a.o, a.tokens * a.o_stride, 2 * error + term_rounding(c->act));
    wrote(c, "lse", DT_F32, a.lse, a.tokens * a.heads, error + roundings(4, 16));
}

/* With ds = p (dp - delta), |dp| and |delta| <= head_dim: dq is a mean over keys, dk and dv are sums over all queries of a group. */
static void case_attention_backward(struct ctx *c) {
    struct attention_args a = attention_of(c);
    const int64_t q = a.tokens * a.q_stride, kv = a.tokens * a.k_stride, b = dtype_bytes(c->act);
    const double d = a.head_dim, ds = 2 * d * weight_error(c) + roundings(2 * d + 8, 2 * d), queries = (double)(c->s->seq * a.group);
    const double cut = term_rounding(c->act);
    const void *dout = numbers(c, c->act, q);
    float *delta = room_for(c, 4 * a.tokens * a.heads);
    void *dq = room_for(c, q * b), *dk = room_for(c, kv * b), *dv = room_for(c, kv * b);
    if (c->full) return;
    struct kernels given;
    kernels_reference(&given);
    if (c->budget_ns) given = *c->k; /* the reference is slow, and only the time counts */
    given.attention_forward(c->budget_ns ? c->pool : NULL, &a);
    LAUNCH(c, attention_backward, attention_backward_args, .fwd = a, .dout = dout, .delta = delta, .dq = dq, .dk = dk, .dv = dv);
    wrote(c, "dq", c->act, dq, q, (double)a.scale * (ds + roundings((double)c->s->seq, 2 * d) + cut * (2 * d + ds)));
    wrote(c, "dk", c->act, dk, kv, (double)a.scale * queries * (ds + roundings(queries, 2 * d) + cut * (2 * d + ds)));
    wrote(c, "dv", c->act, dv, kv, queries * (weight_error(c) + roundings(queries, 1) + cut * (1 + weight_error(c))));
}

/* An exponential is taken to be within 8 roundings. */
static void case_swiglu_forward(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, w = c->s->width;
    const void *x = numbers(c, c->act, rows * 2 * w);
    void *h = room_for(c, rows * w * dtype_bytes(c->act));
    LAUNCH(c, swiglu_forward, swiglu_args, .act = c->act, .rows = rows, .width = w, .gate_up = x, .h = h);
    wrote(c, "h", c->act, h, rows * w, roundings(8 + 4, 1));
}

static void case_swiglu_backward(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, w = c->s->width;
    const void *x = numbers(c, c->act, rows * 2 * w), *dh = numbers(c, c->act, rows * w);
    void *dx = room_for(c, rows * 2 * w * dtype_bytes(c->act)), *h = room_for(c, rows * w * dtype_bytes(c->act));
    LAUNCH(c, swiglu_backward, swiglu_args, .act = c->act, .rows = rows, .width = w, .gate_up = x, .h = h, .dh = dh, .dgate_up = dx);
    wrote(c, "h", c->act, h, rows * w, roundings(8 + 4, 1));
    wrote(c, "d gate and up", c->act, dx, rows * 2 * w, roundings(2 * 8 + 8, 2));
}

static struct route_args route_of(struct ctx *c) {
    const int64_t t = c->s->tokens, n = t * c->s->experts, chosen = t * c->s->top_k;
    return (struct route_args){.act = c->act,
                               .tokens = t,
                               .experts = c->s->experts,
                               .k = c->s->top_k,
                               .logits = numbers(c, c->act, n),
                               .renormalise = true,
                               .ids = room_for(c, 2 * chosen),
                               .weights = room_for(c, 4 * chosen)};
}

/* What a softmax over n terms may be off, relative. */
static double softmax_error(int64_t n) { return roundings((double)n + 2 * 8 + 4, 1); }

static void case_route_forward(struct ctx *c) {
    struct route_args a = route_of(c);
    const double error = softmax_error(a.experts);
    double *sum = room_for(c, 8 * (int64_t)a.experts);
    int64_t *count = room_for(c, 8 * (int64_t)a.experts);
    LAUNCH(c, route_forward, route_args, .act = a.act, .tokens = a.tokens, .experts = a.experts, .k = a.k, .logits = a.logits, .renormalise = true,
           .ids = a.ids, .weights = a.weights, .prob_sum = sum, .count = count);
    wrote(c, "ids", DT_U16, a.ids, a.tokens * a.k, -1);
    wrote(c, "count", DT_I64, count, a.experts, -1);
    wrote(c, "weights", DT_F32, a.weights, a.tokens * a.k, 2 * error + 2 * unit_of(c->act)); /* rounded to act, held in fp32 */
    wrote(c, "sum of p", DT_F64, sum, a.experts, (double)a.tokens * error);
}

/* |g| <= 2/P with P >= k/E the sum of the chosen, and the balancing's 1. */
static void case_route_backward(struct ctx *c) {
    struct route_args a = route_of(c);
    const float *dweights = numbers(c, DT_F32, a.tokens * a.k), *aux = numbers(c, DT_F32, a.experts);
    void *dlogits = room_for(c, a.tokens * a.experts * dtype_bytes(c->act));
    if (c->full) return;
    route_forward_ref(NULL, &a);
    LAUNCH(c, route_backward, route_backward_args, .fwd = a, .dweights = dweights, .aux = aux, .dlogits = dlogits);
    const double g = 2.0 * a.experts / a.k + 1;
    wrote(c, "dlogits", c->act, dlogits, a.tokens * a.experts, 4 * g * softmax_error(a.experts));
}

/* The plan of routed tokens, by the reference: what gather and combine read. */
static struct rows_plan_args plan_of(struct ctx *c) {
    struct route_args a = route_of(c);
    if (!c->full) route_forward_ref(NULL, &a);
    return (struct rows_plan_args){.tokens = a.tokens,
                                   .experts = a.experts,
                                   .k = a.k,
                                   .ids = a.ids,
                                   .off = room_for(c, 8 * (a.experts + 1)),
                                   .token = room_for(c, 4 * a.tokens * a.k),
                                   .pos = room_for(c, 4 * a.tokens * a.k)};
}

static void case_rows_plan(struct ctx *c) {
    struct rows_plan_args a = plan_of(c);
    LAUNCH(c, rows_plan, rows_plan_args, .tokens = a.tokens, .experts = a.experts, .k = a.k, .ids = a.ids, .off = a.off, .token = a.token,
           .pos = a.pos);
    wrote(c, "off", DT_I64, a.off, a.experts + 1, -1);
    wrote(c, "token", DT_I32, a.token, a.tokens * a.k, -1);
    wrote(c, "pos", DT_I32, a.pos, a.tokens * a.k, -1);
}

static void case_rows_gather(struct ctx *c) {
    struct rows_plan_args p = plan_of(c);
    const int64_t rows = p.tokens * p.k, w = c->s->hidden;
    const void *x = numbers(c, c->act, p.tokens * w);
    void *y = room_for(c, rows * w * dtype_bytes(c->act));
    if (c->full) return;
    rows_plan_ref(NULL, &p);
    LAUNCH(c, rows_gather, rows_gather_args, .act = c->act, .rows = rows, .width = w, .token = p.token, .x = x, .y = y);
    wrote(c, "y", c->act, y, rows * w, -1);
}

static void case_rows_combine(struct ctx *c) {
    struct rows_plan_args p = plan_of(c);
    const int64_t rows = p.tokens * p.k, w = c->s->hidden;
    const void *x = numbers(c, c->act, rows * w);
    const float *weight = numbers(c, DT_F32, rows);
    void *y = room_for(c, p.tokens * w * dtype_bytes(c->act));
    if (c->full) return;
    rows_plan_ref(NULL, &p);
    LAUNCH(c, rows_combine, rows_combine_args, .act = c->act, .tokens = p.tokens, .width = w, .k = p.k, .pos = p.pos, .w = weight, .x = x, .y = y);
    wrote(c, "y", c->act, y, p.tokens * w, roundings(p.k + 1, p.k));
}

static void case_rows_combine_backward(struct ctx *c) {
    struct rows_plan_args p = plan_of(c);
    const int64_t rows = p.tokens * p.k, w = c->s->hidden;
    const void *x = numbers(c, c->act, rows * w), *dy = numbers(c, c->act, p.tokens * w);
    const float *weight = numbers(c, DT_F32, rows);
    void *dx = room_for(c, rows * w * dtype_bytes(c->act));
    float *dw = room_for(c, 4 * rows);
    if (c->full) return;
    rows_plan_ref(NULL, &p);
    LAUNCH(c, rows_combine_backward, rows_combine_backward_args, .act = c->act, .tokens = p.tokens, .width = w, .k = p.k, .pos = p.pos, .w = weight,
           .x = x, .dy = dy, .dx = dx, .dw = dw);
    wrote(c, "dx", c->act, dx, rows * w, roundings(1, 1));
    wrote(c, "dw", DT_F32, dw, rows, roundings((double)w + 1, (double)w));
}

static void case_embed_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const int32_t *ids = indices(c, t, c->s->vocab);
    const void *weight = numbers(c, c->act, c->s->vocab * w);
    void *y = room_for(c, t * w * dtype_bytes(c->act));
    LAUNCH(c, embed_forward, embed_args, .act = c->act, .tokens = t, .width = w, .ids = ids, .w = weight, .y = y);
    wrote(c, "y", c->act, y, t * w, -1);
}

/* Few ids, so that they come again and again; one is left out. */
static void case_embed_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const int32_t *ids = indices(c, t, i64_max(3, t / 8));
    const void *dy = numbers(c, c->act, t * w);
    float *dw = numbers(c, DT_F32, c->s->vocab * w);
    LAUNCH(c, embed_backward, embed_args, .act = c->act, .tokens = t, .width = w, .ids = ids, .dy = dy, .skip = 1, .dw_acc = dw);
    wrote(c, "dw", DT_F32, dw, c->s->vocab * w, roundings((double)t + 1, (double)t + 1));
}

static struct fold_args fold_of(struct ctx *c) {
    const int64_t r = c->s->vocab_rows, v = c->s->vocab;
    float *m = room_for(c, 4 * r);
    for (int64_t i = 0; m && i < r; i++) m[i] = -INFINITY;
    return (struct fold_args){.rows = r,
                              .cols = v,
                              .ld = v,
                              .y = numbers(c, DT_F32, r * v),
                              .targets = indices(c, r, v),
                              .m = m,
                              .z = room_for(c, 4 * r),
                              .yt = room_for(c, 4 * r)};
}

static void case_fold_forward(struct ctx *c) {
    struct fold_args f = fold_of(c);
    const double v = (double)c->s->vocab;
    LAUNCH(c, fold_forward, fold_args, .rows = f.rows, .cols = f.cols, .ld = f.ld, .y = f.y, .targets = f.targets, .m = f.m, .z = f.z, .yt = f.yt);
    wrote(c, "m", DT_F32, f.m, f.rows, -1);
    wrote(c, "z", DT_F32, f.z, f.rows, roundings(v + 8 + 2, v));
    wrote(c, "y of the target", DT_F32, f.yt, f.rows, -1);
}

static void case_fold_backward(struct ctx *c) {
    struct fold_args f = fold_of(c);
    void *dy = room_for(c, f.rows * f.cols * dtype_bytes(c->act));
    if (c->full) return;
    fold_forward_ref(NULL, &f);
    LAUNCH(c, fold_backward, fold_backward_args, .fwd = f, .scale = 0.5f, .act = c->act, .dy = dy, .dy_ld = f.cols);
    wrote(c, "dY", c->act, dy, f.rows * f.cols, roundings(8 + 4, 1));
}

/* The second moment is at least beta2/4, so the update's quotient is at most 2 (and c1 = c2 = 1). */
static void case_adamw(struct ctx *c) {
    const int64_t n = c->s->weights;
    float *p = numbers(c, DT_F32, n), *m = numbers(c, DT_F32, n), *v = numbers(c, DT_F32, n), *g = numbers(c, DT_F32, n);
    uint16_t *w = c->act == DT_BF16 ? room_for(c, 2 * n) : NULL;
    for (int64_t i = 0; !c->full && i < n; i++) v[i] = 0.25f + fabsf(v[i]);
    LAUNCH(c, adamw, adamw_args, .count = n, .p = p, .w = w, .m = m, .v = v, .g = g, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
           .decay = 0.1, .c1 = 1, .c2 = 1, .scale = 0.5f);
    wrote(c, "p", DT_F32, p, n, roundings(16, 1 + 0.01 * 3));
    wrote(c, "m", DT_F32, m, n, roundings(4, 1));
    wrote(c, "v", DT_F32, v, n, roundings(5, 1.25));
    wrote(c, "g", DT_F32, g, n, -1);
    if (w) wrote(c, "w", DT_BF16, w, n, roundings(16, 1 + 0.01 * 3));
}

static void case_sumsq(struct ctx *c) {
    const int64_t n = c->s->weights;
    const float *x = numbers(c, DT_F32, n);
    double *partial = room_for(c, 8 * (n / SUMSQ_BLOCK + 1)), *sum = room_for(c, 8);
    LAUNCH(c, sumsq, sumsq_args, .count = n, .x = x, .partial = partial, .out = sum);
    wrote(c, "sum", DT_F64, sum, 1, 2 * ((double)n + 1) * 0x1p-53 * (double)n);
}

static void case_add(struct ctx *c) {
    const int64_t n = c->s->tokens * c->s->hidden;
    const void *a = numbers(c, c->act, n), *b = numbers(c, c->act, n);
    void *y = room_for(c, n * dtype_bytes(c->act));
    LAUNCH(c, add, add_args, .act = c->act, .count = n, .a = a, .b = b, .y = y);
    wrote(c, "y", c->act, y, n, roundings(1, 2));
}

static void case_bias_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *x = numbers(c, c->act, t * w);
    const void *bias = numbers(c, c->act, w);
    LAUNCH(c, bias_forward, bias_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = x, .bias = bias);
    wrote(c, "x", c->act, x, t * w, roundings(1, 2));
}

static void case_bias_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *dx = numbers(c, c->act, t * w);
    float *db = numbers(c, DT_F32, w);
    LAUNCH(c, bias_backward, bias_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = dx, .db_acc = db);
    wrote(c, "db", DT_F32, db, w, roundings((double)t + 1, (double)t + 1));
}

static void case_clamp_forward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    void *y = numbers(c, c->act, t * w);
    LAUNCH(c, clamp_forward, clamp_args, .act = c->act, .rows = t, .width = w, .stride = w, .y = y, .limit = 0.5f);
    wrote(c, "y", c->act, y, t * w, -1);
}

static void case_clamp_backward(struct ctx *c) {
    const int64_t t = c->s->tokens, w = c->s->hidden;
    const void *x = numbers(c, c->act, t * w);
    void *dy = numbers(c, c->act, t * w);
    LAUNCH(c, clamp_backward, clamp_args, .act = c->act, .rows = t, .width = w, .stride = w, .x = x, .x_stride = w, .y = dy, .limit = 0.5f);
    wrote(c, "dx", c->act, dy, t * w, -1);
}

err_t case_launch(enum kernel_id op, const struct kernels *k, struct pool *pool, enum dtype act, const struct case_shape *s, void *memory,
                  int64_t bytes, int64_t budget_ns, struct case_run *out) {
    static void (*const cases[KERNEL_COUNT])(struct ctx * c) = {
#define CASE_OF(name, args) case_##name,
        KERNEL_LIST(CASE_OF)
#undef CASE_OF
    };
    *out = (struct case_run){0};
    struct ctx c = {.k = k, .pool = pool, .act = act, .s = s, .at = memory, .end = (char *)memory + bytes, .budget_ns = budget_ns, .out = out};
    cases[op](&c);
    ENSURE(!c.full);
    return OK;
}
