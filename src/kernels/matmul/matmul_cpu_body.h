/* The fp32 kernel and the store of one instruction set, in GCC's vector extensions. The including file
 * defines NAME(x) (its names), VW (floats in a vector), MR (rows of a tile; a tile is MR x 2 VW) and
 * FMA(a, b, c). No include guard: included once per set. */

#include "base/num.h"

typedef float NAME(vec) __attribute__((vector_size(4 * VW)));

static inline NAME(vec) NAME(load)(const float *p) {
    NAME(vec) v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void NAME(save)(float *p, NAME(vec) v) { memcpy(p, &v, sizeof v); }

/* `rows` is a constant where this is called, so that the sums live in registers. */
__attribute__((always_inline)) static inline void NAME(tile)(const int rows, int64_t steps, const float *a, const float *b, float *t,
                                                             int64_t ld, bool first) {
    NAME(vec) c[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        c[i][0] = first ? (NAME(vec)){0} : NAME(load)(t + i * ld);
        c[i][1] = first ? (NAME(vec)){0} : NAME(load)(t + i * ld + VW);
    }
    for (int64_t k = 0; k < steps; k++, a += MR, b += 2 * VW) {
        NAME(vec) b0 = NAME(load)(b), b1 = NAME(load)(b + VW);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            NAME(vec) ai = a[i] - (NAME(vec)){0}; /* broadcast, exactly */
            c[i][0] = FMA(ai, b0, c[i][0]);
            c[i][1] = FMA(ai, b1, c[i][1]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        NAME(save)(t + i * ld, c[i][0]);
        NAME(save)(t + i * ld + VW, c[i][1]);
    }
}

static void NAME(kernel)(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    if (rows > MR / 2) NAME(tile)(MR, steps, pa, pb, t, ld, first);
    else if (rows > 2) NAME(tile)(MR / 2, steps, pa, pb, t, ld, first);
    else if (rows == 2) NAME(tile)(2, steps, pa, pb, t, ld, first);
    else NAME(tile)(1, steps, pa, pb, t, ld, first);
}

static void NAME(store)(const float *t, int64_t ld, int64_t rows, int64_t cols, const struct matmul_args *a, void *c) {
    for (int64_t i = 0; i < rows; i++, t += ld) {
        if (a->c_dtype == DT_BF16) {
            bf16 *y = (bf16 *)c + i * a->ldc;
            for (int64_t j = 0; j < cols; j++) y[j] = bf16_of_f32(t[j]);
        } else if (a->accumulate) {
            float *y = (float *)c + i * a->ldc;
            for (int64_t j = 0; j < cols; j++) y[j] += t[j];
        } else {
            memcpy((float *)c + i * a->ldc, t, sizeof(float) * (size_t)cols);
        }
    }
}
