#include "kernels/matmul/matmul_cpu_avx512.h"

#define NAME(x) avx512_##x
#define VW 16
#define MR 12
#define KC 256
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "kernels/matmul/matmul_cpu_body.h"

enum { NR = 2 * VW, MC = 384, NC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, NR, 4), "the block fits its buffers");

void matmul_store_avx512(const float *t, int64_t ld, int64_t rows, int64_t cols, const struct matmul_args *a, void *c) {
    avx512_store(t, ld, rows, cols, a, c);
}

/* 16 steps of up to 16 lanes into steps x lanes, where lanes lie in rows. */
static inline void block_along(float *dst, int width, __mmask16 to, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t step,
                               int64_t steps) {
    if (s->dtype == DT_F32 && lanes >= 16 && steps >= 16) {
        transpose16((const float *)s->at + lane * s->ld + step, s->ld * 4, dst, width, 16, to);
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
    transpose16(rows, sizeof rows[0], dst, width, (int)i64_min(steps, 16), to);
}

__attribute__((always_inline)) static inline void pack(float *dst, const int width, int64_t apart, const struct matmul_source *s,
                                                       int64_t lanes, int64_t steps) {
    for (int64_t lane = 0; lane < lanes; lane += width, dst += apart) {
        if (s->layout == MATMUL_ACROSS && s->dtype == DT_F32 && lanes - lane >= width) {
            const float *from = (const float *)s->at + lane;
            for (int64_t k = 0; k < steps; k++, from += s->ld) memcpy(dst + k * width, from, sizeof(float) * (size_t)width);
            continue;
        }
        for (int at = 0; at < width; at += 16) {
            int64_t here = i64_min(i64_max(lanes - lane - at, 0), i64_min(16, width - at));
            __mmask16 have = (__mmask16)((1u << here) - 1), to = (__mmask16)((1u << i64_min(16, width - at)) - 1);
            if (s->layout == MATMUL_ALONG) {
                for (int64_t k = 0; k < steps; k += 16) {
                    block_along(dst + k * width + at, width, to, s, lane + at, here, k, steps - k);
                }
                continue;
            }
            for (int64_t k = 0; k < steps; k++) {
                int64_t i = k * s->ld + lane + at;
                __m512 v = s->dtype == DT_F32 ? _mm512_maskz_loadu_ps(have, (const float *)s->at + i)
                                              : widen(_mm256_maskz_loadu_epi16(have, (const bf16 *)s->at + i));
                _mm512_mask_storeu_ps(dst + k * width + at, to, v);
            }
        }
    }
}

static void pack_a(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    if (s->layout == MATMUL_ALONG) avx512_pack_rows(dst, s, lanes, steps);
    else pack(dst, MR, MR * KC, s, lanes, steps);
}

static void pack_b(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) { pack(dst, NR, NR * steps, s, lanes, steps); }

const struct matmul_engine matmul_f32_avx512 = {
    .mr = MR, .nr = NR, .step = 1, .elem_bytes = 4, .mc = MC, .nc = NC, .kc = KC, .task_mac = 16 << 20,
    .pack_a = pack_a, .pack_b = pack_b, .kernel = {avx512_kernel_along, avx512_kernel_across}, .store = avx512_store,
};
