/* config.json in: the three golden configs, what they must give, and edits of them that must be refused. */
#include "golden.h"

#include "base/log.h"
#include "base/rng.h"

#include <math.h>

static void golden_configs(void) {
    struct spec s = golden_spec("olmoe");
    CASE(s.family == &family_olmoe && s.layers == 3 && s.hidden == 48 && s.vocab == 160, "OLMoE: the sizes");
    CASE(s.heads == 4 && s.kv_heads == 4 && s.head_dim == 12 && s.qk_norm == QK_NORM_ALL, "OLMoE: heads");
    CASE(s.experts == 8 && s.top_k == 3 && s.expert_width == 32 && !s.renormalise && !s.weights_fp32, "OLMoE: experts");
    CASE(s.pad_id == 1 && s.eos_id == 2 && s.bos_id == -1 && !s.tied, "OLMoE: ids");
    CASE(s.norm_eps == 1e-5 && s.aux_coef == 0.01 && s.init_std == 0.02 && s.clip_qkv == 0 && s.biases == 0, "OLMoE: the reals");
    CASE(s.rope.kind == ROPE_DEFAULT && s.rope.theta == 10000 && s.rope.attention_factor == 1 && s.max_positions == 64, "OLMoE: RoPE");
    CASE(spec_moe_layers(&s) == 3, "OLMoE: every layer is MoE");

    s = golden_spec("qwen3_moe");
    CASE(s.family == &family_qwen3_moe && s.layers == 4 && s.hidden == 48 && s.heads == 4 && s.kv_heads == 2 && s.head_dim == 16, "Qwen3: sizes");
    CASE(s.experts == 8 && s.top_k == 2 && s.expert_width == 32 && s.dense_width == 80 && s.renormalise, "Qwen3: experts");
    CASE(s.is_moe[0] && !s.is_moe[1] && s.is_moe[2] && s.is_moe[3], "Qwen3: mlp_only_layers");
    CASE(s.qk_norm == QK_NORM_HEAD && s.pad_id == -1 && s.eos_id == -1 && s.norm_eps == 1e-6 && s.rope.theta == 10000, "Qwen3: the rest");

    s = golden_spec("mixtral");
    CASE(s.family == &family_mixtral && s.heads == 6 && s.kv_heads == 2 && s.head_dim == 8 && s.qk_norm == QK_NORM_NONE, "Mixtral: heads");
    CASE(s.experts == 6 && s.top_k == 2 && s.expert_width == 40 && s.renormalise && s.weights_fp32, "Mixtral: experts");
    CASE(s.rope.theta == 1e6 && s.bos_id == 1 && s.eos_id == 2 && s.aux_coef == 0.02, "Mixtral: the rest");
}

