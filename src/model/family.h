/* A family of models as data: how its config.json fills a spec, and its names in files. */
#ifndef MOP_MODEL_FAMILY_H
#define MOP_MODEL_FAMILY_H

#include "model/params.h"

/* Tables live in models/NAME.c; model/family.c lists them. Defaults are those that transformers takes for
 * a key that config.json leaves out; 0 or -1 where the family has none. */
struct family {
    const char *model_type, *architecture;

    /* Keys that are read in this family only. A key that is not read here and would change the computation
     * elsewhere is refused unless its value is inert (config_keys.c). */
    const char *experts_key; /* as spec_to_json writes it; num_experts and num_local_experts are both read */
    const char *expert_width_key;
    bool has_dense_layers; /* mlp_only_layers, decoder_sparse_step; intermediate_size is then that of dense layers */
    bool has_attention_bias, has_clip_qkv;
    bool has_norm_topk;     /* norm_topk_prob; without it the weights are always renormalised */
    bool has_window_switch; /* sliding_window means nothing while use_sliding_window is false */
    bool has_head_dim;      /* head_dim may differ from hidden_size / num_attention_heads */
    bool null_head_dim;     /* and null stands for that quotient */

    /* What the family computes. */
    enum qk_norm qk_norm;
    bool weights_fp32;

    /* Defaults. */
    int kv_heads; /* 0: as many as heads */
    int top_k;
    int64_t max_positions, pad_id, bos_id, eos_id;
    double norm_eps, rope_theta, aux_coef;
    int64_t dense_width; /* where no layer is dense and so none is needed */

    /* Names in files, by kind; the path components L and N stand for layer and expert. NULL: has none. */
    const char *names[PARAM_KINDS];
};

/* What all families of today share; a table adds its feed-forward and its QK-norms. */
#define FAMILY_LLAMA_NAMES                                                                                      \
    [PARAM_EMBED] = "model.embed_tokens.weight", [PARAM_ATTN_NORM] = "model.layers.L.input_layernorm.weight",   \
    [PARAM_Q] = "model.layers.L.self_attn.q_proj.weight", [PARAM_K] = "model.layers.L.self_attn.k_proj.weight", \
    [PARAM_V] = "model.layers.L.self_attn.v_proj.weight", [PARAM_O] = "model.layers.L.self_attn.o_proj.weight", \
    [PARAM_FFN_NORM] = "model.layers.L.post_attention_layernorm.weight", [PARAM_FINAL_NORM] = "model.norm.weight", [PARAM_HEAD] = "lm_head.weight"
#define FAMILY_BIAS_NAMES                                                                                             \
    [PARAM_Q_BIAS] = "model.layers.L.self_attn.q_proj.bias", [PARAM_K_BIAS] = "model.layers.L.self_attn.k_proj.bias", \
    [PARAM_V_BIAS] = "model.layers.L.self_attn.v_proj.bias", [PARAM_O_BIAS] = "model.layers.L.self_attn.o_proj.bias"
#define FAMILY_QK_NORM_NAMES [PARAM_Q_NORM] = "model.layers.L.self_attn.q_norm.weight", [PARAM_K_NORM] = "model.layers.L.self_attn.k_norm.weight"
#define FAMILY_MLP_EXPERT_NAMES                                                                                               \
    [PARAM_ROUTER] = "model.layers.L.mlp.gate.weight", [PARAM_EXPERT_GATE] = "model.layers.L.mlp.experts.N.gate_proj.weight", \
    [PARAM_EXPERT_UP] = "model.layers.L.mlp.experts.N.up_proj.weight", [PARAM_EXPERT_DOWN] = "model.layers.L.mlp.experts.N.down_proj.weight"
#define FAMILY_MLP_NAMES                                                                                            \
    [PARAM_MLP_GATE] = "model.layers.L.mlp.gate_proj.weight", [PARAM_MLP_UP] = "model.layers.L.mlp.up_proj.weight", \
    [PARAM_MLP_DOWN] = "model.layers.L.mlp.down_proj.weight"

extern const struct family family_olmoe, family_qwen3_moe, family_mixtral;

const struct family *family_by_model_type(const char *model_type); /* "qwen3_moe", or NULL */
const char *family_names(void);                                    /* "olmoe, qwen3_moe, mixtral" */

#endif
