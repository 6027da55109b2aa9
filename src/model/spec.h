/* What a model is: the numbers of a config.json, checked, in our letters. One forward pass reads
 * this; a family (models/NAME.c) is a table of data that says how its config.json fills it. Local. */
#ifndef MOP_MODEL_SPEC_H
#define MOP_MODEL_SPEC_H

#include "base/err.h"
#include "base/opt.h"

#include <stddef.h>

enum qk_norm { QK_NORM_NONE, QK_NORM_HEAD, QK_NORM_ALL }; /* over head_dim, or over all heads together */
enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_YARN };
enum { SPEC_LAYERS_MAX = 512, SPEC_EXPERTS_MAX = 65535, SPEC_TOPK_MAX = 64 };

struct rope_spec {
    enum rope_kind kind;
    double theta, factor;
    double attention_factor;     /* multiplies cos and sin; resolved when the config is read (1 unless yarn) */
    double beta_fast, beta_slow; /* yarn */
    int64_t original_max_positions;
    bool truncate;
};

struct family; /* model/family.h */

struct spec {
    const struct family *family;
    int layers;            /* L */
    int64_t hidden, vocab; /* H, V */
    int heads, kv_heads, head_dim;
    enum qk_norm qk_norm;
    bool attention_bias; /* on q, k, v and o */
    double clip_qkv;     /* 0: none; clamps q, k, v after the norms, before RoPE */
    struct rope_spec rope;
    double norm_eps;
    int64_t dense_width;             /* intermediate size of layers without experts */
    int64_t expert_width;            /* I */
    int experts, top_k;              /* E, k */
    bool renormalise;                /* the k weights divided by their sum */
    bool weights_fp32;               /* routing weights stay fp32 (Mixtral); else rounded to act's dtype */
    uint8_t is_moe[SPEC_LAYERS_MAX]; /* per layer: 1 MoE, 0 dense feed-forward */
    bool tied;                       /* head and embedding are one tensor */
    int64_t pad_id;                  /* -1: none; its embedding row gets no gradient from look-ups */
    int64_t eos_id, bos_id;          /* -1: none (the first of a list) */
    double init_std;                 /* initializer_range */
    double aux_coef;                 /* router_aux_loss_coef */
    int64_t max_positions;
};

/* Fill `out` from the text of a config.json; `path` is for messages. Both dialects (transformers 4:
 * rope_theta, rope_scaling, torch_dtype; 5: rope_parameters, dtype, num_local_experts for num_experts).
 * Errors (ERR_FORMAT) name path and key: an unknown family, a missing or null count, a fraction or a
 * wrong type, numbers that do not fit each other, anything asked for that we do not have. */
MUST err_t spec_from_json(const char *path, const char *text, int64_t bytes, struct spec *out);

/* config.json for a model that had none (model.init=random with keys): both dialects' words are not
 * needed, transformers 5 reads it. dtype is "float32" or "bfloat16". Owned by the caller: free. */
MUST err_t spec_to_json(const struct spec *s, const char *dtype, char **text);

/* Check what does not depend on where the numbers came from. `where` begins the messages. */
MUST err_t spec_check(const struct spec *s, const char *where);

int64_t spec_params(const struct spec *s);        /* all; a tied head counts once */
int64_t spec_active_params(const struct spec *s); /* met by one token: k experts of a MoE layer */
int spec_moe_layers(const struct spec *s);

/* inv_freq[head_dim/2] in fp32 as transformers computes it for this kind of RoPE (families.md). */
void rope_inv_freq(const struct spec *s, float *inv_freq);

/* Options of the room: model.init, model.config, model.dtype and the keys that describe a model from nothing. */
enum model_dtype { MODEL_FP32, MODEL_BF16 };
struct model_opts {
    const char *init;   /* "random" or a Hugging Face folder */
    const char *config; /* config.json for init=random */
    int dtype;          /* enum model_dtype: weights and activations */
    const char *family; /* the rest only for init=random without model.config */
    int64_t layers, hidden, vocab, heads, kv_heads, head_dim, dense_width, expert_width, experts, top_k, max_positions;
    bool tied;
    double rope_theta, aux_coef;
};
extern const struct opt model_opt_list[];

/* The spec that init=random with keys describes; ERR_USAGE names the option. */
MUST err_t spec_from_opts(const struct model_opts *o, struct spec *out);

#endif
