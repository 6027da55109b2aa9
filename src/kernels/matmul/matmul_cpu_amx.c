/* BF16 operands by AMX: tiles of 16 x 16 sums, 32 steps of k an instruction. Subnormal operands and sums count
 * as zero there. That the process may use tiles at all is asked for where the set is chosen (kernels_cpu.c). */
#include "kernels/matmul/matmul_cpu_amx.h"

enum { MR = 32, NR = 32, STEP = 32, MC = 384, NC = 256, KC = 512 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 2), "the block fits its buffers");

/* One tile of A, 16 lanes x 16 pairs, from steps that lie in rows: pairs first, then their transpose. */
static inline void a_tile_across(uint32_t *dst, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t step, int64_t steps) {
    _Alignas(64) uint32_t pairs[16][16];
    struct matmul_source part = *s;
    const bf16 *from = part.at = (const bf16 *)s->at + step * s->ld + lane;
    if (lanes == 16 && steps == STEP) {
        for (int p = 0; p < 16; p++, from += 2 * s->ld) {
            __builtin_prefetch(from + STEP * s->ld);
            __builtin_prefetch(from + (STEP + 1) * s->ld);
            _mm512_store_si512(pairs[p], pair_at(from, from + s->ld));
        }
    } else {
        matmul_pack_pairs(&pairs[0][0], 16, 0, &part, lanes, steps, STEP);
    }
    transpose16(pairs, sizeof pairs[0], dst, 16, 16, 0xffff);
}

static inline void a_tile_along(uint32_t *dst, const struct matmul_source *s, int64_t lane, int64_t lanes, int64_t step, int64_t steps) {
    __mmask32 have = steps >= 32 ? 0xffffffffu : (__mmask32)((1u << steps) - 1);
    const bf16 *from = (const bf16 *)s->at + lane * s->ld + step;
    for (int l = 0; l < 16; l++) {
        __builtin_prefetch(from + (l + 16) * s->ld); /* the next tile of these steps */
        __m512i v = l < lanes ? _mm512_maskz_loadu_epi16(have, from + l * s->ld) : _mm512_setzero_si512();
        _mm512_store_si512(dst + 16 * l, v);
    }
}

/* Lanes 16 t to 16 t + 15 and a STEP of k: a tile [lane][pair]. A panel has two, one after the other. */
static inline void a_tile(uint32_t *dst, const struct matmul_source *s, int64_t t, int64_t lanes, int64_t k, int64_t steps) {
    uint32_t *to = dst + t / 2 * (MR * KC / 2) + (k / STEP * 2 + t % 2) * (AMX_TILE_BYTES / 4);
    int64_t here = i64_min(lanes - 16 * t, 16);
    if (s->layout == MATMUL_ALONG) a_tile_along(to, s, 16 * t, here, k, steps - k);
    else a_tile_across(to, s, 16 * t, here, k, i64_min(steps - k, STEP));
}

/* In memory's order. The second tile of a panel that has 16 lanes or fewer is left out: the kernel does not read it. */
static void pack_a(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    int64_t tiles = i64_div_up(lanes, 16);
    if (s->layout == MATMUL_ALONG) {
        for (int64_t t = 0; t < tiles; t++)
            for (int64_t k = 0; k < steps; k += STEP) a_tile(dst, s, t, lanes, k, steps);
    } else {
        for (int64_t k = 0; k < steps; k += STEP)
            for (int64_t t = 0; t < tiles; t++) a_tile(dst, s, t, lanes, k, steps);
    }
}

static void pack_b(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    matmul_pack_pairs(dst, NR, NR * KC / 2, s, lanes, steps, STEP);
}

/* A streams past the panel of B, which is to stay in L1 (32 of its 48 KiB): hence the hinted loads of A, without
 * which a block of 512 steps runs at two thirds of this speed. */
static void kernel(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    const char *a = pa, *b = pb;
    const int64_t b_row = NR * 4;
    amx_begin_sums(t, ld, first);
    for (int64_t k = 0; k < steps; k += STEP, a += 2 * AMX_TILE_BYTES, b += 2 * AMX_TILE_BYTES) {
        _tile_stream_loadd(4, a, 64);
        if (rows > 16) _tile_stream_loadd(5, a + AMX_TILE_BYTES, 64);
        _tile_loadd(6, b, b_row);
        _tile_loadd(7, b + 64, b_row);
        amx_multiply(rows);
    }
    amx_store_sums(t, ld);
}

const struct matmul_engine matmul_bf16_amx = {
    .mr = MR,
    .nr = NR,
    .step = STEP,
    .elem_bytes = 2,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 16 << 20,
    .begin = amx_begin,
    .end = amx_end,
    .pack_a = pack_a,
    .pack_b = pack_b,
    .kernel = {kernel, kernel},
    .store = matmul_store_avx512,
};
