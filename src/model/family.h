/* A family of models as data: how its config.json fills a spec, and its names in files. */
#ifndef MOP_MODEL_FAMILY_H
#define MOP_MODEL_FAMILY_H

#include "model/params.h"

/* Where head_dim comes from: it is hidden_size / num_attention_heads; or a key of its own, that quotient where absent (and where null); or
 * a default of the family. With MLA it is qk_nope_head_dim + qk_rope_head_dim. */
enum head_rule { HEAD_QUOTIENT, HEAD_OWN, HEAD_OWN_OR_NULL };

/* Which layers are MoE: all; by mlp_only_layers and decoder_sparse_step; from first_k_dense_replace on; by mlp_layer_types. */
enum moe_rule { MOE_ALL, MOE_BY_STEP, MOE_FROM_FIRST, MOE_BY_TYPES };

/* Which layers see a window where layer_types does not say: none; all if sliding_window is set; all, or even ones below
 * max_window_layers, if use_sliding_window is true; even ones. */
enum window_rule { WINDOW_NEVER, WINDOW_IF_SET, WINDOW_SWITCHED, WINDOW_SWITCHED_EVEN, WINDOW_EVEN };

/* The expert that every token meets: none; n_shared_experts times the experts' width; shared_expert_intermediate_size wide, with a gate. */
enum shared_rule { SHARED_NONE, SHARED_COUNTED, SHARED_GATED };

/* How files have experts when nothing else is asked for: one by one; or stacked, transposed, with gate and up interleaved (gpt-oss). */
enum expert_files { EXPERTS_ONE_BY_ONE, EXPERTS_TRANSPOSED };

/* A key that this family's files hold and that says nothing new: `values` as JSON, separated by '|'; "*" is any. */
struct inert_key {
    const char *key, *values;
};

/* Tables live in models/NAME.c; model/family.c lists them. Defaults are those that transformers takes for a key that config.json
 * leaves out; 0 or -1 where the family has none. */
struct family {
    const char *model_type, *architecture;
    const char *other_model_type;                      /* files say this as well; NULL: none */
    const char *outer_model_type, *outer_architecture; /* of a config.json that holds this one as its text_config; NULL: none */
    const char *outer_prefix;                          /* in such files it stands for "model." */
    bool from_keys;                                    /* the keys model.* describe such a model */

    /* Keys that are read in this family only. A key that is not read here and would change the computation elsewhere is refused unless
     * its value is inert (config_keys.c). */
    const char *experts_key; /* as spec_to_json writes it; num_experts and num_local_experts are read too */
    const char *expert_width_key;
    const char *top_k_key; /* another word for num_experts_per_tok; NULL: none */
    const char *bias_key;  /* a switch for bias_by_key; NULL: none */
    const char *mtp_key;   /* layers of multi-token prediction; NULL: none */
    enum head_rule head_rule;
    enum moe_rule moe_rule;
    enum window_rule window_rule;
    enum shared_rule shared_rule;
    bool has_clip_qkv, has_norm_topk; /* without norm_topk_prob the weights are always renormalised */
    bool has_qk_norm_switch;          /* use_qk_norm, default false */
    bool has_groups;                  /* n_group, topk_group */
    bool has_partial_rotary;          /* partial_rotary_factor; rotary_dim too */
    bool has_delta;                   /* linear_*, and layer_types or full_attention_interval says which layers are of this kind */
    bool delta_by_key_head;           /* its projections in files: rows interleaved by key head, two tensors for four */
    const struct inert_key *inert;    /* ends with a NULL key; NULL: none */

    /* What the family computes. */
    enum attention_kind attention; /* of layers that are not DELTA */
    enum qk_norm qk_norm;
    enum norm_kind norm;
    enum activation activation;
    enum router_score score;
    enum router_choice choice;
    unsigned bias_by_key, bias_always; /* BIAS_ */
    bool bias_default, sinks, weights_fp32, router_fp32, renormalise_default;
    bool no_aux; /* it has no load-balancing loss */
    double renormalise_eps;

