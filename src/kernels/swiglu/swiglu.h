/* The activation between an expert's products, computed in fp32, rounded once; gate and up lie side by side in a row.
 *   plain    h = g * sigmoid(g) * u
 *   clamped  h = (u + 1) * g * sigmoid(alpha * g), with g = min(gate, limit) and u = up cut to [-limit, limit]: gpt-oss. What is cut gets no
 *            gradient.
 * Local. */
#ifndef MOP_KERNELS_SWIGLU_H
#define MOP_KERNELS_SWIGLU_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct swiglu_args {
    enum dtype act;
    int64_t rows, width;
    float limit, alpha;  /* limit 0: plain; rounded to act, as a tensor of that type would hold it */
    const void *gate_up; /* (rows, 2*width): gate then up */
    void *h;             /* (rows, width); forward: out; backward: recomputed into it where not NULL */
    const void *dh;      /* backward: (rows, width) */
    void *dgate_up;      /* backward: (rows, 2*width), may be gate_up */
};

#endif
