#include "kernels/matmul/matmul_cpu_avx512.h"

#define NAME(x) avx512_##x
#define VW 16
#define MR 12
#define KC 256
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "kernels/matmul/matmul_cpu_body.h"

enum { NR = 2 * VW, MC = 384, NC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 4), "the block fits its buffers");

void matmul_store_avx512(const float *t, int64_t ld, int64_t rows, int64_t cols, const struct matmul_args *a, void *c) {
    avx512_store(t, ld, rows, cols, a, c);
}

/* 16 steps of 16 lanes, as far as there are any, into a panel of B, where lanes lie in rows. */
static inline void block_along(float *dst, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t step, int64_t steps) {
    if (s->dtype == DT_F32 && lanes >= 16 && steps >= 16) {
        transpose16((const float *)s->at + lane * s->ld + step, s->ld * 4, dst, NR, 16, 0xffff);
        return;
    }
    _Alignas(64) float rows[16][16];
    __mmask16 have = steps >= 16 ? 0xffff : (__mmask16)((1u << steps) - 1);
    for (int l = 0; l < 16; l++) {
        __m512 v = _mm512_setzero_ps();
        if (l < lanes) {
            int64_t i = (lane + l) * s->ld + step;
            if (s->dtype == DT_F32) v = _mm512_maskz_loadu_ps(have, (const float *)s->at + i);
            else v = widen(_mm256_maskz_loadu_epi16(have, (const bf16 *)s->at + i));
        }
        _mm512_store_ps(rows[l], v);
    }
    transpose16(rows, sizeof rows[0], dst, NR, (int)i64_min(steps, 16), 0xffff);
}

static void pack_b(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    if (s->layout == MATMUL_ACROSS) {
        avx512_pack_across(dst, NR, NR * KC, s, lanes, steps);
        return;
    }
    for (int at = 0; at < NR; at += 16) /* a single panel: matmul_drive.c */
        for (int64_t k = 0; k < steps; k += 16) block_along((float *)dst + k * NR + at, s, at, lanes - at, k, steps - k);
}

const struct matmul_engine matmul_f32_avx512 = {
    .mr = MR,
    .nr = NR,
    .step = 1,
    .elem_bytes = 4,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 16 << 20,
    .pack_a = avx512_pack_a,
    .pack_b = pack_b,
    .kernel = {avx512_kernel_along, avx512_kernel_across},
    .store = avx512_store,
};
