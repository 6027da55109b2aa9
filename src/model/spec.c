#include "model/family.h"

/* No tensor table is larger, and bytes of 16 per element stay far inside 64 bits. */
static const int64_t tensors_max = (int64_t)1 << 22, elements_max = (int64_t)1 << 56;

static err_t check_count(const char *where, const char *what, int64_t value, int64_t max) {
    if (value >= 1 && value <= max) return OK;
    return FAIL(ERR_FORMAT, "%s: %s is %lld; it must be from 1 to %lld", where, what, (long long)value, (long long)max);
}

static err_t check_real(const char *where, const char *what, double value, double lo, double hi) {
    if (value >= lo && value <= hi) return OK; /* a NaN is not */
    return FAIL(ERR_FORMAT, "%s: %s is %g; it must be from %g to %g", where, what, value, lo, hi);
}

int spec_moe_layers(const struct spec *s) {
    int n = 0;
    for (int l = 0; l < s->layers; l++) n += s->is_moe[l];
    return n;
}

/* 128 bits: spec_check bounds the sum, and must be able to form it first. */
static __int128 elements_of(const struct spec *s, int kind, int layer) {
    int64_t shape[3];
    return param_shape(s, (enum param_kind)kind, layer, shape) ? (__int128)shape[0] * shape[1] * shape[2] : 0;
}

static __int128 elements(const struct spec *s, int64_t experts_per_layer) {
    __int128 sum = 0;
    for (int layer = -1; layer < s->layers; layer++)
        for (int kind = 0; kind < PARAM_KINDS; kind++)
            sum += elements_of(s, kind, layer) * (param_is_of_expert((enum param_kind)kind) ? experts_per_layer : 1);
    return sum;
}

int64_t spec_params(const struct spec *s) { return (int64_t)elements(s, s->experts); }
int64_t spec_active_params(const struct spec *s) { return (int64_t)elements(s, s->top_k); }

static err_t check_rope(const struct spec *s, const char *where) {
    const struct rope_spec *r = &s->rope;
    if (r->dim % 2 != 0 || r->dim < 2 || r->dim > s->head_dim)
        return FAIL(ERR_FORMAT, "%s: RoPE turns %d of the %d dimensions of a head (partial_rotary_factor), in pairs; make it even and at least 2",
                    where, r->dim, s->head_dim);
    TRY(check_real(where, "rope_theta (model.rope_theta)", r->theta, 1, 1e30));
    TRY(check_real(where, "the factor of the RoPE scaling", r->factor, 1e-6, 1e9));
    TRY(check_real(where, "the attention factor of the RoPE scaling", r->attention_factor, 1e-6, 1e6));
    if (r->kind != ROPE_YARN) return OK;
    TRY(check_count(where, "original_max_position_embeddings", r->original_max_positions, INT32_MAX));
    TRY(check_real(where, "beta_fast of the RoPE scaling", r->beta_fast, 1e-9, 1e9));
    TRY(check_real(where, "beta_slow of the RoPE scaling", r->beta_slow, 1e-9, 1e9));
    if (r->theta == 1) return FAIL(ERR_FORMAT, "%s: rope_theta is 1, and yarn divides by its logarithm; give it above 1", where);
    return OK;
}

static err_t check_attention(const struct spec *s, const char *where) {
    TRY(check_count(where, "num_attention_heads (model.heads)", s->heads, 65536));
    TRY(check_count(where, "num_key_value_heads (model.kv_heads)", s->kv_heads, 65536));
    TRY(check_count(where, "head_dim (model.head_dim)", s->head_dim, 8192));
    if (s->heads % s->kv_heads != 0)
        return FAIL(ERR_FORMAT,
                    "%s: num_attention_heads (model.heads) is %d, not a multiple of num_key_value_heads (model.kv_heads), %d; correct one", where,
                    s->heads, s->kv_heads);
    if (s->head_dim % 2 != 0 && s->rope.dim == s->head_dim)
        return FAIL(ERR_FORMAT, "%s: head_dim (model.head_dim) is %d, an odd number, and RoPE turns pairs; make it even", where, s->head_dim);
    if (s->family->head_rule == HEAD_QUOTIENT && (int64_t)s->heads * s->head_dim != s->hidden)
        return FAIL(ERR_FORMAT,
                    "%s: head_dim (model.head_dim) is %d and num_attention_heads (model.heads) %d, but in %s their product must be hidden_size "
                    "(model.hidden), %lld",
                    where, s->head_dim, s->heads, s->family->model_type, (long long)s->hidden);
    TRY(check_real(where, "clip_qkv", s->clip_qkv, 0, 1e30));
    for (int l = 0; l < s->layers; l++) {
        const struct mla_spec *m = &s->mla;
        const struct delta_spec *d = &s->delta;
        if (s->layer[l].window < 0) return FAIL(ERR_FORMAT, "%s: sliding_window is %lld; give at least 1", where, (long long)s->layer[l].window);
        if (s->layer[l].attention == ATTENTION_MLA) {
            TRY(check_count(where, "kv_lora_rank", m->kv_rank, 1 << 20));
            TRY(check_count(where, "q_lora_rank + 1", (int64_t)m->q_rank + 1, 1 << 20));
            TRY(check_count(where, "qk_nope_head_dim", m->nope_dim, 8192));
            TRY(check_count(where, "qk_rope_head_dim", m->rope_dim, 8192));
            TRY(check_count(where, "v_head_dim", m->v_dim, 8192));
        }
        if (s->layer[l].attention == ATTENTION_DELTA) {
            TRY(check_count(where, "linear_num_key_heads", d->k_heads, 65536));
            TRY(check_count(where, "linear_num_value_heads", d->v_heads, 65536));
            TRY(check_count(where, "linear_key_head_dim", d->k_dim, 8192));
            TRY(check_count(where, "linear_value_head_dim", d->v_dim, 8192));
            TRY(check_count(where, "linear_conv_kernel_dim", d->conv, 1024));
            if (d->v_heads % d->k_heads != 0)
                return FAIL(ERR_FORMAT, "%s: linear_num_value_heads is %d, not a multiple of linear_num_key_heads, %d; correct one", where,
                            d->v_heads, d->k_heads);
        }
    }
    return OK;
}

