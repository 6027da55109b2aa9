/* config.json to a spec. Every key that is read is taken from the list of keys, so what is left over is
 * known to be unread (config_keys.c). */
#include "model/config_int.h"

#include "base/json.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* architectures, where given, must name this family's language model: base models and classifiers have other tensors. */
static err_t check_architecture(struct config *c, const struct family *f, bool outer) {
    const char *wanted = outer ? f->outer_architecture : f->architecture;
    const json_t *list = config_take(c, "architectures");
    if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0)) return OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strcmp(name, wanted) == 0) return OK;
    }
    char shown[CONFIG_SHOWN];
    return FAIL(ERR_FORMAT, "%s: key architectures is %s, but model_type %s is supported as [\"%s\"] only", c->path, config_show(list, shown),
                outer ? f->outer_model_type : f->model_type, wanted);
}

/* An id, null, or a list of ids of which the first counts. */
static err_t read_token(struct config *c, const char *key, int64_t def, int64_t *id) {
    const json_t *v = config_take(c, key), *first = v;
    *id = def;
    if (!v) return OK;
    *id = -1;
    if (json_is_array(v))
        for (size_t i = json_array_size(v); i-- > 0;) {
            first = json_array_get(v, i);
            if (!json_is_integer(first)) break;
        }
    if (json_is_integer(first)) *id = json_integer_value(first);
    if (json_is_integer(first) || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0)) return OK;
    char shown[CONFIG_SHOWN];
    return FAIL(ERR_FORMAT, "%s: key %s is %s; it must be an id, a list of ids or null", c->path, key, config_show(v, shown));
}

static err_t read_tokens(struct config *c, const struct family *f, struct spec *s) {
    TRY(read_token(c, "bos_token_id", f->bos_id, &s->bos_id));
    TRY(read_token(c, "eos_token_id", f->eos_id, &s->eos_id));
    /* Outside the vocabulary they never occur. */
    if (s->bos_id < 0 || s->bos_id >= s->vocab) s->bos_id = -1;
    if (s->eos_id < 0 || s->eos_id >= s->vocab) s->eos_id = -1;

    char shown[CONFIG_SHOWN];
    const json_t *v = json_object_get(c->object, "pad_token_id");
    if (json_is_array(v)) return FAIL(ERR_FORMAT, "%s: key pad_token_id is %s; it must be an id or null", c->path, config_show(v, shown));
    TRY(read_token(c, "pad_token_id", f->pad_id, &s->pad_id));
    /* torch counts a negative padding_idx from the end, and so does transformers: -1 is the last row */
    if (json_is_integer(v) && s->pad_id < 0) s->pad_id += s->vocab;
    if (v && !json_is_null(v) && (s->pad_id < 0 || s->pad_id >= s->vocab))
        return FAIL(ERR_FORMAT, "%s: key pad_token_id is %s, outside a vocabulary of %lld; correct it or make it null", c->path,
                    config_show(v, shown), (long long)s->vocab);
    if (s->pad_id >= s->vocab) s->pad_id = -1; /* the family's default in a smaller vocabulary */
    return OK;
}

/* What quantization_config says of the files. */
static err_t read_quant(struct config *c, struct spec *s) {
    const json_t *v = config_take(c, "quantization_config");
    char shown[CONFIG_SHOWN];
    if (!v || json_is_null(v)) return OK;
    const char *method = json_string_value(json_object_get(v, "quant_method"));
    const json_t *block = json_object_get(v, "weight_block_size"), *format = json_object_get(v, "fmt");
    if (!method) return FAIL(ERR_FORMAT, "%s: key quantization_config is %s; it names no quant_method", c->path, config_show(v, shown));
    if (strcmp(method, "mxfp4") == 0 && s->family->expert_files == EXPERTS_TRANSPOSED) {
        s->quant = QUANT_MXFP4;
        return OK;
    }
    if (strcmp(method, "fp8") != 0)
        return FAIL(ERR_FORMAT,
                    "%s: key quantization_config asks for quant_method %s, which is not supported in %s; fp8 in blocks is, and mxfp4 in gpt_oss: "
                    "load the model with transformers, dequantise it and save it",
                    c->path, config_show(json_object_get(v, "quant_method"), shown), s->family->model_type);
    if (format &&
        (!json_is_string(format) || (strcmp(json_string_value(format), "e4m3") != 0 && strcmp(json_string_value(format), "float8_e4m3fn") != 0)))
        return FAIL(ERR_FORMAT, "%s: key quantization_config.fmt is %s; only e4m3 is supported", c->path, config_show(format, shown));
    int64_t size[2] = {128, 128};
    for (int i = 0; i < 2 && block; i++) {
        const json_t *n = json_array_get(block, (size_t)i);
        if (json_array_size(block) != 2 || !json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > 1 << 20)
            return FAIL(ERR_FORMAT, "%s: key quantization_config.weight_block_size is %s; only scales by block are supported, as [128, 128]", c->path,
                        config_show(block, shown));
        size[i] = json_integer_value(n);
    }
    s->quant = QUANT_FP8;
    s->quant_rows = (int)size[0];
    s->quant_cols = (int)size[1];
    return OK;
}

