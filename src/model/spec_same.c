#include "model/spec.h"

/* What was read from the same text is the same number. */
static bool same_real(double a, double b) { return a == b; }

static bool same_rope(const struct rope_spec *a, const struct rope_spec *b) {
    return a->kind == b->kind && a->pairs == b->pairs && a->dim == b->dim && same_real(a->theta, b->theta) && same_real(a->factor, b->factor) &&
           same_real(a->attention_factor, b->attention_factor) && same_real(a->beta_fast, b->beta_fast) && same_real(a->beta_slow, b->beta_slow) &&
           same_real(a->mscale_all_dim, b->mscale_all_dim) && a->original_max_positions == b->original_max_positions && a->truncate == b->truncate;
}

static bool same_attention(const struct spec *a, const struct spec *b) {
    const struct mla_spec *m = &a->mla, *n = &b->mla;
    const struct delta_spec *d = &a->delta, *e = &b->delta;
    bool same = m->q_rank == n->q_rank && m->kv_rank == n->kv_rank && m->nope_dim == n->nope_dim && m->rope_dim == n->rope_dim &&
                m->v_dim == n->v_dim && same_real(m->norm_eps, n->norm_eps);
    same = same && d->k_heads == e->k_heads && d->v_heads == e->v_heads && d->k_dim == e->k_dim && d->v_dim == e->v_dim && d->conv == e->conv;
    for (int l = 0; same && l < a->layers; l++)
        same = a->layer[l].attention == b->layer[l].attention && a->layer[l].window == b->layer[l].window && a->is_moe[l] == b->is_moe[l];
    return same && a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim && a->qk_norm == b->qk_norm &&
           a->biases == b->biases && a->sinks == b->sinks && same_real(a->clip_qkv, b->clip_qkv) && same_real(a->softmax_scale, b->softmax_scale) &&
           same_rope(&a->rope, &b->rope);
}

static bool same_experts(const struct spec *a, const struct spec *b) {
    return a->activation == b->activation && same_real(a->activation_limit, b->activation_limit) &&
           same_real(a->activation_alpha, b->activation_alpha) && a->dense_width == b->dense_width && a->expert_width == b->expert_width &&
           a->shared_width == b->shared_width && a->shared_gate == b->shared_gate && a->experts == b->experts && a->top_k == b->top_k &&
           a->score == b->score && a->choice == b->choice && a->groups == b->groups && a->groups_kept == b->groups_kept &&
           a->router_fp32 == b->router_fp32 && a->renormalise == b->renormalise && same_real(a->renormalise_eps, b->renormalise_eps) &&
           same_real(a->routed_scale, b->routed_scale) && a->weights_fp32 == b->weights_fp32 && same_real(a->aux_coef, b->aux_coef) &&
           a->has_aux == b->has_aux;
}

bool spec_same(const struct spec *a, const struct spec *b) {
    return a->family == b->family && a->layers == b->layers && a->hidden == b->hidden && a->vocab == b->vocab && a->norm == b->norm &&
           same_real(a->norm_eps, b->norm_eps) && a->tied == b->tied && a->pad_id == b->pad_id && same_real(a->init_std, b->init_std) &&
           a->max_positions == b->max_positions && a->outer == b->outer && a->mtp_layers == b->mtp_layers && a->quant == b->quant &&
           a->quant_rows == b->quant_rows && a->quant_cols == b->quant_cols && same_attention(a, b) && same_experts(a, b);
}
