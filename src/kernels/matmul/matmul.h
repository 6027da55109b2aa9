/* Matrix product over groups of rows, fp32 accumulation. Group g owns rows [row_off[g], row_off[g+1]).
 *
 *   MATMUL_NT  C[r, :n] (+)= A[r, :k] . B_g^T       B_g (n, k)   y = x W^T, W (out, in)
 *   MATMUL_NN  C[r, :n] (+)= A[r, :k] . B_g         B_g (k, n)   dx = dy W
 *   MATMUL_TN  C_g (m, n) (+)= sum over the group's rows r of A[r, :m]^T B[r, :n]      dW_acc += dy^T x
 *
 * A row of NT and NN never depends on the rows beside it or on their number: same bits whatever the
 * split into groups, calls or threads. An element of TN is one sum over the group's rows in a fixed
 * order. Groups may be empty (TN then leaves or zeroes C_g). dtypes F32 or BF16; C may be F32 with
 * BF16 operands; accumulate only into F32: the finished sum is added to C once. Where bs or cs is given, b or c
 * is not read, with one group too. No operand overlaps C. Local. See docs/decisions/matmul.md. */
#ifndef MOP_KERNELS_MATMUL_H
#define MOP_KERNELS_MATMUL_H

#include "base/pool.h"
#include "tensor/dtype.h"

enum matmul_kind { MATMUL_NT, MATMUL_NN, MATMUL_TN };

struct matmul_args {
    enum matmul_kind kind;
    int groups;
    const int64_t *row_off; /* [groups+1]; NULL with groups == 1: rows [0, rows) */
    int64_t rows;           /* used where row_off is NULL */
    int64_t m, n, k;        /* NT, NN: n, k; TN: m, n */
    const void *a;          /* (rows, lda) */
    int64_t lda;
    const void *b;         /* groups == 1, and TN: (rows, ldb) */
    const void *const *bs; /* [groups] NT, NN with groups > 1 */
    int64_t ldb;
    void *c;         /* NT, NN: (rows, ldc); TN with groups == 1 */
    void *const *cs; /* [groups] TN with groups > 1 */
    int64_t ldc;
    enum dtype a_dtype, b_dtype, c_dtype;
    bool accumulate;
};

#endif
