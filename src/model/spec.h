/* What a model is: the numbers of a config.json, checked, in our letters. One forward pass reads
 * this; a family (models/NAME.c) is a table of data that says how its config.json fills it. Local. */
#ifndef MOP_MODEL_SPEC_H
#define MOP_MODEL_SPEC_H

#include "base/err.h"
#include "base/opt.h"

#include <stddef.h>

enum qk_norm { QK_NORM_NONE, QK_NORM_HEAD, QK_NORM_ALL }; /* over head_dim, or over all heads together */
enum { SPEC_LAYERS_MAX = 512, SPEC_EXPERTS_MAX = 65535, SPEC_TOPK_MAX = 64 };

/* How a layer mixes tokens. GATED_GQA: the output times sigmoid(gate), where the gate is a projection as wide as q. MLA: q, k and v out
 * of low-rank latents. DELTA: Gated DeltaNet, a recurrence with a state of (key head dim, value head dim) per value head. */
enum attention_kind { ATTENTION_GQA, ATTENTION_GATED_GQA, ATTENTION_MLA, ATTENTION_DELTA };
struct layer_spec {
    enum attention_kind attention;
    int64_t window; /* a query sees itself and window - 1 tokens before it; 0: all before it */
};

enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_YARN };
enum rope_pairs { PAIRS_HALVES, PAIRS_NEIGHBOURS }; /* (j, j + dim/2); or (2j, 2j + 1), which come out as (j, j + dim/2) */
struct rope_spec {
    enum rope_kind kind;
    enum rope_pairs pairs;
    int dim; /* the first `dim` dimensions of a head turn; with MLA its rotary part */
    double theta, factor;
    double attention_factor;     /* multiplies cos and sin; resolved when the config is read (1 unless yarn) */
    double beta_fast, beta_slow; /* yarn */
    double mscale_all_dim;       /* yarn; 0: none */
    int64_t original_max_positions;
    bool truncate;
};

/* MLA: q = B_q norm(A_q x), or one projection where q_rank is 0; k and v = B_kv norm(A_kv x), and one rotary key for all heads. */
struct mla_spec {
    int q_rank, kv_rank;
    int nope_dim, rope_dim, v_dim; /* of a head: q and k without and with rotation; v */
    double norm_eps;               /* of the latents' norms */
};

struct delta_spec {
    int k_heads, v_heads, k_dim, v_dim; /* k_heads divides v_heads */
    int conv;                           /* taps of the causal convolution */
};

/* Norms in bf16. TWICE: x*r rounded, then times w. ONCE: x*r*w in fp32, rounded once. PLUS_ONE: as ONCE, times (1 + w). */
enum norm_kind { NORM_TWICE, NORM_ONCE, NORM_PLUS_ONE };
/* silu(gate)*up; or gate <= limit, |up| <= limit, (up + 1)*gate*sigmoid(alpha*gate) in experts (gpt-oss). */
enum activation { ACTIVATION_SWIGLU, ACTIVATION_SWIGLU_CLAMPED };
enum router_score { SCORE_SOFTMAX, SCORE_SIGMOID };
/* By what the k are chosen. SCORE: the score. LOGIT: the logit; weights are the softmax over the k. BIASED: score + correction bias, in the
 * best groups; weights are the scores without it. */
enum router_choice { CHOICE_SCORE, CHOICE_LOGIT, CHOICE_BIASED };

/* Which linear maps have a bias: what attention reads the hidden state with (q, k, v; or the latents), its output, the router, the experts. */
enum { BIAS_IN = 1, BIAS_OUT = 2, BIAS_ROUTER = 4, BIAS_EXPERTS = 8 };

/* How a checkpoint's large matrices are packed. */
enum quant_kind { QUANT_NONE, QUANT_MXFP4, QUANT_FP8 };

struct family; /* model/family.h */

