#include "model/params.h"

#include "base/rng.h"

#include <math.h>

/* What is not drawn. */
static float fixed_value(const struct spec *s, enum param_kind kind, bool *fixed) {
    *fixed = true;
    switch (kind) {
    case PARAM_ATTN_NORM:
    case PARAM_Q_NORM:
    case PARAM_K_NORM:
    case PARAM_FFN_NORM:
    case PARAM_FINAL_NORM: return s->norm == NORM_PLUS_ONE ? 0.0f : 1.0f;
    case PARAM_Q_A_NORM:
    case PARAM_KV_A_NORM:
    case PARAM_DELTA_NORM:
    case PARAM_DELTA_DT_BIAS: return 1.0f;
    case PARAM_Q_BIAS:
    case PARAM_K_BIAS:
    case PARAM_V_BIAS:
    case PARAM_Q_GATE_BIAS:
    case PARAM_Q_A_BIAS:
    case PARAM_KV_A_BIAS:
    case PARAM_O_BIAS:
    case PARAM_CORRECTION_BIAS:
    case PARAM_EXPERT_GATE_BIAS:
    case PARAM_EXPERT_UP_BIAS:
    case PARAM_EXPERT_DOWN_BIAS: return 0.0f;
    default: *fixed = false; return 0.0f;
    }
}

void params_init(const struct spec *s, const struct param *t, uint64_t seed, int64_t from, int64_t n, float *out) {
    bool fixed;
    float value = fixed_value(s, t->kind, &fixed);
    uint64_t stream = rng_stream(t->name);
    int64_t pad_from = -1, pad_to = -1;
    if (t->kind == PARAM_EMBED && s->pad_id >= 0) {
        pad_from = s->pad_id * t->shape[1];
        pad_to = pad_from + t->shape[1];
    }
    for (int64_t i = from; i < from + n; i++) {
        if (t->kind == PARAM_DELTA_A_LOG) value = (float)log(0.01 + 15.99 * rng_unit(seed, stream, (uint64_t)i));
        else if (!fixed) value = i >= pad_from && i < pad_to ? 0.0f : (float)(s->init_std * rng_normal(seed, stream, (uint64_t)i));
        out[i - from] = value;
    }
}
