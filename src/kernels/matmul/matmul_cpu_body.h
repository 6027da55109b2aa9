/* The fp32 kernel, the store and A's packing of one instruction set, in GCC's vector extensions. The including
 * file defines NAME(x) (its names), VW (floats in a vector), MR (rows of a tile; a tile is MR x 2 VW), KC (steps
 * in a block) and FMA(a, b, c). Operands of either type are widened to fp32 as they are packed. No include
 * guard: included once per set. */

#include "base/num.h"

typedef float NAME(vec) __attribute__((vector_size(4 * VW)));

static inline NAME(vec) NAME(load)(const float *p) {
    NAME(vec) v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void NAME(save)(float *p, NAME(vec) v) { memcpy(p, &v, sizeof v); }

/* Rows of A that lie along k stay rows, KC apart: the kernel broadcasts from them where they are. */
static void NAME(pack_rows)(float *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    for (int64_t l = 0; l < i64_round_up(lanes, MR); l++, dst += KC) {
        if (l >= lanes) {
            memset(dst, 0, sizeof(float) * (size_t)steps);
        } else if (s->dtype == DT_BF16) {
            const bf16 *from = (const bf16 *)s->at + l * s->ld;
            for (int64_t k = 0; k < steps; k++) dst[k] = bf16_to_f32(from[k]);
        } else {
            memcpy(dst, (const float *)s->at + l * s->ld, sizeof(float) * (size_t)steps);
        }
    }
}

/* `rows` and the strides of A's panel are constants where this is called, so that the sums live in registers. */
__attribute__((always_inline)) static inline void NAME(tile)(const int rows, const int lane, const int step, int64_t steps, const float *a,
                                                             const float *b, float *t, int64_t ld, bool first) {
    NAME(vec) c[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        c[i][0] = first ? (NAME(vec)){0} : NAME(load)(t + i * ld);
        c[i][1] = first ? (NAME(vec)){0} : NAME(load)(t + i * ld + VW);
    }
    for (int64_t k = 0; k < steps; k++, a += step, b += 2 * VW) {
        NAME(vec) b0 = NAME(load)(b), b1 = NAME(load)(b + VW);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            NAME(vec) ai = a[i * lane] - (NAME(vec)){0}; /* broadcast, exactly */
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

__attribute__((always_inline)) static inline void NAME(tiles)(const int lane, const int step, int64_t steps, int rows, const float *a,
                                                              const float *b, float *t, int64_t ld, bool first) {
    if (rows > MR / 2) NAME(tile)(MR, lane, step, steps, a, b, t, ld, first);
    else if (rows > 2) NAME(tile)(MR / 2, lane, step, steps, a, b, t, ld, first);
    else if (rows == 2) NAME(tile)(2, lane, step, steps, a, b, t, ld, first);
    else NAME(tile)(1, lane, step, steps, a, b, t, ld, first);
}

static void NAME(kernel_along)(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    NAME(tiles)(KC, 1, steps, rows, pa, pb, t, ld, first);
}

static void NAME(kernel_across)(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    NAME(tiles)(1, MR, steps, rows, pa, pb, t, ld, first);
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
