/* The families of today: what their golden config.json gives, which tensors their files have, and what is refused of them. */
#include "golden.h"

#include "base/log.h"
#include "base/rng.h"
#include "model/names.h"

#include <math.h>

static const char *const folders[] = {"olmoe",       "qwen3_moe",    "mixtral",         "gpt_oss",       "gpt_oss_mxfp4",
                                      "deepseek_v3", "deepseek_fp8", "glm4_moe",        "qwen2_moe",     "minimax_m2",
                                      "qwen3_next",  "qwen3_5_moe",  "qwen3_5_moe_hub", "glm4_moe_lite", "deepseek_moonlight"};

static void specs(void) {
    struct spec s = golden_spec("gpt_oss");
    CASE(s.family == &family_gpt_oss && s.sinks && s.layer[0].window == 8 && s.layer[1].window == 0 && s.choice == CHOICE_LOGIT &&
             s.biases == (BIAS_IN | BIAS_OUT | BIAS_ROUTER | BIAS_EXPERTS) && s.norm == NORM_ONCE && s.activation == ACTIVATION_SWIGLU_CLAMPED &&
             s.rope.kind == ROPE_YARN && !s.rope.truncate && s.aux_on && s.head_dim == 16,
         "gpt-oss");
    s = golden_spec("gpt_oss_mxfp4");
    CASE(s.quant == QUANT_MXFP4 && !s.aux_on && s.aux_coef == 0.9 && s.top_k == 2 && s.pad_id == 95, "gpt-oss in the Hub's words");
    s = golden_spec("deepseek_v3");
    CASE(s.layer[2].attention == ATTENTION_MLA && s.mla.q_rank == 32 && s.mla.kv_rank == 16 && s.head_dim == 24 && spec_v_dim(&s) == 16 &&
             s.rope.dim == 8 && s.rope.pairs == PAIRS_NEIGHBOURS && s.groups == 4 && s.groups_kept == 2 && s.routed_scale == 2.5 &&
             s.score == SCORE_SIGMOID && s.choice == CHOICE_BIASED && s.shared_width == 24 && !s.shared_gate && !s.is_moe[0] && s.is_moe[1] &&
             fabs(s.softmax_scale - 1 / sqrt(24)) < 1e-15,
         "DeepSeek-V3");
    s = golden_spec("deepseek_moonlight");
    const double m = 0.1 * 0.8 * log(4) + 1;
    CASE(s.mla.q_rank == 0 && s.shared_width == 40 && fabs(s.softmax_scale - m * m / sqrt(32)) < 1e-15 &&
             fabs(s.rope.attention_factor - (0.1 * log(4) + 1) / m) < 1e-15,
         "Moonlight");
    s = golden_spec("deepseek_fp8");
    CASE(s.quant == QUANT_FP8 && s.quant_rows == 128 && s.quant_cols == 128, "DeepSeek-V3 in FP8");
    s = golden_spec("glm4_moe_lite");
    CASE(s.family == &family_glm4_moe_lite && !s.is_moe[0] && s.is_moe[1] && s.mtp_layers == 1 && s.norm_eps == 1e-5 && s.mla.norm_eps == 1e-6,
         "GLM-4.7-Flash");
    s = golden_spec("glm4_moe");
    CASE(s.biases == BIAS_IN && s.qk_norm == QK_NORM_NONE && s.rope.dim == 8 && s.routed_scale == 1.5 && !s.aux_on, "GLM-4.5");
    s = golden_spec("minimax_m2");
    CASE(s.qk_norm == QK_NORM_ALL && s.rope.dim == 8 && s.groups == 1 && s.routed_scale == 1 && s.aux_on && s.renormalise_eps == 0, "MiniMax-M2");
    s = golden_spec("qwen2_moe");
    CASE(s.biases == BIAS_IN && s.shared_gate && s.shared_width == 48 && s.layer[0].window == 0 && !s.renormalise, "Qwen2-MoE");
    s = golden_spec("qwen3_next");
    CASE(s.layer[0].attention == ATTENTION_DELTA && s.layer[3].attention == ATTENTION_GATED_GQA && s.norm == NORM_PLUS_ONE && s.rope.dim == 4 &&
             s.delta.v_heads == 4 && s.delta.conv == 4 && s.shared_gate,
         "Qwen3-Next");
    s = golden_spec("qwen3_5_moe_hub");
    CASE(s.family == &family_qwen3_5_moe && s.outer && s.mtp_layers == 1 && s.layer[3].attention == ATTENTION_GATED_GQA && s.renormalise, "Qwen3.5");
}

