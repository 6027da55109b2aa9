/* A linear layer out of the matmul kernel: y = x W^T with W (out, in), and its gradients. All operands dense, act in, act
 * out, weight gradient added into fp32. Local. */
#ifndef MOP_KERNELS_LINEAR_H
#define MOP_KERNELS_LINEAR_H

#include "kernels/exec.h"

struct linear {
    enum dtype act;
    int64_t rows, in, out;
    const void *w; /* (out, in) act */
    float *dw_acc; /* (out, in); backward only */
};

void linear_forward(const struct exec *ex, const struct linear *l, const void *x, void *y);
/* dw_acc += dy^T x, then dx = dy W. */
void linear_backward(const struct exec *ex, const struct linear *l, const void *x, const void *dy, void *dx);

#endif
