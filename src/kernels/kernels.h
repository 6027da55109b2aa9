/* The table of kernels of a back-end. One list makes the struct, the names, the completeness check, the
 * test matrix and `mop doctor`'s table. A back-end starts from the reference set and overrides what it
 * has (BLIS does it so); no slot is NULL. Reference kernels (NAME_ref) are the specification: plain
 * loops, no pool; fast ones are held equal to them by tests/kernels.
 * Every kernel: void NAME(struct pool *pool, const struct ARGS *a). No allocation; what a kernel needs beyond its
 * arguments fits the stack (under 2 MiB). Results never depend on the number of threads. */
#ifndef MOP_KERNELS_KERNELS_H
#define MOP_KERNELS_KERNELS_H

#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/balance/balance.h"
#include "kernels/dispatch/dispatch.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embed/embed.h"
#include "kernels/fold/fold.h"
#include "kernels/gate/gate.h"
#include "kernels/heads/heads.h"
#include "kernels/matmul/matmul.h"
#include "kernels/move/move.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"
#include "kernels/route/route.h"
#include "kernels/rows/rows.h"
#include "kernels/swiglu/swiglu.h"

#define KERNEL_LIST(X)                                   \
    X(matmul, matmul_args)                               \
    X(norm_forward, norm_args)                           \
    X(norm_backward, norm_backward_args)                 \
    X(rope, rope_args)                                   \
    X(heads_forward, heads_args)                         \
    X(heads_backward, heads_args)                        \
    X(attention_forward, attention_args)                 \
    X(attention_backward, attention_backward_args)       \
    X(swiglu_forward, swiglu_args)                       \
    X(swiglu_backward, swiglu_args)                      \
    X(gate_forward, gate_args)                           \
    X(gate_backward, gate_backward_args)                 \
    X(route_forward, route_args)                         \
    X(route_backward, route_backward_args)               \
    X(dispatch_count, dispatch_count_args)               \
    X(dispatch_place, dispatch_place_args)               \
    X(dispatch_rows, dispatch_rows_args)                 \
    X(dispatch_weights, dispatch_weights_args)           \
    X(balance, balance_args)                             \
    X(balance_bias, balance_bias_args)                   \
    X(rows_gather, rows_gather_args)                     \
    X(rows_combine, rows_combine_args)                   \
    X(rows_combine_backward, rows_combine_backward_args) \
    X(rows_put, rows_put_args)                           \
    X(rows_sum, rows_sum_args)                           \
    X(rows_accumulate, rows_accumulate_args)             \
    X(embed_forward, embed_args)                         \
    X(embed_backward, embed_args)                        \
    X(fold_forward, fold_args)                           \
    X(fold_backward, fold_backward_args)                 \
    X(fold_init, fold_init_args)                         \
    X(fold_join, fold_join_args)                         \
    X(loss_sum, loss_sum_args)                           \
    X(token_losses, token_losses_args)                   \
    X(loss_tally, loss_tally_args)                       \
    X(adamw, adamw_args)                                 \
    X(sumsq, sumsq_args)                                 \
    X(add, add_args)                                     \
    X(bias_forward, bias_args)                           \
    X(bias_backward, bias_args)                          \
    X(clamp_forward, clamp_args)                         \
    X(clamp_backward, clamp_args)                        \
    X(copy_rows, copy_rows_args)                         \
    X(convert, convert_args)                             \
    X(accumulate, accumulate_args)

/* Those whose arguments point to arrays of the host: counts, offsets and places that it made for the launch. */
#define KERNEL_TABLES(X)                   \
    X(matmul, matmul_args)                 \
    X(bias_forward, bias_args)             \
    X(bias_backward, bias_args)            \
    X(dispatch_place, dispatch_place_args) \
    X(dispatch_rows, dispatch_rows_args)

struct kernels {
#define KERNEL_SLOT(name, args) void (*name)(struct pool * pool, const struct args *a);
    KERNEL_LIST(KERNEL_SLOT)
#undef KERNEL_SLOT
    const char *isa; /* "reference", "portable", "avx2", "avx512", "avx512_bf16", "amx" */
};

#define KERNEL_REF(name, args) void name##_ref(struct pool *pool, const struct args *a);
KERNEL_LIST(KERNEL_REF)
#undef KERNEL_REF

void kernels_reference(struct kernels *out);

/* The best this CPU has, or with `isa` not NULL the set of that name (ERR_USAGE if the CPU lacks it). */
MUST err_t kernels_cpu(const char *isa, struct kernels *out);

/* The i-th set's name from the plainest on, NULL behind the last; *lack says what this machine lacks to run it, NULL: nothing. */
const char *kernels_cpu_set(int i, const char **lack);

/* What the CPU calls itself. */
enum { KERNELS_CPU_NAME = 64 };
void kernels_cpu_name(char out[KERNELS_CPU_NAME]);

#endif
