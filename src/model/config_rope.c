/* RoPE in both dialects: rope_theta beside rope_scaling (transformers 4), or all of it in rope_parameters (5).
 * Where the two disagree transformers 4 and 5 read different models from one file: refused. */
#include "model/config_int.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

enum { POSITIONS_MAX = 0x7fffffff };

/* The object under `key`; NULL where it is absent, null or empty. */
static err_t take_object(struct config *c, const char *key, const json_t **out) {
    const json_t *v = config_take(c, key);
    *out = NULL;
    if (!v || json_is_null(v)) return OK;
    if (!json_is_object(v)) {
        char shown[CONFIG_SHOWN];
        return FAIL(ERR_FORMAT, "%s: key %s%s is %s; it must be an object or null", c->path, c->prefix, key, config_show(v, shown));
    }
    const char *inner;
    json_t *value;
    json_object_foreach((json_t *)v, inner, value) {
        char shown[CONFIG_SHOWN];
        json_t *name = json_string(inner);
        (void)config_show(name, shown);
        json_decref(name);
        if (json_is_object(value) && !json_mark(value))
            return FAIL(ERR_FORMAT, "%s: key %s holds an object under %s: RoPE of its own per type of layer is not supported; give one for all",
                        c->path, key, shown);
    }
    if (json_object_size(v) > 0) *out = v;
    return OK;
}

static err_t read_kind(struct config *d, enum rope_kind *kind) {
    static const struct {
        const char *name;
        enum rope_kind kind;
    } kinds[] = {{"default", ROPE_DEFAULT}, {"linear", ROPE_LINEAR}, {"yarn", ROPE_YARN}};
    const char *old_word = NULL, *word = NULL; /* `type` became `rope_type` */
    TRY(config_text(d, "type", &old_word));
    TRY(config_text(d, "rope_type", &word));
    if (word && old_word && strcmp(word, old_word) != 0)
        return FAIL(ERR_FORMAT, "%s: keys %srope_type and %stype differ; keep one of them", d->path, d->prefix, d->prefix);
    const char *key = word || !old_word ? "rope_type" : "type";
    if (!word) word = old_word ? old_word : "default";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(word, kinds[i].name) == 0) {
            *kind = kinds[i].kind;
            return OK;
        }
    char shown[CONFIG_SHOWN];
    return FAIL(ERR_FORMAT, "%s: key %s%s is %s, which is not supported; default, linear and yarn are", d->path, d->prefix, key,
                config_show(json_object_get(d->object, key), shown));
}

/* null counts as absent: transformers reads these with "or" and a default. */
static err_t real_or_null(struct config *d, const char *key, double lo, double hi, double *value) {
    if (config_null(d, key)) {
        (void)config_take(d, key);
        return OK;
    }
    return config_real(d, key, lo, hi, value);
}

static double yarn_mscale(double factor, double m) { return factor <= 1 ? 1.0 : 0.1 * m * log(factor) + 1.0; }

/* Defaults and the attention factor as modeling_rope_utils.py resolves them (families.md). */
static err_t read_yarn(struct config *d, int64_t outer_original, int64_t max_positions, struct rope_spec *r) {
    bool has_original = json_object_get(d->object, "original_max_position_embeddings") != NULL;
    r->original_max_positions = outer_original > 0 ? outer_original : max_positions;
    TRY(config_count(d, "original_max_position_embeddings", POSITIONS_MAX, &r->original_max_positions));
    if (has_original && outer_original > 0 && outer_original != r->original_max_positions)
        return FAIL(ERR_FORMAT, "%s: keys original_max_position_embeddings (%lld) and %soriginal_max_position_embeddings (%lld) differ; keep one",
                    d->path, (long long)outer_original, d->prefix, (long long)r->original_max_positions);

    r->factor = (double)max_positions / (double)r->original_max_positions; /* where it is null */
    if (!json_object_get(d->object, "factor")) return FAIL(ERR_FORMAT, "%s: key %sfactor is missing; yarn needs it", d->path, d->prefix);
    TRY(real_or_null(d, "factor", 1e-6, 1e9, &r->factor));

    r->beta_fast = r->beta_slow = 0;
    TRY(real_or_null(d, "beta_fast", 0, 1e9, &r->beta_fast));
    TRY(real_or_null(d, "beta_slow", 0, 1e9, &r->beta_slow));
    if (r->beta_fast == 0) r->beta_fast = 32;
    if (r->beta_slow == 0) r->beta_slow = 1;

    double mscale = 0;
    TRY(real_or_null(d, "mscale", -1e6, 1e6, &mscale));
    TRY(real_or_null(d, "mscale_all_dim", -1e6, 1e6, &r->mscale_all_dim));
    r->attention_factor = mscale != 0 && r->mscale_all_dim != 0 ? yarn_mscale(r->factor, mscale) / yarn_mscale(r->factor, r->mscale_all_dim)
                                                                : yarn_mscale(r->factor, 1);
    TRY(real_or_null(d, "attention_factor", 1e-6, 1e6, &r->attention_factor));

    r->truncate = true;
    return config_flag(d, "truncate", &r->truncate);
}

