#include "kernels/case_int.h"

static struct attention_args attention_of(struct ctx *c) {
    const struct case_shape *s = c->s;
    const int values = s->value_dim ? s->value_dim : s->head_dim;
    const int64_t t = s->tokens, q = (int64_t)s->heads * s->head_dim, k = (int64_t)s->kv_heads * s->head_dim;
    const int64_t o = (int64_t)s->heads * values, v = (int64_t)s->kv_heads * values;
    int32_t *start = room_for(c, 4 * t);
    for (int64_t i = 0; start && i < t; i++) start[i] = (int32_t)(i / s->seq * s->seq);
    return (struct attention_args){.act = c->act,
                                   .tokens = t,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_dim = s->head_dim,
                                   .value_dim = s->value_dim,
                                   .group = s->heads / s->kv_heads,
                                   .scale = 1.0f / sqrtf((float)s->head_dim),
                                   .window = s->window,
                                   .sinks = s->sinks ? numbers(c, c->act, s->heads) : NULL,
                                   .q = numbers(c, c->act, t * q),
                                   .k = numbers(c, c->act, t * k),
                                   .v = numbers(c, c->act, t * v),
                                   .q_stride = q,
                                   .k_stride = k,
                                   .v_stride = v,
                                   .start = start,
                                   .pairs = start ? attention_pairs(start, 0, t, s->window) : 0,
                                   .o = room_for(c, t * o * dtype_bytes(c->act)),
                                   .o_stride = o,
                                   .lse = room_for(c, 4 * t * s->heads)};
}

/* A score is scale times a sum of head_dim terms up to 1, and what it is off is a relative error of its exponential; a sink is up to 1. */
static double weight_error(const struct ctx *c) {
    const double d = c->s->head_dim;
    return roundings(d + 4, sqrt(d)) + roundings((double)c->s->seq + 20, 1);
}

/* In BF16 a set may round each p and ds to BF16 before it multiplies by them. */
static double term_rounding(enum dtype act) { return act == DT_BF16 ? CASE_U16 : 0; }

void case_attention_forward(struct ctx *c) {
    struct attention_args a = attention_of(c);
    const double error = weight_error(c);
    LAUNCH(c, attention_forward, attention_args, .act = a.act, .tokens = a.tokens, .heads = a.heads, .kv_heads = a.kv_heads, .head_dim = a.head_dim,
           .value_dim = a.value_dim, .group = a.group, .scale = a.scale, .window = a.window, .sinks = a.sinks, .q = a.q, .k = a.k, .v = a.v,
           .q_stride = a.q_stride, .k_stride = a.k_stride, .v_stride = a.v_stride, .start = a.start, .o = a.o, .o_stride = a.o_stride, .lse = a.lse,
           .pairs = a.pairs);
    wrote(c, "o", c->act, a.o, a.tokens * a.o_stride, 2 * error + term_rounding(c->act));
    wrote(c, "lse", DT_F32, a.lse, a.tokens * a.heads, error + roundings(4, 16));
}

/* With ds = p (dp - delta), |dp| and |delta| up to the values' width: dq is a mean over keys, dk and dv are sums over all queries of a
 * group, dsinks sums over tokens of a share times delta. */
void case_attention_backward(struct ctx *c) {
    struct attention_args a = attention_of(c);
    const int64_t q = a.tokens * a.q_stride, k = a.tokens * a.k_stride, v = a.tokens * a.v_stride, o = a.tokens * a.o_stride;
    const int64_t b = dtype_bytes(c->act);
    const double d = attention_value_dim(&a), ds = 2 * d * weight_error(c) + roundings(2 * d + 8, 2 * d), queries = (double)(c->s->seq * a.group);
    const double cut = term_rounding(c->act);
    const void *dout = numbers(c, c->act, o);
    float *delta = room_for(c, 4 * a.tokens * a.heads);
    void *dq = room_for(c, q * b), *dk = room_for(c, k * b), *dv = room_for(c, v * b);
    float *dsinks = numbers(c, DT_F32, a.heads);
    if (c->full) return;
    struct kernels given;
    kernels_reference(&given);
    if (c->budget_ns) given = *c->k; /* the reference is slow, and only the time counts */
    given.attention_forward(c->budget_ns ? c->pool : NULL, &a);
    LAUNCH(c, attention_backward, attention_backward_args, .fwd = a, .dout = dout, .delta = delta, .dq = dq, .dk = dk, .dv = dv,
           .dsinks_acc = dsinks);
    wrote(c, "dq", c->act, dq, q, (double)a.scale * (ds + roundings((double)c->s->seq, 2 * d) + cut * (2 * d + ds)));
    wrote(c, "dk", c->act, dk, k, (double)a.scale * queries * (ds + roundings(queries, 2 * d) + cut * (2 * d + ds)));
    wrote(c, "dv", c->act, dv, v, queries * (weight_error(c) + roundings(queries, 1) + cut * (1 + weight_error(c))));
    if (a.sinks) wrote(c, "dsinks", DT_F32, dsinks, a.heads, (double)a.tokens * (ds + roundings((double)a.tokens + 1, d)));
}
