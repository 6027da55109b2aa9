/* The keys of config.json that say how tokens mix: heads, windows, latents, linear attention. */
#include "model/config_int.h"

#include <math.h>
#include <string.h>

static err_t read_heads(struct config *c, const struct family *f, struct spec *s) {
    TRY(config_int(c, "num_attention_heads", CONFIG_COUNT_MAX, &s->heads));
    s->kv_heads = f->kv_heads ? f->kv_heads : s->heads;
    if (config_null(c, "num_key_value_heads")) {
        s->kv_heads = s->heads;
        (void)config_take(c, "num_key_value_heads");
    } else {
        TRY(config_int(c, "num_key_value_heads", CONFIG_COUNT_MAX, &s->kv_heads));
    }
    if (f->attention == ATTENTION_MLA) return OK;

    bool derived = !json_object_get(c->object, "head_dim") || (f->head_rule == HEAD_OWN_OR_NULL && config_null(c, "head_dim"));
    if (!derived) return config_int(c, "head_dim", CONFIG_COUNT_MAX, &s->head_dim);
    (void)config_take(c, "head_dim");
    if (s->hidden % s->heads != 0)
        return FAIL(ERR_FORMAT, "%s: key %shidden_size is %lld, not a multiple of num_attention_heads, %d; correct them%s", c->path, c->prefix,
                    (long long)s->hidden, s->heads, f->head_rule != HEAD_QUOTIENT ? " or give head_dim" : "");
    s->head_dim = (int)(s->hidden / s->heads);
    return OK;
}

static err_t read_latents(struct config *c, const struct family *f, struct spec *s) {
    struct mla_spec *m = &s->mla;
    *m = f->mla;
    if (config_null(c, "q_lora_rank")) {
        m->q_rank = 0;
        (void)config_take(c, "q_lora_rank");
    } else {
        TRY(config_int(c, "q_lora_rank", CONFIG_COUNT_MAX, &m->q_rank));
    }
    TRY(config_int(c, "kv_lora_rank", CONFIG_COUNT_MAX, &m->kv_rank));
    TRY(config_int(c, "qk_nope_head_dim", CONFIG_COUNT_MAX / 4, &m->nope_dim));
    TRY(config_int(c, "qk_rope_head_dim", CONFIG_COUNT_MAX / 4, &m->rope_dim));
    TRY(config_int(c, "v_head_dim", CONFIG_COUNT_MAX / 4, &m->v_dim));
    s->head_dim = m->nope_dim + m->rope_dim;
    if (s->kv_heads != s->heads)
        return FAIL(ERR_FORMAT, "%s: key %snum_key_value_heads is %d, but latent attention has one key head for each of the %d query heads", c->path,
                    c->prefix, s->kv_heads, s->heads);
    (void)config_take(c, "head_dim"); /* transformers puts its own there: what it says follows from the keys above */
    (void)config_take(c, "qk_head_dim");
    return OK;
}

static err_t read_delta(struct config *c, const struct family *f, struct spec *s) {
    struct delta_spec *d = &s->delta;
    *d = f->delta;
    TRY(config_int(c, "linear_num_key_heads", CONFIG_COUNT_MAX, &d->k_heads));
    TRY(config_int(c, "linear_num_value_heads", CONFIG_COUNT_MAX, &d->v_heads));
    TRY(config_int(c, "linear_key_head_dim", CONFIG_COUNT_MAX, &d->k_dim));
    TRY(config_int(c, "linear_value_head_dim", CONFIG_COUNT_MAX, &d->v_dim));
    return config_int(c, "linear_conv_kernel_dim", CONFIG_COUNT_MAX, &d->conv);
}

