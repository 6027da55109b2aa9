/* WHAT    Dense weights outside attention's own: RMS norms before each half-layer and before the head, the input
 *         embedding, the feed-forward of layers without experts, the residual sum.
 * MATH    h = norm(x);  x' = x + f(h);  mlp(h) = (silu(h Wg^T) * (h Wu^T)) Wd^T, width F
 * MEMORY  T tokens, b bytes of act, sets where kept, else 1: per half-layer T*H*b normed input and 4*T of 1/rms; final norm the
 *         same once; per dense feed-forward T*2F*b and T*F*b; backward T*F*b
 *         W ranks, U the largest half-layer's dense elements, padded to W: zero3 2*U*b gathered, backward 2*4*U of gradients; replicate the same
 *         of all half-layers once. Embedding, N tokens of the fullest rank, C = ceil(N/W): 8*N keys, 4*(N + W*C) ids, 8*W^2 counts,
 *         2*W*C*H rows of b bytes, in backward of 4
 * TRAFFIC zero3, per half-layer and rank: (W-1)/W*U*b in forward and again in backward, (W-1)/W*4*U of gradients. replicate: the weights once a
 *         step, the gradients once a micro-batch. Embedding: each distinct id a rank has, 4 bytes out, H*b in; backward 4*H out.
 * INVARIANTS
 *         I1 Recomputation gives the same bits.
 *         I2 The next half-layer's gather is begun before this one's kernels run; a gradient's sum over ranks ends one half-layer behind.
 *         I3 Sums over ranks are in rank order, fp32.
 * SEE     mop.md 3.1; families.md */
#ifndef MOP_DENSE_DENSE_H
#define MOP_DENSE_DENSE_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "model/store.h"

enum dense_strategy { DENSE_ZERO3, DENSE_REPLICATE };
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

/* Where a unit lies while it is whole. */
struct dense_slot {
    int unit;        /* that it holds or that is arriving; -1: none */
    void *w;         /* (U) act */
    float *grad_acc; /* (U) fp32 */
    bool arriving;
    int leaving; /* unit whose gradient is on its way; -1: none */
    struct comm_request in, out;
};

/* Rows of the embedding that a rank asks others for (embed.c). */
struct dense_fetch {
    uint64_t *key;       /* (N) id << 32 | token, ascending */
    int32_t *want;       /* (N) distinct ids, ascending */
    int64_t *count;      /* (W, W) how many rank s wants of rank p */
    int64_t *first;      /* (W + 1) of each part's ids in `want` */
    int64_t *bytes;      /* (4, W) counts and places of an exchange */
    int32_t *asked;      /* (W*C) */
    void *mine, *theirs; /* (W*C, H) act, in backward fp32 */
    int64_t cap;         /* C: rows between two ranks in one round */
};

struct dense {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct dense_opts opts;
    struct shape shape;
    struct dense_slot slot[2]; /* zero3 */
    char *whole_w;             /* replicate: all units of this room, act and fp32, one behind the other */
    float *whole_grad_acc;
    uint64_t version; /* of the store that whole_w is a copy of */
    struct dense_fetch fetch;
    struct normed *half;   /* [slots of 2L half-layers] */
    struct normed last;    /* before the head */
    struct mlp_saved *mlp; /* [slots of layers without experts] */
    void *dmid;            /* (T, F) act, scratch, backward */
};

MUST err_t dense_bytes(const struct shape *h, const struct params *p, const struct dense_opts *o, struct ledger *out);
/* dense_layout: norms, whose scratch is in use beside every other room's. mlp_layout and embed_layout: what shares its scratch with other
 * rooms. */
MUST err_t dense_layout(struct dense *d, const struct exec *ex, struct store *store, struct mesh *mesh, const struct dense_opts *o,
                        const struct shape *h, struct arenas *m);
MUST err_t mlp_layout(struct dense *d, struct arenas *m);
MUST err_t embed_layout(struct dense *d, struct arenas *m);

/* Dense weights for use (zero3.c): begin starts to gather a unit (index in params->unit); enter waits for it, begins the `next` (-1: none) and,
 * with `backward`, gives it gradients that start at zero; leave gives it up, and sends the gradients on their way with `backward`. settle
 * ends what is under way and, with dense.strategy=replicate, sums the gradients of the micro-batch over the ranks. Units are entered in the same
 * order on all ranks, at most two at a time, and left before they are entered again. Collective over mesh->dense_gather and
 * dense_scatter; on one rank nothing is done. */
MUST err_t dense_begin(struct dense *d, int unit);
MUST err_t dense_enter(struct dense *d, int unit, int next, bool backward);
MUST err_t dense_leave(struct dense *d, int unit, bool backward);
MUST err_t dense_settle(struct dense *d);

/* x (T, H) = embedding rows of ids (T). Backward adds dx to the rows' gradients; start -1 is padding. Collective over mesh->dense. */
MUST err_t embed_forward(struct dense *d, const int32_t *ids, void *x);
MUST err_t embed_backward(struct dense *d, const int32_t *ids, const int32_t *doc, const void *dx);

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
