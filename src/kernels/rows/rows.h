/* Rows of tokens to rows of experts and back. A ROW is a (token, slot) pair; experts' rows lie by expert, then token, then
 * slot. Local. */
#ifndef MOP_KERNELS_ROWS_H
#define MOP_KERNELS_ROWS_H

#include "base/pool.h"
#include "tensor/dtype.h"

/* y[row] = x[token[row]] (copies, no arithmetic). */
struct rows_gather_args {
    enum dtype act;
    int64_t rows, width, x_rows;
    const int32_t *token;
    const void *x; /* (x_rows, width) */
    void *y;       /* (rows, width) */
};

/* y[t] = sum over slots 0..k-1 of w[t,s] * x[pos[t,s]], added in slot order in fp32, rounded once; a slot with pos -1 adds
 * nothing. With w NULL all weights are 1 (the gradient of gather). */
struct rows_combine_args {
    enum dtype act;
    int64_t tokens, width, x_rows;
    int64_t apart; /* token t is row t*apart of y and of w; 0: 1 */
    int k;
    const int32_t *pos; /* (tokens, k) */
    const float *w;     /* (tokens, k), or NULL */
    const void *x;      /* (x_rows, width) */
    void *y;            /* (tokens, width) overwritten */
};
static inline int64_t rows_combine_apart(const struct rows_combine_args *a) { return a->apart ? a->apart : 1; }

/* Backward of combine: dx[pos] = w * dy[t] (rounded to act), dw[t,s] = <dy[t], x[pos]> in fp32 (0 where pos is -1). pos names each row of
 * x once; NULL: row t*k + s. */
struct rows_combine_backward_args {
    enum dtype act;
    int64_t tokens, width, x_rows;
    int k;
    const int32_t *pos;
    const float *w; /* (tokens, k) */
    const void *x;  /* (x_rows, width) */
    const void *dy; /* (tokens, width) */
    void *dx;       /* (x_rows, width); may be x */
    float *dw;      /* (tokens, k) */
};

/* y[to[i]] = x[from[i]] for i in order; NULL: i itself; a negative index leaves i out. No row of y is named twice. */
struct rows_put_args {
    int64_t rows, bytes; /* of a row */
    const int32_t *from, *to;
    int64_t x_rows, y_rows;
    const void *x;
    void *y;
};

/* y[r] = sum over i in [first[r], first[r + 1]) of x[token[i]], from 0 and in order, in fp32. */
struct rows_sum_args {
    enum dtype act;
    int64_t rows, width, tokens; /* tokens: at least first[rows] */
    const int32_t *first;        /* (rows + 1) */
    const int32_t *token;        /* (tokens) */
    int64_t x_rows;
    const void *x; /* (x_rows, width) act */
    float *y;      /* (rows, width) overwritten */
};

/* y_acc[to[i]] += x[i]; NULL: i itself; negative: left out. No row of y is named twice. */
struct rows_accumulate_args {
    int64_t rows, width;
    const int32_t *to;
    int64_t y_rows;
    const float *x; /* (rows, width) */
    float *y_acc;   /* (y_rows, width) */
};

#endif
