/* What the AVX-512 engines share; for matmul_cpu_{avx512,bf16,amx}.c only. */
#ifndef MOP_KERNELS_MATMUL_CPU_AVX512_H
#define MOP_KERNELS_MATMUL_CPU_AVX512_H

#include "base/num.h"
#include "kernels/matmul/matmul_int.h"

#include <immintrin.h>

/* Panels for the BF16 engines, `apart` dwords one after the other, each [pair][width]: a dword holds a lane's steps 2 pair and
 * 2 pair + 1. Missing lanes, and steps up to a multiple of `pad`, are zero. */
void matmul_pack_pairs(uint32_t *dst, int width, int64_t apart, const struct matmul_source *s, int64_t lanes, int64_t steps, int pad);

void matmul_store_avx512(const float *t, int64_t ld, int64_t rows, int64_t cols, const struct matmul_args *a, void *c);

static inline __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

/* 16 lanes of two steps as pairs. */
static inline __m512i pair(__m256i first, __m256i second) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

static inline __m512i pair_at(const bf16 *first, const bf16 *second) {
    return pair(_mm256_loadu_si256((const __m256i *)(const void *)first), _mm256_loadu_si256((const __m256i *)(const void *)second));
}

/* dst[k][l] = src[l][k] of 16 x 16 dwords, for k < count, l in `to`. Rows of src are ld_bytes apart, those of
 * dst ld dwords. Quarters of four rows meet in one register as they are loaded (blends, which have two ports),
 * so that only the 4 x 4 transposes inside 128 bits are left to the one port that shuffles. */
__attribute__((always_inline)) static inline void transpose16(const void *src, int64_t ld_bytes, void *dst, int64_t ld, int count, __mmask16 to) {
    for (int k = 0; k < 16 && k < count; k += 4) {
        __m512i v[4];
        for (int i = 0; i < 4; i++) {
            const char *p = (const char *)src + i * ld_bytes + k * 4;
            v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x00f0, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * ld_bytes)));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x0f00, _mm_loadu_si128((const __m128i *)(const void *)(p + 8 * ld_bytes)));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0xf000, _mm_loadu_si128((const __m128i *)(const void *)(p + 12 * ld_bytes)));
        }
        __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
        __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
        __m512i out[4] = {_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)};
        for (int q = 0; q < 4 && k + q < count; q++) _mm512_mask_storeu_epi32((uint32_t *)dst + (k + q) * ld, to, out[q]);
    }
}

#endif