/* Edits that are fine, and what they change. */
static void good_edits(void) {
    struct spec s;
    CASE_OK(edited_spec("qwen3_moe", "{\"num_key_value_heads\": null}", &s));
    CASE(s.kv_heads == 4, "num_key_value_heads null means as many as heads");
    CASE_OK(edited_spec("qwen3_moe", "{\"delete\": [\"num_key_value_heads\"]}", &s));
    CASE(s.kv_heads == 4, "Qwen3's default for kv heads is 4");
    CASE_OK(edited_spec("olmoe",
                        "{\"delete\": [\"num_key_value_heads\", \"pad_token_id\", \"eos_token_id\", \"rope_scaling\", \"rope_theta\", "
                        "\"router_aux_loss_coef\", \"norm_topk_prob\", \"num_experts_per_tok\", \"max_position_embeddings\", \"rms_norm_eps\", "
                        "\"initializer_range\", \"tie_word_embeddings\", \"hidden_act\", \"architectures\"]}",
                        &s));
    CASE(s.kv_heads == 4 && s.pad_id == 1 && s.eos_id == -1 && s.rope.theta == 10000 && s.aux_coef == 0.01 && !s.renormalise && s.top_k == 8 &&
             s.max_positions == 4096 && s.norm_eps == 1e-5 && s.init_std == 0.02 && !s.tied,
         "OLMoE's defaults");
    CASE_OK(edited_spec("mixtral",
                        "{\"delete\": [\"head_dim\", \"rope_theta\", \"rope_scaling\", \"router_aux_loss_coef\", \"bos_token_id\", "
                        "\"eos_token_id\", \"max_position_embeddings\", \"rms_norm_eps\"]}",
                        &s));
    CASE(s.head_dim == 8 && s.rope.theta == 1e6 && s.aux_coef == 0.001 && s.bos_id == 1 && s.eos_id == 2 && s.max_positions == 131072 &&
             s.norm_eps == 1e-5,
         "Mixtral's defaults");
    CASE_OK(edited_spec("mixtral", "{\"head_dim\": null}", &s));
    CASE(s.head_dim == 8, "Mixtral: head_dim null means hidden_size / num_attention_heads");
    CASE_OK(edited_spec("qwen3_moe",
                        "{\"delete\": [\"head_dim\", \"rope_parameters\", \"router_aux_loss_coef\", \"norm_topk_prob\", \"rms_norm_eps\"]}", &s));
    CASE(s.head_dim == 12 && s.rope.theta == 10000 && s.aux_coef == 0.001 && !s.renormalise && s.norm_eps == 1e-6, "Qwen3's defaults");
    CASE_OK(edited_spec("qwen3_moe", "{\"mlp_only_layers\": null, \"decoder_sparse_step\": 2, \"sliding_window\": 4096}", &s));
    CASE(!s.is_moe[0] && s.is_moe[1] && !s.is_moe[2] && s.is_moe[3], "decoder_sparse_step 2: layers 1 and 3 are MoE");
    CASE_OK(edited_spec("mixtral", "{\"sliding_window\": 32}", &s));
    CASE(s.layer[0].window == 32 && s.layer[2].window == 32, "Mixtral: a window is of all layers");
    CASE_OK(edited_spec("qwen3_moe", "{\"use_sliding_window\": true, \"sliding_window\": 16}", &s));
    CASE(s.layer[0].window == 16 && s.layer[3].window == 16, "Qwen3: and where it is switched on");
    CASE_OK(edited_spec("qwen3_moe", "{\"mlp_only_layers\": [1, 4, 50]}", &s));
    CASE(spec_moe_layers(&s) == 3, "mlp_only_layers beyond the last layer have no effect, as in transformers");
    CASE_OK(edited_spec("qwen3_moe",
                        "{\"delete\": [\"num_local_experts\"], \"num_experts\": 16, \"attention_bias\": true, \"tie_word_embeddings\": true}", &s));
    CASE(s.experts == 16 && s.biases == (BIAS_IN | BIAS_OUT) && s.tied, "num_experts, attention_bias, tied");
    CASE_OK(edited_spec("olmoe", "{\"clip_qkv\": 8, \"norm_topk_prob\": true, \"eos_token_id\": [5, 6], \"pad_token_id\": null}", &s));
    CASE(s.clip_qkv == 8 && s.renormalise && s.eos_id == 5 && s.pad_id == -1, "clip_qkv as an integer, eos as a list, pad null");
    CASE_OK(edited_spec("olmoe", "{\"pad_token_id\": -1}", &s));
    CASE(s.pad_id == 159, "pad_token_id -1 is the last row, as in torch");
    CASE_OK(edited_spec("olmoe",
                        "{\"attention_dropout\": 0, \"pretraining_tp\": 1, \"quantization_config\": null, \"partial_rotary_factor\": 1, "
                        "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\"]}",
                        &s));
    CASE_OK(edited_spec("mixtral", "{\"hidden_act\": \"swish\", \"rope_scaling\": {}, \"sliding_window\": null, \"num_experts\": 6}", &s));

    CASE_OK(edited_spec("mixtral", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}", &s));
    CASE(s.rope.kind == ROPE_LINEAR && s.rope.factor == 4 && s.rope.theta == 1e6 && s.rope.attention_factor == 1, "linear in transformers 4's words");
    CASE_OK(edited_spec("qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4.0}, \"rope_theta\": 1000000}", &s));
    CASE(s.rope.kind == ROPE_YARN && s.rope.theta == 1e6 && s.rope.original_max_positions == 64 && s.rope.beta_fast == 32 && s.rope.beta_slow == 1 &&
             s.rope.truncate && fabs(s.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-15,
         "yarn's defaults");
    CASE_OK(edited_spec("qwen3_moe",
                        "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 5e5, \"factor\": null, \"beta_fast\": 16, \"beta_slow\": 0, "
                        "\"original_max_position_embeddings\": 16, \"truncate\": false, \"attention_factor\": 1.25, \"partial_rotary_factor\": 1.0}}",
                        &s));
    CASE(s.rope.factor == 4 && s.rope.theta == 5e5 && s.rope.beta_fast == 16 && s.rope.beta_slow == 1 && !s.rope.truncate &&
             s.rope.attention_factor == 1.25 && s.rope.original_max_positions == 16,
         "yarn: factor null is the ratio of lengths, beta_slow 0 its default");
}

/* The sizes of the published models: a sum over shapes that came out of their config.json. */
static void published(void) {
    static const struct {
        const char *family, *edits;
        int64_t params;
    } models[] = {
        {"olmoe", /* OLMoE-1B-7B-0924 */
         "{\"hidden_size\": 2048, \"intermediate_size\": 1024, \"num_attention_heads\": 16, \"num_experts\": 64, \"num_experts_per_tok\": 8, "
         "\"num_hidden_layers\": 16, \"num_key_value_heads\": 16, \"vocab_size\": 50304, \"max_position_embeddings\": 4096}",
         6919161856},
        {"qwen3_moe", /* Qwen3-30B-A3B */
         "{\"hidden_size\": 2048, \"intermediate_size\": 6144, \"moe_intermediate_size\": 768, \"num_attention_heads\": 32, \"head_dim\": 128, "
         "\"num_local_experts\": 128, \"num_experts_per_tok\": 8, \"num_hidden_layers\": 48, \"num_key_value_heads\": 4, \"vocab_size\": 151936, "
         "\"mlp_only_layers\": [], \"max_window_layers\": 48}",
         30532122624},
        {"mixtral", /* Mixtral-8x7B-v0.1 */
         "{\"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"num_local_experts\": 8, "
         "\"num_hidden_layers\": 32, \"vocab_size\": 32000, \"delete\": [\"head_dim\"]}",
         46702792704},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct spec s;
        NEED(edited_spec(models[i].family, models[i].edits, &s));
        CASE(spec_params(&s) == models[i].params, "%s: %lld parameters, not %lld", models[i].family, (long long)spec_params(&s),
             (long long)models[i].params);
    }
}

static const struct {
    const char *family, *edits, *part;
} bad[] = {
    {"olmoe", "{\"delete\": [\"model_type\"]}", "key model_type is missing"},
    {"olmoe", "{\"model_type\": \"llama\"}", "key model_type is \"llama\""},
    {"olmoe", "{\"model_type\": null}", "key model_type is null"},
    {"olmoe", "{\"model_type\": \"mixtral\"}", "key architectures"},
    {"olmoe", "{\"architectures\": [\"OlmoeModel\"]}", "key architectures is [\"OlmoeModel\"]"},
    {"olmoe", "{\"architectures\": \"OlmoeForCausalLM\"}", "key architectures"},
    {"olmoe", "{\"delete\": [\"hidden_size\"]}", "key hidden_size is missing"},
    {"olmoe", "{\"hidden_size\": null}", "key hidden_size is null"},
    {"olmoe", "{\"hidden_size\": 48.5}", "key hidden_size is 48.5"},
    {"olmoe", "{\"hidden_size\": 48.0}", "key hidden_size is 48.0"},
    {"olmoe", "{\"hidden_size\": \"48\"}", "key hidden_size is \"48\""},
    {"olmoe", "{\"hidden_size\": true}", "key hidden_size is true"},
    {"olmoe", "{\"hidden_size\": [48]}", "key hidden_size is [48]"},
    {"olmoe", "{\"hidden_size\": 0}", "key hidden_size is 0"},
    {"olmoe", "{\"hidden_size\": -48}", "key hidden_size is -48"},
    {"olmoe", "{\"hidden_size\": 49}", "not a multiple of num_attention_heads"},
    {"olmoe", "{\"hidden_size\": 9223372036854775807}", "key hidden_size is 9223372036854775807"},
    {"olmoe", "{\"head_dim\": 16}", "head_dim"},
    {"olmoe", "{\"head_dim\": null}", "key head_dim is null"},
    {"qwen3_moe", "{\"head_dim\": null}", "key head_dim is null"},
    {"qwen3_moe", "{\"head_dim\": 15}", "head_dim (model.head_dim) is 15, an odd number"},
    {"qwen3_moe", "{\"head_dim\": 100000}", "head_dim"},
    {"qwen3_moe", "{\"vocab_size\": null}", "key vocab_size is null"},
    {"qwen3_moe", "{\"vocab_size\": 4294967296}", "key vocab_size is 4294967296"},
    {"qwen3_moe", "{\"num_hidden_layers\": 1.5}", "key num_hidden_layers is 1.5"},
    {"qwen3_moe", "{\"num_hidden_layers\": 513}", "key num_hidden_layers is 513"},
    {"qwen3_moe", "{\"num_attention_heads\": null}", "key num_attention_heads is null"},
    {"qwen3_moe", "{\"num_key_value_heads\": 3}", "num_key_value_heads"},
    {"qwen3_moe", "{\"num_key_value_heads\": 2.0}", "key num_key_value_heads is 2.0"},
    {"qwen3_moe", "{\"num_key_value_heads\": 8}", "num_key_value_heads"},
    {"qwen3_moe", "{\"delete\": [\"num_local_experts\"]}", "key num_experts is missing"},
    {"qwen3_moe", "{\"num_experts\": 9}", "keys num_experts (9) and num_local_experts (8) differ"},
    {"qwen3_moe", "{\"num_local_experts\": null}", "key num_local_experts is null"},
    {"mixtral", "{\"num_local_experts\": 65537}", "key num_local_experts is 65537"},
    {"mixtral", "{\"num_experts_per_tok\": 7}", "num_experts_per_tok (model.top_k) is 7, but there are 6 experts"},
    {"mixtral", "{\"num_experts_per_tok\": 65, \"num_local_experts\": 100}", "key num_experts_per_tok is 65"},
    {"mixtral", "{\"num_experts_per_tok\": null}", "key num_experts_per_tok is null"},
    {"mixtral", "{\"intermediate_size\": null}", "key intermediate_size is null"},
    {"mixtral", "{\"max_position_embeddings\": 64.5}", "key max_position_embeddings is 64.5"},
    {"mixtral", "{\"norm_topk_prob\": false}", "key norm_topk_prob is false"},
    {"mixtral", "{\"attention_bias\": true}", "key attention_bias is true"},
    {"mixtral", "{\"router_jitter_noise\": 0.1}", "key router_jitter_noise is 0.1"},
    {"mixtral", "{\"mlp_only_layers\": [0]}", "key mlp_only_layers is [0]"},
    {"qwen3_moe", "{\"use_sliding_window\": 1}", "key use_sliding_window is 1"},
    {"qwen3_moe", "{\"sliding_window\": \"all\"}", "key sliding_window is \"all\""},
    {"qwen3_moe", "{\"moe_intermediate_size\": 0}", "key moe_intermediate_size is 0"},
    {"qwen3_moe", "{\"delete\": [\"moe_intermediate_size\"]}", "key moe_intermediate_size is missing"},
    {"qwen3_moe", "{\"delete\": [\"intermediate_size\"]}", "key intermediate_size is missing"},
    {"qwen3_moe", "{\"decoder_sparse_step\": 0}", "key decoder_sparse_step is 0"},
    {"qwen3_moe", "{\"decoder_sparse_step\": null}", "key decoder_sparse_step is null"},
    {"qwen3_moe", "{\"mlp_only_layers\": 1}", "key mlp_only_layers is 1"},
    {"qwen3_moe", "{\"mlp_only_layers\": [-1]}", "key mlp_only_layers holds -1"},
    {"qwen3_moe", "{\"mlp_only_layers\": [0.5]}", "key mlp_only_layers holds 0.5"},
    {"qwen3_moe", "{\"mlp_only_layers\": [null]}", "key mlp_only_layers holds null"},
    {"qwen3_moe", "{\"norm_topk_prob\": null}", "key norm_topk_prob is null"},
    {"qwen3_moe", "{\"norm_topk_prob\": 1}", "key norm_topk_prob is 1"},
    {"qwen3_moe", "{\"attention_bias\": \"false\"}", "key attention_bias is \"false\""},
    {"qwen3_moe", "{\"tie_word_embeddings\": null}", "key tie_word_embeddings is null"},
    {"qwen3_moe", "{\"attention_dropout\": 0.1}", "key attention_dropout is 0.1"},
    {"qwen3_moe", "{\"clip_qkv\": 8.0}", "key clip_qkv is 8.0"},
    {"olmoe", "{\"clip_qkv\": 0}", "key clip_qkv is 0"},
    {"olmoe", "{\"clip_qkv\": \"8\"}", "key clip_qkv is \"8\""},
    {"olmoe", "{\"hidden_act\": \"gelu\"}", "key hidden_act is \"gelu\""},
    {"olmoe", "{\"hidden_act\": null}", "key hidden_act is null"},
    {"olmoe", "{\"rms_norm_eps\": null}", "key rms_norm_eps is null"},
    {"olmoe", "{\"rms_norm_eps\": -1e-5}", "key rms_norm_eps is"},
    {"olmoe", "{\"rms_norm_eps\": \"1e-5\"}", "key rms_norm_eps is \"1e-5\""},
    {"olmoe", "{\"initializer_range\": -0.02}", "key initializer_range is -0.02"},
    {"olmoe", "{\"router_aux_loss_coef\": null}", "key router_aux_loss_coef is null"},
    {"olmoe", "{\"router_aux_loss_coef\": -1}", "key router_aux_loss_coef is -1"},
    {"olmoe", "{\"pad_token_id\": 160}", "key pad_token_id is 160, outside a vocabulary of 160"},
    {"olmoe", "{\"pad_token_id\": -161}", "key pad_token_id is -161"},
    {"olmoe", "{\"pad_token_id\": [1]}", "key pad_token_id is [1]"},
    {"olmoe", "{\"pad_token_id\": 1.0}", "key pad_token_id is 1.0"},
    {"olmoe", "{\"eos_token_id\": [2, \"x\"]}", "key eos_token_id is [2,\"x\"]"},
    {"olmoe", "{\"bos_token_id\": true}", "key bos_token_id is true"},
    {"olmoe", "{\"layer_types\": [\"full_attention\", \"sliding_attention\", \"full_attention\"]}", "key layer_types"},
    {"olmoe", "{\"layer_types\": [\"full_attention\"]}", "key layer_types"},
    {"olmoe", "{\"quantization_config\": {\"bits\": 4}}", "key quantization_config is {\"bits\":4}"},
    {"olmoe", "{\"sliding_window\": 4096}", "key sliding_window is 4096"},
    {"olmoe", "{\"num_nextn_predict_layers\": 1}", "key num_nextn_predict_layers is 1"},
    {"olmoe", "{\"pretraining_tp\": 2}", "key pretraining_tp is 2"},
    {"olmoe", "{\"partial_rotary_factor\": 0.5}", "key partial_rotary_factor is 0.5"},
    {"olmoe", "{\"scoring_func\": \"sigmoid\"}", "key scoring_func is \"sigmoid\""},
    {"olmoe", "{\"n_shared_experts\": 1}", "key n_shared_experts is 1"},
    {"olmoe", "{\"rope_theta\": 0}", "key rope_theta is 0"},
    {"olmoe", "{\"rope_theta\": \"1e4\"}", "key rope_theta is \"1e4\""},
    {"olmoe", "{\"rope_scaling\": \"linear\"}", "key rope_scaling is \"linear\""},
    {"olmoe", "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}}", "key rope_scaling.type is \"dynamic\""},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}}", "key rope_scaling.rope_type is \"llama3\""},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"longrope\"}}", "key rope_scaling.rope_type is \"longrope\""},
    {"olmoe", "{\"rope_scaling\": {\"type\": \"su\"}}", "key rope_scaling.type is \"su\""},
    {"olmoe", "{\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"yarn\", \"factor\": 2}}", "differ"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": null}}", "key rope_scaling.rope_type is null"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"linear\"}}", "key rope_scaling.factor is missing"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": null}}", "key rope_scaling.factor is null"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0}}", "key rope_scaling.factor is 0"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\"}}", "key rope_scaling.factor is missing"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": \"4\"}}", "key rope_scaling.factor is \"4\""},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"truncate\": null}}", "key rope_scaling.truncate is null"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"attention_factor\": -1}}", "key rope_scaling.attention_factor is -1"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"beta_fast\": -2}}", "key rope_scaling.beta_fast is -2"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 16.5}}",
     "key rope_scaling.original_max_position_embeddings is 16.5"},
    {"olmoe",
     "{\"original_max_position_embeddings\": 32, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": "
     "16}}",
     "original_max_position_embeddings"},
    {"olmoe", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}, \"rope_theta\": 1}", "rope_theta is 1"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": null}}", "key rope_parameters.rope_theta is null"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1e4, \"partial_rotary_factor\": 0.5}}",
     "key rope_parameters.partial_rotary_factor is 0.5"},
    {"qwen3_moe", "{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}}", "full_attention"},
    {"qwen3_moe", "{\"rope_theta\": 5000}", "rope_theta (5000)"},
    {"qwen3_moe", "{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2}}", "rope_scaling and rope_parameters differ"},
    {"qwen3_moe", "{\"hidden_size\": 2147483647, \"vocab_size\": 2147483647, \"num_hidden_layers\": 512}", "parameters"},
    {"qwen3_moe", "{\"num_local_experts\": 65535, \"num_hidden_layers\": 512}", "2^22 tensors"},
};

