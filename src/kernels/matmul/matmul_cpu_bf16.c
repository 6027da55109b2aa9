/* BF16 operands by AVX512_BF16: pairs of steps multiplied and added into fp32 by one instruction. */
#include "kernels/matmul/matmul_cpu_avx512.h"

enum { MR = 12, NR = 32, STEP = 2, MC = 384, NC = 256, KC = 512, AHEAD = 16 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 2), "the block fits its buffers");

/* 16 pairs of up to 16 lanes where lanes lie in rows: as dwords, a transpose. */
static inline void pairs_along(uint32_t *dst, int width, __mmask16 to, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t step,
                               int64_t steps, int pairs) {
    if (lanes >= 16 && steps >= 32) {
        transpose16((const bf16 *)s->at + lane * s->ld + step, s->ld * 2, dst, width, 16, to);
        return;
    }
    _Alignas(64) uint32_t rows[16][16];
    __mmask32 have = steps >= 32 ? 0xffffffffu : (__mmask32)((1u << i64_max(steps, 0)) - 1);
    for (int l = 0; l < 16; l++) {
        __m512i v = _mm512_setzero_si512();
        if (l < lanes) v = _mm512_maskz_loadu_epi16(have, (const bf16 *)s->at + (lane + l) * s->ld + step);
        _mm512_store_si512(rows[l], v);
    }
    transpose16(rows, sizeof rows[0], dst, width, pairs, to);
}

/* Pairs [0, pairs) of up to 16 lanes where steps lie in rows. */
static inline void pairs_across(uint32_t *dst, int width, __mmask16 to, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t steps,
                                int64_t pairs) {
    const bf16 *from = (const bf16 *)s->at + lane;
    __mmask16 have = (__mmask16)((1u << lanes) - 1);
    for (int64_t p = 0; p < pairs; p++, from += 2 * s->ld) {
        __m256i first = _mm256_maskz_loadu_epi16(2 * p < steps ? have : 0, from);
        __m256i second = _mm256_maskz_loadu_epi16(2 * p + 1 < steps ? have : 0, from + s->ld);
        _mm512_mask_storeu_epi32(dst + p * width, to, pair(first, second));
    }
}

void matmul_pack_pairs(uint32_t *dst, int width, int64_t apart, const struct matmul_source *s, int64_t lanes, int64_t steps, int pad) {
    int64_t pairs = i64_round_up(steps, pad) / 2;
    for (int64_t lane = 0; lane < lanes; lane += width, dst += apart) {
        if (s->layout == MATMUL_ACROSS && width == 32 && lanes - lane >= 32 && steps == 2 * pairs) {
            const bf16 *from = (const bf16 *)s->at + lane;
            for (int64_t p = 0; p < pairs; p++, from += 2 * s->ld) {
                __builtin_prefetch(from + AHEAD * s->ld);
                __builtin_prefetch(from + (AHEAD + 1) * s->ld);
                _mm512_storeu_si512(dst + p * 32, pair_at(from, from + s->ld));
                _mm512_storeu_si512(dst + p * 32 + 16, pair_at(from + 16, from + s->ld + 16));
            }
            continue;
        }
        for (int at = 0; at < width; at += 16) {
            int64_t here = i64_min(i64_max(lanes - lane - at, 0), i64_min(16, width - at));
            __mmask16 to = (__mmask16)((1u << i64_min(16, width - at)) - 1);
            if (s->layout == MATMUL_ACROSS) {
                pairs_across(dst + at, width, to, s, lane + at, here, steps, pairs);
                continue;
            }
            for (int64_t p = 0; p < pairs; p += 16)
                pairs_along(dst + p * width + at, width, to, s, lane + at, here, 2 * p, steps - 2 * p, (int)i64_min(pairs - p, 16));
        }
    }
}

static void pack_a(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    matmul_pack_pairs(dst, MR, MR * KC / 2, s, lanes, steps, STEP);
}
static void pack_b(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    matmul_pack_pairs(dst, NR, NR * KC / 2, s, lanes, steps, STEP);
}

/* `rows` is a constant where this is called, so that the sums live in registers. */
__attribute__((always_inline)) static inline void tile(const int rows, int64_t pairs, const int32_t *a, const int32_t *b, float *t, int64_t ld,
                                                       bool first) {
    __m512 c[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        c[i][0] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(t + i * ld);
        c[i][1] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(t + i * ld + 16);
    }
    for (int64_t p = 0; p < pairs; p++, a += MR, b += NR) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            __m512bh ai = (__m512bh)_mm512_set1_epi32(a[i]);
            c[i][0] = _mm512_dpbf16_ps(c[i][0], ai, b0);
            c[i][1] = _mm512_dpbf16_ps(c[i][1], ai, b1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(t + i * ld, c[i][0]);
        _mm512_storeu_ps(t + i * ld + 16, c[i][1]);
    }
}

static void kernel(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    if (rows > MR / 2) tile(MR, steps / 2, pa, pb, t, ld, first);
    else if (rows > 2) tile(MR / 2, steps / 2, pa, pb, t, ld, first);
    else if (rows == 2) tile(2, steps / 2, pa, pb, t, ld, first);
    else tile(1, steps / 2, pa, pb, t, ld, first);
}

const struct matmul_engine matmul_bf16_avx512 = {
    .mr = MR,
    .nr = NR,
    .step = STEP,
    .elem_bytes = 2,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 4 << 20,
    .pack_a = pack_a,
    .pack_b = pack_b,
    .kernel = {kernel, kernel},
    .store = matmul_store_avx512,
};
