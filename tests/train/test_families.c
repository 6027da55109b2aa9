/* Folders of every family given back by train.steps=0: tensor by tensor as they were; packed ones plain; experts stacked or single by
 * option and back; what is no part of the text model carried along or dropped; what cannot be read refused by name. */
#include "../equiv/tiny.h"

#include "base/log.h"
#include "base/os.h"

static const char *in_test(char buf[OS_PATH_MAX], const char *name) {
    NEED(os_join(buf, test_dir(), name));
    return buf;
}

static err_t give_back(const char *dir, const char *out, struct model_opts o) {
    struct model_src src;
    o.init = dir;
    TRY(model_src_open(&o, NULL, 0, &src));
    err_t err = state_save_found(&src, &(struct job){.out = out});
    model_src_close(&src);
    return err;
}

static bool same_tensor(const struct st_reader *x, const struct tensor_info *s, const struct st_reader *y, const struct tensor_info *t) {
    if (!t || t->dtype != s->dtype || t->bytes != s->bytes || t->ndim != s->ndim || memcmp(t->shape, s->shape, sizeof t->shape) != 0) return false;
    char *p = malloc((size_t)s->bytes + 1), *q = malloc((size_t)s->bytes + 1);
    if (!p || !q) exit(2);
    const bool same = st_read(x, s, 0, s->count, p) == OK && st_read(y, t, 0, s->count, q) == OK && memcmp(p, q, (size_t)s->bytes) == 0;
    free(p);
    free(q);
    return same;
}

/* Every tensor of file or folder `a` in folder `b`, bit for bit, and `more` besides in a. */
static void same_tensors(const char *a, const char *b, int64_t more, const char *what) {
    struct st_reader *x, *y;
    int64_t missing = 0;
    if (os_is_dir(a)) NEED(st_open_folder(a, &x));
    else NEED(st_open_file(a, &x));
    NEED(st_open_folder(b, &y));
    for (int64_t i = 0; i < st_count(x); i++) {
        const struct tensor_info *s = st_at(x, i), *t = st_find(y, s->name);
        missing += !t;
        if (t) CASE(same_tensor(x, s, y, t), "%s: %s", what, s->name);
    }
    CASE(missing == more && st_count(x) - st_count(y) == more, "%s: %lld tensors, %lld", what, (long long)st_count(x), (long long)st_count(y));
    st_close(x);
    st_close(y);
}

static bool config_has(const char *dir, const char *text) {
    char path[OS_PATH_MAX], *config;
    int64_t bytes;
    NEED(os_join(path, dir, "config.json"));
    NEED(os_read_all(path, 1 << 20, &config, &bytes));
    const bool has = strstr(config, text) != NULL;
    free(config);
    return has;
}

static void plain_folders(void) {
    static const char *const names[] = {"gpt_oss",    "deepseek_v3", "glm4_moe",        "qwen2_moe",     "minimax_m2",
                                        "qwen3_next", "qwen3_5_moe", "qwen3_5_moe_hub", "glm4_moe_lite", "deepseek_moonlight"};
    char in[OS_PATH_MAX], out[OS_PATH_MAX], config[OS_PATH_MAX], *text;
    int64_t bytes;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(in, sizeof in, "tests/golden/%s", names[i]);
        CASE_OK(give_back(in, in_test(out, names[i]), (struct model_opts){0}));
        same_tensors(in, out, 0, names[i]);
        NEED(os_join(config, in, "config.json"));
        NEED(os_read_all(config, 1 << 20, &text, &bytes));
        CASE(config_has(out, text), "%s: config.json is as it was", names[i]);
        free(text);
    }
}

