/* The fp32 kernel, the store and most of the packing of one instruction set, in GCC's vector extensions. The including
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

static inline void NAME(copy)(float *dst, const struct matmul_source *s, int64_t at, int64_t count) {
    if (s->dtype == DT_BF16) {
        for (int64_t i = 0; i < count; i++) dst[i] = bf16_to_f32(((const bf16 *)s->at)[at + i]);
    } else {
        memcpy(dst, (const float *)s->at + at, sizeof(float) * (size_t)count);
    }
}

/* Rows of A that lie along k stay rows, KC apart: the kernel broadcasts from them where they are. */
static void NAME(pack_rows)(float *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    for (int64_t l = 0; l < i64_round_up(lanes, MR); l++, dst += KC) {
        if (l < lanes) NAME(copy)(dst, s, l * s->ld, steps);
        else memset(dst, 0, sizeof(float) * (size_t)steps);
    }
}

/* A few steps of one panel, of which `have` lanes are there; the same steps further on are sent for. */
__attribute__((always_inline)) static inline void NAME(few_across)(float *to, const int width, const int64_t have, const struct matmul_source *s,
                                                                   int64_t lane, int64_t k, int64_t end) {
    int64_t at = k * s->ld + lane, ahead = (end - k) * s->ld, bytes = s->dtype == DT_BF16 ? 2 : 4;
    for (; k < end; k++, at += s->ld, to += width) {
        for (int64_t x = 0; x < width * bytes; x += 64) __builtin_prefetch((const char *)s->at + (at + ahead) * bytes + x);
        if (have < width) memset(to, 0, sizeof(float) * (size_t)width);
        NAME(copy)(to, s, at, have);
    }
}

/* Panels, `apart` floats one after the other, from lanes that lie beside each other. A few steps of all panels
 * at a time, so that memory is read in its order and a line that two panels share is fetched once. */
__attribute__((always_inline)) static inline void NAME(pack_across)(float *dst, const int width, int64_t apart, const struct matmul_source *s,
                                                                    int64_t lanes, int64_t steps) {
    enum { FEW = 16 };
    for (int64_t k = 0; k < steps; k += FEW) {
        float *to = dst + k * width;
        for (int64_t lane = 0; lane < lanes; lane += width, to += apart) {
            int64_t end = i64_min(steps, k + FEW);
            if (lane + width <= lanes) NAME(few_across)(to, width, width, s, lane, k, end);
            else NAME(few_across)(to, width, lanes - lane, s, lane, k, end);
        }
    }
}

static void NAME(pack_a)(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    if (s->layout == MATMUL_ALONG) NAME(pack_rows)(dst, s, lanes, steps);
    else NAME(pack_across)(dst, MR, MR * KC, s, lanes, steps);
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

__attribute__((always_inline)) static inline void NAME(tiles)(const int lane, const int step, int64_t steps, int rows, const float *a, const float *b,
                                                              float *t, int64_t ld, bool first) {
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