struct spec {
    const struct family *family;
    int layers;            /* L */
    int64_t hidden, vocab; /* H, V */
    struct layer_spec layer[SPEC_LAYERS_MAX];
    int heads, kv_heads, head_dim; /* head_dim of q and k; v's is spec_v_dim */
    enum qk_norm qk_norm;
    unsigned biases;      /* BIAS_ */
    bool sinks;           /* one logit more per head in the softmax's denominator */
    double clip_qkv;      /* 0: none; clamps q, k, v after the norms, before RoPE */
    double softmax_scale; /* of scores */
    struct rope_spec rope;
    struct mla_spec mla;     /* layers with MLA */
    struct delta_spec delta; /* layers with DELTA */
    enum norm_kind norm;     /* of all RMS norms but DELTA's gated one, which is TWICE */
    double norm_eps;
    enum activation activation; /* of experts; other feed-forwards are plain SwiGLU */
    double activation_limit, activation_alpha;
    int64_t dense_width;  /* intermediate size of layers without experts */
    int64_t expert_width; /* I */
    int64_t shared_width; /* of the expert that every token meets; 0: none */
    bool shared_gate;     /* its output times sigmoid(x.w) */
    int experts, top_k;   /* E, k */
    enum router_score score;
    enum router_choice choice;
    int groups, groups_kept;         /* with CHOICE_BIASED: the k come from the groups_kept groups of experts with the best two; 1, 1: no groups */
    bool router_fp32;                /* logits in fp32 whatever act is */
    bool renormalise;                /* the k weights divided by their sum */
    double renormalise_eps;          /* and this */
    double routed_scale;             /* times this */
    bool weights_fp32;               /* routing weights stay fp32 (Mixtral); else rounded to act's dtype */
    uint8_t is_moe[SPEC_LAYERS_MAX]; /* per layer: 1 MoE, 0 dense feed-forward */
    bool tied;                       /* head and embedding are one tensor */
    int64_t pad_id;                  /* -1: none; its embedding row gets no gradient from look-ups */
    int64_t eos_id, bos_id;          /* -1: none (the first of a list) */
    double init_std;                 /* initializer_range */
    double aux_coef;                 /* router_aux_loss_coef */
    bool has_aux;                    /* the family has a load-balancing loss */
    bool aux_on;                     /* output_router_logits: transformers adds the load-balancing loss */
    int64_t max_positions;
    bool outer;     /* the config.json is of text and pictures: this is its text_config */
    int mtp_layers; /* of multi-token prediction that the config promises; they are no part of the model */
    enum quant_kind quant;
    int quant_rows, quant_cols; /* QUANT_FP8: one scale for a block of this size */
};

/* v's width of a head. */
static inline int spec_v_dim(const struct spec *s) { return s->mla.kv_rank > 0 ? s->mla.v_dim : s->head_dim; }

/* Fill `out` from the text of a config.json; `path` is for messages. Both dialects (transformers 4:
 * rope_theta, rope_scaling, torch_dtype; 5: rope_parameters, dtype, num_local_experts for num_experts).
 * Errors (ERR_FORMAT) name path and key: an unknown family, a missing or null count, a fraction or a
 * wrong type, numbers that do not fit each other, anything asked for that we do not have. */
MUST err_t spec_from_json(const char *path, const char *text, int64_t bytes, struct spec *out);

/* config.json for a model that had none (model.init=random with keys, in families that keys can describe): both dialects' words are
 * not needed, transformers 5 reads it. dtype is "float32" or "bfloat16". Owned by the caller: free. */
MUST err_t spec_to_json(const struct spec *s, const char *dtype, char **text);

/* The text of a config.json with what a folder that is written must say otherwise. The rest stays, in its order; the text's layout need not.
 * Owned by the caller: free. */
struct config_edit {
    const char *dtype; /* of the files; NULL: as it is */
    bool add_dtype;    /* also where no key says one */
    bool plain;        /* no quantization_config */
    bool drop_extras;  /* nothing promised besides the text model */
};
MUST err_t config_edit(const struct spec *s, const char *text, const struct config_edit *edit, char **out);

/* Do two specs compute the same from the same weights? Ids of begin and end, which generation reads, and whether the load-balancing loss is on,
 * which training decides, may differ. */
bool spec_same(const struct spec *a, const struct spec *b);

/* Check what does not depend on where the numbers came from. `where` begins the messages. */
MUST err_t spec_check(const struct spec *s, const char *where);

int64_t spec_params(const struct spec *s);        /* all; a tied head counts once */
int64_t spec_active_params(const struct spec *s); /* met by one token: k experts of a MoE layer */
int spec_moe_layers(const struct spec *s);

/* inv_freq[rope.dim/2] in fp32 as transformers computes it for this kind of RoPE (families.md). */
void rope_inv_freq(const struct spec *s, float *inv_freq);

/* Options of the room: model.init, model.config, model.dtype and the keys that describe a model from nothing. */
enum model_dtype { MODEL_FP32, MODEL_BF16 };
enum expert_files_choice { EXPERT_FILES_FOUND, EXPERT_FILES_SINGLE, EXPERT_FILES_STACKED };
enum extras_choice { EXTRAS_KEEP, EXTRAS_DROP };
struct model_opts {
    const char *init;   /* "random" or a Hugging Face folder */
    const char *config; /* config.json for init=random */
    int dtype;          /* enum model_dtype: weights and activations */
    int expert_files;   /* enum expert_files_choice */
    int extra_tensors;  /* enum extras_choice */
    const char *family; /* the rest only for init=random without model.config */
    int64_t layers, hidden, vocab, heads, kv_heads, head_dim, dense_width, expert_width, experts, top_k, max_positions;
    bool tied;
    double rope_theta, aux_coef;
};
extern const struct opt model_opt_list[];

/* The spec that init=random with keys describes; ERR_USAGE names the option. */
MUST err_t spec_from_opts(const struct model_opts *o, struct spec *out);

#endif
