/* What a room needs to run a kernel: the back-end's table and the rank's pool. */
#ifndef MOP_KERNELS_EXEC_H
#define MOP_KERNELS_EXEC_H

#include "kernels/kernels.h"

struct exec {
    struct kernels kernels;
    struct pool *pool;
};

/* RUN(ex, add, add_args, .act = DT_F32, .count = n, .a = a, .b = b, .y = y) */
#define RUN(ex, op, args, ...) ((ex)->kernels.op((ex)->pool, &(struct args){__VA_ARGS__}))

#endif
