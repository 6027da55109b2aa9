/* Rotary embedding of the first `dim` numbers of each head, in place:
 *   y1 = x1*cos - x2*sin, y2 = x2*cos + x1*sin;  backward turns the other way (sin negated).
 * Pair j is (j, j + dim/2). Interleaved, x1 and x2 of pair j stand at 2j and 2j + 1, and y1 and y2 at j and j + dim/2 (DeepSeek's
 * order: it leaves first the even, then the odd ones); backward takes from there and gives to 2j and 2j + 1.
 * Products in fp32, one rounding to act. Local. */
#ifndef MOP_KERNELS_ROPE_H
#define MOP_KERNELS_ROPE_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum { ROPE_INTERLEAVED_MAX = 512 }; /* the widest dim */

struct rope_args {
    enum dtype act;
    int64_t rows, heads, dim; /* dim: even */
    int64_t head_stride;      /* from one head to the next; 0: dim */
    void *x;                  /* (rows, heads, dim), rows x_stride apart */
    int64_t x_stride;
    const int32_t *positions; /* (rows) */
    int64_t places;           /* positions that the tables have */
    const float *cos, *sin;   /* (places, dim/2), attention factor in them, rounded to act */
    bool interleaved, backward;
};

static inline int64_t rope_head_stride(const struct rope_args *a) { return a->head_stride ? a->head_stride : a->dim; }

#endif
