/* What the files of this room share. Local. */
#ifndef MOP_EXPERTS_EXPERTS_INT_H
#define MOP_EXPERTS_EXPERTS_INT_H

#include "experts/experts.h"

/* Elements of an expert: gate and up (2I, H), then down (H, I). */
static inline int64_t expert_elements(const struct spec *s) { return 3 * s->hidden * s->expert_width; }
/* Experts on a rank of the expert block, Q. */
static inline int experts_owned(const struct shape *h) { return h->spec->experts / h->split.expert; }
/* Are rows sent to their experts, or is all that a rank needs on it? */
static inline bool experts_travel(const struct shape *h, const struct experts_opts *o) {
    return h->split.expert > 1 && o->strategy != EXPERTS_GATHER;
}

/* ---- weights.c: the layer's experts for use, and their gradients home. Collective over expert_shard and, to gather all, expert_migrate. ---- */

MUST err_t experts_weights_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_weights_layout(struct experts *m, struct arenas *arenas);
/* m->w_in, w_out (and with backward g_in, g_out, from zero where they are copies) of the experts that this rank uses; NULL for the others. */
MUST err_t experts_weights_open(struct experts *m, int layer, bool backward);
MUST err_t experts_weights_close(struct experts *m, bool backward);
/* Point at expert e's weights and gradient (or NULL) in memory of its own. */
void experts_point(struct experts *m, int e, void *w, float *g);

/* ---- dispatch.c: rows to their experts and back, in chunks. Collective over the expert block. ---- */

MUST err_t experts_dispatch_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_dispatch_layout(struct experts *m, struct arenas *arenas);
/* y (T, H) from h, by the ids and weights (T, k) of the moe-th layer, whose weights are open. */
MUST err_t experts_dispatch_forward(struct experts *m, int moe, const float *weights, const void *h, void *y);
/* dh and m->dweights from dy; gradients of weights added. */
MUST err_t experts_dispatch_backward(struct experts *m, int moe, const float *weights, const void *h, const void *dy, void *dh);

/* ---- migrate.c: experts' weights to the ranks that the plan gives rows to, and their gradients back ---- */

MUST err_t experts_migrate_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out);
MUST err_t experts_migrate_layout(struct experts *m, struct arena *a);
/* By m->far.plan; skipped by all ranks of the block where it moves nothing. */
MUST err_t experts_migrate_out(struct experts *m, bool backward);
MUST err_t experts_migrate_home(struct experts *m);

#endif
