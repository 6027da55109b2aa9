/* Qwen3-MoE: RMS norms of q and k over each head, a head_dim of its own, dense feed-forwards in some layers. */
#include "model/family.h"

const struct family family_qwen3_moe = {
    .model_type = "qwen3_moe",
    .from_keys = true,
    .architecture = "Qwen3MoeForCausalLM",
    .experts_key = "num_experts",
    .expert_width_key = "moe_intermediate_size",
    .bias_key = "attention_bias",
    .moe_rule = MOE_BY_STEP,
    .has_norm_topk = true,
    .head_rule = HEAD_OWN,
    .window_rule = WINDOW_SWITCHED,
    .bias_by_key = BIAS_IN | BIAS_OUT,
    .qk_norm = QK_NORM_HEAD,
    .kv_heads = 4,
    .top_k = 8,
    .max_positions = 32768,
    .pad_id = -1,
    .bos_id = -1,
    .eos_id = -1,
    .window = 4096,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .aux_coef = 0.001,
    .dense_width = 6144,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_BIAS_NAMES, FAMILY_QK_NORM_NAMES, FAMILY_MLP_EXPERT_NAMES, FAMILY_MLP_NAMES},
};
