/* Embedding: y[t] = w[id[t]]; backward dw_acc[id[t]] += dy[t] in token order, fp32; ids equal to skip (the padding id; -1 none)
 * and tokens with start -1 (padding) get and give no gradient. Local. */
#ifndef MOP_KERNELS_EMBED_H
#define MOP_KERNELS_EMBED_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct embed_args {
    enum dtype act;
    int64_t tokens, width, vocab;
    const int32_t *ids;   /* (tokens) */
    const void *w;        /* forward: (vocab, width) act */
    void *y;              /* forward: (tokens, width) */
    const void *dy;       /* backward: (tokens, width) act */
    const int32_t *start; /* backward: (tokens), -1 padding; NULL: none */
    int32_t skip;         /* backward */
    float *dw_acc;        /* backward: (vocab, width) */
};

#endif
