/* What the two directions of attention by AMX share; for attention_cpu_{forward,backward}_amx.c only. Figures in
 * docs/decisions/attention.md.
 *
 * BF16 activations alone. Tokens go in UNITS of 32, dimensions in steps of 32 (what is missing is zero), and every product is one of
 * 32 x 32 sums in four tiles, over contractions of 32 an instruction. Scores stand with keys down and queries across, so that a
 * softmax is down the lanes and needs no sum across them.
 *
 * Q, K, V and dO are BF16, so that scores and dP are exact products summed in fp32. P and dS, which are fp32, are rounded to BF16 once
 * where they are multiplied (by V, dO, Q and K), as flash attention in BF16 does elsewhere; the sums of the softmax take them unrounded.
 * So each term of an output is off by 2^-8 of itself at most, beside the rounding of the output. Two BF16 of each would make that
 * 2^-16, for 1.4 to 1.6 times the tiles' instructions in the backward pass, and mop parity cannot tell one rounding from fp32
 * throughout (docs/math/bf16_bounds.md).
 *
 * An instruction adds 16 pairs of products to a sum, in an order of its own, so what is summed together must not hang on where a
 * block begins: keys that are contracted are in units anchored at the document's start, queries in units anchored where their run
 * of equal starts begins. Units that a query does not see add +0 or are left out. Subnormal operands and sums count as zero. */
#ifndef MOP_KERNELS_ATTENTION_CPU_AMX_H
#define MOP_KERNELS_ATTENTION_CPU_AMX_H

#include "kernels/kernels_int.h"
#include "kernels/matmul/matmul_cpu_amx.h"

enum { UNIT = 32, STEPS_MAX = ATTENTION_DIM_MAX / 32 };

#define AMX_INLINE __attribute__((always_inline)) static inline

/* Two tiles, as an operand of a product of 32 x 32: rows (of the left one) or columns (of the right one) 0 to 15 and 16 to 31,
 * against a contraction of 32. */
struct duo {
    _Alignas(64) uint32_t tile[2][16][16];
};

/* 32 x 32 sums. */
struct quad {
    _Alignas(64) float at[32][32];
};

/* sums (= or +=) left . right over n contractions, whose operands lie `left_step` and `right_step` apart. */
struct product {
    struct quad *sums;
    bool fresh;
    const struct duo *left, *right;
    int64_t left_step, right_step, n;
};

AMX_INLINE void product(struct product p) {
    amx_begin_sums(&p.sums->at[0][0], 32, p.fresh);
    for (int64_t i = 0; i < p.n; i++, p.left += p.left_step, p.right += p.right_step) {
        _tile_loadd(4, p.left->tile[0], 64);
        _tile_loadd(6, p.right->tile[0], 64);
        _tile_loadd(7, p.right->tile[1], 64);
        _tile_loadd(5, p.left->tile[1], 64);
        amx_multiply(32);
    }
    amx_store_sums(&p.sums->at[0][0], 32);
}

/* One head's side of the call: row i at p + i*stride; its dimensions in `steps` of 32. */
struct head_rows {
    const bf16 *p;
    int64_t stride;
    int dim, steps;
};

static inline struct head_rows head_of(const struct attention_args *a, const void *p, int64_t stride, int head) {
    return (struct head_rows){(const bf16 *)p + (int64_t)head * a->head_dim, stride, a->head_dim, (int)i64_div_up(a->head_dim, 32)};
}

static inline __mmask32 dims_in(int dim, int step) { return dim - 32 * step >= 32 ? 0xffffffffu : (__mmask32)((1u << (dim - 32 * step)) - 1); }

/* Rows [row, row + n), n up to 32, as left operands against their dimensions: out[step]. */
AMX_INLINE void pack_rows(const struct head_rows *s, int64_t row, int n, struct duo *out) {
    for (int r = 0; r < 32; r++) {
        const bf16 *from = s->p + (row + r) * s->stride;
        for (int d = 0; d < s->steps; d++) _mm_prefetch((const char *)(from + 32 * d) + 64 * s->stride, _MM_HINT_T0); /* 32 rows on */
        for (int d = 0; d < s->steps; d++)
            _mm512_store_si512(out[d].tile[r / 16][r % 16],
                               r < n ? _mm512_maskz_loadu_epi16(dims_in(s->dim, d), from + 32 * d) : _mm512_setzero_si512());
    }
}

/* The same operand turned: a left one to a right one against the same contraction, and the other way round. */
AMX_INLINE void turn(const struct duo *from, struct duo *to) {
    for (int t = 0; t < 2; t++) transpose16(from->tile[t], 64, to->tile[t], 16, 16, 0xffff);
}

/* Packed rows as right operands against the rows themselves: pair p is rows p and p + 16. Of a step's 32 dimensions the even ones are
 * columns 0 to 15, the odd ones 16 to 31: so pairing takes no shuffles, and neither does putting sums back in order. */
