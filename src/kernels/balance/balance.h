/* What keeps experts evenly used, over the MoE layers of a model together (mop.md 5) or by a bias on their choice (mop.md 6.10). Local. */
#ifndef MOP_KERNELS_BALANCE_H
#define MOP_KERNELS_BALANCE_H

#include "base/pool.h"
#include "tensor/dtype.h"

/* With n = *tokens * layers: F_e = rows of expert e in all layers / n, R_e = prob_sum_e / n;
 *   aux = E sum_e F_e R_e, added to *aux_acc over `parts`;  aux_grad_e = scale * E / n * F_e
 * and counts to those of the step. No tokens: aux and its gradient are 0. */
struct balance_args {
    int layers, experts;
    double scale, parts;
    const int64_t *tokens;  /* (1) of the micro-batch, without padding */
    const int64_t *count;   /* (layers, experts) rows */
    const double *prob_sum; /* (experts) of probabilities over layers and tokens */
    int64_t *step_acc;      /* (layers, experts) */
    float *aux_grad;        /* (experts) */
    double *aux_acc;        /* (1) */
};

/* bias += rate * sign(mean of the layer's counts - count). */
struct balance_bias_args {
    int layers, experts;
    double rate;
    const int64_t *count; /* (layers, experts) */
    float *bias;          /* (layers, experts) */
};

#endif