/* *window: of the layers that have one; 0: none has. *below: only layers below this one. */
static err_t read_window(struct config *c, const struct family *f, int64_t *window, int64_t *below) {
    *window = 0;
    *below = SPEC_LAYERS_MAX;
    if (f->window_rule == WINDOW_NEVER) return OK;
    bool on = true;
    if (f->window_rule == WINDOW_SWITCHED || f->window_rule == WINDOW_SWITCHED_EVEN) {
        on = false;
        TRY(config_flag(c, "use_sliding_window", &on));
    }
    if (f->window_rule == WINDOW_SWITCHED_EVEN) {
        *below = 28;
        TRY(config_count(c, "max_window_layers", CONFIG_COUNT_MAX, below));
    }
    const json_t *v = json_object_get(c->object, "sliding_window");
    int64_t size = f->window;
    const bool none = json_is_null(v) || (!on && json_is_integer(v) && json_integer_value(v) == 0) || (!v && size == 0);
    if (none) (void)config_take(c, "sliding_window");
    else TRY(config_count(c, "sliding_window", INT64_MAX, &size));
    *window = on && !none ? size : 0;
    return OK;
}

static bool has_window(const struct family *f, int layer, int64_t below) {
    switch (f->window_rule) {
    case WINDOW_IF_SET:
    case WINDOW_SWITCHED: return true;
    case WINDOW_SWITCHED_EVEN: return layer % 2 == 0 && layer < below;
    case WINDOW_EVEN: return layer % 2 == 0;
    default: return false;
    }
}

/* A layer's entry in layer_types. False where it is no kind that the family has. */
static bool read_type(const struct family *f, const json_t *entry, int64_t window, struct layer_spec *l) {
    const char *type = json_string_value(entry);
    *l = (struct layer_spec){.attention = f->attention};
    if (!type) return false;
    if (strcmp(type, "full_attention") == 0) return true;
    if (strcmp(type, "sliding_attention") == 0) {
        l->window = window;
        return window > 0;
    }
    l->attention = ATTENTION_DELTA;
    return f->has_delta && strcmp(type, "linear_attention") == 0;
}

static err_t read_layers(struct config *c, const struct family *f, struct spec *s) {
    int64_t window, below, every = 4;
    char shown[CONFIG_SHOWN];
    TRY(read_window(c, f, &window, &below));
    if (f->has_delta) TRY(config_count(c, "full_attention_interval", CONFIG_COUNT_MAX, &every));
    for (int l = 0; l < s->layers; l++) {
        s->layer[l] = (struct layer_spec){.attention = f->attention, .window = has_window(f, l, below) ? window : 0};
        if (f->has_delta && (l + 1) % every != 0) s->layer[l].attention = ATTENTION_DELTA;
    }
    const json_t *types = config_take(c, "layer_types");
    if (!types || json_is_null(types)) return OK;
    bool fine = json_is_array(types) && json_array_size(types) == (size_t)s->layers;
    for (int l = 0; fine && l < s->layers; l++) fine = read_type(f, json_array_get(types, (size_t)l), window, &s->layer[l]);
    if (!fine)
        return FAIL(ERR_FORMAT, "%s: key %slayer_types is %s; it must give each of the %d layers one of \"full_attention\"%s%s", c->path, c->prefix,
                    config_show(types, shown), s->layers, window > 0 ? ", \"sliding_attention\"" : "", f->has_delta ? ", \"linear_attention\"" : "");
    return OK;
}

err_t config_attention(struct config *c, const struct family *f, struct spec *s) {
    TRY(read_heads(c, f, s));
    if (f->attention == ATTENTION_MLA) TRY(read_latents(c, f, s));
    if (f->has_delta) TRY(read_delta(c, f, s));
    TRY(read_layers(c, f, s));

    s->sinks = f->sinks;
    s->qk_norm = f->qk_norm;
    bool on = f->bias_default, normed = false;
    if (f->bias_key) TRY(config_flag(c, f->bias_key, &on));
    s->biases = f->bias_always | (on ? f->bias_by_key : 0);
    if (f->has_qk_norm_switch) {
        TRY(config_flag(c, "use_qk_norm", &normed));
        if (!normed) s->qk_norm = QK_NORM_NONE;
    }
    s->softmax_scale = 1 / sqrt((double)s->head_dim);
    if (!f->has_clip_qkv) return OK;
    if (!config_null(c, "clip_qkv")) return config_real(c, "clip_qkv", 1e-30, 1e30, &s->clip_qkv);
    (void)config_take(c, "clip_qkv");
    return OK;
}