static void packed_folders(void) {
    char out[OS_PATH_MAX];
    CASE_OK(give_back("tests/golden/gpt_oss_mxfp4", in_test(out, "mxfp4"), (struct model_opts){.dtype = MODEL_BF16}));
    same_tensors("tests/golden/gpt_oss_mxfp4/expected.safetensors", out, 0, "MXFP4 as bf16");
    CASE(!config_has(out, "quantization_config"), "MXFP4: quantization_config is gone");
    CASE_OK(give_back("tests/golden/deepseek_fp8", in_test(out, "fp8"), (struct model_opts){.dtype = MODEL_FP32}));
    same_tensors("tests/golden/deepseek_fp8/expected.safetensors", out, 0, "FP8 as fp32");
    CASE(!config_has(out, "quantization_config") && config_has(out, "\"torch_dtype\": \"float32\""), "FP8: config.json says what the files are");
    CASE_OK(give_back("tests/golden/deepseek_fp8", in_test(out, "fp8-16"), (struct model_opts){.dtype = MODEL_BF16}));
    struct st_reader *x, *y;
    NEED(st_open_file("tests/golden/deepseek_fp8/expected.safetensors", &x));
    NEED(st_open_folder(out, &y));
    int64_t wrong = 0;
    for (int64_t i = 0; i < st_count(x); i++) {
        const struct tensor_info *s = st_at(x, i), *t = st_find(y, s->name);
        const bool correction = strstr(s->name, "correction_bias") != NULL;
        float *a = calloc((size_t)s->count, sizeof *a), *b = calloc((size_t)s->count, sizeof *b);
        uint16_t *narrow = calloc((size_t)s->count, sizeof *narrow);
        if (!t || !a || !b || !narrow) exit(2);
        NEED(st_read_f32(x, s, 0, s->count, a));
        NEED(st_read_f32(y, t, 0, s->count, b));
        if (!correction) {
            dtype_convert(DT_F32, a, DT_BF16, narrow, s->count);
            dtype_convert(DT_BF16, narrow, DT_F32, a, s->count);
        }
        wrong += t->dtype != (correction ? DT_F32 : DT_BF16);
        for (int64_t j = 0; j < s->count; j++) wrong += a[j] != b[j];
        free(a);
        free(b);
        free(narrow);
    }
    CASE(wrong == 0, "FP8 as bf16 is the fp32 product rounded once more, the correction bias F32 (%lld wrong)", (long long)wrong);
    st_close(x);
    st_close(y);
}

static void stacked(void) {
    static const char *const names[] = {"olmoe", "mixtral", "minimax_m2", "qwen3_next", "deepseek_v3"};
    char in[OS_PATH_MAX], out[OS_PATH_MAX], back[OS_PATH_MAX], name[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(in, sizeof in, "tests/golden/%s", names[i]);
        (void)snprintf(name, sizeof name, "%s-stacked", names[i]);
        CASE_OK(give_back(in, in_test(out, name), (struct model_opts){.expert_files = EXPERT_FILES_STACKED}));
        struct st_reader *r;
        NEED(st_open_folder(out, &r));
        CASE(st_find(r, "model.layers.1.mlp.experts.gate_up_proj") && !st_find(r, "model.layers.1.mlp.experts.0.gate_proj.weight"), "%s", name);
        st_close(r);
        (void)snprintf(name, sizeof name, "%s-back", names[i]);
        CASE_OK(give_back(out, in_test(back, name), (struct model_opts){.expert_files = EXPERT_FILES_SINGLE}));
        if (strcmp(names[i], "mixtral") != 0 && strcmp(names[i], "minimax_m2") != 0) same_tensors(in, back, 0, name);
        (void)snprintf(name, sizeof name, "%s-same", names[i]);
        CASE_OK(give_back(out, in_test(back, name), (struct model_opts){0}));
        same_tensors(out, back, 0, name);
    }
    CASE_ERR(give_back("tests/golden/gpt_oss", in_test(out, "no"), (struct model_opts){.expert_files = EXPERT_FILES_SINGLE}), ERR_USAGE,
             "model.expert_files");
}

/* tests/golden/NAME/model.safetensors with more tensors, or others under the names of its own, in a folder of its own. */
struct changed {
    const struct st_reader *from;
    const struct st_out *list;
    int64_t more; /* the last ones are new: zeros */
    int64_t count;
};
static err_t changed_values(void *ctx, int64_t i, int64_t from, int64_t n, void *out) {
    const struct changed *c = ctx;
    const struct tensor_info *t = i < c->count - c->more ? st_find(c->from, c->list[i].name) : NULL;
    if (t) return st_read(c->from, t, from, n, out);
    memset(out, 0, (size_t)(n * dtype_bytes(c->list[i].dtype)));
    return OK;
}