AMX_INLINE void pair_rows(const struct duo *from, struct duo *to) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    for (int p = 0; p < 16; p++) {
        const __m512i low = _mm512_load_si512(from->tile[0][p]), high = _mm512_load_si512(from->tile[1][p]);
        _mm512_store_si512(to->tile[0][p], _mm512_or_si512(_mm512_andnot_si512(upper, low), _mm512_slli_epi32(high, 16)));
        _mm512_store_si512(to->tile[1][p], _mm512_or_si512(_mm512_srli_epi32(low, 16), _mm512_and_si512(upper, high)));
    }
}

/* Pairs of P or dS: halves away from zero, which 16 bits or more to be cut off seldom are. */
AMX_INLINE __m512i pair_of(__m512 low, __m512 high) {
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    const __m512i l = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(low), half), 16), h = _mm512_add_epi32(_mm512_castps_si512(high), half);
    return _mm512_or_si512(l, _mm512_and_si512(h, upper));
}

/* Pairs of output, as bf16_of_f32. */
AMX_INLINE __m512i round_even(__m512 x) {
    const __m512i u = _mm512_castps_si512(x), last = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, last), _mm512_set1_epi32(0x7fff));
    return _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
}

/* 32 dimensions of a row, the even ones and the odd ones, each times `factor`, out to activations. A sum that fell to -0 goes out as
 * +0, as it does where another zero was added to it. */
AMX_INLINE void store_row(const struct head_rows *s, int64_t row, int step, __m512 even, __m512 odd, __m512 factor) {
    const __m512i low = round_even(_mm512_fmadd_ps(even, factor, _mm512_setzero_ps())),
                  high = round_even(_mm512_fmadd_ps(odd, factor, _mm512_setzero_ps()));
    const __m512i pairs = _mm512_or_si512(_mm512_srli_epi32(low, 16), _mm512_and_si512(high, _mm512_set1_epi32((int)0xffff0000)));
    _mm512_mask_storeu_epi16((bf16 *)(uintptr_t)(s->p + row * s->stride + 32 * step), dims_in(s->dim, step), pairs);
}

/* The same for sums with dimensions down and rows across, n of them from `row` on. */
AMX_INLINE void store_turned(const struct head_rows *s, int64_t row, int n, int step, const struct quad *sums, const float factor[32]) {
    for (int c = 0; c < 2; c++) {
        _Alignas(64) float turned[2][16][16];
        for (int half = 0; half < 2; half++) transpose16(&sums->at[16 * half][16 * c], sizeof sums->at[0], turned[half], 16, 16, 0xffff);
        for (int r = 0; r < 16 && 16 * c + r < n; r++)
            store_row(s, row + 16 * c + r, step, _mm512_load_ps(turned[0][r]), _mm512_load_ps(turned[1][r]), _mm512_set1_ps(factor[16 * c + r]));
    }
}

static inline void zero_rows(const struct head_rows *s, int64_t row, int64_t n) {
    for (int64_t r = 0; r < n; r++) memset((bf16 *)(uintptr_t)(s->p + (row + r) * s->stride), 0, (size_t)s->dim * sizeof(bf16));
}

/* 2^y for y <= 0 within 3 ulp, but 2^-126 below that: what is subnormal takes the CPU a hundred times as long. NaN stays NaN.
 * y = n + f with 0 <= f <= 1; 2^f = 1 + f q(f), q of degree 4 fitted for the relative error, 1.4 * 2^-24; 2^0 is 1. */
AMX_INLINE __m512 exp2_of(__m512 y) {
    y = _mm512_max_ps(_mm512_set1_ps(-126), y);
    const __m512 f = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF);
    __m512 q = _mm512_set1_ps(0x1.e974fap-10f);
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(0x1.277856p-7f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(0x1.c91ce6p-5f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(0x1.ebdb56p-3f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(0x1.62e4bap-1f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(q, f, _mm512_set1_ps(1)), y);
}

static const float log2_of_e = 0x1.715476p0f;

void attention_backward_amx(struct pool *pool, const struct attention_backward_args *b);

/* Lanes 0 to 31 as numbers. */
AMX_INLINE __m512i lane_numbers(int c) {
    return _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(16 * c));
}

/* Tokens of one start from `from` on, at most up to `end`. */
static inline int64_t run_length(const int32_t *start, int64_t from, int64_t end) {
    int64_t i = from + 1;
    while (i < end && start[i] == start[from]) i++;
    return i - from;
}

/* The query heads [*begin, *end) held here that use KV head kv. */
static inline void heads_of(const struct attention_args *a, int kv, int *begin, int *end) {
    *begin = (int)i64_max(0, (int64_t)(a->kv_head0 + kv) * a->group - a->q_head0);
    *end = (int)i64_min(a->heads, (int64_t)(a->kv_head0 + kv + 1) * a->group - a->q_head0);
}

#endif