    /* Defaults. */
    int kv_heads; /* 0: as many as heads */
    int top_k, groups, groups_kept;
    int64_t max_positions, pad_id, bos_id, eos_id, window;
    double norm_eps, rope_theta, aux_coef, rotary_factor, routed_scale;
    struct rope_spec rope; /* where config.json has none; kind ROPE_DEFAULT: plain */
    struct mla_spec mla;
    struct delta_spec delta;
    int64_t dense_first;  /* first_k_dense_replace */
    int64_t dense_width;  /* where no layer is dense and so none is needed */
    int64_t shared_count; /* n_shared_experts */

    /* Names, by kind; the path components L and N stand for layer and expert. NULL: has none. In files where they are as in the params
     * table; where they are not (experts stacked, say) these are our own. */
    const char *names[PARAM_KINDS];
    enum expert_files expert_files;
    const char *block; /* the path component that transformers 5 renames to "mlp" when it stacks experts; NULL: it is "mlp" */
};

/* What all families share; a table adds its attention, feed-forward and QK-norms. */
#define FAMILY_COMMON_NAMES                                                                                                    \
    [PARAM_EMBED] = "model.embed_tokens.weight", [PARAM_ATTN_NORM] = "model.layers.L.input_layernorm.weight",                  \
    [PARAM_O] = "model.layers.L.self_attn.o_proj.weight", [PARAM_FFN_NORM] = "model.layers.L.post_attention_layernorm.weight", \
    [PARAM_FINAL_NORM] = "model.norm.weight", [PARAM_HEAD] = "lm_head.weight"
#define FAMILY_LLAMA_NAMES                                                                                                           \
    FAMILY_COMMON_NAMES, [PARAM_Q] = "model.layers.L.self_attn.q_proj.weight", [PARAM_K] = "model.layers.L.self_attn.k_proj.weight", \
                         [PARAM_V] = "model.layers.L.self_attn.v_proj.weight"
#define FAMILY_QKV_BIAS_NAMES                                                                                         \
    [PARAM_Q_BIAS] = "model.layers.L.self_attn.q_proj.bias", [PARAM_K_BIAS] = "model.layers.L.self_attn.k_proj.bias", \
    [PARAM_V_BIAS] = "model.layers.L.self_attn.v_proj.bias"
#define FAMILY_BIAS_NAMES FAMILY_QKV_BIAS_NAMES, [PARAM_O_BIAS] = "model.layers.L.self_attn.o_proj.bias"
#define FAMILY_QK_NORM_NAMES [PARAM_Q_NORM] = "model.layers.L.self_attn.q_norm.weight", [PARAM_K_NORM] = "model.layers.L.self_attn.k_norm.weight"
#define FAMILY_GATE_NAMES [PARAM_Q_GATE] = "model.layers.L.self_attn.q_gate.weight", [PARAM_Q_GATE_BIAS] = "model.layers.L.self_attn.q_gate.bias"
#define FAMILY_MLA_NAMES                                                                                                                            \
    FAMILY_COMMON_NAMES,                                                                                                                            \
        [PARAM_Q] = "model.layers.L.self_attn.q_proj.weight", [PARAM_Q_A] = "model.layers.L.self_attn.q_a_proj.weight",                             \
        [PARAM_KV_A] = "model.layers.L.self_attn.kv_a_proj_with_mqa.weight", [PARAM_Q_A_BIAS] = "model.layers.L.self_attn.q_a_proj.bias",           \
        [PARAM_KV_A_BIAS] = "model.layers.L.self_attn.kv_a_proj_with_mqa.bias", [PARAM_Q_A_NORM] = "model.layers.L.self_attn.q_a_layernorm.weight", \
        [PARAM_KV_A_NORM] = "model.layers.L.self_attn.kv_a_layernorm.weight", [PARAM_Q_B] = "model.layers.L.self_attn.q_b_proj.weight",             \
        [PARAM_KV_B] = "model.layers.L.self_attn.kv_b_proj.weight", [PARAM_O_BIAS] = "model.layers.L.self_attn.o_proj.bias"
