/* Qwen2-MoE: biases on q, k and v, windows in even layers by key, a shared expert with a gate. */
#include "model/family.h"

const struct family family_qwen2_moe = {
    .model_type = "qwen2_moe",
    .architecture = "Qwen2MoeForCausalLM",
    .experts_key = "num_experts",
    .expert_width_key = "moe_intermediate_size",
    .bias_key = "qkv_bias",
    .head_rule = HEAD_OWN,
    .moe_rule = MOE_BY_STEP,
    .window_rule = WINDOW_SWITCHED_EVEN,
    .shared_rule = SHARED_GATED,
    .has_norm_topk = true,
    .bias_by_key = BIAS_IN,
    .bias_default = true,
    .kv_heads = 16,
    .top_k = 4,
    .max_positions = 32768,
    .pad_id = -1,
    .bos_id = -1,
    .eos_id = -1,
    .window = 4096,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .aux_coef = 0.001,
    .dense_width = 5632,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_QKV_BIAS_NAMES, FAMILY_MLP_EXPERT_NAMES, FAMILY_SHARED_EXPERT_NAMES, FAMILY_MLP_NAMES},
};
