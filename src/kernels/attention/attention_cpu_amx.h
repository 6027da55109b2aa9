/* What the two directions of attention by AMX share; included by attention_cpu_{amx,split_amx}.c only, which say in PLANES how many
 * BF16 an operand's number is made of: 1 where activations are BF16, 3 where they are F32. Figures in docs/decisions/attention.md.
 *
 * Tokens go in UNITS of 32, dimensions in steps of 32 (what is missing is zero), and every product is one of 32 x 32 sums in four
 * tiles, over contractions of 32 an instruction. Scores stand with keys down and queries across, so that a softmax is down the lanes and
 * needs no sum across them.
 *
 * BF16: Q, K, V and dO are exact, so that scores and dP are exact products summed in fp32. P and dS, which are fp32, are rounded to BF16
 * once where they are multiplied (by V, dO, Q and K), as flash attention in BF16 does elsewhere; the sums of the softmax take them
 * unrounded. So each term of an output is off by 2^-8 of itself at most, beside the rounding of the output. Two BF16 of each would make
 * that 2^-16, for 1.4 to 1.6 times the tiles' instructions in the backward pass, and mop parity cannot tell one rounding from fp32
 * throughout (docs/math/bf16_bounds.md).
 *
 * F32: every operand, P and dS too, is split in three BF16 without a rest, and of the nine products the six largest are taken
 * (kernels/matmul/matmul_cpu_split_amx.c). Small products are summed before large ones, or apart from them where sums go on from
 * product to product, so that an output's error is that of fp32 chains and 2^-22 of its terms' sizes. What is infinite becomes NaN.
 *
 * An instruction adds 16 pairs of products to a sum, in an order of its own, so what is summed together must not hang on where a
 * block begins: keys that are contracted are in units anchored at the document's start, queries in units anchored where their run
 * of equal starts begins. Units that a query does not see add +0 or are left out. Subnormal operands and sums count as zero. */
#ifndef MOP_KERNELS_ATTENTION_CPU_AMX_H
#define MOP_KERNELS_ATTENTION_CPU_AMX_H

#include "kernels/kernels_int.h"
#include "kernels/matmul/matmul_cpu_amx.h"

enum { UNIT = 32, STEPS_MAX = ATTENTION_DIM_MAX / 32, SUMS = PLANES > 1 ? 2 : 1 };

#define AMX_INLINE __attribute__((always_inline)) static inline

#if PLANES == 1
typedef bf16 element;
#else
typedef float element;
#endif

/* Two tiles, as an operand of a product of 32 x 32: rows (of the left one) or columns (of the right one) 0 to 15 and 16 to 31,
 * against a contraction of 32. */
struct duo {
    _Alignas(64) uint32_t tile[2][16][16];
};

/* The same of numbers in PLANES parts, the largest first. */
struct operand {
    struct duo part[PLANES];
};

/* 32 x 32 sums. */
struct quad {
    _Alignas(64) float at[32][32];
};

/* The same where products go on adding: of the large ones and, in a quad of their own, of the small ones. */
struct total {
    struct quad sum[SUMS];
};

/* left . right over n contractions, whose operands lie `left_step` and `right_step` bytes apart. */
struct product {
    const struct operand *left, *right;
    int64_t left_step, right_step, n;
};

AMX_INLINE void load_left(const struct duo *d) {
    _tile_loadd(4, d->tile[0], 64);
    _tile_loadd(5, d->tile[1], 64);
}

AMX_INLINE void load_right(const struct duo *d) {
    _tile_loadd(6, d->tile[0], 64);
    _tile_loadd(7, d->tile[1], 64);
}

AMX_INLINE const struct operand *operand_at(const struct operand *first, int64_t step, int64_t i) {
    return (const struct operand *)(const void *)((const char *)first + step * i);
}

AMX_INLINE void large_products(const struct product *p) {
    for (int64_t i = 0; i < p->n; i++) {
        load_left(&operand_at(p->left, p->left_step, i)->part[0]);
        load_right(&operand_at(p->right, p->right_step, i)->part[0]);
        amx_multiply(32);
    }
}

AMX_INLINE void small_products(const struct product *p) {
#if PLANES == 3
    for (int64_t i = 0; i < p->n; i++) {
        const struct duo *left = operand_at(p->left, p->left_step, i)->part, *right = operand_at(p->right, p->right_step, i)->part;
        load_left(&left[0]);
        load_right(&right[2]);
        amx_multiply(32);
        load_right(&right[1]);
        amx_multiply(32);
        load_left(&left[1]);
        amx_multiply(32);
        load_right(&right[0]);
        amx_multiply(32);
        load_left(&left[2]);
        amx_multiply(32);
    }
#else
    (void)p;
#endif
}

