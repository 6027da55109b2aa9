/* WHAT    The mixture-of-experts half of a layer without its norm and residual: router, the plan of a batch (which row
 *         goes where), grouped expert products, combination; the load-balancing loss and bias balancing.
 * MATH    p = softmax(h Wr^T); top-k; w = p, divided by their sum where the family says so
 *         y_t = sum_s w_ts f_e(h_t), e = id_ts;  f_e(x) = (silu(x Wg^T) * (x Wu^T)) Wd^T
 *         aux = E sum_e F_e R_e over all MoE layers joined (mop.md 5); dL/dp_e = coef*E/(T*L_moe)*F_e
 *         Many ranks: E_p runs of Q = E/E_p experts, each over W/E_p ranks at rest, gathered for use (units). Where E_p > 1 rows go to their experts:
 *           ep         each expert whole on its owner
 *           llep       by the plan of llep_plan.h, experts migrating to the ranks that take part of their rows
 *           pipelined  the same in K = min(ceil(N/chunk), chunks_max) chunks of tokens i, i + K, ..., three on their way at once
 *           gather     nothing is sent: all experts on every rank (and so where E_p is 1)
 * MEMORY  T tokens, b bytes of act, sets = MoE layers where kept, else 1; rows of C = 4,096 tokens at a time are in work, R = T*k
 *         rows where kept, else C*k (where rows are sent R = C = 0):
 *           per set   T*E*b logits, 4*T*k weights, 8*R places, R*H*b in, R*2I*b, R*I*b, R*H*b out
 *           backward  4*T*k, C*k*I*b, T*H*b
 *           run       per MoE layer 2*T*k ids, 2*8*E counts, 4*E bias; 8*E + 4*E
 *           places    4*T*k numbers of rows, 4*E a chunk; where rows are sent 4*T*k lists more
 *           host      tables, and a layer's plan from forward to backward: rows of each chunk and expert, 4*E*ceil(T/C)
 *         c = N or with pipelined max(chunk, ceil(N/chunks_max)) of N tokens of the fullest rank, D = c*k rows sent, A = E_p*D rows that may come,
 *         whatever the router does:
 *           rows      a leg (1, pipelined up to 3): D*H*b + A*H*b, backward twice that and 8*D + 8*A; A*3I*b, backward A*(H + I)*b
 *           llep, pipelined  (E - Q)*3*H*I*(b + 4) of migrated experts, backward 4*E_p*3*H*I where gradients land
 *           host      a plan, once a block of ranks where these are threads: 4*E_p*E counts, 8*E*(E_p + 1) intervals, 8*E*E_p*K rows
 *         These are reserved; what a call has touched follows from experts_seen.
 * TRAFFIC per layer and rank, forward: 8*(E+1)*E_p counts, 4*K a piece that comes; about 2*N*k*H*b*(E_p-1)/E_p rows; 3*H*I*b a migrated expert.
 *         Backward: rows twice out and once home, 8 bytes a row, 3*H*I*(b + 4) a migrated expert, and no counts.
 * INVARIANTS
 *         I1 Backward uses the ids that forward chose and never routes again; it uses forward's plan and exchange (mop.md 6.4).
 *         I2 Slots are added 0..k-1 in fp32, rounded once (mop.md 6.5).
 *         I3 Padding routes nowhere and counts nowhere.
 *         I4 On one mesh every strategy gives the same hidden states, and the same gradients but for the order of the sum over rows in
 *            dW_e; pipelined with K = 1 is bitwise llep (tests/equiv/test_contracts.c).
 *         I5 No token is ever dropped; sizes of all exchanges follow from counts that all ranks of the block know.
 *         I6 The host waits for the device twice in the forward of a layer whose rows are sent, once where they are not (where a rank has tokens),
 *            and never in backward (device.md C3).
 * SEE     mop.md 3.3 to 3.5, 5, 6; families.md */
#ifndef MOP_EXPERTS_EXPERTS_H
#define MOP_EXPERTS_EXPERTS_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "units/store.h"

enum experts_strategy { EXPERTS_PIPELINED, EXPERTS_LLEP, EXPERTS_EP, EXPERTS_GATHER };
struct experts_opts {
    int strategy;
    double alpha, min_rows, lambda; /* mop.md 3.4 */
    int64_t chunk, chunks_max;      /* mop.md 3.5 */
    double balance_rate;            /* u of DeepSeek-V3's bias balancing; 0: off */
};
extern const struct opt experts_opt_list[];

struct experts_work; /* what the room works with (experts_int.h) */

struct experts {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct experts_opts opts;
    struct shape shape;
    int layers; /* MoE layers */
    /* on the device */
    uint16_t *ids;       /* (layers, T, k), this micro-batch */
    int64_t *count;      /* (layers, E) rows, this micro-batch; and one more: tokens */
    int64_t *count_step; /* (layers, E) rows of all ranks, this step so far */
    float *bias;         /* (layers, E) for the choice only; 0 unless balanced by bias */
    double *prob_sum;    /* (E) over the micro-batch's layers and tokens */
    float *aux_grad;     /* (E) dL/dp of the load-balancing loss; valid between balance and the last backward */
    /* on the host */
    const uint16_t *given; /* (layers, T, k) a routing to be used instead of the router's choice, or NULL (parity in bf16) */
    struct experts_work *work;
};

MUST err_t experts_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_layout(struct experts *m, const struct exec *ex, struct store *store, struct mesh *mesh, const struct experts_opts *o,
                          const struct shape *h, struct arenas *arenas);

/* Once, before the first step: what no step sets. Queued. */
void experts_open(struct experts *m);

/* Start of a step; start of a micro-batch. Queued. */
void experts_begin_step(struct experts *m);
void experts_begin_micro(struct experts *m);

/* A MoE half at work. */
struct moe_half {
    int layer, moe, slot; /* of the model; which of its MoE layers; which set of intermediates */
    const int32_t *start; /* (T): -1 padding */
    const void *h;        /* (T, H) */
};

/* y (T, H) = the half of h. With `again` (recomputation) ids are read and y is not written: the experts' rows are left to backward. Collective over
 * the expert axes. */
MUST err_t experts_forward(struct experts *m, const struct moe_half *x, void *y, bool again);
/* dh (T, H) from dy (T, H); weight gradients added. */
MUST err_t experts_backward(struct experts *m, const struct moe_half *x, const void *dy, void *dh);

/* After the last layer's forward: aux over the whole micro-batch, `tokens` of which are not padding on this rank, over `parts` (micro-batches of the
 * step) is added to *aux_acc on the device; prepares the gradient that backward adds, already times `scale` (coefficient / micro-batches). Queued.
 * Collective over mesh->dense. */
MUST err_t experts_balance(struct experts *m, int64_t tokens, double scale, double parts, double *aux_acc);

/* After the optimizer step: b_e += rate * sign(mean - count_e) (mop.md 6.10), from counts that all ranks have. Queued. Local. */
void experts_balance_bias(struct experts *m, double rate);

/* Rows of all ranks of the step so far (layers, E) to the host, which waits. Local. */
MUST err_t experts_counts(struct experts *m, int64_t *out);

/* What dispatches have met so far; all 0 where nothing is sent. Local. */
struct experts_seen {
    int64_t chunks, legs; /* of the last call; on their way at once at most */
    int64_t rows, guests; /* most that came in a chunk; most migrated experts that were here */
};
struct experts_seen experts_seen(const struct experts *m);

#endif
