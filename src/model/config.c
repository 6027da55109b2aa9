/* config.json to a spec. Every key that is read is taken from the list of keys, so what is left over is
 * known to be unread (config_keys.c). */
#include "model/config_int.h"

#include "base/json.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum { COUNT_MAX = 0x7fffffff };

static err_t count_int(struct config *c, const char *key, int max, int *value) {
    int64_t wide = *value;
    TRY(config_count(c, key, max, &wide));
    *value = (int)wide;
    return OK;
}

/* architectures, where given, must name this family's language model: base models and classifiers have other tensors. */
static err_t check_architecture(struct config *c, const struct family *f) {
    const json_t *list = config_take(c, "architectures");
    if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0)) return OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strcmp(name, f->architecture) == 0) return OK;
    }
    char shown[CONFIG_SHOWN];
    return FAIL(ERR_FORMAT, "%s: key architectures is %s, but model_type %s is supported as [\"%s\"] only", c->path, config_show(list, shown),
                f->model_type, f->architecture);
}

static err_t read_experts(struct config *c, const struct family *f, struct spec *s) {
    static const char *const keys[] = {"num_experts", "num_local_experts"};
    int given[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        if (json_object_get(c->object, keys[i])) TRY(count_int(c, keys[i], SPEC_EXPERTS_MAX, &given[i]));
    if (given[0] && given[1] && given[0] != given[1])
        return FAIL(ERR_FORMAT, "%s: keys num_experts (%d) and num_local_experts (%d) differ; keep one of them", c->path, given[0], given[1]);
    s->experts = given[0] ? given[0] : given[1];
    if (s->experts == 0) return FAIL(ERR_FORMAT, "%s: key %s is missing; add it, an integer of at least 1", c->path, f->experts_key);
    s->top_k = f->top_k;
    TRY(count_int(c, "num_experts_per_tok", SPEC_TOPK_MAX, &s->top_k));
    s->renormalise = !f->has_norm_topk;
    if (f->has_norm_topk) TRY(config_flag(c, "norm_topk_prob", &s->renormalise));
    s->weights_fp32 = f->weights_fp32;
    s->aux_coef = f->aux_coef;
    return config_real(c, "router_aux_loss_coef", 0, 1e6, &s->aux_coef);
}

/* Which layers are MoE, and the two widths. */
static err_t read_layers(struct config *c, const struct family *f, struct spec *s) {
    int64_t step = 1;
    const json_t *only = NULL;
    char shown[CONFIG_SHOWN];
    if (f->has_dense_layers) {
        TRY(config_count(c, "decoder_sparse_step", COUNT_MAX, &step));
        only = config_take(c, "mlp_only_layers");
        if (only && !json_is_null(only) && !json_is_array(only))
            return FAIL(ERR_FORMAT, "%s: key mlp_only_layers is %s; it must be a list of layers or null", c->path, config_show(only, shown));
    }
    for (int l = 0; l < s->layers; l++) s->is_moe[l] = (l + 1) % step == 0;
    int64_t beyond = 0;
    for (size_t i = 0; i < json_array_size(only); i++) { /* 0 for null */
        const json_t *entry = json_array_get(only, i);
        json_int_t l = json_integer_value(entry);
        if (!json_is_integer(entry) || l < 0)
            return FAIL(ERR_FORMAT, "%s: key mlp_only_layers holds %s; it must hold layers, counted from 0", c->path, config_show(entry, shown));
        if (l < s->layers) s->is_moe[l] = 0;
        else beyond++; /* as in a model cut down to its first layers */
    }
    if (beyond)
        log_line(LOG_WARN, "%s: key mlp_only_layers names %lld layers beyond the last, %d: no effect", c->path, (long long)beyond, s->layers - 1);
    TRY(config_count(c, f->expert_width_key, COUNT_MAX, &s->expert_width));
    if (f->has_dense_layers) {
        s->dense_width = spec_moe_layers(s) == s->layers ? f->dense_width : 0;
        TRY(config_count(c, "intermediate_size", COUNT_MAX, &s->dense_width));
    }
    const json_t *types = config_take(c, "layer_types");
    if (!types || json_is_null(types)) return OK;
    bool all_full = json_is_array(types) && json_array_size(types) == (size_t)s->layers;
    for (size_t i = 0; all_full && i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        all_full = type && strcmp(type, "full_attention") == 0;
    }
    if (!all_full)
        return FAIL(ERR_FORMAT, "%s: key layer_types is %s; only \"full_attention\" for each of %d layers is supported", c->path,
                    config_show(types, shown), s->layers);
    return OK;
}

static err_t read_attention(struct config *c, const struct family *f, struct spec *s) {
    TRY(count_int(c, "num_attention_heads", COUNT_MAX, &s->heads));
    s->kv_heads = f->kv_heads ? f->kv_heads : s->heads;
    if (config_null(c, "num_key_value_heads")) {
        s->kv_heads = s->heads;
        (void)config_take(c, "num_key_value_heads");
    } else {
        TRY(count_int(c, "num_key_value_heads", COUNT_MAX, &s->kv_heads));
    }

    bool derived = !json_object_get(c->object, "head_dim") || (f->null_head_dim && config_null(c, "head_dim"));
    if (derived) {
        (void)config_take(c, "head_dim");
        if (s->hidden % s->heads != 0)
            return FAIL(ERR_FORMAT, "%s: key hidden_size is %lld, not a multiple of num_attention_heads, %d; correct them%s", c->path,
                        (long long)s->hidden, s->heads, f->has_head_dim ? " or give head_dim" : "");
        s->head_dim = (int)(s->hidden / s->heads);
    } else {
        TRY(count_int(c, "head_dim", COUNT_MAX, &s->head_dim));
    }

    s->qk_norm = f->qk_norm;
    if (f->has_attention_bias) TRY(config_flag(c, "attention_bias", &s->attention_bias));
    if (!f->has_clip_qkv) return OK;
    if (!config_null(c, "clip_qkv")) return config_real(c, "clip_qkv", 1e-30, 1e30, &s->clip_qkv);
    (void)config_take(c, "clip_qkv");
    return OK;
}

/* sliding_window is a number without effect while the switch beside it is off. */
static err_t read_window(struct config *c, const struct family *f) {
    if (!f->has_window_switch) return OK;
    bool on = false;
    TRY(config_flag(c, "use_sliding_window", &on));
    if (on) return FAIL(ERR_FORMAT, "%s: key use_sliding_window is true; attention in a sliding window is not supported, only false is", c->path);
    int64_t window = 1;
    if (!config_null(c, "sliding_window")) return config_count(c, "sliding_window", INT64_MAX, &window);
    (void)config_take(c, "sliding_window");
    return OK;
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

static err_t read_all(struct config *c, struct spec *s) {
    const char *model_type = NULL, *act = "silu";
    char shown[CONFIG_SHOWN];
    TRY(config_text(c, "model_type", &model_type));
    if (!model_type) return FAIL(ERR_FORMAT, "%s: key model_type is missing; it must name a family: %s", c->path, family_names());
    const struct family *f = family_by_model_type(model_type);
    if (!f)
        return FAIL(ERR_FORMAT, "%s: key model_type is %s, which is not supported; families are: %s", c->path,
                    config_show(json_object_get(c->object, "model_type"), shown), family_names());
    s->family = f;
    TRY(check_architecture(c, f));

    TRY(count_int(c, "num_hidden_layers", SPEC_LAYERS_MAX, &s->layers));
    TRY(config_count(c, "hidden_size", COUNT_MAX, &s->hidden));
    TRY(config_count(c, "vocab_size", COUNT_MAX, &s->vocab));
    s->max_positions = f->max_positions;
    TRY(config_count(c, "max_position_embeddings", COUNT_MAX, &s->max_positions));
    TRY(read_attention(c, f, s));
    TRY(config_rope(c, f, s));
    TRY(read_experts(c, f, s));
    TRY(read_layers(c, f, s));
    TRY(read_window(c, f));
    TRY(read_tokens(c, f, s));

    s->norm_eps = f->norm_eps;
    TRY(config_real(c, "rms_norm_eps", 1e-30, 1, &s->norm_eps));
    s->init_std = 0.02;
    TRY(config_real(c, "initializer_range", 0, 1e3, &s->init_std));
    TRY(config_flag(c, "tie_word_embeddings", &s->tied));
    TRY(config_text(c, "hidden_act", &act));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return FAIL(ERR_FORMAT, "%s: key hidden_act is %s, which is not supported; silu is", c->path,
                    config_show(json_object_get(c->object, "hidden_act"), shown));
    /* The dtype of weights is the files' own; that of the computation is model.dtype. */
    (void)config_take(c, "dtype");
    (void)config_take(c, "torch_dtype");

    TRY(config_check_rest(c));
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
