/* WHAT    The mesh: communicators over the same ranks, one per axis and stream of work that may be under way beside others. D, E_p
 *         and P are chosen independently; each divides W (mop.md 2).
 * MATH    Axis of rank r: the block r div D (seq), r div E_p (expert), r div P (vocab), its place there r mod D, E_p, P; the shard
 *         axes join equal places of all blocks: r mod E_p (expert_shard), r mod P (vocab_shard).
 * MEMORY  Thirteen communicators per rank; see comm.h.
 * TRAFFIC None but for opening.
 * INVARIANTS
 *         I1 Rooms that share several communicators issue on them in the same relative order on all ranks (mop.md 6.1).
 * SEE     mop.md 2, 6.2. */
#ifndef MOP_COMM_MESH_H
#define MOP_COMM_MESH_H

#include "base/opt.h"
#include "comm/comm.h"

struct mesh {
    struct stream stream[13];         /* of each of: */
    struct comm control;              /* all W ranks, host memory only: counts, agreement, ids of embedding rows */
    struct comm dense;                /* all W ranks: rows of the embedding, loss, norm, counts of a step */
    struct comm dense_gather;         /* all W: weights of the coming layer */
    struct comm dense_scatter;        /* all W: gradients of the layer before */
    struct comm seq;                  /* blocks of D */
    struct comm expert;               /* blocks of E_p: the counts */
    struct comm expert_dispatch;      /* blocks of E_p: rows to their experts */
    struct comm expert_combine;       /* blocks of E_p: and back */
    struct comm expert_migrate;       /* blocks of E_p: experts' weights, and their gradients back */
    struct comm expert_shard;         /* equal place in the expert block: gather */
    struct comm expert_shard_scatter; /* the same ranks: gradients */
    struct comm vocab;                /* blocks of P: the ring */
    struct comm vocab_shard;          /* equal place in the vocab block */
};

struct mesh_opts {
    int64_t ranks;              /* W as asked for, 0: not */
    int64_t seq, expert, vocab; /* D, E_p (0: largest that can be), P (0: W) */
    bool check;
};
extern const struct opt mesh_opt_list[];

/* D, E_p and P for W ranks and a model of `experts` experts (0: none), checked; ERR_USAGE names the numbers that would do. Local. */
MUST err_t mesh_degrees(const struct mesh_opts *o, int ranks, int64_t experts, int *seq, int *expert, int *vocab);

/* Open all communicators on `world` (borrowed: it stays the caller's), each with a stream of the device (borrowed; it is freed
 * later; NULL: none, and nothing is queued). New: mesh_close, after an error too. Collective over world. */
MUST err_t mesh_open(struct mesh *m, struct comm *world, const struct mesh_opts *o, int64_t experts, struct device *d);
void mesh_close(struct mesh *m);

/* The mesh of one rank. New: mesh_close. */
MUST err_t mesh_self_open(struct mesh *out, struct device *d);
/* What this rank has spent in the mesh's communication so far (struct comm, ended_ns). Local. */
int64_t mesh_ended_ns(struct mesh *m);

#endif
