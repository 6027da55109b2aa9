/* What the costs and footprints of the operations share. Local. */
#ifndef MOP_KERNELS_COST_INT_H
#define MOP_KERNELS_COST_INT_H

#include "kernels/cost.h"
#include "kernels/kernels_int.h"

static inline double size_of(enum dtype t) { return dtype_bytes(t); }

#endif
