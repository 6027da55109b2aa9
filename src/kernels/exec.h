/* What a room needs to run a kernel: the back-end's table and the rank's pool, and who counts what was run. */
#ifndef MOP_KERNELS_EXEC_H
#define MOP_KERNELS_EXEC_H

#include "base/os.h"
#include "base/trace.h"
#include "kernels/cost.h"
#include "kernels/kernels.h"

struct exec {
    struct kernels kernels;
    struct pool *pool;
    struct trace *trace; /* NULL: nobody counts */
};

/* RUN(ex, add, add_args, .act = DT_F32, .count = n, .a = a, .b = b, .y = y), from the room of this file or of the file `site`. */
#define RUN(ex, op, args, ...) RUN_SITE(__FILE__, ex, op, args, __VA_ARGS__)
#define RUN_SITE(site, ex, op, args, ...) RUN_LAUNCH(site, ex, op, args, &(struct args){__VA_ARGS__})

/* The same with a struct in hand: RUN_ARGS(ex, add, add_args, &a). */
#define RUN_ARGS(ex, op, args, ...) RUN_LAUNCH(__FILE__, ex, op, args, __VA_ARGS__)

/* The cost is taken behind the kernel, which may be what counts the rows. */
#define RUN_LAUNCH(site, ex, op, args, ...)                                                                              \
    do {                                                                                                                 \
        const struct exec *const run_ex_ = (ex);                                                                         \
        const struct args *const run_args_ = (__VA_ARGS__);                                                              \
        const int64_t run_ns_ = run_ex_->trace ? os_now_ns() : 0;                                                        \
        run_ex_->kernels.op(run_ex_->pool, run_args_);                                                                   \
        if (run_ex_->trace) trace_add(run_ex_->trace, (site), KERNEL_##op, os_now_ns() - run_ns_, op##_cost(run_args_)); \
    } while (0)

#endif