static err_t read_scaling(struct config *d, const struct family *f, int64_t outer_original, int64_t max_positions, struct rope_spec *r) {
    TRY(read_kind(d, &r->kind));
    if (r->kind == ROPE_YARN) TRY(read_yarn(d, outer_original, max_positions, r));
    if (r->kind == ROPE_LINEAR) {
        if (!json_object_get(d->object, "factor")) return FAIL(ERR_FORMAT, "%s: key %sfactor is missing; linear needs it", d->path, d->prefix);
        TRY(config_real(d, "factor", 1e-6, 1e9, &r->factor));
    }
    TRY(config_check_rest(d, f));
    config_warn_rest(d);
    return OK;
}

/* How many dimensions of a head turn. transformers lets the inner object's factor go before the outer one. */
static err_t set_dim(struct config *c, const struct family *f, double inner, struct spec *s) {
    double factor = f->rotary_factor > 0 ? f->rotary_factor : 1;
    int whole = s->head_dim, rotary = 0;
    if (f->attention == ATTENTION_MLA) {
        s->rope.dim = s->mla.rope_dim;
        return OK;
    }
    if (f->has_partial_rotary) {
        TRY(config_whole(c, "rotary_dim", whole, &rotary));
        if (rotary > 0) factor = (double)rotary / whole;
        TRY(real_or_null(c, "partial_rotary_factor", 1e-6, 1, &factor));
        if (inner > 0) factor = inner;
    }
    s->rope.dim = (int)(whole * factor);
    return OK;
}

err_t config_rope(struct config *c, const struct family *f, struct spec *s) {
    const double theta_max = 1e30;
    const json_t *scaling, *parameters;
    TRY(take_object(c, "rope_scaling", &scaling));
    TRY(take_object(c, "rope_parameters", &parameters));
    if (scaling && parameters && !json_equal(scaling, parameters))
        return FAIL(ERR_FORMAT, "%s: keys rope_scaling and rope_parameters differ; keep one of them", c->path);

    double outer_theta = 0, theta = 0, rotary = 0;
    int64_t outer_original = 0;
    TRY(real_or_null(c, "rope_theta", 1, theta_max, &outer_theta));
    if (json_object_get(c->object, "original_max_position_embeddings"))
        TRY(config_count(c, "original_max_position_embeddings", POSITIONS_MAX, &outer_original));

    s->rope = (struct rope_spec){.kind = ROPE_DEFAULT, .factor = 1, .attention_factor = 1, .truncate = true};
    const json_t *object = parameters ? parameters : scaling;
    if (!object && f->rope.kind != ROPE_DEFAULT) {
        s->rope = f->rope;
        s->rope.attention_factor = yarn_mscale(s->rope.factor, 1);
    }
    if (object) {
        struct config d;
        TRY(config_open(c->path, parameters ? "rope_parameters." : "rope_scaling.", object, &d));
        err_t err = config_real(&d, "rope_theta", 1, theta_max, &theta);
        if (err == OK && f->has_partial_rotary) err = real_or_null(&d, "partial_rotary_factor", 1e-6, 1, &rotary);
        if (err == OK) err = read_scaling(&d, f, outer_original, s->max_positions, &s->rope);
        config_close(&d);
        TRY(err);
    }
    if (theta > 0 && outer_theta > 0 && theta != outer_theta)
        return FAIL(ERR_FORMAT, "%s: keys rope_theta (%g) and %s.rope_theta (%g) differ; keep one of them", c->path, outer_theta,
                    parameters ? "rope_parameters" : "rope_scaling", theta);
    s->rope.theta = theta > 0 ? theta : outer_theta > 0 ? outer_theta : f->rope_theta;
    TRY(set_dim(c, f, rotary, s));
    if (f->attention != ATTENTION_MLA) return OK;
    bool neighbours = true;
    TRY(config_flag(c, "rope_interleave", &neighbours));
    s->rope.pairs = neighbours ? PAIRS_NEIGHBOURS : PAIRS_HALVES;
    const double m = s->rope.kind == ROPE_YARN && s->rope.mscale_all_dim != 0 ? yarn_mscale(s->rope.factor, s->rope.mscale_all_dim) : 1;
    s->softmax_scale *= m * m; /* DeepSeek's own, beside the attention factor of cos and sin */
    return OK;
}
