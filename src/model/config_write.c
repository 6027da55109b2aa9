/* A spec to the text of a config.json. In the words of transformers 4 (rope_theta, rope_scaling, torch_dtype,
 * the families' first names of counts): transformers 5 and what else reads the Hub's files understand them. */
#include "model/config_int.h"

/* jansson hands NULL on where it had no memory; once is enough to give up at the end. */
struct object {
    json_t *json;
    bool failed;
};

static void put(struct object *o, const char *key, json_t *value) { o->failed |= json_object_set_new(o->json, key, value) != 0; }
static void put_id(struct object *o, const char *key, int64_t id) { put(o, key, id < 0 ? json_null() : json_integer(id)); }

static void put_rope_scaling(struct object *outer, const struct rope_spec *r) {
    if (r->kind == ROPE_DEFAULT) {
        put(outer, "rope_scaling", json_null());
        return;
    }
    struct object inner = {json_object(), false}, *o = &inner;
    put(o, "rope_type", json_string(r->kind == ROPE_YARN ? "yarn" : "linear"));
    put(o, "factor", json_real(r->factor));
    if (r->kind == ROPE_YARN) {
        put(o, "attention_factor", json_real(r->attention_factor));
        put(o, "beta_fast", json_real(r->beta_fast));
        put(o, "beta_slow", json_real(r->beta_slow));
        put(o, "original_max_position_embeddings", json_integer(r->original_max_positions));
        put(o, "truncate", json_boolean(r->truncate));
    }
    outer->failed |= inner.failed;
    put(outer, "rope_scaling", inner.json);
}

static void build(const struct spec *s, const char *dtype, struct object *o) {
    const struct family *f = s->family;
    json_t *architectures = json_array();
    o->failed |= json_array_append_new(architectures, json_string(f->architecture)) != 0;
    put(o, "architectures", architectures);
    put(o, "model_type", json_string(f->model_type));
    put(o, "torch_dtype", json_string(dtype));
    put(o, "vocab_size", json_integer(s->vocab));
    put(o, "hidden_size", json_integer(s->hidden));
    put(o, "hidden_act", json_string("silu"));
    put(o, "num_hidden_layers", json_integer(s->layers));
    put(o, "num_attention_heads", json_integer(s->heads));
    put(o, "num_key_value_heads", json_integer(s->kv_heads));
    if (f->head_rule != HEAD_QUOTIENT) put(o, "head_dim", json_integer(s->head_dim));
    const int64_t window = s->layer[0].window; /* of all layers in the families that are written */
    if (window > 0 && f->window_rule == WINDOW_SWITCHED) put(o, "use_sliding_window", json_true());
    if (window > 0) put(o, "sliding_window", json_integer(window));
    if (f->bias_key) put(o, "attention_bias", json_boolean(s->biases & BIAS_IN));
    if (f->has_clip_qkv) put(o, "clip_qkv", s->clip_qkv > 0 ? json_real(s->clip_qkv) : json_null());
    put(o, "attention_dropout", json_real(0));
    put(o, "max_position_embeddings", json_integer(s->max_positions));
    put(o, "rope_theta", json_real(s->rope.theta));
    put_rope_scaling(o, &s->rope);
    put(o, "rms_norm_eps", json_real(s->norm_eps));
    put(o, f->experts_key, json_integer(s->experts));
    put(o, "num_experts_per_tok", json_integer(s->top_k));
    put(o, f->expert_width_key, json_integer(s->expert_width));
    if (f->has_norm_topk) put(o, "norm_topk_prob", json_boolean(s->renormalise));
    if (f->moe_rule == MOE_BY_STEP) {
        json_t *dense = json_array();
        for (int l = 0; l < s->layers; l++)
            if (!s->is_moe[l]) o->failed |= json_array_append_new(dense, json_integer(l)) != 0;
        put(o, "mlp_only_layers", dense);
        put(o, "decoder_sparse_step", json_integer(1));
        put(o, "intermediate_size", json_integer(s->dense_width));
    }
    put(o, "router_aux_loss_coef", json_real(s->aux_coef));
    put(o, "output_router_logits", json_boolean(s->aux_on));
    put(o, "initializer_range", json_real(s->init_std));
    put(o, "tie_word_embeddings", json_boolean(s->tied));
    put_id(o, "pad_token_id", s->pad_id);
    put_id(o, "bos_token_id", s->bos_id);
    put_id(o, "eos_token_id", s->eos_id);
    put(o, "use_cache", json_true());
}

err_t spec_to_json(const struct spec *s, const char *dtype, char **text) {
    ENSURE(s->family->from_keys);
    struct object o = {json_object(), false};
    build(s, dtype, &o);
    *text = o.failed ? NULL : config_text_of(o.json, JSON_SORT_KEYS);
    json_decref(o.json);
    if (!*text) return FAIL(ERR_NOMEM, "no memory for the text of a config.json; free some memory");
    return OK;
}
