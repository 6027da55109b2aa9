/* WHAT    AdamW with decoupled decay (none on vectors), the gradient norm, clipping, the learning-rate schedule. State is
 *         resident.
 * MATH    norm = sqrt(sum g^2) in fp64; scale = min(1, clip/(norm + 1e-6)) in fp32; AdamW as kernels/adamw/adamw.h
 * MEMORY  n parameters at rest on the rank, Theta/W and padding: 4*n m + 4*n v, and in bf16 4*n masters; 8 bytes per 65,536 of partial
 *         sums. Padding has gradient 0 and is not updated.
 * INVARIANTS
 *         I1 Every element counts once in the norm.
 *         I2 A norm that is not finite: nothing is updated.
 * SEE     mop.md 3.8 */
#ifndef MOP_OPTIM_OPTIM_H
#define MOP_OPTIM_OPTIM_H

#include "base/opt.h"
#include "comm/mesh.h"
#include "kernels/exec.h"
#include "units/store.h"

struct optim_opts {
    double beta1, beta2, eps, weight_decay;
};
extern const struct opt optim_opt_list[];

struct optim {
    const struct exec *ex;
    struct store *store;
    struct mesh *mesh;
    struct optim_opts opts;
    float *master;   /* (store->elements): the weights themselves in fp32 */
    float *m, *v;    /* (elements) */
    double *partial; /* work of the norm, and the norm's square behind it */
};

/* elements: at rest on this rank. */
MUST err_t optim_bytes(int64_t elements, enum dtype act, struct ledger *out);
MUST err_t optim_layout(struct optim *o, const struct exec *ex, struct store *store, struct mesh *mesh, const struct optim_opts *opts,
                        struct arenas *m);

/* Moments and masters start at zero: queued, behind the layout. Local. */
void optim_open(struct optim *o);

/* bf16 weights from masters, after a load: queued. Local. */
void optim_refresh(struct optim *o);

/* Norm of the gradient over all ranks; may be infinite or NaN. The host waits. Collective over mesh->dense. */
MUST err_t optim_norm(struct optim *o, double *norm);

/* One update, t from 1; gradients are zeroed. clip 0: none. Local. */
void optim_update(struct optim *o, double lr, int64_t t, double norm, double clip);

/* ---- schedule ---- */
enum schedule_kind { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_WSD };
struct schedule {
    int kind;
    double lr, floor;             /* floor: as a share of lr */
    int64_t warmup, steps, decay; /* decay: steps of WSD's last part */
};
/* Learning rate of step (from 0): lr*(step+1)/warmup while step < warmup; then from lr down to floor*lr at the last step. */
double schedule_lr(const struct schedule *s, int64_t step);

#endif