static void bad_edits(void) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spec s = {.layers = -7};
        err_clear();
        err_t err = edited_spec(bad[i].family, bad[i].edits, &s);
        CASE(err == ERR_FORMAT && strstr(err_message(), bad[i].part) && strncmp(err_message(), "dir/config.json: ", 17) == 0,
             "%s with %s gave %d \"%s\", not the path and \"%s\"", bad[i].family, bad[i].edits, (int)err, err_message(), bad[i].part);
        CASE(s.layers == -7, "%s with %s: nothing is written on error", bad[i].family, bad[i].edits);
    }
}

static err_t read_text(const char *text) {
    struct spec s;
    return spec_from_json("c.json", text, (int64_t)strlen(text), &s);
}

/* Numbers that nobody uses stop nothing; under a key that is read they are an error that names it. */
static void odd_values(void) {
    static const char *const odd[] = {"NaN",         "Infinity",     "-Infinity", "1e999", "1000000000000000019884624838656",
                                      "\"\\ud800\"", "\"a\\u0000\"", "null"};
    static const char *const read[] = {"hidden_size", "rms_norm_eps", "tie_word_embeddings", "hidden_act", "num_local_experts", "vocab_size"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct spec plain, s;
        char edits[256], part[128];
        NEED(edited_spec("qwen3_moe", "{}", &plain));
        (void)snprintf(edits, sizeof edits, "{\"max_length\": %s, \"nobody_reads\": [%s, {\"a\": %s}], \"id2label\": {\"0\": %s}}", odd[i], odd[i],
                       odd[i], odd[i]);
        CASE_OK(edited_spec("qwen3_moe", edits, &s));
        CASE(memcmp(&s, &plain, sizeof s) == 0, "the spec beside %s is the same", odd[i]);
        for (size_t k = 0; k < sizeof read / sizeof *read; k++) {
            (void)snprintf(edits, sizeof edits, "{\"%s\": %s}", read[k], odd[i]);
            (void)snprintf(part, sizeof part, "key %s is %.31s", read[k], odd[i]);
            CASE_ERR(edited_spec("qwen3_moe", edits, &s), ERR_FORMAT, part);
        }
    }
    struct spec s;
    CASE_ERR(edited_spec("olmoe", "{\"eos_token_id\": 1e999}", &s), ERR_FORMAT, "key eos_token_id is 1e999");
    CASE_ERR(edited_spec("olmoe", "{\"eos_token_id\": [0, NaN]}", &s), ERR_FORMAT, "key eos_token_id is [0,NaN]");
    CASE_ERR(edited_spec("qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": Infinity}}", &s), ERR_FORMAT,
             "key rope_parameters.rope_theta is Infinity");
    CASE_OK(edited_spec("qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000, \"x\": NaN}}", &s));
}

