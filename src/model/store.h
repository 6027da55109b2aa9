/* A rank's weights and gradients at rest, what is gathered of them for use, and the shape of the work that is done with them. Local.
 *
 * At rest a rank holds its shard of each unit (model/shard.h), one behind the other in the order of the params table; on one rank that is
 * the flat order itself. In use a unit has its weights, and in backward fp32 gradients that are added into, in one piece
 * somewhere: a gathered copy, or, where the rank holds what it uses, the store. */
#ifndef MOP_MODEL_STORE_H
#define MOP_MODEL_STORE_H

#include "base/arena.h"
#include "model/shard.h"
#include "tensor/dtype.h"

struct arenas {
    struct arena run;     /* weights, gradients, moments, tables */
    struct arena step;    /* boundaries, kept intermediates, the batch */
    struct arena scratch; /* shared by the rooms in turn */
};

struct held {
    struct shard shard;
    int64_t at;    /* of the shard in the store */
    bool resident; /* in use it is what is at rest: never gathered */
    /* in use */
    void *w;         /* elements [from, ...) of the unit, act; NULL: not there */
    float *grad_acc; /* the same elements' gradients, fp32; NULL: none */
    int64_t from;
};

struct store {
    const struct spec *spec;
    const struct params *params;
    struct split split;
    enum dtype act;    /* of w: F32, or BF16 with fp32 masters in optim */
    int64_t elements;  /* at rest on this rank, padding included */
    struct held *unit; /* [params->units]; NULL in a dry run */
    void *w;           /* (elements) act, run, device */
    float *grad_acc;   /* (elements) fp32, run, device; NULL where nothing is trained */
    uint64_t version;  /* of w: counts its changes */
};

/* Predict; lay out (twice: dry, then real). Sets all but what is in use; resident units are in use for good. */
MUST err_t store_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, struct ledger *out);
MUST err_t store_layout(struct store *s, const struct spec *spec, const struct params *p, const struct split *how, enum dtype act, bool train,
                        struct arenas *m);

/* Weight and gradient of a tensor whose unit is in use. */
static inline void *store_weight(const struct store *s, const struct param *p) {
    const struct held *u = &s->unit[p->unit_at];
    return (char *)u->w + (p->offset - s->params->unit[p->unit_at].offset - u->from) * dtype_bytes(s->act);
}
static inline float *store_grad(const struct store *s, const struct param *p) {
    const struct held *u = &s->unit[p->unit_at];
    return u->grad_acc ? u->grad_acc + (p->offset - s->params->unit[p->unit_at].offset - u->from) : NULL;
}

/* What of a tensor this rank holds: its elements [from, from + count), at `at` in the store. count 0: none. */
struct piece {
    int64_t from, count, at;
};
struct piece store_piece(const struct store *s, const struct param *p);
struct piece store_piece_of(const struct store *s, const struct param *p, int rank);

/* A tensor that the table must have (q of a layer, say): a missing one is a bug of the caller. */
MUST err_t store_find(const struct store *s, enum param_kind kind, int layer, int expert, const struct param **out);

/* What one call of the rooms works on, agreed before anything is laid out. */
struct shape {
    const struct spec *spec;
    struct split split;
    enum dtype act;
    int64_t rows, seq, tokens; /* tokens = rows*seq: resident on this rank in one micro-batch; of each of `rows` sequences seq = ceil(S/D) tokens,
                                  those from place*seq on. Every rank of a seq block has the same. May be 0. */
    int64_t tokens_most;       /* the largest `tokens` of any rank */
    bool backward;             /* train: gradients and what they need */
    bool keep;                 /* intermediates of every half-layer are kept, not recomputed */
};

/* Intermediates outlive their half-layer: they lie in the step's arena, a set for each layer, not in the shared scratch. */
static inline bool shape_kept(const struct shape *h) { return h->keep && h->backward; }

/* How many sets of intermediates a room holds that serves `layers` layers. */
static inline int shape_slots(const struct shape *h, int layers) { return shape_kept(h) ? layers : 1; }

#endif
