/* The table of a model's tensors: names, shapes, and where each lies in the flat store. Most are tensors of the files of a Hugging Face
 * folder, with their names and shapes; where files have them otherwise (stacked, interleaved, transposed), model/names.h says how.
 *
 * ORDER of the flat store is forward order: embedding; per layer its attention tensors, then its feed-forward norm, router and shared
 * expert, then experts (each expert gate, up, down and their biases back to back, so that gate and up read as one (2I, H) matrix and
 * an expert is one contiguous run) or the dense gate, up, down; final norm; head. What reads the hidden state in attention lies back to
 * back (q, k, v, q's gate; the latents; DELTA's qkv, z, b, a: one matrix), and so do its biases.
 * A UNIT (consecutive tensors) is what is gathered, sharded and released as one: the embedding; a layer's attention half; a layer's
 * dense part of the feed-forward half; a layer's experts; the final norm; the head. Local. */
#ifndef MOP_MODEL_PARAMS_H
#define MOP_MODEL_PARAMS_H

#include "model/spec.h"

/* clang-format off */
enum param_kind {
    PARAM_EMBED,
    PARAM_ATTN_NORM,
    PARAM_Q, PARAM_K, PARAM_V, PARAM_Q_GATE, PARAM_Q_A, PARAM_KV_A,
    PARAM_DELTA_QKV, PARAM_DELTA_Z, PARAM_DELTA_B, PARAM_DELTA_A,
    PARAM_Q_BIAS, PARAM_K_BIAS, PARAM_V_BIAS, PARAM_Q_GATE_BIAS, PARAM_Q_A_BIAS, PARAM_KV_A_BIAS,
    PARAM_Q_NORM, PARAM_K_NORM, PARAM_Q_A_NORM, PARAM_KV_A_NORM, PARAM_Q_B, PARAM_KV_B, PARAM_SINKS,
    PARAM_DELTA_CONV, PARAM_DELTA_A_LOG, PARAM_DELTA_DT_BIAS, PARAM_DELTA_NORM,
    PARAM_O, PARAM_DELTA_OUT, PARAM_O_BIAS,
    PARAM_FFN_NORM, PARAM_ROUTER, PARAM_ROUTER_BIAS, PARAM_CORRECTION_BIAS,
    PARAM_SHARED_GATE, PARAM_SHARED_UP, PARAM_SHARED_DOWN, PARAM_SHARED_SWITCH,
    PARAM_EXPERT_GATE, PARAM_EXPERT_UP, PARAM_EXPERT_DOWN, PARAM_EXPERT_GATE_BIAS, PARAM_EXPERT_UP_BIAS, PARAM_EXPERT_DOWN_BIAS,
    PARAM_MLP_GATE, PARAM_MLP_UP, PARAM_MLP_DOWN,
    PARAM_FINAL_NORM, PARAM_HEAD, PARAM_KINDS
};
/* clang-format on */
enum unit_kind { UNIT_EMBED, UNIT_ATTENTION, UNIT_FFN, UNIT_EXPERTS, UNIT_FINAL_NORM, UNIT_HEAD };

struct param {
    char name[120];
    enum param_kind kind;
    enum unit_kind unit;
    int unit_at;       /* of that unit in the table of units */
    int layer, expert; /* -1 where it has none */
    int ndim;
    int64_t shape[3]; /* 1 beyond ndim */
    int64_t count;
    int64_t offset; /* in elements, in the flat store */
    bool decay;     /* weight decay acts on it: as a tensor of the files it has two dimensions or more */
    bool trained;   /* else it is part of the model, has no gradient and stays as it is (a correction bias) */
};

struct unit {
    enum unit_kind kind;
    int layer;             /* -1 where it has none */
    int64_t offset, count; /* in elements, in the flat store */
};

struct params {
    struct param *list; /* in flat order */
    int64_t count;
    int64_t elements; /* of the flat store */
    int64_t *by_name; /* indices sorted by name */
    struct unit *unit;
    int units;
};

static inline bool param_is_of_expert(enum param_kind kind) { return kind >= PARAM_EXPERT_GATE && kind <= PARAM_EXPERT_DOWN_BIAS; }

/* Shape of a layer's tensor of this kind (of the model's, layer -1), 1 beyond its dimensions. Their number, or 0 where the model has none. */
int param_shape(const struct spec *s, enum param_kind kind, int layer, int64_t shape[3]);

/* New: params_free. */
MUST err_t params_build(const struct spec *s, struct params *out);
void params_free(struct params *p);

const struct param *params_find(const struct params *p, const char *name);                          /* or NULL */
const struct param *params_at(const struct params *p, enum param_kind kind, int layer, int expert); /* or NULL */

/* Index of a unit in the table, -1 where the model has none. */
int params_unit(const struct params *p, enum unit_kind kind, int layer);

/* Elements of an expert: all its pieces. */
int64_t params_expert_elements(const struct spec *s);

/* Initial values of elements [from, from+n) of tensor `t`, fp32: N(0, init_std), norms 1 (0 where they act as 1 + w), biases 0 (the router's
 * normal), the pad row of the embedding 0, DELTA's decays log U(0.01, 16) and dt_bias 1. A pure function of (seed, name, index). */
void params_init(const struct spec *s, const struct param *t, uint64_t seed, int64_t from, int64_t n, float *out);

#endif