static void good_edits(void) {
    struct spec s;
    CASE_OK(edited_spec("gpt_oss", "{\"delete\": [\"layer_types\", \"rope_parameters\", \"num_experts_per_tok\"], \"experts_per_token\": 3}", &s));
    CASE(s.layer[0].window == 8 && s.layer[1].window == 0 && s.rope.factor == 32 && s.rope.original_max_positions == 4096 && s.top_k == 3 &&
             s.rope.theta == 150000,
         "gpt-oss: what config.json leaves out");
    CASE_OK(edited_spec("deepseek_v3", "{\"model_type\": \"kimi_k2\", \"q_lora_rank\": null, \"auto_map\": {}, \"scoring_func\": \"sigmoid\"}", &s));
    CASE(s.mla.q_rank == 0, "Kimi-K2 by its own name");
    CASE_OK(edited_spec("deepseek_v3", "{\"rope_interleave\": false, \"first_k_dense_replace\": 0}", &s));
    CASE(s.rope.pairs == PAIRS_HALVES && s.is_moe[0], "halves; no dense layer");
    CASE_OK(edited_spec("minimax_m2", "{\"rope_parameters\": null, \"rotary_dim\": 4, \"num_mtp_modules\": 3, \"use_mtp\": true}", &s));
    CASE(s.rope.dim == 4 && s.rope.theta == 5e6, "MiniMax: rotary_dim");
    CASE_OK(edited_spec("glm4_moe",
                        "{\"delete\": [\"rope_parameters\"], \"rope_theta\": 1e6, \"use_qk_norm\": true, \"num_nextn_predict_layers\": 1}", &s));
    CASE(s.rope.dim == 8 && s.qk_norm == QK_NORM_HEAD && s.mtp_layers == 1, "GLM: half of a head turns by default");
    CASE_OK(edited_spec("qwen2_moe", "{\"use_sliding_window\": true, \"sliding_window\": 5, \"max_window_layers\": 1, \"delete\": [\"layer_types\"]}",
                        &s));
    CASE(s.layer[0].window == 5 && s.layer[1].window == 0 && s.layer[2].window == 0, "Qwen2: even layers below max_window_layers");
    CASE_OK(edited_spec("qwen3_next", "{\"delete\": [\"layer_types\"], \"full_attention_interval\": 2}", &s));
    CASE(s.layer[0].attention == ATTENTION_DELTA && s.layer[1].attention == ATTENTION_GATED_GQA, "Qwen3-Next: every second layer is full");
    CASE_OK(edited_spec("glm4_moe_lite", "{\"mlp_layer_types\": [\"sparse\", \"dense\", \"sparse\"]}", &s));
    CASE(s.is_moe[0] && !s.is_moe[1] && s.is_moe[2], "GLM-4.7-Flash: by type");
}

