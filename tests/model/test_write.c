/* spec_to_json and spec_from_opts: what is written reads back to the same spec. */
#include "golden.h"

#include "base/log.h"

/* Field by field where padding could lie. */
static bool same_spec(const struct spec *a, const struct spec *b) {
    const struct rope_spec *r = &a->rope, *q = &b->rope;
    bool yarn = r->kind == ROPE_YARN;
    return a->family == b->family && a->layers == b->layers && a->hidden == b->hidden && a->vocab == b->vocab && a->heads == b->heads &&
           a->kv_heads == b->kv_heads && a->head_dim == b->head_dim && a->qk_norm == b->qk_norm && a->biases == b->biases &&
           a->clip_qkv == b->clip_qkv && r->kind == q->kind && r->theta == q->theta && r->factor == q->factor &&
           r->attention_factor == q->attention_factor &&
           (!yarn || (r->beta_fast == q->beta_fast && r->beta_slow == q->beta_slow && r->original_max_positions == q->original_max_positions &&
                      r->truncate == q->truncate)) &&
           a->norm_eps == b->norm_eps && a->dense_width == b->dense_width && a->expert_width == b->expert_width && a->experts == b->experts &&
           a->top_k == b->top_k && a->renormalise == b->renormalise && a->weights_fp32 == b->weights_fp32 &&
           memcmp(a->is_moe, b->is_moe, sizeof a->is_moe) == 0 && a->layer[0].window == b->layer[0].window && a->tied == b->tied &&
           a->pad_id == b->pad_id && a->eos_id == b->eos_id && a->bos_id == b->bos_id && a->init_std == b->init_std && a->aux_coef == b->aux_coef &&
           a->aux_on == b->aux_on && a->max_positions == b->max_positions;
}

static void round_trip(const char *what, const struct spec *s) {
    char *text = NULL;
    struct spec back;
    NEED(spec_to_json(s, "bfloat16", &text));
    CASE_OK(spec_from_json("written.json", text, (int64_t)strlen(text), &back));
    CASE(same_spec(s, &back), "%s comes back as it was from\n%s", what, text);
    CASE(strstr(text, "\"torch_dtype\": \"bfloat16\""), "%s: the dtype is in it", what);
    free(text);
}

static const struct {
    const char *family, *edits;
} written[] = {
    {"olmoe", "{}"},
    {"qwen3_moe", "{}"},
    {"mixtral", "{}"},
    {"olmoe", "{\"clip_qkv\": 7.3, \"attention_bias\": true, \"pad_token_id\": null, \"initializer_range\": 0.1, \"rms_norm_eps\": 1.1e-6}"},
    {"qwen3_moe", "{\"attention_bias\": true, \"tie_word_embeddings\": true, \"decoder_sparse_step\": 2, \"eos_token_id\": 7}"},
    {"qwen3_moe", "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 123456.789, \"factor\": 3.3, \"truncate\": false, "
                  "\"mscale\": 0.7, \"mscale_all_dim\": 1.1}}"},
    {"mixtral", "{\"sliding_window\": 9}"},
    {"qwen3_moe", "{\"use_sliding_window\": true, \"sliding_window\": 9}"},
    {"mixtral", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}, \"num_key_value_heads\": null}"},
};

static struct model_opts small(void) {
    return (struct model_opts){.init = "random",
                               .family = "qwen3_moe",
                               .layers = 2,
                               .hidden = 64,
                               .vocab = 500,
                               .heads = 4,
                               .expert_width = 48,
                               .experts = 6,
                               .top_k = 2,
                               .max_positions = 128,
                               .rope_theta = 10000,
                               .aux_coef = 0.001};
}

static void from_opts(void) {
    struct spec s;
    for (int f = 0; f < GOLDEN_FAMILIES; f++) {
        struct model_opts o = small();
        o.family = golden_families[f];
        CASE_OK(spec_from_opts(&o, &s));
        CASE(s.layers == 2 && s.kv_heads == 4 && s.head_dim == 16 && s.is_moe[0] && s.is_moe[1] && s.renormalise, "%s from options", o.family);
        round_trip(o.family, &s);
    }
    struct model_opts o = small();
    o.kv_heads = 2, o.head_dim = 32, o.dense_width = 100, o.tied = true;
    CASE_OK(spec_from_opts(&o, &s));
    CASE(s.kv_heads == 2 && s.head_dim == 32 && s.dense_width == 100 && s.tied, "what is given is taken");

    o = small(), o.family = "gpt2";
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.family");
    o = small(), o.vocab = 0;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.vocab");
    o = small(), o.hidden = 66;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.hidden");
    o = small(), o.kv_heads = 3;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.kv_heads");
    o = small(), o.head_dim = 15;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.head_dim");
    o = small(), o.family = "olmoe", o.head_dim = 32;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.head_dim");
    o = small(), o.top_k = 7;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.top_k");
    o = small(), o.layers = 513;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.layers");
    o = small(), o.heads = 0;
    CASE_ERR(spec_from_opts(&o, &s), ERR_USAGE, "model.heads");
}

/* The table's defaults make a model once the vocabulary is known. */
static void option_table(void) {
    struct model_opts o;
    struct opt_set *set = NULL;
    struct opt_table table = {"model", model_opt_list, &o};
    struct spec s;
    NEED(opt_new(&table, 1, &set));
    CASE(!o.init && !o.config && o.dtype == MODEL_FP32 && strcmp(o.family, "qwen3_moe") == 0, "defaults");
    CASE_OK(opt_assign(set, "model.vocab=1000"));
    CASE_OK(opt_assign(set, "model.dtype=bf16"));
    CASE_OK(opt_assign(set, "model.tied=true"));
    CASE(o.vocab == 1000 && o.dtype == MODEL_BF16 && o.tied, "assigned");
    CASE_OK(spec_from_opts(&o, &s));
    round_trip("the default model", &s);
    CASE_ERR(opt_assign(set, "model.layers=0"), ERR_USAGE, "model.layers");
    CASE_ERR(opt_assign(set, "model.layer=3"), ERR_USAGE, "model.layers");
    opt_free(set);
}

int main(void) {
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        struct spec s;
        NEED(edited_spec(written[i].family, written[i].edits, &s));
        round_trip(written[i].edits, &s);
    }
    from_opts();
    option_table();
    return test_end();
}
