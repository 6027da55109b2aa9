/* Online softmax over a strip of the vocabulary (mop.md 3.6). Per token three fp32 numbers: m, z, y_t.
 *   fold:      m' = max(m, max Y), z' = e^(m-m') z + sum e^(Y-m'), y_t = Y[target] if it is in the strip
 *   loss       = m + log z - y_t for tokens with a target
 *   gradient:  dY = (e^(Y-m)/z - [column = target]) * scale, rows without a target: 0
 * A fresh m is -inf and z 0; a strip that is -inf only is skipped. Sums over columns in a fixed order. Local. */
#ifndef MOP_KERNELS_FOLD_H
#define MOP_KERNELS_FOLD_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct fold_args {
    int64_t rows, cols, ld; /* strip (rows, cols), rows ld apart */
    const float *y;
    int64_t col0;           /* vocabulary index of the first column */
    const int32_t *targets; /* (rows); negative: none */
    float *m, *z, *yt;      /* (rows) read and written */
};

struct fold_backward_args {
    struct fold_args fwd; /* m, z final; read only */
    float scale;          /* 1 / targets of the step */
    enum dtype act;
    void *dy; /* (rows, cols) act, rows dy_ld apart; may be y where act is F32 and the strides agree */
    int64_t dy_ld;
};

/* Fresh numbers: m = -inf, z = yt = 0. */
struct fold_init_args {
    int64_t rows;
    float *m, *z, *yt;
};

/* Numbers of the same tokens over different columns, joined in the order of the parts: m the largest, z = sum of z_s e^(m_s - m) over
 * the parts whose z_s is not 0 (or is NaN), yt = sum of yt_s. */
struct fold_join_args {
    int64_t rows;
    int parts;
    const float *from; /* (parts, 3, rows): m, z, yt */
    float *m, *z, *yt; /* overwritten */
};

/* The losses of tokens that have a target: m + log z - yt in fp64, added one by one in the order of rows to *sum_acc; their number to
 * *count_acc. */
struct loss_sum_args {
    int64_t rows;
    const float *m, *z, *yt;
    const int32_t *targets; /* negative: none */
    double *sum_acc;
    int64_t *count_acc;
};

/* The same, each rounded to fp32; 0 where there is no target. */
struct token_losses_args {
    int64_t rows;
    const float *m, *z, *yt;
    const int32_t *targets;
    float *each;
};

/* *total_acc += *sum in fp64: the micro-batches of a step, one after the other. */
struct loss_tally_args {
    const double *sum;
    double *total_acc;
};

#endif
