/* F32 operands by AMX, which multiplies BF16 only: each number is split into three, x = hi + mid + lo, without a rest: hi is x rounded
 * to its first 8 bits, mid what is left rounded to 8 bits, lo the 8 bits or fewer that remain. Of the nine products of two such sums the
 * six largest are taken; the three left out are below 2^-22 |a||b| together. A block of k has its small products summed before the
 * large ones (hi . hi, each exact in fp32), so that the small ones' roundings do not matter, and blocks are added up: an element's error
 * is that of one fp32 chain over k and 2^-22 sum |a||b|. Numbers below 2^-126, whole ones or parts, count as zero; where one is not
 * finite, or 2^128 - 2^119 or more, its rows or columns of C become NaN, an infinite one's too.
 * A pair, what the tiles multiply at once, is steps p and p + 16 of 32: both operands have them so, and then splitting needs no
 * shuffles. See docs/decisions/matmul.md. */
#include "kernels/matmul/matmul_cpu_amx.h"

enum { MR = 32, NR = 32, STEP = 32, MC = 512, NC = 512, KC = 128 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 2 * AMX_PLANES), "the block fits its buffers");

/* Bytes of one plane of a step of a panel of A (two tiles), and of B. */
enum { PLANE_BYTES = 2 * AMX_TILE_BYTES };

static inline __m512 load(const struct matmul_source *s, int64_t at, __mmask16 have) {
    if (s->dtype == DT_F32) return _mm512_maskz_loadu_ps(have, (const float *)s->at + at);
    return widen(_mm256_maskz_loadu_epi16(have, (const bf16 *)s->at + at));
}

static inline __mmask16 first_of(int64_t count) { return count >= 16 ? 0xffff : (__mmask16)((1u << i64_max(count, 0)) - 1); }

/* 16 lines of 16 numbers of memory, turned: out[i][line]. `lines` and `count` of them are there, the others are zero. */
static inline void turn(float out[16][16], const struct matmul_source *s, int64_t at, int64_t lines, int64_t count) {
    if (s->dtype == DT_F32 && lines >= 16 && count >= 16) {
        transpose16((const float *)s->at + at, s->ld * 4, out, 16, 16, 0xffff);
        return;
    }
    _Alignas(64) float rows[16][16];
    for (int l = 0; l < 16; l++) _mm512_store_ps(rows[l], load(s, at + l * s->ld, l < lines ? first_of(count) : 0));
    transpose16(rows, sizeof rows[0], out, 16, 16, 0xffff);
}

/* A step of up to 16 lanes, plane p's [lane][pair] if `lane_major`, else [pair][lane], at dst + p * PLANE_BYTES, lines ld dwords apart. */
__attribute__((always_inline)) static inline void pack_tile(uint32_t *dst, int64_t ld, const bool lane_major, const struct matmul_source *s,
                                                            int64_t lane, int64_t lanes, int64_t step, int64_t steps) {
    enum { PLANE = PLANE_BYTES / 4 };
    const bool along = s->layout == MATMUL_ALONG;
    const int64_t at = along ? lane * s->ld + step : step * s->ld + lane, second = along ? 16 : 16 * s->ld;
    const int64_t lines = along ? lanes : steps, count = along ? steps : lanes; /* of memory */
    __m512i part[AMX_PLANES];
    if (along == lane_major) {
        for (int l = 0; l < 16; l++) {
            const int64_t i = at + l * s->ld;
            if (along) amx_split(load(s, i, l < lines ? first_of(count) : 0), load(s, i + 16, l < lines ? first_of(count - 16) : 0), part);
            else amx_split(load(s, i, l < lines ? first_of(count) : 0), load(s, i + second, l + 16 < lines ? first_of(count) : 0), part);
            for (int p = 0; p < AMX_PLANES; p++) _mm512_store_si512(dst + p * PLANE + l * ld, part[p]);
        }
        return;
    }
    _Alignas(64) float turned[2][16][16];
    turn(turned[0], s, at, lines, count);
    turn(turned[1], s, at + second, along ? lines : lines - 16, along ? count - 16 : count);
    for (int l = 0; l < 16; l++) {
        amx_split(_mm512_load_ps(turned[0][l]), _mm512_load_ps(turned[1][l]), part);
        for (int p = 0; p < AMX_PLANES; p++) _mm512_store_si512(dst + p * PLANE + l * ld, part[p]);
    }
}

