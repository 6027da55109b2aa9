/* WHAT    The head: logits, cross-entropy and their gradients, tile by tile; all logits never exist at once.
 * MATH    Y = h Wv^T;  loss = sum over targets of (m + log z - y_t);  dY = (softmax(Y) - onehot) * scale;  dh = dY Wv;
 *         dWv += dY^T h
 * MEMORY  rt = rows of a tile (vocab_tile_rows), V columns: 4*rt*V strip, in bf16 and training 2*rt*V of dY, 3*4*rt fold
 * TRAFFIC none on one rank; dtp and ring (mop.md 3.6) come with ranks.
 * INVARIANTS
 *         I1 The logits stay in fp32 from the matmul's accumulator to the loss.
 *         I2 scale is 1 / targets of the whole step; nothing divides again.
 * SEE     mop.md 3.6, 5 */
#ifndef MOP_VOCAB_VOCAB_H
#define MOP_VOCAB_VOCAB_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "model/store.h"

enum vocab_strategy { VOCAB_RING, VOCAB_DTP, VOCAB_DENSE_LOGITS };
enum vocab_travel { TRAVEL_AUTO, TRAVEL_WEIGHTS, TRAVEL_ACTIVATIONS };
struct vocab_opts {
    int strategy, travel;
};
extern const struct opt vocab_opt_list[];

enum { VOCAB_STRIP_BYTES = 64 << 20, VOCAB_TILE_ROWS = 256 };

struct vocab {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct vocab_opts opts;
    struct shape shape;
    int64_t tile_rows;
    float *strip;      /* (tile_rows, V) scratch */
    void *dstrip;      /* (tile_rows, V) bf16 scratch; the strip itself in fp32 */
    float *m, *z, *yt; /* (tile_rows) scratch */
};

int64_t vocab_tile_rows(const struct shape *h);
MUST err_t vocab_bytes(const struct shape *h, const struct vocab_opts *o, struct ledger *out);
MUST err_t vocab_layout(struct vocab *v, const struct exec *ex, struct store *store, struct mesh *mesh, const struct vocab_opts *o,
                        const struct shape *h, struct arenas *m);

/* loss_sum: sum over this rank's targets (negative: none), nats; targets: their number. With dh (T, H) not NULL also the
 * gradients, dh overwritten, the weight's added to the store. Local. */
MUST err_t vocab_loss(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh, double *loss_sum, int64_t *count);

/* Loss of each token into `each` (T), 0 where it has no target. Local. */
MUST err_t vocab_token_losses(struct vocab *v, const void *h, const int32_t *targets, float *each);

/* Logits (rows, V) fp32 of rows [first, first + rows) of h. Local. */
MUST err_t vocab_logits(struct vocab *v, const void *h, int64_t first, int64_t rows, float *logits);

#endif
