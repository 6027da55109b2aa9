/* Forward: parallel over (head, block of queries). Part of attention_cpu.h. */

struct softmax_rows {
    float max[TILE], sum[TILE], shrink[TILE];
};

/* Scores of a run's rows against a tile of keys become exp(score - max); row i sees the first `seen + i` columns, if any.
 * Sums and the factor by which what was summed before must shrink are brought up to date. */
static void softmax_tile(struct softmax_rows *s, float *pairs, int rows, int keys, int64_t seen, float scale) {
    int cols = (int)i64_round_up(keys, L);
    float before[TILE];
    for (int i = 0; i < rows; i++) {
        int n = (int)i64_max(0, i64_min(keys, seen + i));
        vf max = vf_set1(-INFINITY);
        for (int j = 0; j < cols; j += L) {
            vi keep = vi_first(n - j);
            vf x = vf_load(pairs + i * TILE + j) * vf_set1(scale);
            x = (vf)(((vi)x & keep) | ((vi)vf_set1(-INFINITY) & ~keep));
            vf_store(pairs + i * TILE + j, x);
            max = vf_max(x, max);
        }
        before[i] = s->max[i];
        s->max[i] = fmaxf(s->max[i], vf_largest(max));
    }
    for (int i = 0; i < rows; i += L) { /* a fresh row's max is -inf and its factor 0 */
        vf_store_act(DT_F32, s->shrink, i, rows - i, vf_exp(vf_load_act(DT_F32, before, i, rows - i) - vf_load_act(DT_F32, s->max, i, rows - i)));
    }
    for (int i = 0; i < rows; i++) {
        vf sum = {0}, max = vf_set1(s->max[i]);
        for (int j = 0; j < cols; j += L) {
            vf p = vf_exp(vf_load(pairs + i * TILE + j) - max);
            vf_store(pairs + i * TILE + j, p);
            sum += p;
        }
        s->sum[i] = s->sum[i] * s->shrink[i] + vf_sum(sum);
    }
}

static void shrink_rows(float *tile, int rows, int pad, const float *shrink) {
    for (int i = 0; i < rows; i++) {
        if (shrink[i] == 1.0f) continue;
        for (int d = 0; d < pad; d += L) vf_store(tile + i * pad + d, vf_load(tile + i * pad + d) * vf_set1(shrink[i]));
    }
}

/* Query rows [row, row + rows) of one start. */
static void forward_run(const struct attention_args *a, int h, int64_t row, int rows) {
    tile_rows q, k, k_t, v, o;
    tile_pairs pairs;
    struct softmax_rows s;
    struct side sq = side_of(a, a->q, a->q_stride, h), sk = side_of(a, a->k, a->k_stride, kv_head(a, h));
    struct side sv = side_of(a, a->v, a->v_stride, kv_head(a, h)), so = side_of(a, a->o, a->o_stride, h);
    int pad = sq.pad, packed = (int)i64_round_up(rows, ROW_BLOCK);
    int64_t first = a->first + row, queries = a->tokens - a->first;
    pack_rows(&sq, row, rows, q);
    memset(o, 0, (size_t)packed * (size_t)pad * sizeof *o);
    for (int i = 0; i < rows; i++) {
        s.max[i] = -INFINITY;
        s.sum[i] = 0;
    }
    for (int64_t k0 = a->start[row]; k0 < first + rows; k0 += TILE) {
        int keys = (int)i64_min(TILE, first + rows - k0);
        pack_rows(&sk, k0, keys, k);
        transpose_rows(&sk, keys, k, k_t);
        pack_rows(&sv, k0, keys, v);
        tile_product(rows, keys, a->head_dim, q, pad, 1, k_t, TILE, pairs, TILE, false);
        softmax_tile(&s, pairs, rows, keys, first - k0 + 1, a->scale);
        shrink_rows(o, rows, pad, s.shrink);
        tile_product(rows, pad, keys, pairs, TILE, 1, v, pad, o, pad, true);
    }
    float inverse[TILE];
    for (int i = 0; i < rows; i++) {
        inverse[i] = 1.0f / s.sum[i];
        a->lse[h * queries + row + i] = s.max[i] + logf(s.sum[i]);
    }
    unpack_rows(&so, a->o, row, rows, o, inverse);
}

static void attention_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct attention_args *a = arg;
    int h = (int)(task % a->heads);
    int64_t queries = a->tokens - a->first, blocks = i64_div_up(queries, TILE), block = blocks - 1 - task / a->heads; /* the longest first */
    int64_t end = i64_min(queries, (block + 1) * TILE);
    struct side so = side_of(a, a->o, a->o_stride, h);
    for (int64_t i = block * TILE; i < end;) {
        int rows = run_length(a->start, i, end);
        if (a->start[i] >= 0) {
            forward_run(a, h, i, rows);
        } else { /* padding */
            zero_rows(&so, a->o, i, rows);
            memset(a->lse + h * queries + i, 0, (size_t)rows * sizeof *a->lse);
        }
        i += rows;
    }
}

static void attention_forward_cpu(struct pool *pool, const struct attention_args *a) {
    pool_run(pool, i64_div_up(a->tokens - a->first, TILE) * a->heads, attention_forward_task, (void *)(uintptr_t)a);
}
