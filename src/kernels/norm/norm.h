/* RMS norm over the last dimension: r = 1/sqrt(mean(x^2) + eps) in fp32, then the weight, in one of three ways. With a gate z the result is
 * act(y * silu(z)), product and silu in fp32. Rows may be strided (a head inside a projection). Local. */
#ifndef MOP_KERNELS_NORM_H
#define MOP_KERNELS_NORM_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum norm_way {
    NORM_WAY_TWICE,   /* y = act(act(x*r) * w) */
    NORM_WAY_ONCE,    /* y = act(x*r * w): gpt-oss */
    NORM_WAY_PLUS_ONE /* y = act(x*r * (1 + w)): Qwen3-Next */
};

struct norm_args {
    enum dtype act;
    enum norm_way way;
    int64_t rows, heads, width; /* heads vectors of `width` in each row, back to back; 1 for the whole row */
    const void *x;              /* (rows, heads, width), rows x_stride apart */
    int64_t x_stride;
    const void *w; /* (width) act */
    double eps;
    const void *gate; /* (rows, heads, width) act, rows gate_stride apart; NULL: none */
    int64_t gate_stride;
    void *y; /* (rows, heads, width), rows y_stride apart; may be x */
    int64_t y_stride;
    float *rstd; /* (rows, heads) out; NULL: not kept */
};

struct norm_backward_args {
    enum dtype act;
    enum norm_way way;
    int64_t rows, heads, width;
    const void *x; /* the forward's input */
    int64_t x_stride;
    const void *w;
    const float *rstd; /* (rows, heads) of the forward */
    const void *gate;  /* as in the forward */
    int64_t gate_stride;
    void *dgate; /* with a gate: overwritten, rows gate_stride apart; may be gate */
    const void *dy;
    int64_t dy_stride;
    void *dx; /* overwritten; may be dy */
    int64_t dx_stride;
    const void
        *add;      /* added to dx before its one rounding (rows, heads, width), dx_stride apart; NULL: nothing (the residual's gradient); may be dx */
    float *dw_acc; /* (width) added into, one sum over rows and heads in a fixed order */
};

#endif
