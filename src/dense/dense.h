/* WHAT    RMS norms before each half-layer and before the head, the input embedding, the feed-forward of layers without experts, the
 *         residual sum. Weights are made whole by the keeper (units/store.h).
 * MATH    h = norm(x);  x' = x + f(h);  mlp(h) = (silu(h Wg^T) * (h Wu^T)) Wd^T, width F
 * MEMORY  T tokens, b bytes of act, sets where kept, else 1: per half-layer T*H*b normed input and 4*T of 1/rms; final norm the
 *         same once; per dense feed-forward T*2F*b and T*F*b; backward T*F*b
 *         W ranks, embedding, N tokens of the fullest rank, C = ceil(N/W): host 28*N keys and tables, 4*W*C ids, 8*W^2 counts; device
 *         4*(2N + W*C) ids, 2*W*C*H rows of b bytes, in backward of 4
 * TRAFFIC Embedding: each distinct id a rank has, 4 bytes out, H*b in; backward 4*H out.
 * INVARIANTS
 *         I1 Recomputation gives the same bits.
 *         I2 Sums over ranks are in rank order, fp32.
 * SEE     mop.md 3.1; families.md */
#ifndef MOP_DENSE_DENSE_H
#define MOP_DENSE_DENSE_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "units/store.h"

struct dense_opts {
    int strategy;
};
extern const struct opt dense_opt_list[];

struct normed {
    void *h;
    float *rstd;
}; /* (T, H) act, (T) */
struct mlp_saved {
    void *gate_up, *mid;
}; /* (T, 2F), (T, F) act */

/* Rows of the embedding that a rank asks others for (embed.c). */
struct dense_fetch {
    /* host */
    uint64_t *key;  /* (N) id << 32 | token, ascending */
    int32_t *want;  /* (N) distinct ids, ascending */
    int64_t *begin; /* (N + 1) of each distinct id's tokens in `key` */
    int64_t *count; /* (W, W) how many rank s wants of rank p */
    int64_t *first; /* (W + 1) of each part's ids in `want` */
    int64_t *bytes; /* (4, W) counts and places of an exchange */
    int32_t *asked; /* (W*C) */
    int32_t *table; /* (2N + 1) what is uploaded next */
    int64_t cap;    /* C: rows between two ranks in one round */
    /* device, scratch */
    int32_t *rows;       /* (W*C) of the shard that others want */
    int32_t *index;      /* (2N + 1) */
    void *mine, *theirs; /* (W*C, H) act, in backward fp32 */
};

/* What the embedding needs to know of the batch: (T) on the device, and the same on the host. doc: of its first token, -1 padding. */
struct embed_batch {
    const int32_t *ids, *doc;
    const int32_t *host_ids, *host_doc;
};

struct dense {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct shape shape;
    struct dense_fetch fetch;
    struct normed *half;   /* [slots of 2L half-layers], host */
    struct normed last;    /* before the head */
    struct mlp_saved *mlp; /* [slots of layers without experts], host */
    void *dmid;            /* (T, F) act, scratch, backward */
};

MUST err_t dense_bytes(const struct shape *h, struct ledger *out);
/* dense_layout: norms, whose scratch is in use beside every other room's. mlp_layout and embed_layout: what shares its scratch with other
 * rooms. */
MUST err_t dense_layout(struct dense *d, const struct exec *ex, struct store *store, struct mesh *mesh, const struct shape *h, struct arenas *m);
MUST err_t mlp_layout(struct dense *d, struct arenas *m);
MUST err_t embed_layout(struct dense *d, struct arenas *m);

/* x (T, H) = embedding rows of the ids. Backward adds dx to the rows' gradients. Collective over mesh->dense and control. */
MUST err_t embed_forward(struct dense *d, const struct embed_batch *in, void *x);
MUST err_t embed_backward(struct dense *d, const struct embed_batch *in, const void *dx);

/* n->h = norm(x) with the weight `kind` of `layer` (PARAM_FINAL_NORM: layer -1). Backward: dx (T, H), holding the residual's
 * gradient, gets the norm's added to it. Local. */
MUST err_t dense_norm_forward(struct dense *d, enum param_kind kind, int layer, const void *x, struct normed *n);
MUST err_t dense_norm_backward(struct dense *d, enum param_kind kind, int layer, const void *x, const struct normed *n, void *dh, void *dx);

/* y = feed-forward of a layer without experts; with `again` (recomputation) y is not written. Backward: dh from dy. Local. */
MUST err_t mlp_forward(struct dense *d, int layer, int slot, const void *h, void *y, bool again);
MUST err_t mlp_backward(struct dense *d, int layer, int slot, const void *h, const void *dy, void *dh);

/* y = x + y, the residual. Local. */
void dense_add(struct dense *d, const void *x, void *y);

#endif