static const char *change(char dir[OS_PATH_MAX], const char *folder, const char *without, const struct st_out *more, int64_t count, const char *as,
                          const char *config_from, const char *config_to) {
    char path[OS_PATH_MAX], *text, *at;
    int64_t bytes;
    struct st_reader *r;
    unsigned char sum[16];
    (void)snprintf(path, sizeof path, "tests/golden/%s", folder);
    NEED(st_open_folder(path, &r));
    struct st_out *list = calloc((size_t)(st_count(r) + count), sizeof *list);
    int64_t n = 0;
    if (!list) exit(2);
    for (int64_t i = 0; i < st_count(r); i++) {
        const struct tensor_info *t = st_at(r, i);
        if (without && strstr(t->name, without)) continue;
        (void)snprintf(list[n].name, sizeof list[n].name, "%s", t->name);
        list[n].dtype = t->dtype;
        list[n].ndim = t->ndim;
        memcpy(list[n++].shape, t->shape, sizeof t->shape);
    }
    for (int64_t i = 0; i < count; i++) list[n++] = more[i];
    (void)in_test(dir, as);
    NEED(os_mkdirs(dir));
    struct changed c = {r, list, count, n};
    char file[OS_PATH_MAX];
    NEED(os_join(file, dir, "model.safetensors"));
    NEED(st_write_file(file, list, n, NULL, changed_values, &c, NULL, sum));
    NEED(os_join(file, path, "config.json"));
    NEED(os_read_all(file, 1 << 20, &text, &bytes));
    char *edited = calloc(1, (size_t)bytes + 256);
    at = config_from ? strstr(text, config_from) : NULL;
    if (!edited || (config_from && !at)) exit(2);
    if (at) (void)snprintf(edited, (size_t)bytes + 256, "%.*s%s%s", (int)(at - text), text, config_to, at + strlen(config_from));
    else memcpy(edited, text, (size_t)bytes);
    NEED(os_join(file, dir, "config.json"));
    NEED(os_write_all(file, edited, (int64_t)strlen(edited)));
    free(edited);
    free(text);
    free(list);
    st_close(r);
    return dir;
}

static void extras(void) {
    char in[OS_PATH_MAX], out[OS_PATH_MAX];
    const struct st_out mtp[3] = {{.name = "model.layers.3.eh_proj.weight", .dtype = DT_BF16, .ndim = 2, .shape = {48, 96}},
                                  {.name = "model.layers.3.mlp.gate.weight", .dtype = DT_F32, .ndim = 2, .shape = {8, 48}},
                                  {.name = "rotary.inv_freq", .dtype = DT_F32, .ndim = 1, .shape = {4}}};
    change(in, "glm4_moe", NULL, mtp, 3, "mtp", "\"num_nextn_predict_layers\": 0", "\"num_nextn_predict_layers\": 1");
    CASE_OK(give_back(in, in_test(out, "mtp-kept"), (struct model_opts){0}));
    same_tensors(in, out, 1, "a layer of multi-token prediction is carried along, inv_freq is not");
    CASE_OK(give_back(in, in_test(out, "mtp-dropped"), (struct model_opts){.extra_tensors = EXTRAS_DROP}));
    same_tensors(in, out, 3, "or dropped");
    CASE(config_has(out, "\"num_nextn_predict_layers\": 0"), "and then config.json does not promise it");
    change(in, "glm4_moe", NULL, mtp, 3, "mtp-unpromised", NULL, NULL);
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "surplus tensor model.layers.3.eh_proj.weight");

    CASE_OK(give_back("tests/golden/qwen3_5_moe_hub", in_test(out, "hub-text"), (struct model_opts){.extra_tensors = EXTRAS_DROP}));
    same_tensors("tests/golden/qwen3_5_moe_hub", out, 5, "Qwen3.5 without what is not text");
    CASE(config_has(out, "\"model_type\": \"qwen3_5_moe_text\"") && config_has(out, "\"Qwen3_5MoeForCausalLM\"") &&
             !config_has(out, "vision_config") && config_has(out, "\"mtp_num_hidden_layers\": 0"),
         "its config.json is the text model's");
    char again[OS_PATH_MAX];
    CASE_OK(give_back(out, in_test(again, "hub-text-again"), (struct model_opts){0}));
    same_tensors(out, again, 0, "which is read again");

    /* a packed layer of multi-token prediction becomes plain with the rest */
    const struct st_out packed[2] = {{.name = "model.layers.2.eh_proj.weight", .dtype = DT_F8_E4M3, .ndim = 2, .shape = {160, 320}},
                                     {.name = "model.layers.2.eh_proj.weight_scale_inv", .dtype = DT_F32, .ndim = 2, .shape = {2, 3}}};
    change(in, "deepseek_fp8", NULL, packed, 2, "fp8-mtp", "\"num_nextn_predict_layers\": 0", "\"num_nextn_predict_layers\": 1");
    CASE_OK(give_back(in, in_test(out, "fp8-mtp-out"), (struct model_opts){.dtype = MODEL_BF16}));
    struct st_reader *r;
    NEED(st_open_folder(out, &r));
    const struct tensor_info *t = st_find(r, packed[0].name);
    CASE(t && t->dtype == DT_BF16 && !st_find(r, packed[1].name), "a packed tensor that is carried along is unpacked");
    st_close(r);
}

