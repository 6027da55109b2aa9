/* WHAT    The head: logits, cross-entropy and their gradients, tile by tile; all logits never exist at once. On many ranks the head lies in W shards
 *         of rows (model/shard.h), and every token must meet every column:
 *           ring          P runs of columns; runs, or tokens, go round, and each pair meets in one round
 *           dtp           tokens are gathered tile by tile to every run of columns
 *           dense_logits  the whole head is gathered on every rank, which forms its (N, V) logits: the baseline
 * MATH    Y = h Wv^T;  loss = sum over targets of (m + log z - y_t);  dY = (softmax(Y) - onehot) * scale;  dh = dY Wv;
 *         dWv += dY^T h
 * MEMORY  rt = rows of a tile, C = columns in use at once: 4*rt*C strip, in bf16 and training 2*rt*C of dY, 3*4*rt fold. One rank: C = V.
 *         Many, N tokens of the fullest rank, R = ceil(V/W) rows of a shard, A = R*W/P rows of a run:
 *           ring, weights    2*A*H*b, training 2*4*A*H; bf16 training 4*N*H of dh; 3*4*N fold; C = min(A, 1024)
 *           ring, tokens     A*H*b, 2*N*H*b, 2*4*N targets, 2*3*4*N fold; training 2*4*N*H of dh; C = min(A, 1024)
 *           dtp              A*H*b, P*rt*H*b, 4*P*rt targets, training 4*P*rt*H; 3*4*(P+1)*P*rt numbers; C = A, tiles of P*rt rows; 3*4*N
 *           dense_logits     rt = N, C = V
 *         Runs of the head are the keeper's (units/store.h). Without training 4*N losses; one sum
 * TRAFFIC per rank and micro-batch: ring, weights A*H*(2*(P-1)*b + 4*P); ring, tokens N*H*(2*(P-1)*b + 4*P) + some 30*N*P; dtp (P-1)*N*(H*b + 12*P + 4*H);
 *         dense_logits V*H*(b + 4); and where P < W (b + 4)*A*H for the run
 * INVARIANTS
 *         I1 The logits stay in fp32 from the matmul's accumulator to the loss.
 *         I2 scale is 1 / targets of the whole step; nothing divides again.
 *         I3 Sums over ranks are fp32 in a fixed order; dh is rounded once.
 * SEE     mop.md 3.6, 5 */
#ifndef MOP_VOCAB_VOCAB_H
#define MOP_VOCAB_VOCAB_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "units/store.h"

enum vocab_strategy { VOCAB_RING, VOCAB_DTP, VOCAB_DENSE_LOGITS };
enum vocab_travel { TRAVEL_AUTO, TRAVEL_WEIGHTS, TRAVEL_ACTIVATIONS };
struct vocab_opts {
    int strategy, travel;
};
extern const struct opt vocab_opt_list[];

/* A ring forms its strips twice anyway, so they may be as small as caches like. One rank packs the whole head for each tile's product. */
enum { VOCAB_STRIP_BYTES = 64 << 20, VOCAB_TILE_ROWS = 256, VOCAB_TILE_ROWS_ALONE = 512, VOCAB_STRIP_COLS = 1024 };

/* Tokens on their way, or at home. */
struct vocab_tokens {
    const void *x;          /* (n, H) act */
    const int32_t *targets; /* (n) */
    float *m, *z, *yt;      /* (n) */
    float *dx;              /* (n, H) fp32, training */
    int64_t n;
};

struct vocab_sum {
    double sum;    /* nats */
    int64_t count; /* targets */
};

struct vocab {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct vocab_opts opts;
    struct shape shape;
    int64_t tile_rows, cols; /* of a strip */
    float *strip;            /* (tile_rows, cols) scratch */
    void *dstrip;            /* (tile_rows, cols) bf16 scratch; the strip itself in fp32 */
    float *m, *z, *yt;       /* (tile_rows) scratch; on many ranks (N) */
    struct vocab_sum *loss;  /* run, device: of the tokens of the last vocab_loss */
    float *each;             /* (N) scratch, without gradients: losses of tokens */
    /* many ranks, scratch */
    bool weights_travel;
    int64_t run_rows;   /* A */
    void *ring[2];      /* (A, H) act: runs that come by */
    float *dring[2];    /* (A, H) fp32: their gradients */
    float *dx32;        /* (N, H) fp32 */
    void *x_ring[2];    /* (N, H) act: tokens that come by; dtp: one, (P*tile, H) */
    int32_t *t_ring[2]; /* (N) their targets */
    float *n_ring[2];   /* (3, N) their m, z and y_t; dtp: (3, P*tile) own, (P, 3, P*tile) of all */
    float *dx_ring[2];  /* (N, H) fp32; dtp: one, (P*tile, H) */
    int64_t *counts;    /* (4, P), host: tokens of each rank of the block; what an exchange sends and gets, and where; (W) work */
    /* ring, under way: what is used next, its targets (tokens), and what is added to */
    struct event next, next_targets, numbers, gradient;
};

/* Tile of a strip of `cols` columns. */
int64_t vocab_tile_rows(const struct shape *h, int64_t cols);
MUST err_t vocab_bytes(const struct shape *h, const struct vocab_opts *o, struct ledger *out);
MUST err_t vocab_layout(struct vocab *v, const struct exec *ex, struct store *store, struct mesh *mesh, const struct vocab_opts *o,
                        const struct shape *h, struct arenas *m);

/* Behind the layout: how many tokens each rank of the block has. Collective over mesh->control. */
MUST err_t vocab_open(struct vocab *v);

/* v->loss: sum over this rank's targets (negative: none), nats, and their number, on the device. With dh (T, H) not NULL also the
 * gradients, dh overwritten, the weight's added to what rests. Collective over mesh->vocab and vocab_shard. */
MUST err_t vocab_loss(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh);

/* Loss of each token into `each` (T) on the host, 0 where it has no target; of a run without gradients. The host waits. Collective. */
MUST err_t vocab_token_losses(struct vocab *v, const void *h, const int32_t *targets, float *each);

/* Logits (rows, V) fp32 on the host of rows [first, first + rows) of h. The host waits. Collective: every rank gives rows of its own, or none. */
MUST err_t vocab_logits(struct vocab *v, const void *h, int64_t first, int64_t rows, float *logits);

#endif
