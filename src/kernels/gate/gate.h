/* y = act(x * act(sigmoid(g))): attention's output times a gate for each number (Qwen3-Next), a shared expert's times one for each row.
 * Backward: dx = dy * act(sigmoid(g)), dg = dy * x * s (1 - s), for a row's one gate the sum of that over the row; fp32, one rounding. Local. */
#ifndef MOP_KERNELS_GATE_H
#define MOP_KERNELS_GATE_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct gate_args {
    enum dtype act;
    int64_t rows, width;
    bool one;      /* one gate for each row */
    const void *x; /* (rows, width), rows x_stride apart */
    int64_t x_stride;
    const void *gate; /* (rows, width), or (rows) of `one`; rows gate_stride apart */
    int64_t gate_stride;
    void *y; /* forward: (rows, width), rows y_stride apart; may be x */
    int64_t y_stride;
};

struct gate_backward_args {
    struct gate_args fwd; /* y is not read */
    const void *dy;       /* (rows, width), rows y_stride apart */
    void *dx;             /* overwritten, rows x_stride apart; may be dy where the strides agree */
    void *dgate;          /* overwritten, rows gate_stride apart; may be gate */
};

#endif