static err_t read_model(struct config *c, struct spec *s) {
    const struct family *f = s->family;
    const char *act = "silu";
    char shown[CONFIG_SHOWN];
    TRY(config_int(c, "num_hidden_layers", SPEC_LAYERS_MAX, &s->layers));
    TRY(config_count(c, "hidden_size", CONFIG_COUNT_MAX, &s->hidden));
    TRY(config_count(c, "vocab_size", CONFIG_COUNT_MAX, &s->vocab));
    s->max_positions = f->max_positions;
    TRY(config_count(c, "max_position_embeddings", CONFIG_COUNT_MAX, &s->max_positions));
    TRY(config_attention(c, f, s));
    TRY(config_rope(c, f, s));
    TRY(config_experts(c, f, s));
    TRY(read_tokens(c, f, s));

    s->norm = f->norm;
    s->norm_eps = f->norm_eps;
    TRY(config_real(c, "rms_norm_eps", 1e-30, 1, &s->norm_eps));
    s->init_std = 0.02;
    TRY(config_real(c, "initializer_range", 0, 1e3, &s->init_std));
    TRY(config_flag(c, "tie_word_embeddings", &s->tied));
    TRY(config_text(c, "hidden_act", &act));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return FAIL(ERR_FORMAT, "%s: key hidden_act is %s, which is not supported; silu is", c->path,
                    config_show(json_object_get(c->object, "hidden_act"), shown));
    if (f->mtp_key) TRY(config_whole(c, f->mtp_key, 64, &s->mtp_layers));
    /* The dtype of weights is the files' own; that of the computation is model.dtype. */
    (void)config_take(c, "dtype");
    (void)config_take(c, "torch_dtype");
    return OK;
}

static err_t find_family(struct config *c, struct spec *s, bool *outer) {
    const char *model_type = NULL;
    char shown[CONFIG_SHOWN];
    TRY(config_text(c, "model_type", &model_type));
    if (!model_type) return FAIL(ERR_FORMAT, "%s: key model_type is missing; it must name a family: %s", c->path, family_names(false));
    s->family = family_by_model_type(model_type, outer);
    if (!s->family)
        return FAIL(ERR_FORMAT, "%s: key model_type is %s, which is not supported; families are: %s", c->path,
                    config_show(json_object_get(c->object, "model_type"), shown), family_names(false));
    return check_architecture(c, s->family, *outer);
}

/* A config.json of text and pictures: the language model's keys are under text_config. */
static err_t read_inner(struct config *c, struct spec *s) {
    const json_t *inner = config_take(c, "text_config"), *outer_tied = config_take(c, "tie_word_embeddings");
    char shown[CONFIG_SHOWN];
    if (!json_is_object(inner))
        return FAIL(ERR_FORMAT, "%s: key text_config is %s; model_type %s keeps its language model there, as an object", c->path,
                    config_show(inner, shown), s->family->outer_model_type);
    struct config d;
    bool outer = false;
    const struct family *f = s->family;
    TRY(config_open(c->path, "text_config.", inner, &d));
    err_t err = find_family(&d, s, &outer);
    if (err == OK && (outer || s->family != f)) err = FAIL(ERR_FORMAT, "%s: key text_config.model_type is not %s", c->path, f->model_type);
    if (err == OK) err = read_model(&d, s);
    if (err == OK && outer_tied && (!json_is_boolean(outer_tied) || json_is_true(outer_tied) != s->tied))
        err = FAIL(ERR_FORMAT, "%s: keys tie_word_embeddings and text_config.tie_word_embeddings differ; make them the same", c->path);
    if (err == OK) err = config_check_rest(&d, f);
    if (err == OK) config_warn_rest(&d);
    config_close(&d);
    static const char *const others[] = {"vision_config",       "image_token_id", "video_token_id", "vision_start_token_id",
                                         "vision_end_token_id", "dtype",          "torch_dtype"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) (void)config_take(c, others[i]);
    return err;
}

static err_t read_all(struct config *c, struct spec *s) {
    bool outer;
    TRY(find_family(c, s, &outer));
    s->outer = outer;
    TRY(outer ? read_inner(c, s) : read_model(c, s));
    TRY(read_quant(c, s));
    TRY(config_check_rest(c, s->family));
    TRY(spec_check(s, c->path));
    config_warn_rest(c);
    return OK;
}

err_t spec_from_json(const char *path, const char *text, int64_t bytes, struct spec *out) {
    json_error_t why;
    json_t *root = json_read(text, bytes, 0, &why);
    if (!root) return FAIL(ERR_FORMAT, "%s: not JSON at line %d, column %d: %s; correct the file", path, why.line, why.column, why.text);
    struct spec s = {0};
    struct config c = {0};
    err_t err;
    if (!json_is_object(root)) {
        char shown[CONFIG_SHOWN];
        err = FAIL(ERR_FORMAT, "%s: holds %s; it must be one JSON object", path, config_show(root, shown));
    } else {
        err = config_open(path, "", root, &c);
    }
    if (err == OK) err = read_all(&c, &s);
    config_close(&c);
    json_decref(root);
    TRY(err);
    *out = s;
    return OK;
}
