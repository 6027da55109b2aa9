/* WHAT    Layer boundaries kept from forward to backward: one before each half-layer (attention, feed-forward) and one behind
 *         the last. `recompute` keeps only them and runs each half again in backward; `keep` keeps what the half computed too;
 *         `auto` keeps where the whole run then fits in a budget.
 * MEMORY  T tokens, b bytes of act: (2L+1)*T*H*b in training, 2*T*H*b (in turn) otherwise
 * TRAFFIC none; selective offload to the host (mop.md 3.7) comes later.
 * INVARIANTS
 *         I1 recompute and keep give the same bits.
 * SEE     mop.md 3.7 */
#ifndef MOP_STASH_STASH_H
#define MOP_STASH_STASH_H

#include "base/opt.h"
#include "units/store.h"

enum stash_strategy { STASH_AUTO, STASH_RECOMPUTE, STASH_KEEP };
struct stash_opts {
    int strategy;
    double budget; /* GiB of the ranks of a machine up to which auto keeps; 0: three quarters of what is available */
};
extern const struct opt stash_opt_list[];

struct stash {
    void **boundary; /* [count] (T, H) act */
    int count;
};

MUST err_t stash_bytes(const struct shape *h, struct ledger *out);
MUST err_t stash_layout(struct stash *s, const struct shape *h, struct arenas *m);

/* Input of half-layer j, 0 <= j <= 2L. */
static inline void *stash_boundary(const struct stash *s, int j) { return s->boundary[j % s->count]; }

#endif
