/* h = silu(gate) * up, computed in fp32, rounded once; gate and up lie side by side in a row. Local. */
#ifndef MOP_KERNELS_SWIGLU_H
#define MOP_KERNELS_SWIGLU_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct swiglu_args {
    enum dtype act;
    int64_t rows, width;
    const void *gate_up; /* (rows, 2*width): gate then up */
    void *h;             /* (rows, width); forward: out; backward: recomputed into it where not NULL */
    const void *dh;      /* backward: (rows, width) */
    void *dgate_up;      /* backward: (rows, 2*width), may be gate_up */
};

#endif
