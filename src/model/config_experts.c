/* The keys of config.json that say what a feed-forward is: which layers are MoE, widths, router, shared expert, load balancing. */
#include "model/config_int.h"

#include "base/log.h"

#include <string.h>

/* Up to three words for one number. */
static err_t read_count(struct config *c, const struct family *f, int *experts) {
    const char *const keys[] = {f->experts_key, "num_experts", "num_local_experts"};
    const char *first = NULL;
    for (int i = 0; i < 3; i++) {
        int given = 0;
        if (!json_object_get(c->object, keys[i])) continue;
        TRY(config_int(c, keys[i], SPEC_EXPERTS_MAX, &given));
        if (first && given != *experts)
            return FAIL(ERR_FORMAT, "%s: keys %s (%d) and %s (%d) differ; keep one of them", c->path, first, *experts, keys[i], given);
        *experts = given;
        first = keys[i];
    }
    if (!first) return FAIL(ERR_FORMAT, "%s: key %s%s is missing; add it, an integer of at least 1", c->path, c->prefix, f->experts_key);
    return OK;
}

static err_t read_router(struct config *c, const struct family *f, struct spec *s) {
    TRY(read_count(c, f, &s->experts));
    s->top_k = f->top_k;
    TRY(config_int(c, "num_experts_per_tok", SPEC_TOPK_MAX, &s->top_k));
    if (f->top_k_key) {
        int other = s->top_k;
        TRY(config_int(c, f->top_k_key, SPEC_TOPK_MAX, &other));
        if (!json_object_get(c->object, "num_experts_per_tok")) s->top_k = other;
        if (other != s->top_k)
            return FAIL(ERR_FORMAT, "%s: keys num_experts_per_tok (%d) and %s (%d) differ; keep one of them", c->path, s->top_k, f->top_k_key, other);
    }
    s->score = f->score;
    s->choice = f->choice;
    s->router_fp32 = f->router_fp32;
    s->weights_fp32 = f->weights_fp32;
    s->renormalise = !f->has_norm_topk || f->renormalise_default;
    if (f->has_norm_topk) TRY(config_flag(c, "norm_topk_prob", &s->renormalise));
    s->renormalise_eps = f->renormalise_eps;
    s->groups = s->groups_kept = 1;
    s->routed_scale = 1;
    if (f->has_groups) {
        s->groups = f->groups;
        s->groups_kept = f->groups_kept;
        s->routed_scale = f->routed_scale;
        TRY(config_int(c, "n_group", SPEC_EXPERTS_MAX, &s->groups));
        TRY(config_int(c, "topk_group", SPEC_EXPERTS_MAX, &s->groups_kept));
        TRY(config_real(c, "routed_scaling_factor", 1e-9, 1e9, &s->routed_scale));
    }
    s->aux_coef = f->aux_coef;
    TRY(config_flag(c, "output_router_logits", &s->aux_on));
    s->has_aux = !f->no_aux;
    if (f->no_aux) s->aux_on = false;
    return f->no_aux ? OK : config_real(c, "router_aux_loss_coef", 0, 1e6, &s->aux_coef);
}

/* mlp_only_layers and decoder_sparse_step. */
static err_t read_steps(struct config *c, struct spec *s) {
    int64_t step = 1;
    char shown[CONFIG_SHOWN];
    TRY(config_count(c, "decoder_sparse_step", CONFIG_COUNT_MAX, &step));
    const json_t *only = config_take(c, "mlp_only_layers");
    if (only && !json_is_null(only) && !json_is_array(only))
        return FAIL(ERR_FORMAT, "%s: key mlp_only_layers is %s; it must be a list of layers or null", c->path, config_show(only, shown));
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
    return OK;
}

/* mlp_layer_types; transformers does not read the older first_k_dense_replace beside it and takes 1 for it, whatever it says. */
static err_t read_types(struct config *c, const struct family *f, struct spec *s) {
    char shown[CONFIG_SHOWN];
    const json_t *types = config_take(c, "mlp_layer_types");
    int first = (int)f->dense_first;
    TRY(config_whole(c, "first_k_dense_replace", CONFIG_COUNT_MAX, &first));
    if (!types || json_is_null(types)) {
        if (first != f->dense_first)
            return FAIL(ERR_FORMAT, "%s: key first_k_dense_replace is %d, which transformers does not read in %s; say it with mlp_layer_types",
                        c->path, first, f->model_type);
        for (int l = 0; l < s->layers; l++) s->is_moe[l] = l >= first;
        return OK;
    }
    bool fine = json_is_array(types) && json_array_size(types) == (size_t)s->layers;
    for (int l = 0; fine && l < s->layers; l++) {
        const char *type = json_string_value(json_array_get(types, (size_t)l));
        s->is_moe[l] = type && strcmp(type, "sparse") == 0;
        fine = type && (s->is_moe[l] || strcmp(type, "dense") == 0);
    }
    if (!fine)
        return FAIL(ERR_FORMAT, "%s: key mlp_layer_types is %s; it must give each of the %d layers \"sparse\" or \"dense\"", c->path,
                    config_show(types, shown), s->layers);
    return OK;
}

static err_t read_layers(struct config *c, const struct family *f, struct spec *s) {
    int first = (int)f->dense_first;
    switch (f->moe_rule) {
    case MOE_BY_STEP: return read_steps(c, s);
    case MOE_BY_TYPES: return read_types(c, f, s);
    case MOE_FROM_FIRST: TRY(config_whole(c, "first_k_dense_replace", CONFIG_COUNT_MAX, &first)); break;
    default: break;
    }
    for (int l = 0; l < s->layers; l++) s->is_moe[l] = f->moe_rule == MOE_ALL || l >= first;
    return OK;
}

static err_t read_shared(struct config *c, const struct family *f, struct spec *s) {
    int count = (int)f->shared_count;
    s->shared_gate = f->shared_rule == SHARED_GATED;
    switch (f->shared_rule) {
    case SHARED_GATED: return config_count(c, "shared_expert_intermediate_size", CONFIG_COUNT_MAX, &s->shared_width);
    case SHARED_COUNTED:
        TRY(config_int(c, "n_shared_experts", 1 << 16, &count));
        s->shared_width = s->expert_width * count;
        return OK;
    default: return OK;
    }
}

err_t config_experts(struct config *c, const struct family *f, struct spec *s) {
    TRY(read_router(c, f, s));
    TRY(read_layers(c, f, s));
    TRY(config_count(c, f->expert_width_key, CONFIG_COUNT_MAX, &s->expert_width));
    if (f->moe_rule != MOE_ALL) {
        s->dense_width = spec_moe_layers(s) == s->layers ? f->dense_width : 0;
        TRY(config_count(c, "intermediate_size", CONFIG_COUNT_MAX, &s->dense_width));
    }
    TRY(read_shared(c, f, s));
    s->activation = f->activation;
    if (f->activation != ACTIVATION_SWIGLU_CLAMPED) return OK;
    s->activation_limit = 7;
    s->activation_alpha = 1.702;
    TRY(config_real(c, "swiglu_limit", 1e-6, 1e6, &s->activation_limit));
    return config_real(c, "swiglu_alpha", 1e-6, 1e6, &s->activation_alpha);
}
