/* Qwen3-MoE: RMS norms of q and k over each head, a head_dim of its own, dense feed-forwards in some layers. */
#include "model/family.h"

const struct family family_qwen3_moe = {
    .model_type = "qwen3_moe",
    .architecture = "Qwen3MoeForCausalLM",
    .experts_key = "num_experts",
    .expert_width_key = "moe_intermediate_size",
    .has_dense_layers = true,
    .has_attention_bias = true,
    .has_norm_topk = true,
    .has_window_switch = true,
    .has_head_dim = true,
    .qk_norm = QK_NORM_HEAD,
    .kv_heads = 4,
    .top_k = 8,
    .max_positions = 32768,
    .pad_id = -1,
    .bos_id = -1,
    .eos_id = -1,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .aux_coef = 0.001,
    .dense_width = 6144,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_BIAS_NAMES, FAMILY_QK_NORM_NAMES, FAMILY_MLP_EXPERT_NAMES, FAMILY_MLP_NAMES},
};
