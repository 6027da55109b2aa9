/* What the two AMX engines share; for matmul_cpu_{amx,split_amx}.c and attention by AMX only. */
#ifndef MOP_KERNELS_MATMUL_CPU_AMX_H
#define MOP_KERNELS_MATMUL_CPU_AMX_H

#include "kernels/matmul/matmul_cpu_avx512.h"

enum { AMX_TILE_BYTES = 1024, AMX_PLANES = 3 };

/* Palette 1: every one of the eight tiles is 16 rows of 64 bytes. A constant, because the compiler takes
 * ldtilecfg to read only a word of it and would drop stores to the rest. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
_Static_assert(sizeof amx_config == 64, "the layout of ldtilecfg");

static inline void amx_begin(void) { _tile_loadconfig(&amx_config); }

static inline void amx_end(void) { _tile_release(); }

/* In both engines tiles 0 to 3 are 32 x 32 sums, rows ld apart in memory; 4 and 5 are A's, 6 and 7 B's. Zeros, or what t holds. */
static inline void amx_begin_sums(const float *t, int64_t ld, bool zeros) {
    if (zeros) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, t, 4 * ld);
        _tile_loadd(1, t + 16, 4 * ld);
        _tile_loadd(2, t + 16 * ld, 4 * ld);
        _tile_loadd(3, t + 16 * ld + 16, 4 * ld);
    }
}

static inline void amx_store_sums(float *t, int64_t ld) {
    _tile_stored(0, t, 4 * ld);
    _tile_stored(1, t + 16, 4 * ld);
    _tile_stored(2, t + 16 * ld, 4 * ld);
    _tile_stored(3, t + 16 * ld + 16, 4 * ld);
}

/* Sums += A . B of what is in 4 to 7; with 16 rows or fewer 5, 2 and 3 are left alone. */
static inline void amx_multiply(int rows) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (rows > 16) {
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* 16 pairs from 16 numbers and 16 others, each in three parts, the largest first. Halves are rounded up in size, which leaves no more
 * of x than the nearest even would. */
static inline void amx_split(__m512 first, __m512 second, __m512i part[AMX_PLANES]) {
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    for (int p = 0; p < AMX_PLANES - 1; p++) {
        const __m512i x = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(first), half), upper);
        const __m512i y = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(second), half), upper);
        part[p] = _mm512_or_si512(_mm512_srli_epi32(x, 16), y);
        first = _mm512_sub_ps(first, _mm512_castsi512_ps(x));
        second = _mm512_sub_ps(second, _mm512_castsi512_ps(y));
    }
    part[AMX_PLANES - 1] = _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(first), 16), _mm512_and_si512(_mm512_castps_si512(second), upper));
}

#endif
