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

#endif
