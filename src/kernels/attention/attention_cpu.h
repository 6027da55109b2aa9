/* Attention in tiles of TILE x TILE over vectors. Part of kernels/vector_set.h.
 *
 * A block of TILE tokens is cut into RUNS of equal start: the pieces of documents in it. A run of queries
 * walks its keys in tiles anchored at the document's start, in ascending order, and each row of a tile is one chain of
 * fused multiply-adds. So a row's bits depend on its document alone, not on where the document lies in the call nor on the rows
 * that share its tile. Masked pairs contribute exact zeros. */

enum { TILE = 64, DIM_PAD = (ATTENTION_DIM_MAX + 2 * VEC_LANES - 1) / (2 * VEC_LANES) * (2 * VEC_LANES), ROW_BLOCK = VEC_LANES == 16 ? 8 : 4 };

/* A tile: TILE rows of the head's dimensions, or its transpose (dimension, TILE), in fp32. */
typedef float tile_rows[TILE * DIM_PAD] __attribute__((aligned(64)));
typedef float tile_pairs[TILE * TILE] __attribute__((aligned(64)));

/* C[i][j] (+)= sum over k of A[i*row + k*step] * B[k*ldb + j] for ROW_BLOCK rows and `vectors` vectors of columns. */
VEC_INLINE void tile_kernel(int vectors, int depth, const float *a, int row, int step, const float *b, int ldb, float *c, int ldc, bool add) {
    vf sum[ROW_BLOCK][2];
    for (int i = 0; i < ROW_BLOCK; i++)
        for (int v = 0; v < vectors; v++) sum[i][v] = add ? vf_load(c + i * ldc + v * L) : (vf){0};
    for (int k = 0; k < depth; k++) {
        vf right[2];
        for (int v = 0; v < vectors; v++) right[v] = vf_load(b + k * ldb + v * L);
        for (int i = 0; i < ROW_BLOCK; i++) {
            vf left = vf_set1(a[i * row + k * step]);
            for (int v = 0; v < vectors; v++) sum[i][v] = vf_fma(left, right[v], sum[i][v]);
        }
    }
    for (int i = 0; i < ROW_BLOCK; i++)
        for (int v = 0; v < vectors; v++) vf_store(c + i * ldc + v * L, sum[i][v]);
}

/* The same for all rows (up to a multiple of ROW_BLOCK: tiles have them) and columns (up to a multiple of L). */
static void tile_product(int rows, int cols, int depth, const float *a, int row, int step, const float *b, int ldb, float *c, int ldc, bool add) {
    for (int j = 0; j < cols; j += 2 * L)
        for (int i = 0; i < rows; i += ROW_BLOCK) {
            if (cols - j > L) tile_kernel(2, depth, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc, add);
            else tile_kernel(1, depth, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc, add);
        }
}

/* What one head's side of the call is: row i at p[i*stride + at]. */
struct side {
    enum dtype act;
    const void *p;
    int64_t stride, at;
    int dim, pad;
};

static struct side side_of(const struct attention_args *a, const void *p, int64_t stride, int head, int dim) {
    return (struct side){a->act, p, stride, (int64_t)head * dim, dim, (int)i64_round_up(dim, L)};
}

/* q and k, and v and o, and their gradients. */
static struct side key_side(const struct attention_args *a, const void *p, int64_t stride, int head) {
    return side_of(a, p, stride, head, a->head_dim);
}
static struct side value_side(const struct attention_args *a, const void *p, int64_t stride, int head) {
    return side_of(a, p, stride, head, attention_value_dim(a));
}

/* Rows [r0, r0 + n) of a side into a tile; columns from dim to pad and rows up to a multiple of ROW_BLOCK are 0. */
static void pack_rows(const struct side *s, int64_t r0, int n, float *tile) {
    for (int r = 0; r < n; r++)
        for (int d = 0; d < s->dim; d += L) vf_store(tile + r * s->pad + d, vf_load_act(s->act, s->p, (r0 + r) * s->stride + s->at + d, s->dim - d));
    int end = (int)i64_round_up(n, ROW_BLOCK);
    memset(tile + (size_t)n * (size_t)s->pad, 0, (size_t)(end - n) * (size_t)s->pad * sizeof *tile);
}

