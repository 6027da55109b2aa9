/* Forward: parallel over (head, block of queries). Part of attention_cpu.h. */

struct softmax_rows {
    float max[TILE], sum[TILE], shrink[TILE];
};

/* Scores of rows [row, row + rows) of one start against a tile of keys become exp(score - max); what a row does not see becomes 0.
 * Sums and the factor by which what was summed before must shrink are brought up to date. */
static void softmax_tile(const struct attention_args *a, struct softmax_rows *s, float *pairs, int64_t row, int rows, int64_t k0, int keys) {
    int cols = (int)i64_round_up(keys, L);
    float before[TILE];
    for (int i = 0; i < rows; i++) {
        int from, to;
        seen_keys(a, row + i, k0, keys, &from, &to);
        vf max = vf_set1(-INFINITY);
        for (int j = 0; j < cols; j += L) {
            vi keep = vi_first(to - j) & ~vi_first(from - j);
            vf x = vf_load(pairs + i * TILE + j) * vf_set1(a->scale);
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

/* Query rows [row, row + rows) of one start. A row that sees nothing of its first tiles has a finite maximum all the same, which leaves the
 * zeros that it has summed, and is shrunk to nothing by its first score. */
static void forward_run(const struct attention_args *a, int h, int64_t row, int rows) {
    tile_rows q, k, k_t, v, o;
    tile_pairs pairs;
    struct softmax_rows s;
    struct side sq = key_side(a, a->q, a->q_stride, h), sk = key_side(a, a->k, a->k_stride, kv_head(a, h));
    struct side sv = value_side(a, a->v, a->v_stride, kv_head(a, h)), so = value_side(a, a->o, a->o_stride, h);
    int packed = (int)i64_round_up(rows, ROW_BLOCK);
    int64_t first = a->first + row, queries = a->tokens - a->first;
    const float sink = a->sinks ? act_load(a->act, a->sinks, h) : -INFINITY;
    pack_rows(&sq, row, rows, q);
    memset(o, 0, (size_t)packed * (size_t)so.pad * sizeof *o);
    for (int i = 0; i < rows; i++) {
        s.max[i] = fmaxf(sink, -FLT_MAX);
        s.sum[i] = expf(sink - s.max[i]);
    }
    for (int64_t k0 = first_tile(a, row); k0 < first + rows; k0 += TILE) {
        int keys = (int)i64_min(TILE, first + rows - k0);
        pack_rows(&sk, k0, keys, k);
        transpose_rows(&sk, keys, k, k_t);
        pack_rows(&sv, k0, keys, v);
        tile_product(rows, keys, sq.dim, q, sq.pad, 1, k_t, TILE, pairs, TILE, false);
        softmax_tile(a, &s, pairs, row, rows, k0, keys);
        shrink_rows(o, rows, so.pad, s.shrink);
        tile_product(rows, so.pad, keys, pairs, TILE, 1, v, sv.pad, o, so.pad, true);
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
    struct side so = value_side(a, a->o, a->o_stride, h);
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
