/* WHAT    The attention half of a layer without its norm and residual: projections, biases, QK norms, clamp, RoPE, exact
 *         causal attention confined to documents, output projection. Input h = norm(x), output written, not added.
 * MATH    qkv = h Wqkv^T + b;  q, k = rope(clamp(norm(q, k)));  v = clamp(v);  o = attention(q, k, v);  y = o Wo^T + bo
 * MEMORY  T tokens, b bytes of act, q = Hq*hd, kv = Hkv*hd, sets = layers where kept, else 1:
 *           per set   T*(q+2kv)*b projections, T*rot*b after norms and RoPE where they must be kept apart
 *                     (rot = q+kv with QK norms, q+2kv with clamp, else 0), T*q*b output, 4*T*Hq log-sum-exp,
 *                     8*T*norms of 1/rms
 *           backward  T*q*b dO, T*(q+2kv)*b, T*rot*b, 4*T*Hq delta
 *           run       4*S*hd of cos and sin; with a cache S*2kv*b a layer
 *         D > 1, a sequence of S' = D*ceil(S/D) tokens at a time, in C head chunks: of a chunk nq = Hq/(D*C) query heads of a rank, nkv KV heads that
 *         they use, w = (nq + 2nkv)*hd:  S'*w*b heads, as much on their way (up to max(w, 2*nq*hd) in backward), S'*nq*hd*b output; backward
 *         S'*2*nq*hd*b output and dO, S'*w*b gradients, 8*S'/D*kv sums. All but the last fall with C, as far as KV heads can be parted.
 * TRAFFIC D > 1, per token, layer and rank, (D-1)/D of: forward (sum of w over ranks and chunks + q)*b; backward twice the first and 2*q*b.
 *         Chunks and ranks that share a KV head get it each.
 * INVARIANTS
 *         I1 Recomputation gives the same bits: it is the same code on the same input.
 *         I2 With a cache a row has the bits that it has where its whole prefix comes in one call.
 *         I3 o and y have the same bits for every D and C. Gradients too, but where ranks or chunks share a KV head: each rounds its part
 *            of dk and dv to act, and the parts are added in fp32, by chunk, then rank, and rounded once.
 * SEE     mop.md 3.2; families.md */
#ifndef MOP_ATTENTION_ATTENTION_H
#define MOP_ATTENTION_ATTENTION_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "units/store.h"

struct attention_opts {
    int64_t head_chunks; /* of Ulysses; 1: all of the rank's heads at once */
};
extern const struct opt attention_opt_list[];

struct attention_saved {
    void *qkv;              /* (T, q+2kv) act: projections with bias; without rot also turned in place */
    void *rot;              /* (T, rot) act or NULL */
    float *rstd_q, *rstd_k; /* (T, Hq | Hkv, or 1) or NULL */
    void *o;                /* (T, q) act */
    float *lse;             /* (Hq, T) */
};

/* A sequence's heads, D > 1 (ulysses.c); scratch. */
struct attention_ulysses {
    int64_t *counts; /* (4, D), host */
    void *sent;      /* local tokens' heads by rank, on their way out or back */
    void *qkv;       /* (S, q + 2kv of the chunk) act */
    void *o;         /* (S, q of the chunk) act; in backward o and dO side by side */
    void *dqkv;      /* as qkv */
    float *dkv;      /* (seq, 2kv) of all heads */
};

struct attention {
    const struct exec *ex;
    const struct store *store;
    struct mesh *mesh;
    struct attention_opts opts;
    struct shape shape;
    struct attention_saved *saved; /* [slots] */
    int64_t places;                /* positions that have a cos and sin, S */
    float *cos, *sin;              /* (S, rope.dim/2) */
    void *dout, *dqkv, *drot;      /* scratch, backward */
    float *delta;
    struct attention_ulysses ulysses;
    int64_t q_width, kv_width, rot_width, positions;
    void *cache;                /* (layers, 2, cache_rows, kv_width) act, keys and values as attention reads them; NULL: none */
    int64_t cache_rows, cached; /* its room; how many rows before those of the next call it holds */
};

/* What one call needs to know of the batch: on the device, and, for costs, the same starts on the host. */
struct attention_batch {
    const int32_t *positions; /* (T) below max_positions given to the layout */
    const int32_t *start;     /* (T) absolute in the micro-batch; with a cache, in the cache. Not read where D > 1 */
    const int32_t *start_all; /* (rows, seq*D) of the block's whole sequences, in the sequence; read where D > 1 */
    const int32_t *host_start, *host_start_all;
};

/* Predict by the formula above; lay out (twice: dry, then real). `positions`: how many have a cos and sin. Local. */
MUST err_t attention_bytes(const struct shape *h, const struct attention_opts *o, int64_t positions, struct ledger *out);
MUST err_t attention_layout(struct attention *a, const struct exec *ex, const struct store *store, struct mesh *mesh, const struct attention_opts *o,
                            const struct shape *h, int64_t positions, struct arenas *m);

/* cos and sin of all positions, queued: once, behind the layout. */
void attention_open(struct attention *a);

/* Keys and values of up to `rows` tokens for calls that continue one sequence (generation): a call's rows come behind the
 * `cached` rows that the caller says are there, attend to these too, and are kept. Forward only. Local. */
MUST err_t attention_cache_bytes(const struct shape *h, int64_t rows, struct ledger *out);
MUST err_t attention_cache_layout(struct attention *a, int64_t rows, struct arenas *m);

/* y (T, H) = attention half of `layer` of h (T, H). With `again` (recomputation) y is not written and may be NULL. Collective over mesh->seq. */
MUST err_t attention_forward(struct attention *a, int layer, int slot, const struct attention_batch *in, const void *h, void *y, bool again);
/* dh (T, H) from dy (T, H); weight gradients added to the store. Collective over mesh->seq. */
MUST err_t attention_backward(struct attention *a, int layer, int slot, const struct attention_batch *in, const void *h, const void *dy, void *dh);

#endif