/* The sizes of published models: a sum over shapes that came out of their config.json. */
static void published(void) {
    static const struct {
        const char *family, *edits;
        int64_t params;
    } models[] = {
        {"gpt_oss", /* gpt-oss-20b */
         "{\"hidden_size\": 2880, \"intermediate_size\": 2880, \"num_hidden_layers\": 24, \"num_attention_heads\": 64, \"num_key_value_heads\": 8, "
         "\"head_dim\": 64, \"num_local_experts\": 32, \"vocab_size\": 201088, \"delete\": [\"layer_types\"]}",
         20914757184},
        {"deepseek_v3", /* DeepSeek-V3 */
         "{\"hidden_size\": 7168, \"intermediate_size\": 18432, \"moe_intermediate_size\": 2048, \"num_hidden_layers\": 61, "
         "\"num_attention_heads\": 128, \"num_key_value_heads\": 128, \"n_routed_experts\": 256, \"num_experts_per_tok\": 8, \"n_group\": 8, "
         "\"topk_group\": 4, \"first_k_dense_replace\": 3, \"q_lora_rank\": 1536, \"kv_lora_rank\": 512, \"qk_nope_head_dim\": 128, "
         "\"qk_rope_head_dim\": 64, \"v_head_dim\": 128, \"vocab_size\": 129280}",
         671026419200},
        {"qwen2_moe", /* Qwen1.5-MoE-A2.7B */
         "{\"hidden_size\": 2048, \"intermediate_size\": 5632, \"moe_intermediate_size\": 1408, \"num_hidden_layers\": 24, "
         "\"num_attention_heads\": 16, \"num_key_value_heads\": 16, \"num_experts\": 60, \"num_experts_per_tok\": 4, "
         "\"shared_expert_intermediate_size\": 5632, \"vocab_size\": 151936, \"delete\": [\"layer_types\"]}",
         14315784192},
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
    {"gpt_oss", "{\"experts_per_token\": 3}", "num_experts_per_tok (2) and experts_per_token (3) differ"},
    {"gpt_oss", "{\"layer_types\": [\"linear_attention\", \"full_attention\"]}", "key layer_types"},
    {"gpt_oss", "{\"quantization_config\": {\"quant_method\": \"awq\"}}", "quant_method \"awq\""},
    {"deepseek_v3", "{\"index_topk\": 2048}", "key index_topk is 2048"},
    {"deepseek_v3", "{\"model_type\": \"deepseek_v32\"}", "key model_type is \"deepseek_v32\""},
    {"deepseek_v3", "{\"n_group\": 3}", "n_group is 3"},
    {"deepseek_v3", "{\"topk_group\": 5}", "topk_group 5"},
    {"deepseek_v3", "{\"num_key_value_heads\": 2}", "key num_key_value_heads is 2"},
    {"deepseek_v3", "{\"scoring_func\": \"softmax\"}", "key scoring_func is \"softmax\""},
    {"deepseek_v3", "{\"moe_layer_freq\": 2}", "key moe_layer_freq is 2"},
    {"deepseek_v3", "{\"quantization_config\": {\"quant_method\": \"compressed-tensors\"}}", "quant_method \"compressed-tensors\""},
    {"deepseek_v3", "{\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e5m2\"}}", "fmt is \"e5m2\""},
    {"deepseek_v3", "{\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [128]}}", "weight_block_size is [128]"},
    {"deepseek_v3", "{\"quantization_config\": {\"quant_method\": \"mxfp4\"}}", "quant_method \"mxfp4\""},
    {"glm4_moe_lite", "{\"first_k_dense_replace\": 2}", "key first_k_dense_replace is 2"},
    {"glm4_moe_lite", "{\"partial_rotary_factor\": 0.5}", "key partial_rotary_factor is 0.5"},
    {"glm4_moe", "{\"vision_config\": {\"depth\": 2}}", "key vision_config"},
    {"minimax_m2", "{\"qk_norm_type\": \"per_head\"}", "key qk_norm_type is \"per_head\""},
    {"minimax_m2", "{\"router_jitter_noise\": 0.1}", "key router_jitter_noise is 0.1"},
    {"qwen3_5_moe", "{\"attn_output_gate\": false}", "key attn_output_gate is false"},
    {"qwen3_next", "{\"linear_num_value_heads\": 3}", "linear_num_value_heads is 3"},
    {"qwen2_moe", "{\"shared_expert_intermediate_size\": null}", "key shared_expert_intermediate_size is null"},
    {"qwen3_5_moe_hub", "{\"text_config\": null}", "key text_config is null"},
    {"qwen3_5_moe_hub", "{\"tie_word_embeddings\": true}", "tie_word_embeddings and text_config.tie_word_embeddings differ"},
};

static void refusals(void) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spec s;
        err_clear();
        const err_t err = edited_spec(bad[i].family, bad[i].edits, &s);
        CASE(err == ERR_FORMAT && strstr(err_message(), bad[i].part) && strncmp(err_message(), "dir/config.json: ", 17) == 0,
             "%s with %s gave %d \"%s\", not \"%s\"", bad[i].family, bad[i].edits, (int)err, err_message(), bad[i].part);
    }
}

