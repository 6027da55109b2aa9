/* The plan of a dispatch by least-loaded expert parallelism (mop.md 3.4) and the cut of a batch into chunks (3.5): pure
 * functions of gathered counts, so that every rank computes the same. docs/math/dispatch.md. Local. */
#ifndef MOP_EXPERTS_LLEP_PLAN_H
#define MOP_EXPERTS_LLEP_PLAN_H

#include "base/err.h"

struct llep_rule {
    double alpha;    /* capacity factor */
    double min_rows; /* m: fewest rows worth a spill */
    double lambda;   /* gate: plain expert parallelism while max load * E_p < lambda * all rows */
};

/* Rows [from, to) of an expert's global list (by source rank, then local order) are computed on `rank`. */
struct llep_interval {
    int expert, rank;
    int64_t from, to;
};

struct llep_plan {
    int ranks, experts;             /* E_p, E; E_p divides E */
    int owned;                      /* E/E_p: the owner of e is e div owned */
    int64_t rows;                   /* of all experts */
    bool plain;                     /* the gate kept plain expert parallelism (or nothing is routed) */
    int64_t *load;                  /* (E) rows of each expert */
    int64_t *first;                 /* (E+1) its intervals are [first[e], first[e+1]), by `from` */
    struct llep_interval *interval; /* by expert, then from */
    int64_t *assigned, *pending;    /* (E_p) work: rows taken; rows of experts not yet placed, by owner */
    int *order;                     /* (E) work */
    struct llep_interval *scratch;  /* work */
};

/* Bytes of memory that a plan of this size needs, aligned to 8. */
int64_t llep_plan_bytes(int ranks, int experts);
/* Put a plan into `memory` (llep_plan_bytes, aligned to 8; borrowed). */
void llep_plan_init(struct llep_plan *p, int ranks, int experts, void *memory);
/* counts (E_p, E): rows of each source rank for each expert; their sum below 2^62. */
void llep_plan_make(struct llep_plan *p, const struct llep_rule *rule, const int64_t *counts);
/* send (E_p, E_p): rows from rank to rank. */
void llep_plan_send(const struct llep_plan *p, const int64_t *counts, int64_t *send);

static inline int llep_owner(const struct llep_plan *p, int expert) { return expert / p->owned; }

/* ---- chunks (3.5) ---- */

/* K = max(1, min(ceil(tokens/chunk), chunks_max)) of the block's largest N. */
int64_t chunk_count(int64_t tokens, int64_t chunk, int64_t chunks_max);

/* Chunk of token i, 0 <= i < tokens: strided, i mod K, or contiguous runs of ceil(N/K). */
static inline int64_t chunk_of(int64_t i, int64_t tokens, int64_t chunks, bool strided) {
    return strided ? i % chunks : i / ((tokens + chunks - 1) / chunks);
}

#endif
