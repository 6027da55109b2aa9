/* What the files of this room share. Local. */
#ifndef MOP_ATTENTION_ATTENTION_INT_H
#define MOP_ATTENTION_ATTENTION_INT_H

#include "attention/attention.h"

/* Where q, k and v lie, as attention reads them: rows of tokens, strides in elements. */
struct attention_views {
    char *q, *k, *v;
    int64_t q_stride, k_stride, v_stride;
};

/* The layer's sinks and their gradient; NULL where the model has none. */
MUST err_t attention_sinks(const struct attention *a, int layer, const void **sinks, float **dsinks_acc);

/* ---- ulysses.c: attention where the ranks of a seq block share the sequences. Collective over mesh->seq. ---- */

/* What a rank of the block works on in a chunk: query heads [q0, q0 + nq), the KV heads that they use. */
struct attention_heads {
    int q0, nq, kv0, nkv;
};
struct attention_heads ulysses_heads(const struct shape *h, const struct attention_opts *o, int place, int chunk);
int ulysses_chunks(const struct shape *h, const struct attention_opts *o);

MUST err_t ulysses_bytes(const struct shape *h, const struct attention_opts *o, struct ledger *out);
MUST err_t ulysses_layout(struct attention *a, struct arenas *m);

/* v->o and v->lse of all local tokens. */
MUST err_t ulysses_forward(struct attention *a, int layer, struct attention_saved *v, const struct attention_views *w,
                           const struct attention_batch *in);
/* Gradients of q, k and v into d from a->dout. */
MUST err_t ulysses_backward(struct attention *a, int layer, struct attention_saved *v, const struct attention_views *w,
                            const struct attention_batch *in, const struct attention_views *d);

#endif
