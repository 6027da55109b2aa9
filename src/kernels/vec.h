/* Vectors of VEC_LANES floats by GCC's vector extensions. Included once by each vector_cpu*.c, which has defined
 * VEC_LANES, the type vf and what its instruction set does in one instruction: vf_set1, vf_fma, vf_max, vf_min,
 * vf_sqrt. max and min give the second operand where one is NaN. Everything here is static: each of those files
 * compiles its own copy of every operation.
 *
 * A product and a sum that must not be fused stand in two statements: compilers may contract within one. */
#ifndef MOP_KERNELS_VEC_H
#define MOP_KERNELS_VEC_H

#include "kernels/kernels_int.h"

#include <float.h>
#include <math.h>

enum { L = VEC_LANES };

typedef int32_t vi __attribute__((vector_size(4 * VEC_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * VEC_LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * VEC_LANES)));
typedef vf vf_any __attribute__((aligned(4), may_alias));
typedef vh vh_any __attribute__((aligned(2), may_alias));

#define VEC_INLINE static inline __attribute__((always_inline, unused))

VEC_INLINE vf vf_load(const float *p) { return *(const vf_any *)p; }
VEC_INLINE void vf_store(float *p, vf x) { *(vf_any *)p = x; }

VEC_INLINE vf vf_of_bf16(vh h) { return (vf)(__builtin_convertvector(h, vu) << 16); }

/* As bf16_of_f32. The comparison is of signed numbers: the sign bit is cleared, and not every set compares unsigned ones. */
VEC_INLINE vh vf_to_bf16(vf x) {
    vu u = (vu)x, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
    vu nan = (vu)((vi)(u & 0x7fffffffu) > 0x7f800000);
    return __builtin_convertvector((nan & quiet) | (~nan & rounded), vh);
}

VEC_INLINE vf vf_round_act(enum dtype act, vf x) { return act == DT_BF16 ? vf_of_bf16(vf_to_bf16(x)) : x; }

/* x where keep is all ones, 0 where it is 0. */
VEC_INLINE vf vf_mask(vi keep, vf x) { return (vf)(keep & (vi)x); }

/* Lane numbers below n. */
VEC_INLINE vi vi_first(int n) {
    vi lane;
    for (int i = 0; i < L; i++) lane[i] = i;
    return lane < n;
}

/* n activations from p[at] on, n in [1, L]; lanes from n on are 0. */
VEC_INLINE vf vf_load_act(enum dtype act, const void *p, int64_t at, int64_t n) {
    if (act == DT_BF16) {
        const uint16_t *h = (const uint16_t *)p + at;
        if (n >= L) return vf_of_bf16(*(const vh_any *)h);
        vh part = {0};
        for (int i = 0; i < n; i++) part[i] = h[i];
        return vf_of_bf16(part);
    }
    const float *f = (const float *)p + at;
    if (n >= L) return vf_load(f);
    vf part = {0};
    for (int i = 0; i < n; i++) part[i] = f[i];
    return part;
}

VEC_INLINE void vf_store_act(enum dtype act, void *p, int64_t at, int64_t n, vf x) {
    if (act == DT_BF16) {
        uint16_t *h = (uint16_t *)p + at;
        vh y = vf_to_bf16(x);
        if (n >= L) *(vh_any *)h = y;
        else
            for (int i = 0; i < n; i++) h[i] = y[i];
        return;
    }
    float *f = (float *)p + at;
    if (n >= L) vf_store(f, x);
    else
        for (int i = 0; i < n; i++) f[i] = x[i];
}

/* Lanes in a fixed order: halves onto each other. */
VEC_INLINE float vf_sum(vf x) {
    for (int half = L / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}

/* Lanes that are NaN are passed over, unless all are. */
VEC_INLINE float vf_largest(vf x) {
    float max = x[0];
    for (int i = 1; i < L; i++) max = max >= x[i] || x[i] != x[i] ? max : x[i];
    return max;
}

/* Inner product of activations a[at_a + 0..n) and b[at_b + 0..n) in fp32: two chains of fused multiply-adds. */
VEC_INLINE float vf_dot(enum dtype act, const void *a, int64_t at_a, const void *b, int64_t at_b, int64_t n) {
    vf even = {0}, odd = {0};
    int64_t i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
        even = vf_fma(vf_load_act(act, a, at_a + i, L), vf_load_act(act, b, at_b + i, L), even);
        odd = vf_fma(vf_load_act(act, a, at_a + i + L, L), vf_load_act(act, b, at_b + i + L, L), odd);
    }
    for (; i < n; i += L) even = vf_fma(vf_load_act(act, a, at_a + i, n - i), vf_load_act(act, b, at_b + i, n - i), even);
    return vf_sum(even + odd);
}

/* e^x within 2 ulp; 0 below e^-86.5 (2.7e-38), so that nothing is subnormal; inf from 88.73 on; NaN stays NaN.
 * x = n ln 2 + r with |r| <= 0.347, ln 2 in two parts of which the first times n is exact; e^r = 1 + r + r^2 q(r), q of
 * degree 4 fitted for the relative error, 0.07 * 2^-24. 2 e^r is scaled by 2^(n-1), which is normal for every n met. */
VEC_INLINE vf vf_exp(vf x) {
    const float lowest = -86.5f, shift = 0x1.8p23f; /* adding it leaves n, rounded, in the low bits */
    vi small = x < vf_set1(lowest);
    x = vf_min(vf_set1(89.0f), vf_max(vf_set1(lowest), x));
    vf t = vf_fma(x, vf_set1(0x1.715476p0f), vf_set1(shift)), n = t - vf_set1(shift);
    vf r = vf_fma(n, vf_set1(-0x1.63p-1f), x);
    r = vf_fma(n, vf_set1(0x1.bd0106p-13f), r);
    vf q = vf_set1(0x1.6a2256p-10f);
    q = vf_fma(q, r, vf_set1(0x1.123b02p-7f));
    q = vf_fma(q, r, vf_set1(0x1.5558f8p-5f));
    q = vf_fma(q, r, vf_set1(0x1.55549p-3f));
    q = vf_fma(q, r, vf_set1(0x1.fffffcp-2f));
    q = vf_fma(q, r * r, r) + vf_set1(1.0f);
    vf scale = (vf)(((vi)t - (vi)vf_set1(shift) + 126) << 23);
    return vf_mask(~small, (q + q) * scale);
}

VEC_INLINE vf vf_sigmoid(vf x) { return vf_set1(1.0f) / (vf_set1(1.0f) + vf_exp(-x)); }

/* How many rows of `width` elements one task takes: a function of the shape alone, some 16K elements. */
VEC_INLINE int64_t rows_per_task(int64_t width) { return i64_max(1, 16384 / i64_max(1, width)); }

#endif
