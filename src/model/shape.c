#include "model/params.h"

static int vector(int64_t n, int64_t shape[3]) {
    shape[0] = n;
    return 1;
}

static int matrix(int64_t rows, int64_t columns, int64_t shape[3]) {
    shape[0] = rows;
    shape[1] = columns;
    return 2;
}

static int gqa_shape(const struct spec *s, enum param_kind kind, bool gated, int64_t shape[3]) {
    const int64_t h = s->hidden, q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
    const bool bias = s->biases & BIAS_IN, head = s->qk_norm == QK_NORM_HEAD, norm = s->qk_norm != QK_NORM_NONE;
    switch (kind) {
    case PARAM_Q: return matrix(q, h, shape);
    case PARAM_K:
    case PARAM_V: return matrix(kv, h, shape);
    case PARAM_Q_GATE: return gated ? matrix(q, h, shape) : 0;
    case PARAM_Q_BIAS: return bias ? vector(q, shape) : 0;
    case PARAM_K_BIAS:
    case PARAM_V_BIAS: return bias ? vector(kv, shape) : 0;
    case PARAM_Q_GATE_BIAS: return gated && bias ? vector(q, shape) : 0;
    case PARAM_Q_NORM: return norm ? vector(head ? s->head_dim : q, shape) : 0;
    case PARAM_K_NORM: return norm ? vector(head ? s->head_dim : kv, shape) : 0;
    case PARAM_SINKS: return s->sinks ? vector(s->heads, shape) : 0;
    case PARAM_O: return matrix(h, q, shape);
    case PARAM_O_BIAS: return s->biases & BIAS_OUT ? vector(h, shape) : 0;
    default: return 0;
    }
}

static int mla_shape(const struct spec *s, enum param_kind kind, int64_t shape[3]) {
    const struct mla_spec *m = &s->mla;
    const int64_t h = s->hidden, q = (int64_t)s->heads * (m->nope_dim + m->rope_dim), kv_a = m->kv_rank + m->rope_dim;
    const bool low = m->q_rank > 0, bias = s->biases & BIAS_IN;
    switch (kind) {
    case PARAM_Q: return low ? 0 : matrix(q, h, shape);
    case PARAM_Q_A: return low ? matrix(m->q_rank, h, shape) : 0;
    case PARAM_KV_A: return matrix(kv_a, h, shape);
    case PARAM_Q_A_BIAS: return low && bias ? vector(m->q_rank, shape) : 0;
    case PARAM_KV_A_BIAS: return bias ? vector(kv_a, shape) : 0;
    case PARAM_Q_A_NORM: return low ? vector(m->q_rank, shape) : 0;
    case PARAM_KV_A_NORM: return vector(m->kv_rank, shape);
    case PARAM_Q_B: return low ? matrix(q, m->q_rank, shape) : 0;
    case PARAM_KV_B: return matrix((int64_t)s->heads * (m->nope_dim + m->v_dim), m->kv_rank, shape);
    case PARAM_O: return matrix(h, (int64_t)s->heads * m->v_dim, shape);
    case PARAM_O_BIAS: return s->biases & BIAS_OUT ? vector(h, shape) : 0;
    default: return 0;
    }
}

static int delta_shape(const struct spec *s, enum param_kind kind, int64_t shape[3]) {
    const struct delta_spec *d = &s->delta;
    const int64_t h = s->hidden, v = (int64_t)d->v_heads * d->v_dim, qkv = 2 * (int64_t)d->k_heads * d->k_dim + v;
    switch (kind) {
    case PARAM_DELTA_QKV: return matrix(qkv, h, shape);
    case PARAM_DELTA_Z: return matrix(v, h, shape);
    case PARAM_DELTA_B:
    case PARAM_DELTA_A: return matrix(d->v_heads, h, shape);
    case PARAM_DELTA_CONV: return (void)matrix(qkv, 1, shape), shape[2] = d->conv, 3;
    case PARAM_DELTA_A_LOG:
    case PARAM_DELTA_DT_BIAS: return vector(d->v_heads, shape);
    case PARAM_DELTA_NORM: return vector(d->v_dim, shape);
    case PARAM_DELTA_OUT: return matrix(h, v, shape);
    default: return 0;
    }
}

static int moe_shape(const struct spec *s, enum param_kind kind, int64_t shape[3]) {
    const int64_t h = s->hidden, i = s->expert_width, w = s->shared_width;
    const bool bias = s->biases & BIAS_EXPERTS;
    switch (kind) {
    case PARAM_ROUTER: return matrix(s->experts, h, shape);
    case PARAM_ROUTER_BIAS: return s->biases & BIAS_ROUTER ? vector(s->experts, shape) : 0;
    case PARAM_CORRECTION_BIAS: return s->choice == CHOICE_BIASED ? vector(s->experts, shape) : 0;
    case PARAM_SHARED_GATE:
    case PARAM_SHARED_UP: return w > 0 ? matrix(w, h, shape) : 0;
    case PARAM_SHARED_DOWN: return w > 0 ? matrix(h, w, shape) : 0;
    case PARAM_SHARED_SWITCH: return w > 0 && s->shared_gate ? matrix(1, h, shape) : 0;
    case PARAM_EXPERT_GATE:
    case PARAM_EXPERT_UP: return matrix(i, h, shape);
    case PARAM_EXPERT_DOWN: return matrix(h, i, shape);
    case PARAM_EXPERT_GATE_BIAS:
    case PARAM_EXPERT_UP_BIAS: return bias ? vector(i, shape) : 0;
    case PARAM_EXPERT_DOWN_BIAS: return bias ? vector(h, shape) : 0;
    default: return 0;
    }
}

int param_shape(const struct spec *s, enum param_kind kind, int layer, int64_t shape[3]) {
    for (int i = 0; i < 3; i++) shape[i] = 1;
    if (layer < 0) {
        if (kind == PARAM_FINAL_NORM) return vector(s->hidden, shape);
        return kind == PARAM_EMBED || (kind == PARAM_HEAD && !s->tied) ? matrix(s->vocab, s->hidden, shape) : 0;
    }
    if (kind == PARAM_ATTN_NORM || kind == PARAM_FFN_NORM) return vector(s->hidden, shape);
    if (kind < PARAM_FFN_NORM) {
        switch (s->layer[layer].attention) {
        case ATTENTION_MLA: return mla_shape(s, kind, shape);
        case ATTENTION_DELTA: return delta_shape(s, kind, shape);
        default: return gqa_shape(s, kind, s->layer[layer].attention == ATTENTION_GATED_GQA, shape);
        }
    }
    if (kind < PARAM_MLP_GATE) return s->is_moe[layer] ? moe_shape(s, kind, shape) : 0;
    if (s->is_moe[layer] || kind > PARAM_MLP_DOWN) return 0;
    return kind == PARAM_MLP_DOWN ? matrix(s->hidden, s->dense_width, shape) : matrix(s->dense_width, s->hidden, shape);
}

int64_t params_expert_elements(const struct spec *s) {
    int64_t sum = 0, shape[3] = {1, 1, 1};
    for (int kind = PARAM_EXPERT_GATE; kind <= PARAM_EXPERT_DOWN_BIAS; kind++)
        if (moe_shape(s, (enum param_kind)kind, shape)) sum += shape[0] * shape[1] * shape[2];
    return sum;
}
