/* The vectorised operations, compiled for whatever vec.h was told of, and how they enter the table. */
#ifndef MOP_KERNELS_VECTOR_SET_H
#define MOP_KERNELS_VECTOR_SET_H

#include "kernels/vec.h"

/* Sums over rows, SUM_RUN rows at a time in fp32; runs add in fp64. A task takes a strip of columns through all rows, or some runs. */
enum { STRIP = 64, SUM_RUN = 128 };

static void strip_add(double *sum, const vf *part, int64_t width) {
    for (int64_t c = 0; c < width; c++) sum[c] += (double)part[c / L][c % L];
}

#include "kernels/adamw/adamw_cpu.h"
#include "kernels/attention/attention_cpu.h"
#include "kernels/dispatch/dispatch_cpu.h"
#include "kernels/elementwise/elementwise_cpu.h"
#include "kernels/embed/embed_cpu.h"
#include "kernels/fold/fold_cpu.h"
#include "kernels/gate/gate_cpu.h"
#include "kernels/heads/heads_cpu.h"
#include "kernels/move/move_cpu.h"
#include "kernels/norm/norm_cpu.h"
#include "kernels/rope/rope_cpu.h"
#include "kernels/route/route_cpu.h"
#include "kernels/rows/rows_cpu.h"
#include "kernels/swiglu/swiglu_cpu.h"

static void vector_set(struct kernels *k) {
    k->norm_forward = norm_forward_cpu;
    k->norm_backward = norm_backward_cpu;
    k->rope = rope_cpu;
    k->heads_forward = heads_forward_cpu;
    k->heads_backward = heads_backward_cpu;
    k->attention_forward = attention_forward_cpu;
    k->attention_backward = attention_backward_cpu;
    k->swiglu_forward = swiglu_forward_cpu;
    k->swiglu_backward = swiglu_backward_cpu;
    k->gate_forward = gate_forward_cpu;
    k->gate_backward = gate_backward_cpu;
    k->route_forward = route_forward_cpu;
    k->route_backward = route_backward_cpu;
    k->dispatch_count = dispatch_count_cpu;
    k->dispatch_place = dispatch_place_cpu;
    k->dispatch_rows = dispatch_rows_cpu;
    k->dispatch_weights = dispatch_weights_cpu;
    k->rows_gather = rows_gather_cpu;
    k->rows_combine = rows_combine_cpu;
    k->rows_combine_backward = rows_combine_backward_cpu;
    k->embed_forward = embed_forward_cpu;
    k->embed_backward = embed_backward_cpu;
    k->fold_forward = fold_forward_cpu;
    k->fold_backward = fold_backward_cpu;
    k->adamw = adamw_cpu;
    k->sumsq = sumsq_cpu;
    k->add = add_cpu;
    k->bias_forward = bias_forward_cpu;
    k->bias_backward = bias_backward_cpu;
    k->clamp_forward = clamp_forward_cpu;
    k->clamp_backward = clamp_backward_cpu;
    k->rows_put = rows_put_cpu;
    k->rows_sum = rows_sum_cpu;
    k->rows_accumulate = rows_accumulate_cpu;
    k->fold_init = fold_init_cpu;
    k->fold_join = fold_join_cpu;
    k->loss_sum = loss_sum_cpu;
    k->token_losses = token_losses_cpu;
    k->copy_rows = copy_rows_cpu;
    k->convert = convert_cpu;
    k->accumulate = accumulate_cpu;
}

#endif
