/* OLMoE: RMS norms of q and k over all heads together, clip_qkv, weights of the k experts not renormalised by default. */
#include "model/family.h"

const struct family family_olmoe = {
    .model_type = "olmoe",
    .from_keys = true,
    .architecture = "OlmoeForCausalLM",
    .experts_key = "num_experts",
    .expert_width_key = "intermediate_size",
    .bias_key = "attention_bias",
    .bias_by_key = BIAS_IN | BIAS_OUT,
    .has_clip_qkv = true,
    .has_norm_topk = true,
    .qk_norm = QK_NORM_ALL,
    .top_k = 8,
    .max_positions = 4096,
    .pad_id = 1,
    .bos_id = -1,
    .eos_id = 50279,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .aux_coef = 0.01,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_BIAS_NAMES, FAMILY_QK_NORM_NAMES, FAMILY_MLP_EXPERT_NAMES},
};