/* The same transposed: tile[d*TILE + r]; columns from n on are 0. Rows come from `rows`, packed before. */
static void transpose_rows(const struct side *s, int n, const float *rows, float *tile) {
    typedef float v4 __attribute__((vector_size(16)));
    typedef v4 v4_any __attribute__((aligned(4), may_alias));
    for (int r = 0; r < n; r += 4) /* rows are packed up to a multiple of 4, dimensions up to one of L */
        for (int d = 0; d < s->dim; d += 4) {
            v4 r0 = *(const v4_any *)(rows + r * s->pad + d), r1 = *(const v4_any *)(rows + (r + 1) * s->pad + d);
            v4 r2 = *(const v4_any *)(rows + (r + 2) * s->pad + d), r3 = *(const v4_any *)(rows + (r + 3) * s->pad + d);
            v4 lo01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), hi01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
            v4 lo23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), hi23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
            *(v4_any *)(tile + d * TILE + r) = __builtin_shufflevector(lo01, lo23, 0, 1, 4, 5);
            *(v4_any *)(tile + (d + 1) * TILE + r) = __builtin_shufflevector(lo01, lo23, 2, 3, 6, 7);
            *(v4_any *)(tile + (d + 2) * TILE + r) = __builtin_shufflevector(hi01, hi23, 0, 1, 4, 5);
            *(v4_any *)(tile + (d + 3) * TILE + r) = __builtin_shufflevector(hi01, hi23, 2, 3, 6, 7);
        }
    int packed = (int)i64_round_up(n, 4), end = (int)i64_round_up(n, L);
    for (int d = 0; d < s->dim && packed < end; d++) memset(tile + d * TILE + packed, 0, (size_t)(end - packed) * sizeof *tile);
}

/* Rows of a tile, each times its factor, out to activations. */
static void unpack_rows(const struct side *s, void *to, int64_t r0, int n, const float *tile, const float *factor) {
    for (int r = 0; r < n; r++)
        for (int d = 0; d < s->dim; d += L) {
            vf x = vf_load(tile + r * s->pad + d);
            if (factor) x = x * vf_set1(factor[r]);
            vf_store_act(s->act, to, (r0 + r) * s->stride + s->at + d, s->dim - d, x);
        }
}

static void zero_rows(const struct side *s, void *to, int64_t r0, int n) {
    for (int r = 0; r < n; r++) memset(act_at_mut(s->act, to, (r0 + r) * s->stride + s->at), 0, (size_t)(s->dim * act_bytes(s->act)));
}

/* Tokens of one start from `from` on, at most up to `end`. */
static int run_length(const int32_t *start, int64_t from, int64_t end) {
    int64_t i = from + 1;
    while (i < end && start[i] == start[from]) i++;
    return (int)(i - from);
}

/* The token at which the tiles of keys begin that query row `row` and those after it in its run see: tiles are anchored at the run's start. */
static int64_t first_tile(const struct attention_args *a, int64_t row) {
    return a->start[row] + (attention_first_key(a, row) - a->start[row]) / TILE * TILE;
}

/* The keys [*from, *to) of the `keys` ones at k0 that query row i sees; padding sees none. */
static void seen_keys(const struct attention_args *a, int64_t i, int64_t k0, int keys, int *from, int *to) {
    *from = *to = 0;
    if (a->start[i] < 0) return;
    *from = (int)i64_min(keys, i64_max(0, attention_first_key(a, i) - k0));
    *to = (int)i64_min(keys, i64_max(0, a->first + i + 1 - k0));
}

static int kv_head(const struct attention_args *a, int h) { return (a->q_head0 + h) / a->group - a->kv_head0; }

#include "kernels/attention/attention_cpu_backward.h"
#include "kernels/attention/attention_cpu_forward.h"
