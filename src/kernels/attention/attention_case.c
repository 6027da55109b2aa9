#include "kernels/case_int.h"

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
                                   .pairs = start ? attention_pairs(start, 0, t) : 0,
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
static double term_rounding(enum dtype act) { return act == DT_BF16 ? CASE_U16 : 0; }

void case_attention_forward(struct ctx *c) {
    struct attention_args a = attention_of(c);
    const double error = weight_error(c);
    LAUNCH(c, attention_forward, attention_args, .act = a.act, .tokens = a.tokens, .heads = a.heads, .kv_heads = a.kv_heads, .head_dim = a.head_dim,
           .group = a.group, .scale = a.scale, .q = a.q, .k = a.k, .v = a.v, .q_stride = a.q_stride, .k_stride = a.k_stride, .v_stride = a.v_stride,
           .start = a.start, .o = a.o, .o_stride = a.o_stride, .lse = a.lse, .pairs = a.pairs);
    wrote(c, "o", c->act, a.o, a.tokens * a.o_stride, 2 * error + term_rounding(c->act));
    wrote(c, "lse", DT_F32, a.lse, a.tokens * a.heads, error + roundings(4, 16));
}

/* With ds = p (dp - delta), |dp| and |delta| <= head_dim: dq is a mean over keys, dk and dv are sums over all queries of a group. */
void case_attention_backward(struct ctx *c) {
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
