/* Whether two specs compute the same: every key that is read makes a difference, what generation alone reads does not. */
#include "golden.h"

static const struct {
    const char *family, *edit;
} edits[] = {
    {"qwen3_moe", "{\"num_experts_per_tok\": 3}"},
    {"qwen3_moe", "{\"num_hidden_layers\": 3}"},
    {"qwen3_moe", "{\"hidden_size\": 64}"},
    {"qwen3_moe", "{\"vocab_size\": 170}"},
    {"qwen3_moe", "{\"num_attention_heads\": 2}"},
    {"qwen3_moe", "{\"num_key_value_heads\": 1}"},
    {"qwen3_moe", "{\"head_dim\": 24}"},
    {"qwen3_moe", "{\"max_position_embeddings\": 99}"},
    {"qwen3_moe", "{\"num_experts\": 6, \"num_local_experts\": 6}"},
    {"qwen3_moe", "{\"moe_intermediate_size\": 48}"},
    {"qwen3_moe", "{\"intermediate_size\": 48}"},
    {"qwen3_moe", "{\"mlp_only_layers\": [2]}"},
    {"qwen3_moe", "{\"rms_norm_eps\": 1e-7}"},
    {"qwen3_moe", "{\"initializer_range\": 0.03}"},
    {"qwen3_moe", "{\"router_aux_loss_coef\": 0.5}"},
    {"qwen3_moe", "{\"tie_word_embeddings\": true}"},
    {"qwen3_moe", "{\"norm_topk_prob\": false}"},
    {"qwen3_moe", "{\"attention_bias\": true}"},
    {"qwen3_moe", "{\"pad_token_id\": 3}"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 20000}}"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"linear\", \"rope_theta\": 10000, \"factor\": 2}}"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 10000, \"factor\": 2}}"},
    {"olmoe", "{\"clip_qkv\": 3}"},
    {"olmoe", "{\"model_type\": \"mixtral\", \"architectures\": null, \"norm_topk_prob\": true}"},
    {"deepseek_v3", "{\"kv_lora_rank\": 8}"},
    {"deepseek_v3", "{\"q_lora_rank\": 8}"},
    {"deepseek_v3", "{\"routed_scaling_factor\": 3}"},
    {"deepseek_v3", "{\"topk_group\": 1}"},
    {"gpt_oss", "{\"sliding_window\": 5}"},
    {"gpt_oss", "{\"swiglu_limit\": 5}"},
    {"qwen3_next", "{\"linear_conv_kernel_dim\": 3}"},
    {"qwen3_next", "{\"linear_value_head_dim\": 4}"},
    {"qwen2_moe", "{\"shared_expert_intermediate_size\": 24}"},
};

int main(void) {
    /* a field that spec_same forgets would let a run go on with another model */
    CASE(sizeof(struct spec) == 9104,
         "struct spec has %zu bytes, not 9104: hold the new field in spec_same, or say there why not; then set its size here", sizeof(struct spec));
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        const struct spec a = golden_spec(edits[i].family), b = golden_spec(edits[i].family);
        struct spec c;
        CASE(spec_same(&a, &b), "%s read twice is the same", edits[i].family);
        if (edited_spec(edits[i].family, edits[i].edit, &c) != OK) CASE(false, "%s %s: %s", edits[i].family, edits[i].edit, err_message());
        else CASE(!spec_same(&a, &c) && !spec_same(&c, &a), "%s with %s is another", edits[i].family, edits[i].edit);
    }
    const struct spec a = golden_spec("qwen3_moe");
    struct spec c;
    NEED(edited_spec("qwen3_moe", "{\"eos_token_id\": 5, \"bos_token_id\": 6, \"use_cache\": false, \"output_router_logits\": true}", &c));
    CASE(spec_same(&a, &c), "ids of begin and end, and the switch of the balancing loss, compute the same");
    return test_end();
}
