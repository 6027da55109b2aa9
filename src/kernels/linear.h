/* A linear layer out of the matmul kernel: y = x W^T with W (out, in), and its gradients. All operands dense, act in, act
 * out, weight gradient added into fp32. The time is the caller's room's. Local. */
#ifndef MOP_KERNELS_LINEAR_H
#define MOP_KERNELS_LINEAR_H

#include "kernels/exec.h"

struct linear {
    enum dtype act;
    int64_t rows, in, out;
    const void *w; /* (out, in) act */
    float *dw_acc; /* (out, in); backward only */
};

#define linear_forward(ex, l, x, y) linear_forward_at(DEVICE_HERE, ex, l, x, y)
void linear_forward_at(const char *site, const struct exec *ex, const struct linear *l, const void *x, void *y);
/* dw_acc += dy^T x, then dx = dy W. */
#define linear_backward(ex, l, x, dy, dx) linear_backward_at(DEVICE_HERE, ex, l, x, dy, dx)
void linear_backward_at(const char *site, const struct exec *ex, const struct linear *l, const void *x, const void *dy, void *dx);

#endif
