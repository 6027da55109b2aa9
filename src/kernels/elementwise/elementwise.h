/* Small element-wise passes. act in, act out, arithmetic in fp32 with one rounding. Local. */
#ifndef MOP_KERNELS_ELEMENTWISE_H
#define MOP_KERNELS_ELEMENTWISE_H

#include "base/pool.h"
#include "tensor/dtype.h"

/* y = a + b; y may be a or b. */
struct add_args {
    enum dtype act;
    int64_t count;
    const void *a, *b;
    void *y;
};

/* x[r, :] += bias (rows `stride` apart); backward: db_acc[c] += sum over rows of dx[r, c], fixed order. With groups, as of the matrix
 * product: rows [row_off[g], row_off[g + 1]) have biases[g], and their sum goes to dbs_acc[g]; a group without rows is left alone. */
struct bias_args {
    enum dtype act;
    int64_t rows, width, stride;
    void *x;                   /* forward: in place; backward: the gradient, read only */
    const void *bias;          /* forward: (width) act */
    float *db_acc;             /* backward: (width) */
    int groups;                /* 0: none; else rows, bias and db_acc are not read */
    const int64_t *row_off;    /* (groups + 1) */
    const void *const *biases; /* forward: (groups) */
    float *const *dbs_acc;     /* backward: (groups) */
};

/* Clamp to [-limit, limit] (OLMoE's clip_qkv), in place; backward: dx = 0 where the input x lay outside. */
struct clamp_args {
    enum dtype act;
    int64_t rows, width, stride;
    const void *x; /* backward: the input before clamping, rows x_stride apart */
    int64_t x_stride;
    void *y; /* forward: in place; backward: the gradient, in place */
    float limit;
};

#endif
