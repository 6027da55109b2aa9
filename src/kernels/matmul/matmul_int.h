/* The packed product behind every fast matmul. One driver (matmul_drive.c) cuts C into tasks and blocks; an
 * engine brings the arithmetic of one instruction set and element type.
 *
 *   task    a rectangle of C of one group, at most mc x nc, computed by one worker, alone, in blocks of kc steps
 *   panel   mr rows of A, or nr columns of B, of a block, packed on the worker's stack in the kernel's order
 *
 * Why a row never depends on its neighbours: an element of C is one chain over k, in order, from zero, in
 * the same instructions wherever it lies. Blocks of k break the chain only where a step of the engine ends,
 * and carry it in fp32; rows and columns that are not there are computed as zeros and dropped. */
#ifndef MOP_KERNELS_MATMUL_INT_H
#define MOP_KERNELS_MATMUL_INT_H

#include "kernels/matmul/matmul.h"

/* How an operand lies in memory, seen from its panel: a lane is a row of A or a column of B. */
enum matmul_layout {
    MATMUL_ALONG,  /* k is contiguous, lanes are ld apart */
    MATMUL_ACROSS, /* lanes are contiguous, steps of k are ld apart */
};

struct matmul_source {
    const void *at; /* its element (lane 0, step 0) */
    int64_t ld;
    enum dtype dtype;
    enum matmul_layout layout;
};

struct matmul_engine {
    int mr, nr;                        /* a panel's lanes */
    int step;                          /* steps of k that the kernel takes at once; panels are filled up with zeros to it */
    int elem_bytes;                    /* of a packed element */
    int mc, nc, kc;                    /* a task's rectangle and block at most; multiples of mr, nr and step; the buffers below hold them */
    int64_t task_mac;                  /* multiplications that are worth a task of their own */
    void (*begin)(void), (*end)(void); /* around a task; NULL: nothing to do */
    /* `lanes` lanes by `steps` steps, missing lanes and steps zero, into panels mr * kc or nr * kc elements apart: all of A's; all
     * of B's or one. What a panel of A looks like may depend on its layout in memory. */
    void (*pack_a)(void *dst, const struct matmul_source *src, int64_t lanes, int64_t steps);
    void (*pack_b)(void *dst, const struct matmul_source *src, int64_t lanes, int64_t steps);
    /* By A's layout: t[mr][nr] (+)= panel . panel over `steps` (a multiple of step); rows of t are ld apart.
     * Rows from `rows` on may be left out. */
    void (*kernel[2])(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first);
    /* C's rectangle from finished sums; the one rounding, or the one addition with accumulate. */
    void (*store)(const float *t, int64_t ld, int64_t rows, int64_t cols, const struct matmul_args *a, void *c);
};

/* A task's buffers, on the worker's stack: a block of A and of B, sums between blocks of k. */
enum { MATMUL_A_BYTES = 384 << 10, MATMUL_B_BYTES = 384 << 10, MATMUL_T_BYTES = 1024 << 10 };

#define MATMUL_FITS(mc, nc, kc, mr, nr, elem_bytes)                                                                                          \
    ((mc) % (mr) == 0 && (nc) % (nr) == 0 && (mc) * (kc) * (elem_bytes) <= MATMUL_A_BYTES && (nc) * (kc) * (elem_bytes) <= MATMUL_B_BYTES && \
     (mc) * (nc) * (int)sizeof(float) <= MATMUL_T_BYTES)

/* The product by `wide`, which takes any operands, or by `narrow` (NULL: none) where A and B both are BF16. */
void matmul_drive(struct pool *pool, const struct matmul_args *a, const struct matmul_engine *wide, const struct matmul_engine *narrow);

extern const struct matmul_engine matmul_f32_portable, matmul_f32_avx2, matmul_f32_avx512, matmul_f32_amx, matmul_bf16_avx512, matmul_bf16_amx;

#endif
