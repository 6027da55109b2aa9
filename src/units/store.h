/* WHAT    The keeper of weights: what a rank holds of each unit at rest (weights, gradients, masters, moments), and how a unit becomes whole
 *         for use and its gradient comes back to rest. Rooms see a unit whole on the device between enter and leave; nobody else indexes what
 *         rests but the optimizer, bucket by bucket, and rows of the embedding.
 * MATH    A unit's gradient is the sum over ranks, in rank order, fp32, of what each added between enter and leave; it is added to what rests.
 * MEMORY  n elements at rest, Theta/W and padding: n*b weights, 4*n gradients. W > 1, U the largest half-layer's dense elements, padded to W:
 *         zero3 2*U*b gathered, backward 2*4*U of gradients; replicate the same of all half-layers once. Runs of experts and of the head
 *         (units_run_bytes): R the run padded to its W/G shards: where G < W R*b, backward 4*R; whole G times that.
 * TRAFFIC zero3, per half-layer and rank: (W-1)/W*U*b in forward and again in backward, (W-1)/W*4*U of gradients. replicate: the weights once
 *         a step, the gradients once a micro-batch. Runs: (W/G-1)/(W/G)*R*(b, backward 4); whole (G-1)*R*(b, backward 4) more.
 * INVARIANTS
 *         I1 The next half-layer's gather is begun before this one's kernels are queued; a gradient's sum over ranks ends one half-layer behind.
 *         I2 Sums over ranks are in rank order, fp32.
 *         I3 Units are entered in the same order on all ranks, dense ones at most two at a time, and left before they are entered again.
 *         I4 What rests is touched by tasks on the compute stream, and by gathers that are queued behind it.
 * SEE     mop.md 3.1, 3.3, 3.6; docs/spec/device.md 4. */
#ifndef MOP_UNITS_STORE_H
#define MOP_UNITS_STORE_H

#include "base/arena.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "model/shard.h"

enum dense_strategy { DENSE_ZERO3, DENSE_REPLICATE };

struct held {
    struct shard shard;
    int64_t at;    /* of the shard in the store */
    bool resident; /* in use it is what is at rest: never gathered */
    /* in use, on the device */
    void *w;         /* elements [from, ...) of the unit, act; NULL: not there */
    float *grad_acc; /* the same elements' gradients, fp32; NULL: none */
    int64_t from;
};

/* Where a dense unit lies while it is whole. */
struct unit_slot {
    int unit;        /* that it holds or that is arriving; -1: none */
    void *w;         /* (U) act */
    float *grad_acc; /* (U) fp32 */
    int leaving;     /* unit whose gradient is on its way; -1: none */
    struct event in, out;
};

/* Runs of a unit (the experts of a rank of the expert block, columns of the head): one gathered over the ranks that share it, and, whole, all
 * runs over the block. Scratch; one unit at a time. */
struct unit_runs {
    bool whole;
    int64_t run; /* R */
    struct comm *shard, *shard_scatter, *block;
    void *w, *all;    /* (R), (G, R) act; NULL: not had */
    float *dw, *dall; /* the same, fp32 */
};

struct store {
    const struct exec *ex;
    struct mesh *mesh;
    const struct spec *spec;
    const struct params *params;
    struct split split;
    enum dtype act;           /* of w: F32, or BF16 with fp32 masters in optim */
    int dense;                /* enum dense_strategy */
    int64_t elements;         /* at rest on this rank, padding included */
    struct held *unit;        /* [params->units], host; NULL in a dry run */
    void *w;                  /* (elements) act, run, device */
    float *grad_acc;          /* (elements) fp32, run, device; NULL where nothing is trained */
    uint64_t version;         /* of w: counts its changes */
    struct unit_slot slot[2]; /* zero3 */
    char *whole_w;            /* replicate: all dense units, act and fp32, one behind the other */
    float *whole_grad_acc;
    uint64_t whole_version; /* of w that whole_w is a copy of */
    struct unit_runs experts, head;
};

/* Predict; lay out (twice: dry, then real). Sets all but what is in use; resident units are in use for good. */
MUST err_t store_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, int dense,
                       struct ledger *out);
