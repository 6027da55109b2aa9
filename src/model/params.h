/* The table of a model's tensors: names, shapes and dtypes as the Hub has them, and where each lies
 * in the flat store.
 *
 * ORDER of the flat store is forward order: embedding; per layer its attention tensors, then its
 * feed-forward norm, router, then experts (each expert gate, up, down back to back, so that gate and up
 * read as one (2I, H) matrix and an expert is one contiguous run of 3*H*I) or the dense gate, up, down;
 * final norm; head. q, k, v weights lie back to back (one (q+2kv, H) matrix), and so do their biases.
 * A UNIT (consecutive tensors) is what is gathered, sharded and released as one: the embedding; a layer's attention half; a layer's
 * dense part of the feed-forward half; a layer's experts; the final norm; the head. Local. */
#ifndef MOP_MODEL_PARAMS_H
#define MOP_MODEL_PARAMS_H

#include "model/spec.h"

/* clang-format off */
enum param_kind {
    PARAM_EMBED,
    PARAM_ATTN_NORM, PARAM_Q, PARAM_K, PARAM_V, PARAM_Q_BIAS, PARAM_K_BIAS, PARAM_V_BIAS, PARAM_Q_NORM, PARAM_K_NORM, PARAM_O, PARAM_O_BIAS,
    PARAM_FFN_NORM, PARAM_ROUTER, PARAM_EXPERT_GATE, PARAM_EXPERT_UP, PARAM_EXPERT_DOWN, PARAM_MLP_GATE, PARAM_MLP_UP, PARAM_MLP_DOWN,
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
    int64_t shape[2]; /* a vector: {n, 1} */
    int64_t count;
    int64_t offset; /* in elements, in the flat store */
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

/* New: params_free. */
MUST err_t params_build(const struct spec *s, struct params *out);
void params_free(struct params *p);

const struct param *params_find(const struct params *p, const char *name);                          /* or NULL */
const struct param *params_at(const struct params *p, enum param_kind kind, int layer, int expert); /* or NULL */

/* Index of a unit in the table, -1 where the model has none. */
int params_unit(const struct params *p, enum unit_kind kind, int layer);

/* Initial values of elements [from, from+n) of tensor `t`, fp32: N(0, init_std), norms 1, biases 0, the pad
 * row of the embedding 0. A pure function of (seed, name, index). */
void params_init(const struct spec *s, const struct param *t, uint64_t seed, int64_t from, int64_t n, float *out);

#endif
