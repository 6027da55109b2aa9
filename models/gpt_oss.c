/* gpt-oss: windows in even layers, sinks, biases everywhere, yarn; the k chosen by logits and weighted by a softmax over them; experts
 * with a clamped SwiGLU, stacked and transposed in files, gate and up interleaved. */
#include "model/family.h"

static const struct inert_key inert[] = {{"initial_context_length", "*"}, {NULL, NULL}};

const struct family family_gpt_oss = {
    .model_type = "gpt_oss",
    .architecture = "GptOssForCausalLM",
    .experts_key = "num_local_experts",
    .expert_width_key = "intermediate_size",
    .top_k_key = "experts_per_token",
    .bias_key = "attention_bias",
    .head_rule = HEAD_OWN_OR_NULL,
    .window_rule = WINDOW_EVEN,
    .inert = inert,
    .norm = NORM_ONCE,
    .activation = ACTIVATION_SWIGLU_CLAMPED,
    .choice = CHOICE_LOGIT,
    .bias_by_key = BIAS_IN | BIAS_OUT,
    .bias_always = BIAS_ROUTER | BIAS_EXPERTS,
    .bias_default = true,
    .sinks = true,
    .kv_heads = 8,
    .top_k = 4,
    .max_positions = 131072,
    .pad_id = -1,
    .bos_id = -1,
    .eos_id = -1,
    .window = 128,
    .norm_eps = 1e-5,
    .rope_theta = 150000,
    .aux_coef = 0.001,
    .rope = {.kind = ROPE_YARN, .factor = 32, .beta_fast = 32, .beta_slow = 1, .original_max_positions = 4096},
    .names = {FAMILY_LLAMA_NAMES, FAMILY_BIAS_NAMES,
              FAMILY_EXPERT_NAMES, [PARAM_SINKS] = "model.layers.L.self_attn.sinks", [PARAM_ROUTER] = "model.layers.L.mlp.router.weight",
              [PARAM_ROUTER_BIAS] = "model.layers.L.mlp.router.bias", [PARAM_EXPERT_GATE_BIAS] = "model.layers.L.mlp.experts.N.gate_proj.bias",
              [PARAM_EXPERT_UP_BIAS] = "model.layers.L.mlp.experts.N.up_proj.bias",
              [PARAM_EXPERT_DOWN_BIAS] = "model.layers.L.mlp.experts.N.down_proj.bias"},
    .expert_files = EXPERTS_TRANSPOSED,
};
