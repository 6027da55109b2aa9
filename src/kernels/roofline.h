/* What this machine gives at best, measured: the two lines of the roofline. Local. */
#ifndef MOP_KERNELS_ROOFLINE_H
#define MOP_KERNELS_ROOFLINE_H

#include "base/trace.h"
#include "kernels/kernels.h"

/* n numbers of ordinary size, without the cost of random ones: what is multiplied does not change the time, unless it were all zero. */
void roofline_numbers(enum dtype t, void *p, int64_t n);

/* The shortest of the launches once(arg, 0), once(arg, 1), ... that about budget_ns give, three at least; at least 1 ns. */
int64_t roofline_shortest_ns(void (*once)(void *arg, int i), void *arg, int64_t budget_ns);

/* Operations a second: the best of matrix products of 1024 x 1024 operands of `act`, all three kinds in turn, for about
 * budget_ns. Takes 12 MiB for the call. */
MUST err_t roofline_matmul(const struct kernels *k, struct pool *pool, enum dtype act, int64_t budget_ns, double *flops);

/* Bytes a second, read and written: the best of copies of 128 MiB. A last-level cache that holds twice as much is what it
 * measures then. Takes 256 MiB for the call. */
MUST err_t roofline_copy(struct pool *pool, int64_t budget_ns, double *bytes);

/* The shortest time, in seconds, that `cost` can take where `flops` and `bytes` a second are the most (0: that one is not counted). */
double roofline_seconds(struct cost cost, double flops, double bytes);

#endif
