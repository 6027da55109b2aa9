/* A rank's weights and gradients at rest, in the flat order of the params table, and the shape of the work that is done
 * with them. Local. */
#ifndef MOP_MODEL_STORE_H
#define MOP_MODEL_STORE_H

#include "base/arena.h"
#include "model/params.h"
#include "tensor/dtype.h"

struct store {
    const struct params *params;
    enum dtype act;  /* of w: F32, or BF16 with fp32 masters in optim */
    void *w;         /* (elements) act, run, device */
    float *grad_acc; /* (elements) fp32, run, device; NULL where nothing is trained */
};

static inline void *store_weight(const struct store *s, const struct param *p) { return (char *)s->w + p->offset * dtype_bytes(s->act); }
static inline float *store_grad(const struct store *s, const struct param *p) { return s->grad_acc ? s->grad_acc + p->offset : NULL; }

/* A tensor that the table must have (q of a layer, say): a missing one is a bug of the caller. */
MUST err_t store_find(const struct store *s, enum param_kind kind, int layer, int expert, const struct param **out);

/* What one call of the rooms works on, agreed before anything is laid out. */
struct shape {
    const struct spec *spec;
    enum dtype act;
    int64_t rows, seq, tokens; /* tokens = rows*seq: resident on this rank in one micro-batch */
    bool backward;             /* train: gradients and what they need */
    bool keep;                 /* intermediates of every half-layer are kept, not recomputed */
};

/* Intermediates outlive their half-layer: they lie in the step's arena, a set for each layer, not in the shared scratch. */
static inline bool shape_kept(const struct shape *h) { return h->keep && h->backward; }

/* How many sets of intermediates a room holds that serves `layers` layers. */
static inline int shape_slots(const struct shape *h, int layers) { return shape_kept(h) ? layers : 1; }

struct arenas {
    struct arena run;     /* weights, gradients, moments, tables */
    struct arena step;    /* boundaries, kept intermediates, the batch */
    struct arena scratch; /* shared by the rooms in turn */
};

#endif