static void refused(void) {
    char in[OS_PATH_MAX], out[OS_PATH_MAX];
    const struct st_out saved[2] = {{.name = "model.layers.0.mlp.experts.gate_up_proj_blocks", .dtype = DT_BF16, .ndim = 3, .shape = {4, 64, 192}},
                                    {.name = "model.layers.0.mlp.experts.down_proj_blocks", .dtype = DT_BF16, .ndim = 3, .shape = {4, 96, 64}}};
    change(in, "gpt_oss_mxfp4", "layers.0.mlp.experts.gate_up_proj_", saved, 1, "mis-saved", NULL, NULL);
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "transformers saved a model loaded from MXFP4");
    change(in, "gpt_oss_mxfp4", "down_proj_scales", NULL, 0, "no-scales", NULL, NULL);
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "down_proj_scales is missing");
    change(in, "gpt_oss_mxfp4", NULL, NULL, 0, "not-said", "\"quantization_config\"", "\"_quantization_config\"");
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "packed as MXFP4");
    change(in, "deepseek_fp8", "layers.0.self_attn.o_proj.weight_scale_inv", NULL, 0, "no-scale", NULL, NULL);
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "there is no model.layers.0.self_attn.o_proj.weight_scale_inv");
    change(in, "deepseek_fp8", NULL, NULL, 0, "other-blocks", "[\n      128,\n      128\n    ]", "[64, 128]");
    CASE_ERR(give_back(in, in_test(out, "no"), (struct model_opts){0}), ERR_FORMAT, "weight_scale_inv has shape");
    const struct model_opts random = {.init = "random", .config = "tests/golden/glm4_moe_lite/config.json"};
    struct model_src src;
    CASE_ERR(model_src_open(&random, NULL, 0, &src), ERR_FORMAT, "config.json: key num_nextn_predict_layers is 1");
    const struct model_opts pictures = {.init = "random", .config = "tests/golden/qwen3_5_moe_hub/config.json"};
    CASE_ERR(model_src_open(&pictures, NULL, 0, &src), ERR_FORMAT, "config.json: key");
    const struct model_opts dropped = {.init = "random", .config = "tests/golden/qwen3_5_moe_hub/config.json", .extra_tensors = EXTRAS_DROP};
    CASE_OK(model_src_open(&dropped, NULL, 0, &src));
    CASE(!strstr(src.config_json, "vision_config"), "and dropped there is nothing of it in config.json");
    CASE_ERR(run_served(&src.spec), ERR_USAGE, "qwen3_5_moe_text");
    model_src_close(&src);
}

int main(void) {
    log_set_level(LOG_ERROR);
    plain_folders();
    packed_folders();
    stacked();
    extras();
    refused();
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
