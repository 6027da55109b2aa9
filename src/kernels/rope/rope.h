/* Rotary embedding of pairs (j, j + dim/2), in place:
 *   x1' = x1*cos - x2*sin, x2' = x2*cos + x1*sin;  backward turns the other way (sin negated).
 * Products in fp32, one rounding to act. Local. */
#ifndef MOP_KERNELS_ROPE_H
#define MOP_KERNELS_ROPE_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct rope_args {
    enum dtype act;
    int64_t rows, heads, dim; /* dim: head_dim, even */
    void *x;                  /* (rows, heads, dim), rows x_stride apart */
    int64_t x_stride;
    const int32_t *positions; /* (rows) */
    int64_t places;           /* positions that the tables have */
    const float *cos, *sin;   /* (places, dim/2), attention factor in them, rounded to act */
    bool backward;
};

#endif
