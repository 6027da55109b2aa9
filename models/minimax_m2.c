/* MiniMax-M2: norms of q and k over all heads, partial rotation; sigmoid scores chosen with a correction bias; names in Mixtral's manner. */
#include "model/family.h"

static const struct inert_key inert[] = {{"scoring_func", "null|\"sigmoid\""},
                                         {"use_routing_bias", "true"},
                                         {"use_qk_norm", "true"},
                                         {"qk_norm_type", "null|\"per_layer\""},
                                         {"attn_type_list", "*"},
                                         {"layernorm_full_attention_beta", "null|1"},
                                         {"layernorm_linear_attention_beta", "null|1"},
                                         {"layernorm_mlp_beta", "null|1"},
                                         {"mlp_intermediate_size", "*"},
                                         {"shared_moe_mode", "*"},
                                         {"use_mtp", "*"}, /* the published folders hold no such layers */
                                         {"num_mtp_modules", "*"},
                                         {"mtp_transformer_layers", "*"},
                                         {NULL, NULL}};

const struct family family_minimax_m2 = {
    .model_type = "minimax_m2",
    .architecture = "MiniMaxM2ForCausalLM",
    .experts_key = "num_local_experts",
    .expert_width_key = "intermediate_size",
    .head_rule = HEAD_OWN,
    .has_partial_rotary = true,
    .inert = inert,
    .qk_norm = QK_NORM_ALL,
    .score = SCORE_SIGMOID,
    .choice = CHOICE_BIASED,
    .weights_fp32 = true,
    .kv_heads = 8,
    .top_k = 8,
    .max_positions = 196608,
    .pad_id = -1,
    .bos_id = 200034,
    .eos_id = 200020,
    .norm_eps = 1e-6,
    .rope_theta = 5e6,
    .aux_coef = 0.001,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_QK_NORM_NAMES,
              FAMILY_BLOCK_EXPERT_NAMES, [PARAM_CORRECTION_BIAS] = "model.layers.L.block_sparse_moe.e_score_correction_bias"},
    .block = "block_sparse_moe",
};
