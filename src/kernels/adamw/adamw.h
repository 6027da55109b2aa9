/* AdamW, one pass over memory (Loshchilov & Hutter):
 *   g' = g*scale; m = b1 m + (1-b1) g'; v = b2 v + (1-b2) g'^2; p *= 1 - lr*wd; p -= lr * (m/c1) / (sqrt(v/c2) + eps)
 * with c1 = 1 - b1^t, c2 = 1 - b2^t. Elementwise in fp32, so any split gives the same bits. And the sum of squares
 * for the gradient norm, in fp64. Local. */
#ifndef MOP_KERNELS_ADAMW_H
#define MOP_KERNELS_ADAMW_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct adamw_args {
    int64_t count;
    float *p;    /* fp32 weights or masters */
    uint16_t *w; /* bf16 weights refreshed from p; NULL: p is the weight */
    float *m, *v;
    float *g;                            /* zeroed once read */
    double lr, beta1, beta2, eps, decay; /* decay 0 for vectors */
    double c1, c2;
    float scale; /* clipping */
};

/* *out = sum of x[i]^2 in fp64: fixed blocks of SUMSQ_BLOCK elements, their sums added in order. */
enum { SUMSQ_BLOCK = 65536 };
struct sumsq_args {
    int64_t count;
    const float *x;
    double *partial; /* work: (count + SUMSQ_BLOCK - 1) / SUMSQ_BLOCK */
    double *out;
};

#endif