static err_t check_experts(const struct spec *s, const char *where) {
    TRY(check_count(where, "num_experts (model.experts)", s->experts, SPEC_EXPERTS_MAX));
    TRY(check_count(where, "num_experts_per_tok (model.top_k)", s->top_k, SPEC_TOPK_MAX));
    TRY(check_count(where, "the experts' width (model.expert_width)", s->expert_width, INT32_MAX));
    TRY(check_count(where, "the shared expert's width + 1", s->shared_width + 1, INT32_MAX));
    if (s->top_k > s->experts)
        return FAIL(ERR_FORMAT, "%s: num_experts_per_tok (model.top_k) is %d, but there are %d experts (model.experts); lower it", where, s->top_k,
                    s->experts);
    if (s->groups < 1 || s->experts % s->groups != 0 || s->groups_kept < 1 || s->groups_kept > s->groups)
        return FAIL(ERR_FORMAT, "%s: n_group is %d and topk_group %d; n_group must divide the %d experts, and topk_group be from 1 to n_group", where,
                    s->groups, s->groups_kept, s->experts);
    if (s->groups > 1 && (s->experts / s->groups < 2 || s->top_k > s->experts / s->groups * s->groups_kept))
        return FAIL(ERR_FORMAT, "%s: n_group is %d: a group has %d experts, fewer than 2, or %d groups have fewer than the %d that a token meets",
                    where, s->groups, s->experts / s->groups, s->groups_kept, s->top_k);
    if (spec_moe_layers(s) < s->layers) TRY(check_count(where, "intermediate_size (model.dense_width)", s->dense_width, INT32_MAX));
    TRY(check_real(where, "router_aux_loss_coef (model.aux_coef)", s->aux_coef, 0, 1e6));
    return check_real(where, "routed_scaling_factor", s->routed_scale, 1e-9, 1e9);
}

err_t spec_check(const struct spec *s, const char *where) {
    ENSURE(s->family);
    TRY(check_count(where, "num_hidden_layers (model.layers)", s->layers, SPEC_LAYERS_MAX));
    TRY(check_count(where, "hidden_size (model.hidden)", s->hidden, INT32_MAX));
    TRY(check_count(where, "vocab_size (model.vocab)", s->vocab, INT32_MAX));
    TRY(check_count(where, "max_position_embeddings (model.max_positions)", s->max_positions, INT32_MAX));
    TRY(check_attention(s, where));
    TRY(check_experts(s, where));
    TRY(check_rope(s, where));
    TRY(check_real(where, "rms_norm_eps", s->norm_eps, 1e-30, 1));
    TRY(check_real(where, "initializer_range", s->init_std, 0, 1e3));
    if (s->pad_id < -1 || s->pad_id >= s->vocab)
        return FAIL(ERR_FORMAT, "%s: pad_token_id is %lld, outside a vocabulary of %lld; correct it", where, (long long)s->pad_id,
                    (long long)s->vocab);

    if ((int64_t)spec_moe_layers(s) * s->experts * 3 > tensors_max || elements(s, s->experts) > elements_max)
        return FAIL(ERR_FORMAT,
                    "%s: a model of %d layers, hidden_size %lld, %d experts of width %lld and vocab_size %lld is beyond 2^22 tensors or 2^56 "
                    "parameters; lower them",
                    where, s->layers, (long long)s->hidden, s->experts, (long long)s->expert_width, (long long)s->vocab);
    return OK;
}
