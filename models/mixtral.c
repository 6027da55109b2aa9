/* Mixtral: no biases, no QK-norms, weights of the k experts always renormalised and kept in fp32. */
#include "model/family.h"

const struct family family_mixtral = {
    .model_type = "mixtral",
    .from_keys = true,
    .architecture = "MixtralForCausalLM",
    .experts_key = "num_local_experts",
    .expert_width_key = "intermediate_size",
    .head_rule = HEAD_OWN_OR_NULL,
    .window_rule = WINDOW_IF_SET,
    .qk_norm = QK_NORM_NONE,
    .weights_fp32 = true,
    .kv_heads = 8,
    .top_k = 2,
    .max_positions = 131072,
    .pad_id = -1,
    .bos_id = 1,
    .eos_id = 2,
    .norm_eps = 1e-5,
    .rope_theta = 1e6,
    .aux_coef = 0.001,
    .names = {FAMILY_LLAMA_NAMES, FAMILY_BLOCK_EXPERT_NAMES},
    .block = "block_sparse_moe",
};