MUST err_t store_layout(struct store *s, const struct exec *ex, struct mesh *mesh, const struct spec *spec, const struct params *p,
                        const struct split *how, enum dtype act, bool train, int dense, struct arenas *m);
/* What rests, padding too, becomes zero: queued. */
void store_clear(struct store *s);

/* ---- units in use. Collective over the communicators that make them whole; on one rank nothing moves. ---- */

/* Begin to make a dense unit (index in params->unit; -1: none) whole. */
MUST err_t unit_ahead(struct store *s, int unit);
/* Whole from here on in work queued on the compute stream, and, `backward`, with a gradient that starts at zero; the dense unit `next` (-1: none) is
 * begun. */
MUST err_t unit_enter(struct store *s, int unit, int next, bool backward);
/* Given up; with `backward` its gradient goes to where it rests, dense ones one unit behind. */
MUST err_t unit_leave(struct store *s, int unit, bool backward);
/* The gradients that are under way have come to rest; replicate: the micro-batch's are summed over the ranks. */
MUST err_t unit_settle(struct store *s);

/* Lay out and predict the runs of experts or the head (kind UNIT_EXPERTS, UNIT_HEAD) in the room's scratch. gradient: of the runs, too. */
MUST err_t unit_runs_bytes(const struct spec *s, const struct split *how, enum dtype act, enum unit_kind kind, bool whole, bool gradient,
                           struct ledger *out);
MUST err_t unit_runs_layout(struct store *s, enum unit_kind kind, bool whole, bool gradient, struct arena *scratch);
/* Elements of a run, padding included. */
int64_t unit_run_elements(const struct spec *s, const struct split *how, enum unit_kind kind);
/* A gradient dw (R) of this rank's run, summed elsewhere, to where it rests. dw is overwritten. Collective over the ranks that share the run. */
MUST err_t unit_give(struct store *s, int unit, float *dw);

/* Weight and gradient of a tensor whose unit is in use. */
static inline void *store_weight(const struct store *s, const struct param *p) {
    const struct held *u = &s->unit[p->unit_at];
    return (char *)u->w + (p->offset - s->params->unit[p->unit_at].offset - u->from) * dtype_bytes(s->act);
}
static inline float *store_grad(const struct store *s, const struct param *p) {
    const struct held *u = &s->unit[p->unit_at];
    return u->grad_acc ? u->grad_acc + (p->offset - s->params->unit[p->unit_at].offset - u->from) : NULL;
}

/* ---- what rests ---- */

/* What of a tensor this rank holds: its elements [from, from + count), at `at` in the store. count 0: none. */
struct piece {
    int64_t from, count, at;
};
struct piece store_piece(const struct store *s, const struct param *p);
struct piece store_piece_of(const struct store *s, const struct param *p, int rank);

/* A unit's shard at rest on the device: weights (act), gradient. For kernels that go by rows of it. */
static inline void *unit_rest(const struct store *s, int unit) { return (char *)s->w + s->unit[unit].at * dtype_bytes(s->act); }
static inline float *unit_rest_grad(const struct store *s, int unit) { return s->grad_acc + s->unit[unit].at; }

/* A tensor that the table must have (q of a layer, say): a missing one is a bug of the caller. */
MUST err_t store_find(const struct store *s, enum param_kind kind, int layer, int expert, const struct param **out);

/* What one call of the rooms works on, agreed before anything is laid out. */
struct shape {
    const struct spec *spec;
    struct split split;
    enum dtype act;
    int64_t rows, seq, tokens; /* tokens = rows*seq: resident on this rank in one micro-batch; of each of `rows` sequences seq = ceil(S/D) tokens,
                                  those from place*seq on. Every rank of a seq block has the same. May be 0. */
    int64_t tokens_most;       /* the largest `tokens` of any rank */
    bool backward;             /* train: gradients and what they need */
    bool keep;                 /* intermediates of every half-layer are kept, not recomputed */
    bool threads;              /* ranks are threads: they share memory */
};

/* Intermediates outlive their half-layer: they lie in the step's arena, a set for each layer, not in the shared scratch. */
static inline bool shape_kept(const struct shape *h) { return h->keep && h->backward; }

/* How many sets of intermediates a room holds that serves `layers` layers. */
static inline int shape_slots(const struct shape *h, int layers) { return shape_kept(h) ? layers : 1; }

#endif
