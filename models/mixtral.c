/* Mixtral: no biases, no QK-norms, weights of the k experts always renormalised and kept in fp32. */
#include "model/family.h"

const struct family family_mixtral = {
    .model_type = "mixtral",
    .architecture = "MixtralForCausalLM",
    .experts_key = "num_local_experts",
    .expert_width_key = "intermediate_size",
    .has_head_dim = true,
    .null_head_dim = true,
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
    .names = {FAMILY_LLAMA_NAMES, [PARAM_ROUTER] = "model.layers.L.block_sparse_moe.gate.weight",
              [PARAM_EXPERT_GATE] = "model.layers.L.block_sparse_moe.experts.N.w1.weight",
              [PARAM_EXPERT_UP] = "model.layers.L.block_sparse_moe.experts.N.w3.weight",
              [PARAM_EXPERT_DOWN] = "model.layers.L.block_sparse_moe.experts.N.w2.weight"},
};