/* sums = the product. */
AMX_INLINE void product(struct quad *sums, struct product p) {
    amx_begin_sums(&sums->at[0][0], 32, true);
    small_products(&p);
    large_products(&p);
    amx_store_sums(&sums->at[0][0], 32);
}

/* total (= or +=) the product. */
AMX_INLINE void product_to(struct total *total, bool fresh, struct product p) {
    float *large = &total->sum[0].at[0][0];
    if (PLANES > 1) {
        float *small = &total->sum[SUMS - 1].at[0][0];
        amx_begin_sums(small, 32, fresh);
        small_products(&p);
        amx_store_sums(small, 32);
    }
    amx_begin_sums(large, 32, fresh);
    large_products(&p);
    amx_store_sums(large, 32);
}

AMX_INLINE __m512 total_at(const struct total *t, int row, int c) {
    const __m512 large = _mm512_load_ps(&t->sum[0].at[row][16 * c]);
    return PLANES > 1 ? _mm512_add_ps(large, _mm512_load_ps(&t->sum[SUMS - 1].at[row][16 * c])) : large;
}

/* One head's side of the call: row i at p + i*stride; its dimensions in `steps` of 32. */
struct head_rows {
    const element *p;
    int64_t stride;
    int dim, steps;
};

static inline struct head_rows head_of(const void *p, int64_t stride, int head, int dim) {
    return (struct head_rows){(const element *)p + (int64_t)head * dim, stride, dim, (int)i64_div_up(dim, 32)};
}

/* Of q and k, and of v and o, and of their gradients. */
static inline struct head_rows key_head(const struct attention_args *a, const void *p, int64_t stride, int head) {
    return head_of(p, stride, head, a->head_dim);
}
static inline struct head_rows value_head(const struct attention_args *a, const void *p, int64_t stride, int head) {
    return head_of(p, stride, head, attention_value_dim(a));
}

/* What room is taken for: steps of 32 dimensions of the wider. */
static inline int most_steps(const struct attention_args *a) { return (int)i64_div_up(i64_max(a->head_dim, attention_value_dim(a)), 32); }

static inline __mmask32 dims_in(int dim, int step) { return dim - 32 * step >= 32 ? 0xffffffffu : (__mmask32)((1u << (dim - 32 * step)) - 1); }

/* 32 dimensions of a row, the first of each pair and the second: of neighbours in BF16, of d and d + 16 in F32, so that neither reading nor
 * splitting needs shuffles. */
AMX_INLINE void read_row(const element *from, __mmask32 have, __m512 x[2]) {
#if PLANES == 1
    const __m512i pairs = _mm512_maskz_loadu_epi16(have, from);
    x[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    x[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
#else
    x[0] = _mm512_maskz_loadu_ps((__mmask16)have, from);
    x[1] = _mm512_maskz_loadu_ps((__mmask16)(have >> 16), from + 16);
#endif
}

/* The same as pairs of an operand. */
AMX_INLINE void load_row(const element *from, __mmask32 have, __m512i part[PLANES]) {
#if PLANES == 1
    part[0] = _mm512_maskz_loadu_epi16(have, from);
#else
    __m512 x[2];
    read_row(from, have, x);
    amx_split(x[0], x[1], part);
#endif
}

/* Rows [row, row + n), n up to 32, as left operands against their dimensions, those of a step `apart` bytes after the one before. */
AMX_INLINE void pack_rows(const struct head_rows *s, int64_t row, int n, struct operand *out, int64_t apart) {
    for (int r = 0; r < 32; r++) {
        const element *from = s->p + (row + r) * s->stride;
        for (int64_t x = 0; x < s->steps * (int64_t)(32 * sizeof *from); x += 64) /* 32 rows on */
            _mm_prefetch((const char *)(from + 32 * s->stride) + x, _MM_HINT_T0);
        for (int d = 0; d < s->steps; d++) {
            struct operand *to = (struct operand *)(void *)((char *)out + d * apart);
            __m512i part[PLANES];
            load_row(from + 32 * d, r < n ? dims_in(s->dim, d) : 0, part);
            for (int p = 0; p < PLANES; p++) _mm512_store_si512(to->part[p].tile[r / 16][r % 16], part[p]);
        }
    }
}

/* The same operand turned: a left one to a right one against the same contraction, and the other way round. */
AMX_INLINE void turn(const struct operand *from, struct operand *to) {
    for (int p = 0; p < PLANES; p++)
        for (int t = 0; t < 2; t++) transpose16(from->part[p].tile[t], 64, to->part[p].tile[t], 16, 16, 0xffff);
}

/* Packed rows as right operands against the rows themselves: pair p is rows p and p + 16. Of a step's 32 dimensions the first of each
 * pair are columns 0 to 15, the second 16 to 31: so pairing takes no shuffles, and neither does putting sums back in order. */
AMX_INLINE void pair_rows(const struct operand *from, struct operand *to) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    for (int i = 0; i < PLANES; i++)
        for (int p = 0; p < 16; p++) {
            const __m512i low = _mm512_load_si512(from->part[i].tile[0][p]), high = _mm512_load_si512(from->part[i].tile[1][p]);
            _mm512_store_si512(to->part[i].tile[0][p], _mm512_or_si512(_mm512_andnot_si512(upper, low), _mm512_slli_epi32(high, 16)));
            _mm512_store_si512(to->part[i].tile[1][p], _mm512_or_si512(_mm512_srli_epi32(low, 16), _mm512_and_si512(upper, high)));
        }
}

/* A row of pairs of P or dS. BF16: halves away from zero, which 16 bits or more to be cut off seldom are. */
AMX_INLINE void store_pair(struct operand *to, int tile, int row, __m512 low, __m512 high) {
    __m512i part[PLANES];
#if PLANES == 1
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    const __m512i l = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(low), half), 16), h = _mm512_add_epi32(_mm512_castps_si512(high), half);
    part[0] = _mm512_or_si512(l, _mm512_and_si512(h, upper));