/* Send for `lines` lines of `count` numbers each, in memory's order. */
static inline void fetch(const struct matmul_source *s, int64_t at, int64_t lines, int64_t count) {
    const int64_t bytes = s->dtype == DT_F32 ? 4 : 2;
    for (int64_t l = 0; l < lines; l++)
        for (int64_t x = 0; x < count * bytes; x += 64) _mm_prefetch((const char *)s->at + (at + l * s->ld) * bytes + x, _MM_HINT_T0);
}

/* [step of k][plane][tile of 16 lanes][lane][pair] a panel, in memory's order. The second tile of a panel that has 16 lanes or fewer is
 * left out: the kernel does not read it. */
static void pack_a(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    const int64_t tiles = i64_div_up(lanes, 16), blocks = i64_div_up(steps, STEP);
    for (int64_t i = 0; i < tiles * blocks; i++) {
        const bool along = s->layout == MATMUL_ALONG;
        const int64_t t = along ? i / blocks : i % tiles, k = along ? i % blocks : i / tiles;
        if (along && k == 0) fetch(s, (t + 1) * 16 * s->ld, i64_min(16, lanes - 16 * (t + 1)), steps);
        if (!along && t == 0) fetch(s, (k + 1) * STEP * s->ld, i64_min(STEP, steps - (k + 1) * STEP), lanes);
        char *to = (char *)dst + t / 2 * ((int64_t)MR * KC * 2 * AMX_PLANES) + k * (AMX_PLANES * PLANE_BYTES) + t % 2 * AMX_TILE_BYTES;
        pack_tile((uint32_t *)(void *)to, 16, true, s, 16 * t, lanes - 16 * t, k * STEP, steps - k * STEP);
    }
}

/* [step of k][plane][pair][lane] a panel. */
static void pack_b(void *dst, const struct matmul_source *s, int64_t lanes, int64_t steps) {
    for (int64_t k = 0; k < steps; k += STEP) {
        if (s->layout == MATMUL_ACROSS) fetch(s, (k + STEP) * s->ld, i64_min(STEP, steps - k - STEP), lanes);
        for (int64_t lane = 0; lane < lanes; lane += NR) {
            uint32_t *to = (uint32_t *)dst + lane * (KC * AMX_PLANES / 2) + k / STEP * (AMX_PLANES * PLANE_BYTES / 4);
            pack_tile(to, NR, false, s, lane, lanes - lane, k, steps - k);
            pack_tile(to + 16, NR, false, s, lane + 16, lanes - lane - 16, k, steps - k);
        }
    }
}

static inline void load_a(const char *plane, int rows) {
    _tile_stream_loadd(4, plane, 64);
    if (rows > 16) _tile_stream_loadd(5, plane + AMX_TILE_BYTES, 64);
}

static inline void load_b(const char *plane) {
    _tile_loadd(6, plane, 4 * NR);
    _tile_loadd(7, plane + 64, 4 * NR);
}

/* Bytes of a step of a panel: hi, mid and lo, one plane after the other. */
enum { MID = PLANE_BYTES, LO = 2 * PLANE_BYTES, STEP_BYTES = AMX_PLANES * PLANE_BYTES };

/* The five small products of a block of k, then the large one, so that the small ones' roundings are small. */
static void kernel(int64_t steps, int rows, const void *pa, const void *pb, float *t, int64_t ld, bool first) {
    const char *a = pa, *b = pb;
    amx_begin_sums(t, ld, true);
    for (int64_t k = 0; k < steps; k += STEP, a += STEP_BYTES, b += STEP_BYTES) {
        load_a(a, rows);
        load_b(b + LO);
        amx_multiply(rows);
        load_b(b + MID);
        amx_multiply(rows);
        load_a(a + MID, rows);
        amx_multiply(rows);
        load_b(b);
        amx_multiply(rows);
        load_a(a + LO, rows);
        amx_multiply(rows);
    }
    a = pa;
    b = pb;
    for (int64_t k = 0; k < steps; k += STEP, a += STEP_BYTES, b += STEP_BYTES) {
        load_a(a, rows);
        load_b(b);
        amx_multiply(rows);
    }
    if (first) {
        amx_store_sums(t, ld);
        return;
    }
    _Alignas(64) float block[MR * NR];
    amx_store_sums(block, NR);
    for (int i = 0; i < (rows > 16 ? 32 : 16); i++)
        for (int j = 0; j < NR; j += 16)
            _mm512_storeu_ps(t + i * ld + j, _mm512_add_ps(_mm512_loadu_ps(t + i * ld + j), _mm512_load_ps(block + i * NR + j)));
}

const struct matmul_engine matmul_f32_amx = {
    .mr = MR,
    .nr = NR,
    .step = STEP,
    .elem_bytes = 2 * AMX_PLANES,
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
