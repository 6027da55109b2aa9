/* WHAT    The mixture-of-experts half of a layer without its norm and residual: router, the plan of a batch (which row
 *         goes where), grouped expert products, combination; the load-balancing loss and bias balancing.
 * MATH    p = softmax(h Wr^T); top-k; w = p, divided by their sum where the family says so
 *         y_t = sum_s w_ts f_e(h_t), e = id_ts;  f_e(x) = (silu(x Wg^T) * (x Wu^T)) Wd^T
 *         aux = E sum_e F_e R_e over all MoE layers joined (mop.md 5); dL/dp_e = coef*E/(T*L_moe)*F_e
 *         Many ranks: E_p runs of Q = E/E_p experts, each over W/E_p ranks at rest, gathered for use. Where E_p > 1 rows go to their experts:
 *           ep         each expert whole on its owner
 *           llep       by the plan of llep_plan.h, experts migrating to the ranks that take part of their rows
 *           pipelined  the same in K = min(ceil(N/chunk), chunks_max) chunks of tokens i, i + K, ..., three on their way at once
 *           gather     nothing is sent: all experts on every rank (and so where E_p is 1)
 * MEMORY  T tokens, b bytes of act, sets = MoE layers where kept, else 1; rows of C = 4,096 tokens at a time are in work, R = T*k
 *         rows where kept, else C*k (where rows are sent R = C = 0):
 *           per set   T*E*b logits, 4*T*k weights, 8*(E+1) a chunk + 8*R plan, R*H*b in, R*2I*b, R*I*b, R*H*b out
 *           backward  4*T*k, C*k*I*b, T*H*b
 *           run       per MoE layer 2*T*k ids, 2*8*E counts, 4*E bias; 8*E + 4*E; 4*8*E pointers
 *         X = 3*H*I*Q of a run, N tokens of the fullest rank, c = N or with pipelined max(chunk, ceil(N/chunks_max)), D = c*k rows sent, A = E_p*D
 *         rows that may come, whatever the router does:
 *           E_p < W   X*b, backward 4*X;  gather 3*H*I*E*(b + 4) and 4*X more
 *           rows      a leg (1, pipelined up to 3): D*H*b + A*H*b, backward twice that and 8*D + 8*A; A*3I*b, backward A*(H + I)*b;
 *                     pipelined c*H*b + 4*c*k; 2*T*k places
 *           llep, pipelined  (E - Q)*3*H*I*(b + 4) of migrated experts, backward 4*E_p*3*H*I where gradients land
 *         These are reserved; what a call has touched follows from far.rows_high and far.guests_high.
 * TRAFFIC per layer and rank, forward: 8*(E+1)*E_p counts, 8*K*E*E_p; about 2*N*k*H*b*(E_p-1)/E_p rows; 3*H*I*b a migrated expert. Backward: rows
 *         twice out and once home, 8 bytes a row, 3*H*I*(b + 4) a migrated expert. E_p < W: (W/E_p - 1)/(W/E_p)*X*(2*b + 4).
 * INVARIANTS
 *         I1 Backward uses the ids that forward chose and never routes again (mop.md 6.4).
 *         I2 Slots are added 0..k-1 in fp32, rounded once (mop.md 6.5).
 *         I3 Padding routes nowhere and counts nowhere.
 *         I4 On one mesh every strategy gives the same hidden states, and the same gradients but for the order of the sum over rows in
 *            dW_e; pipelined with K = 1 is bitwise llep (tests/equiv/test_contracts.c).
 *         I5 No token is ever dropped; sizes of all exchanges follow from counts that all ranks of the block know.
 * SEE     mop.md 3.3 to 3.5, 5, 6; families.md */
#ifndef MOP_EXPERTS_EXPERTS_H
#define MOP_EXPERTS_EXPERTS_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "experts/llep_plan.h"
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

/* Tokens of a chunk: enough rows for the products' full speed. Kept or recomputed, the chunks and so the bits are the same. */
enum { EXPERTS_CHUNK = 4096 };

struct experts_saved {
    void *logits;   /* (T, E) act */
    float *weights; /* (T, k) */
    int64_t *off;   /* (chunks, E+1) first row of each expert in its chunk */
    int32_t *token; /* (R) of its chunk */
    int32_t *pos;   /* (R) as (tokens, k): row of each slot in its chunk, -1 none */
    void *in;       /* (R, H) act: gathered rows */
    void *gate_up;  /* (R, 2I) act */
    void *mid;      /* (R, I) act */
    void *out;      /* (R, H) act: unweighted outputs */
};

