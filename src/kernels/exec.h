/* What a room needs to run a kernel: the back-end's table, and the stream that its launches are appended to. */
#ifndef MOP_KERNELS_EXEC_H
#define MOP_KERNELS_EXEC_H

#include "device/device.h"
#include "kernels/cost.h"
#include "kernels/kernels.h"

struct exec {
    struct kernels kernels;
    struct stream *s;
};

/* RUN(ex, add, add_args, .act = DT_F32, .count = n, .a = a, .b = b, .y = y): queued, the arguments by value, from this place or from `site`. */
#define RUN(ex, op, args, ...) RUN_SITE(DEVICE_HERE, ex, op, args, __VA_ARGS__)
#define RUN_SITE(site, ex, op, args, ...) RUN_LAUNCH(site, ex, op, args, &(struct args){__VA_ARGS__})

/* The same with a struct in hand: RUN_ARGS(ex, add, add_args, &a). */
#define RUN_ARGS(ex, op, args, ...) RUN_LAUNCH(DEVICE_HERE, ex, op, args, __VA_ARGS__)

#define RUN_LAUNCH(site, ex, op, args, ...)                                        \
    do {                                                                           \
        const struct args *const run_args_ = (__VA_ARGS__);                        \
        kernel_launch((ex), (site), KERNEL_##op, run_args_, op##_cost(run_args_)); \
    } while (0)

/* Queue kernel `op` of the table. */
void kernel_launch(const struct exec *ex, const char *site, enum kernel_id op, const void *args, struct cost cost);

#endif