#else
    amx_split(low, high, part);
#endif
    for (int p = 0; p < PLANES; p++) _mm512_store_si512(to->part[p].tile[tile][row], part[p]);
}

#if PLANES == 1
/* Pairs of output, as bf16_of_f32. */
AMX_INLINE __m512i round_even(__m512 x) {
    const __m512i u = _mm512_castps_si512(x), last = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, last), _mm512_set1_epi32(0x7fff));
    return _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
}
#endif

/* 32 dimensions of a row, the first of each pair and the second, each times `factor`, out to activations. A sum that fell to -0 goes
 * out as +0, as it does where another zero was added to it. */
AMX_INLINE void store_row(const struct head_rows *s, int64_t row, int step, __m512 first, __m512 second, __m512 factor) {
    element *to = (element *)(uintptr_t)(s->p + row * s->stride + 32 * step);
    const __mmask32 have = dims_in(s->dim, step);
    first = _mm512_fmadd_ps(first, factor, _mm512_setzero_ps());
    second = _mm512_fmadd_ps(second, factor, _mm512_setzero_ps());
#if PLANES == 1
    const __m512i upper = _mm512_and_si512(round_even(second), _mm512_set1_epi32((int)0xffff0000));
    _mm512_mask_storeu_epi16(to, have, _mm512_or_si512(_mm512_srli_epi32(round_even(first), 16), upper));
#else
    _mm512_mask_storeu_ps(to, (__mmask16)have, first);
    _mm512_mask_storeu_ps(to + 16, (__mmask16)(have >> 16), second);
#endif
}

/* The same for sums with dimensions down and rows across, n of them from `row` on. */
AMX_INLINE void store_turned(const struct head_rows *s, int64_t row, int n, int step, const struct total *sums, const float factor[32]) {
    for (int c = 0; c < 2; c++) {
        _Alignas(64) float whole[32][16], turned[2][16][16];
        for (int i = 0; i < 32; i++) _mm512_store_ps(whole[i], total_at(sums, i, c));
        for (int half = 0; half < 2; half++) transpose16(whole[16 * half], sizeof whole[0], turned[half], 16, 16, 0xffff);
        for (int r = 0; r < 16 && 16 * c + r < n; r++)
            store_row(s, row + 16 * c + r, step, _mm512_load_ps(turned[0][r]), _mm512_load_ps(turned[1][r]), _mm512_set1_ps(factor[16 * c + r]));
    }
}

static inline void zero_rows(const struct head_rows *s, int64_t row, int64_t n) {
    for (int64_t r = 0; r < n; r++) memset((element *)(uintptr_t)(s->p + (row + r) * s->stride), 0, (size_t)s->dim * sizeof(element));
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

/* The token from which query row `row` and those after it in its run see keys, down to a border of blocks of `keys`, which are anchored at
 * the run's start. */
static inline int64_t first_block(const struct attention_args *a, int64_t row, int64_t keys) {
    return a->start[row] + (attention_first_key(a, row) - a->start[row]) / keys * keys;
}

/* Whether queries from token q on have the keys before `end` behind their window. */
static inline bool past_window(const struct attention_args *a, int64_t q, int64_t end) { return a->window && q - a->window + 1 >= end; }

/* The query heads [*begin, *end) held here that use KV head kv. */
static inline void heads_of(const struct attention_args *a, int kv, int *begin, int *end) {
    *begin = (int)i64_max(0, (int64_t)(a->kv_head0 + kv) * a->group - a->q_head0);
    *end = (int)i64_min(a->heads, (int64_t)(a->kv_head0 + kv + 1) * a->group - a->q_head0);
}

#endif