/* A chunk of rows on its way, D rows of it sent and A rows come; scratch. */
enum { EXPERTS_LEGS = 3 }; /* one arriving, one in work, one going home */
struct experts_leg {
    int64_t chunk, tokens, out_rows, in_rows;
    int32_t *token;           /* (D) */
    int32_t *pos;             /* (tokens, k): row of each slot, -1 none */
    int64_t *bytes, *bytes_a; /* (4, E_p) of rows, and of a number a row: out, where, in, where */
    int64_t *row_off;         /* (E_p * E + 1) first row of each source and expert */
    void *sent;               /* (D, H) act: rows that go, then those that came back */
    void *x;                  /* (A, H) act: in, and out in their place */
    float *sent_a, *back_a;   /* (D) backward: routing weights, their gradients */
    void *sent_g, *g;         /* (D, H), (A, H) act: dy, then dx */
    float *a, *da;            /* (A) */
    struct comm_request rx, rg, ra, ry;
};

/* Experts that lie on other ranks (weights.c, dispatch.c, migrate.c). */
struct experts_far {
    int unit;                    /* of the layer in hand */
    void *run, *all;             /* gathered: the rank's run of experts, all of them; scratch */
    float *drun, *dall, *landed; /* their gradients; where sums and gradients of helpers arrive */
    void *guest;                 /* (E - Q, 3*H*I) act: migrated experts */
    float *dguest;
    int64_t *counts;       /* (layers, E_p, E + 1) rows of each source for each expert, and its tokens: from forward to backward */
    int64_t *mine, *table; /* (E + 1), (E_p, E) of the layer in hand */
    struct llep_plan plan;
    int64_t chunks;          /* K */
    int64_t *to, *from;      /* (E_p, K, E) rows to and from each rank */
    int64_t *bytes;          /* (4, E_p) */
    const void **group_w;    /* (E_p * E) */
    int64_t *next;           /* (E_p * E) */
    int64_t *row, *interval; /* (E) */
    uint16_t *dest;          /* (T, k) rank of each row */
    struct experts_leg leg[EXPERTS_LEGS];
    int legs;
    void *gate_up, *mid, *out, *dmid; /* (A, 2I), (A, I), (A, H), (A, I) act */
    void *part;                       /* (tokens of a chunk, H) act */
    float *part_w;                    /* (tokens of a chunk, k) */
    int64_t rows_high, guests_high;   /* most rows of a chunk, most migrated experts that were here so far */
};

struct experts {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct experts_opts opts;
    struct shape shape;
    int layers;                  /* MoE layers */
    struct experts_saved *saved; /* [slots] */
    uint16_t *ids;               /* (layers, T, k), this micro-batch */
    int64_t *count;              /* (layers, E) rows, this micro-batch */
    int64_t *count_step;         /* (layers, E) rows, this step so far */
    float *bias;                 /* (layers, E) for the choice only; 0 unless balanced by bias */
    double *prob_sum;            /* (E) over the micro-batch's layers and tokens */
    float *aux_grad;             /* (E) dL/dp of the load-balancing loss; valid between balance and the last backward */
    const void **w_in, **w_out;  /* (E) of the layer in hand */
    float **g_in, **g_out;
    float *dweights; /* (T, k) scratch, backward */
    void *dmid;      /* (C*k, I) scratch, backward */
    void *dh_router; /* (T, H) scratch, backward */
    struct experts_far far;
    const uint16_t *given; /* (layers, T, k) a routing to be used instead of the router's choice, or NULL (parity in bf16) */
};

MUST err_t experts_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_layout(struct experts *m, const struct exec *ex, struct store *store, struct mesh *mesh, const struct experts_opts *o,
                          const struct shape *h, struct arenas *arenas);

/* Start of a step; start of a micro-batch. Local. */
void experts_begin_step(struct experts *m);
void experts_begin_micro(struct experts *m);

/* y (T, H) = MoE half of the moe-th MoE layer (`layer` of the model). start (T): -1 padding. With `again` (recomputation) ids are
 * read and y is not written: the experts' rows are left to backward. Collective over the expert axes. */
MUST err_t experts_forward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, void *y, bool again);
MUST err_t experts_backward(struct experts *m, int layer, int moe, int slot, const int32_t *start, const void *h, const void *dy, void *dh);

/* After the last layer's forward: aux over the whole micro-batch, `tokens` of which are not padding on this rank; prepares the
 * gradient that backward adds, already times `scale` (coefficient / micro-batches). Collective over mesh->dense. */
MUST err_t experts_balance(struct experts *m, int64_t tokens, double scale, double *aux);

/* After the optimizer step: b_e += rate * sign(mean - count_e) (mop.md 6.10). Collective over mesh->dense. */
MUST err_t experts_balance_bias(struct experts *m, double rate);

#endif