#define FAMILY_DELTA_NAMES                                                                                                                \
    [PARAM_DELTA_QKV] = "model.layers.L.linear_attn.in_proj_qkv.weight", [PARAM_DELTA_Z] = "model.layers.L.linear_attn.in_proj_z.weight", \
    [PARAM_DELTA_B] = "model.layers.L.linear_attn.in_proj_b.weight", [PARAM_DELTA_A] = "model.layers.L.linear_attn.in_proj_a.weight",     \
    [PARAM_DELTA_CONV] = "model.layers.L.linear_attn.conv1d.weight", [PARAM_DELTA_A_LOG] = "model.layers.L.linear_attn.A_log",            \
    [PARAM_DELTA_DT_BIAS] = "model.layers.L.linear_attn.dt_bias", [PARAM_DELTA_NORM] = "model.layers.L.linear_attn.norm.weight",          \
    [PARAM_DELTA_OUT] = "model.layers.L.linear_attn.out_proj.weight"
#define FAMILY_EXPERT_NAMES                                                                                                                   \
    [PARAM_EXPERT_GATE] = "model.layers.L.mlp.experts.N.gate_proj.weight", [PARAM_EXPERT_UP] = "model.layers.L.mlp.experts.N.up_proj.weight", \
    [PARAM_EXPERT_DOWN] = "model.layers.L.mlp.experts.N.down_proj.weight"
#define FAMILY_MLP_EXPERT_NAMES [PARAM_ROUTER] = "model.layers.L.mlp.gate.weight", FAMILY_EXPERT_NAMES
#define FAMILY_BLOCK_EXPERT_NAMES                                                                                                                \
    [PARAM_ROUTER] = "model.layers.L.block_sparse_moe.gate.weight", [PARAM_EXPERT_GATE] = "model.layers.L.block_sparse_moe.experts.N.w1.weight", \
    [PARAM_EXPERT_UP] = "model.layers.L.block_sparse_moe.experts.N.w3.weight",                                                                   \
    [PARAM_EXPERT_DOWN] = "model.layers.L.block_sparse_moe.experts.N.w2.weight"
#define FAMILY_SHARED_EXPERTS_NAMES                                              \
    [PARAM_CORRECTION_BIAS] = "model.layers.L.mlp.gate.e_score_correction_bias", \
    [PARAM_SHARED_GATE] = "model.layers.L.mlp.shared_experts.gate_proj.weight",  \
    [PARAM_SHARED_UP] = "model.layers.L.mlp.shared_experts.up_proj.weight",      \
    [PARAM_SHARED_DOWN] = "model.layers.L.mlp.shared_experts.down_proj.weight"
#define FAMILY_SHARED_EXPERT_NAMES                                             \
    [PARAM_SHARED_GATE] = "model.layers.L.mlp.shared_expert.gate_proj.weight", \
    [PARAM_SHARED_UP] = "model.layers.L.mlp.shared_expert.up_proj.weight",     \
    [PARAM_SHARED_DOWN] = "model.layers.L.mlp.shared_expert.down_proj.weight", \
    [PARAM_SHARED_SWITCH] = "model.layers.L.mlp.shared_expert_gate.weight"
#define FAMILY_MLP_NAMES                                                                                            \
    [PARAM_MLP_GATE] = "model.layers.L.mlp.gate_proj.weight", [PARAM_MLP_UP] = "model.layers.L.mlp.up_proj.weight", \
    [PARAM_MLP_DOWN] = "model.layers.L.mlp.down_proj.weight"

/* Every family, and its table as an array of pointers. */
#define FAMILY_KEYED_LIST(X) X(olmoe) X(qwen3_moe) X(mixtral) /* from_keys */
#define FAMILY_LIST(X)   \
    FAMILY_KEYED_LIST(X) \
    X(gpt_oss) X(glm4_moe) X(deepseek_v3) X(glm4_moe_lite) X(minimax_m2) X(qwen3_next) X(qwen3_5_moe) X(qwen2_moe)
#define FAMILY_DECLARE(name) extern const struct family family_##name;
FAMILY_LIST(FAMILY_DECLARE)
#undef FAMILY_DECLARE

/* By what a config.json says ("qwen3_moe"), or NULL. *outer: it is the type of a file that holds the model as its text_config. */
const struct family *family_by_model_type(const char *model_type, bool *outer);
const char *family_names(bool from_keys); /* "olmoe, qwen3_moe, mixtral, ..." */

#endif