static void not_json(void) {
    CASE_ERR(read_text(""), ERR_FORMAT, "c.json: not JSON at line 1");
    CASE_ERR(read_text("{\"model_type\": \"olmoe\""), ERR_FORMAT, "c.json: not JSON");
    CASE_ERR(read_text("{\"a\": 1, \"a\": 2}"), ERR_FORMAT, "duplicate");
    CASE_ERR(read_text("{\"a\": nan}"), ERR_FORMAT, "not JSON");
    CASE_ERR(read_text("{\"a\": \"\x1b[31m\"}"), ERR_FORMAT, "not JSON");
    CASE(!strchr(err_message(), 0x1b), "control characters of the file do not reach the terminal");
    CASE_ERR(read_text("[1, 2]"), ERR_FORMAT, "holds [1,2]");
    CASE_ERR(read_text("{} trailing"), ERR_FORMAT, "not JSON");
    CASE_ERR(read_text("{\"model_type\": \"a\\u001b[31m\\u0007\"}"), ERR_FORMAT, "\\u001B");
}

/* Any bytes give a spec that passes its own check, or an error with a message. */
static void mutations(void) {
    int64_t tried = 0, accepted = 0, silent = 0, unchecked = 0;
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        int64_t bytes = 0;
        char *text = golden_text(golden_families[f], &bytes), *copy = malloc((size_t)bytes);
        if (!copy) exit(2);
        for (uint64_t round = 0; round < 3000; round++) {
            memcpy(copy, text, (size_t)bytes);
            int64_t edits = 1 + rng_below(7, round, 0, 3), length = bytes;
            for (int64_t e = 0; e < edits; e++) {
                static const char pool[] = "0123456789.-+eE\"{}[],:tfn \\u\x80\xff\x01";
                uint64_t at = (uint64_t)(10 * e);
                copy[rng_below(7, round, at + 1, bytes)] = pool[rng_below(7, round, at + 2, (int64_t)sizeof pool - 1)];
            }
            if (round % 10 == 0) length = rng_below(7, round, 99, bytes);
            struct spec s;
            err_clear();
            err_t err = spec_from_json("m.json", copy, length, &s);
            tried++;
            accepted += err == OK;
            silent += err != OK && !err_message()[0];
            unchecked += err == OK && spec_check(&s, "m.json") != OK;
        }
        free(copy);
        free(text);
    }
    CASE(silent == 0 && unchecked == 0, "of %lld edited files none fails silently", (long long)tried);
    CASE(accepted > 0 && accepted < tried, "%lld of %lld edited files are accepted", (long long)accepted, (long long)tried);
}

int main(void) {
    log_set_level(LOG_ERROR);
    golden_configs();
    good_edits();
    published();
    bad_edits();
    odd_values();
    not_json();
    mutations();
    return test_end();
}
