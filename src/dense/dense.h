/* WHAT    Dense weights outside attention's own: RMS norms before each half-layer and before the head, the input
 *         embedding, the feed-forward of layers without experts, the residual sum.
 * MATH    h = norm(x);  x' = x + f(h);  mlp(h) = (silu(h Wg^T) * (h Wu^T)) Wd^T, width F
 * MEMORY  T tokens, b bytes of act, sets where kept, else 1: per half-layer T*H*b normed input and 4*T of 1/rms; final norm the
 *         same once; per dense feed-forward T*2F*b and T*F*b; backward T*F*b
 * TRAFFIC none on one rank; ZeRO-3 (mop.md 3.1) gathers before a layer and reduce-scatters behind it.
 * INVARIANTS
 *         I1 Recomputation gives the same bits.
 * SEE     mop.md 3.1; families.md */
#ifndef MOP_DENSE_DENSE_H
#define MOP_DENSE_DENSE_H

#include "kernels/exec.h"
#include "model/store.h"

struct normed {
    void *h;
    float *rstd;
}; /* (T, H) act, (T) */
struct mlp_saved {
    void *gate_up, *mid;
}; /* (T, 2F), (T, F) act */

struct dense {
    const struct exec *ex;
    const struct store *store;
    struct shape shape;
    struct normed *half;   /* [slots of 2L half-layers] */
    struct normed last;    /* before the head */
    struct mlp_saved *mlp; /* [slots of layers without experts] */
    void *dmid;            /* (T, F) act, scratch, backward */
};

MUST err_t dense_bytes(const struct shape *h, struct ledger *out);
/* dense_layout: norms, whose scratch is in use beside every other room's. mlp_layout: the feed-forward, whose scratch others share. */
MUST err_t dense_layout(struct dense *d, const struct exec *ex, const struct store *store, const struct shape *h, struct arenas *m);
MUST err_t mlp_layout(struct dense *d, struct arenas *m);

/* x (T, H) = embedding rows of ids (T). Backward adds dx to the rows' gradients; start -1 is padding. Local. */
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