static bool in_header(void *ctx, const char *name) { return json_object_get(ctx, name) != NULL; }

/* (t, what a reader of its shape expects): packed tensors lie as blocks and scales. */
static bool right_shape(const json_t *header, const struct file_tensor *t) {
    char name[160];
    (void)snprintf(name, sizeof name, "%s%s", t->name, t->packed ? "_blocks" : "");
    const json_t *shape = json_object_get(json_object_get(header, name), "shape");
    bool same = json_array_size(shape) == (size_t)t->ndim + t->packed;
    for (int d = 0; same && d < t->ndim; d++)
        same = json_integer_value(json_array_get(shape, (size_t)d)) == (t->packed && d == 2 ? t->shape[d] / 32 : t->shape[d]);
    return same;
}

/* Each element of the file has one place in the params, and the other way round. */
static void bijective(const char *folder, const struct names *n, int64_t elements) {
    float *flat = calloc((size_t)elements, sizeof *flat), *back = calloc((size_t)elements, sizeof *back);
    int64_t all = 0, wrong = 0;
    if (!flat || !back) exit(2);
    for (int64_t i = 0; i < elements; i++) flat[i] = (float)i; /* below 2^24 */
    for (int64_t i = 0; i < n->count; all += n->list[i++].count) {
        const struct file_tensor *t = &n->list[i];
        float *values = calloc((size_t)t->count, sizeof *values);
        if (!values) exit(2);
        for (int64_t j = 0; j < t->count; j++) values[j] = -1;
        names_gather(n, t, flat, values);
        for (int64_t j = 0; j < t->count; j++) wrong += values[j] < 0;
        names_scatter(n, t, values, back);
        free(values);
    }
    for (int64_t i = 0; i < elements; i++) wrong += flat[i] != back[i];
    CASE(all == elements && wrong == 0, "%s: files and params have the same elements, each once (%lld, %lld, %lld)", folder, (long long)all,
         (long long)elements, (long long)wrong);
    free(flat);
    free(back);
}

static void names_of(const char *folder) {
    const struct spec s = golden_spec(folder);
    struct params p;
    struct names n;
    char path[OS_PATH_MAX], *file = NULL;
    int64_t bytes = 0, extras = 0, packed = 0;
    NEED(params_build(&s, &p));
    (void)snprintf(path, sizeof path, "tests/golden/%s/model.safetensors", folder);
    NEED(os_read_all(path, 1 << 24, &file, &bytes));
    uint64_t length = 0;
    for (int i = 0; i < 8; i++) length |= (uint64_t)(unsigned char)file[i] << (8 * i);
    json_t *header = json_loadb(file + 8, (size_t)length, 0, NULL);
    (void)json_object_del(header, "__metadata__");
    struct names_style style = names_style_find(&s, in_header, header);
    NEED(names_build(&s, &p, &style, &n));
    for (int64_t i = 0; i < n.count; i++) {
        CASE(right_shape(header, &n.list[i]), "%s: %s is in the file, with its shape", folder, n.list[i].name);
        CASE(names_find(&n, n.list[i].name) == &n.list[i], "%s: %s is found", folder, n.list[i].name);
        packed += n.list[i].packed;
    }
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value) extras +=
        strncmp(name, "mtp.", 4) == 0 || strncmp(name, "model.visual.", 13) == 0 || strstr(name, "_scale_inv") != NULL;
    CASE((int64_t)json_object_size(header) == n.count + packed + extras, "%s: and no more", folder);
    bijective(folder, &n, p.elements);
    names_free(&n);

    /* the other ways to have the same */
    style = (struct names_style){.stacked_in = !style.stacked_in, .stacked_out = true, .block = s.family->block && !style.block};
    NEED(names_build(&s, &p, &style, &n));
    bijective(folder, &n, p.elements);
    CASE(!s.family->block || names_find(&n, "model.layers.0.mlp.gate.weight"), "%s: a block by its newer name", folder);
    names_free(&n);
    json_decref(header);
    free(file);
    params_free(&p);
}

int main(void) {
    log_set_level(LOG_ERROR);
    specs();
    good_edits();
    published();
    refusals();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) names_of(folders[i]);
    return test_end();
}
