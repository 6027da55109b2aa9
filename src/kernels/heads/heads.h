/* Heads out of a part of their own and a part that all of them share: MLA's keys, whose rotary part is one for all heads.
 *   forward   y[r, h] = own[r, h] and, behind it, shared[r]
 *   backward  own[r, h] = the first part of y[r, h]; shared[r] = sum over heads, ascending, of the second, in fp32, rounded once
 * Local. */
#ifndef MOP_KERNELS_HEADS_H
#define MOP_KERNELS_HEADS_H

#include "base/pool.h"
#include "tensor/dtype.h"

struct heads_args {
    enum dtype act;
    int64_t rows, heads, own_dim, shared_dim;
    void *own; /* (rows, heads, own_dim), rows own_stride apart; forward: read only; backward: overwritten */
    int64_t own_stride;
    void *shared; /* (rows, shared_dim), rows shared_stride apart; the same */
    int64_t shared_stride;
    void *y; /* (rows, heads, own_dim + shared_dim), rows y_stride apart; forward: overwritten; backward: read only */
    int64_t y_stride;
};

#endif
