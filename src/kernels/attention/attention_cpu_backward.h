/* Backward of a document that fits a task's memory goes through its pairs of tiles once. Others take two passes: dq over
 * (head, block of queries), then dk and dv over (KV head, block of keys), which sums the group's query heads in ascending order; scores
 * are formed in both. A gradient is one chain of fused multiply-adds that goes on from tile to tile, so where queries and keys
 * are cut into tiles leaves no trace, and both ways give the same bits. Part of attention_cpu.h. */

/* p = exp(score - lse) and ds = p * (dout.v - delta) * scale of a row of a tile; columns outside [from, to) are 0. */
static void gradient_row(float *p, float *ds, int cols, int from, int to, float scale, float lse, float delta) {
    for (int j = 0; j < cols; j += L) {
        vi keep = vi_first(to - j) & ~vi_first(from - j);
        vf e = vf_mask(keep, vf_exp(vf_load(p + j) * vf_set1(scale) - vf_set1(lse)));
        vf_store(ds + j, vf_mask(keep, e * (vf_load(ds + j) - vf_set1(delta)) * vf_set1(scale)));
        vf_store(p + j, e);
    }
}

/* Queries [q0, q0 + rows) of head h against the keys of a tile: scores in p and dout.v in ds become p and ds. */
static void gradient_rows(const struct attention_backward_args *b, int h, int64_t q0, int rows, int64_t k0, int keys, float *p, float *ds) {
    const struct attention_args *a = &b->fwd;
    for (int i = 0; i < rows; i++) {
        const int64_t at = h * a->tokens + q0 + i;
        int from, to;
        seen_keys(a, q0 + i, k0, keys, &from, &to);
        gradient_row(p + i * TILE, ds + i * TILE, (int)i64_round_up(keys, L), from, to, a->scale, a->lse[at], b->delta[at]);
    }
}

/* Whether queries from q0 on have the keys before `end` behind their window. */
static bool past_window(const struct attention_args *a, int64_t q0, int64_t end) { return a->window && q0 - a->window + 1 >= end; }

static void dq_run(const struct attention_backward_args *b, int h, int64_t first, int rows) {
    const struct attention_args *a = &b->fwd;
    tile_rows q, dout, kv, k_t, v_t, dq;
    tile_pairs p, ds;
    struct side sq = key_side(a, a->q, a->q_stride, h), sk = key_side(a, a->k, a->k_stride, kv_head(a, h));
    struct side sv = value_side(a, a->v, a->v_stride, kv_head(a, h)), so = value_side(a, b->dout, a->o_stride, h);
    pack_rows(&sq, first, rows, q);
    pack_rows(&so, first, rows, dout);
    memset(dq, 0, (size_t)i64_round_up(rows, ROW_BLOCK) * (size_t)sq.pad * sizeof *dq);
    for (int64_t k0 = first_tile(a, first); k0 < first + rows; k0 += TILE) {
        int keys = (int)i64_min(TILE, first + rows - k0);
        pack_rows(&sv, k0, keys, kv);
        transpose_rows(&sv, keys, kv, v_t);
        pack_rows(&sk, k0, keys, kv);
        transpose_rows(&sk, keys, kv, k_t);
        tile_product(rows, keys, sq.dim, q, sq.pad, 1, k_t, TILE, p, TILE, false);
        tile_product(rows, keys, so.dim, dout, so.pad, 1, v_t, TILE, ds, TILE, false);
        gradient_rows(b, h, first, rows, k0, keys, p, ds);
        tile_product(rows, sq.pad, keys, ds, TILE, 1, kv, sk.pad, dq, sq.pad, true);
    }
    unpack_rows(&sq, b->dq, first, rows, dq, NULL);
}

/* ---- documents that fit ---- */

enum { WHOLE = 512 * 64 }; /* numbers of a document's dq, dk and dv each */

/* Of all tokens' gradients in one call: which documents are taken whole. */
struct backward_call {
    const struct attention_backward_args *b;
    bool whole;
};

/* Whether the document that token i (no padding) is of can be taken whole: it has room, its queries see all of it up to themselves,
 * and nobody else sees its keys. */
static bool fits(const struct attention_args *a, int64_t i, int64_t *begin, int64_t *length) {
    const int64_t first = a->start[i], most = WHOLE / i64_round_up(i64_max(a->head_dim, attention_value_dim(a)), L);
    int64_t end = first;
    while (end < a->tokens && a->start[end] == first && end - first <= most) end++;
    *begin = first;
    *length = end - first;
    if (i >= end || end - first > most) return false;
    while (end < a->tokens && a->start[end] < 0) end++;
    return end == a->tokens || a->start[end] >= first + *length;
}

struct document {
    float dq[WHOLE + TILE * DIM_PAD], dk[WHOLE + TILE * DIM_PAD], dv[WHOLE + TILE * DIM_PAD]; /* the last tile may be filled up */
    tile_rows q, dout, k, k_t, v, v_t;
    tile_pairs p, ds;
} __attribute__((aligned(64)));

static void delta_rows(const struct attention_backward_args *b, int h, int64_t from, int64_t end) {
    const struct attention_args *a = &b->fwd;
    const int dim = attention_value_dim(a);
    for (int64_t i = from; i < end; i++) {
        const int64_t at = i * a->o_stride + (int64_t)h * dim;
        b->delta[h * a->tokens + i] = vf_dot(a->act, b->dout, at, a->o, at, dim);
    }
}

/* One pair of tiles: queries [q0, q0 + rows) of head h with the keys in hand, which begin at k0. */
static void whole_pair(const struct attention_backward_args *b, struct document *t, int h, int64_t begin, int64_t k0, int keys, int64_t q0) {
    const struct attention_args *a = &b->fwd;
    struct side sq = key_side(a, a->q, a->q_stride, h), so = value_side(a, b->dout, a->o_stride, h);
    int rows = 0;
    while (rows < TILE && q0 + rows < a->tokens && a->start[q0 + rows] == begin) rows++;
    pack_rows(&sq, q0, rows, t->q);
    pack_rows(&so, q0, rows, t->dout);
    tile_product(rows, keys, sq.dim, t->q, sq.pad, 1, t->k_t, TILE, t->p, TILE, false);
    tile_product(rows, keys, so.dim, t->dout, so.pad, 1, t->v_t, TILE, t->ds, TILE, false);
    gradient_rows(b, h, q0, rows, k0, keys, t->p, t->ds);
    tile_product(keys, so.pad, rows, t->p, 1, TILE, t->dout, so.pad, t->dv + (k0 - begin) * so.pad, so.pad, true);
    tile_product(keys, sq.pad, rows, t->ds, 1, TILE, t->q, sq.pad, t->dk + (k0 - begin) * sq.pad, sq.pad, true);
    tile_product(rows, sq.pad, keys, t->ds, TILE, 1, t->k, sq.pad, t->dq + (q0 - begin) * sq.pad, sq.pad, true);
}

/* Tiles of a document out to activations. */
static void whole_out(const struct side *s, void *to, int64_t begin, int64_t length, const float *sums) {
    for (int64_t r = 0; r < length; r += TILE) unpack_rows(s, to, begin + r, (int)i64_min(TILE, length - r), sums + r * s->pad, NULL);
}

static void whole_document(const struct attention_backward_args *b, int kv, int64_t begin, int64_t length) {
    const struct attention_args *a = &b->fwd;
    struct document t;
    struct side sk = key_side(a, a->k, a->k_stride, kv), sv = value_side(a, a->v, a->v_stride, kv);
    const size_t rows = (size_t)i64_round_up(length, TILE);
    memset(t.dk, 0, rows * (size_t)sk.pad * sizeof *t.dk);
    memset(t.dv, 0, rows * (size_t)sv.pad * sizeof *t.dv);
    for (int h = 0; h < a->heads; h++) {
        if (kv_head(a, h) != kv) continue;
        struct side sq = key_side(a, a->q, a->q_stride, h);
        delta_rows(b, h, begin, begin + length);
        memset(t.dq, 0, rows * (size_t)sq.pad * sizeof *t.dq);
        for (int64_t k0 = begin; k0 < begin + length; k0 += TILE) {
            int keys = (int)i64_min(TILE, begin + length - k0);
            pack_rows(&sk, k0, keys, t.k);
            transpose_rows(&sk, keys, t.k, t.k_t);
            pack_rows(&sv, k0, keys, t.v);
            transpose_rows(&sv, keys, t.v, t.v_t);
            for (int64_t q0 = k0; q0 < begin + length && !past_window(a, q0, k0 + keys); q0 += TILE) whole_pair(b, &t, h, begin, k0, keys, q0);
        }
        whole_out(&sq, b->dq, begin, length, t.dq);
    }
    whole_out(&sk, b->dk, begin, length, t.dk);
    whole_out(&sv, b->dv, begin, length, t.dv);
}

/* Documents that begin in a block of tokens. */
static void whole_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct attention_backward_args *b = ((struct backward_call *)arg)->b;
    const struct attention_args *a = &b->fwd;
    int64_t block = task / a->kv_heads, end = i64_min(a->tokens, (block + 1) * TILE), begin, length;
    for (int64_t i = block * TILE; i < end; i++)
        if (a->start[i] == i && fits(a, i, &begin, &length)) whole_document(b, (int)(task % a->kv_heads), begin, length);
}

/* Is token i of a document that has been taken whole? */
static bool taken(const struct backward_call *c, int64_t i) {
    int64_t begin, length;
    return c->whole && c->b->fwd.start[i] >= 0 && fits(&c->b->fwd, i, &begin, &length);
}

/* ---- two passes ---- */

static void dq_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct backward_call *c = arg;
    const struct attention_backward_args *b = c->b;
    const struct attention_args *a = &b->fwd;
    int h = (int)(task % a->heads);
    int64_t blocks = i64_div_up(a->tokens, TILE), block = blocks - 1 - task / a->heads; /* the longest first */
    int64_t end = i64_min(a->tokens, (block + 1) * TILE);
    struct side sq = key_side(a, a->q, a->q_stride, h);
    for (int64_t i = block * TILE; i < end;) {
        int rows = run_length(a->start, i, end);
        if (a->start[i] < 0) {
            zero_rows(&sq, b->dq, i, rows);
        } else if (!taken(c, i)) {
            delta_rows(b, h, i, i + rows);
            dq_run(b, h, i, rows);
        }
        i += rows;
    }
}

/* The tiles of a run of keys, all heads of the group. */
struct key_tiles {
    tile_rows k_t, v_t, dk, dv, q, dout;
    tile_pairs p, ds;
};

/* One tile of queries [q0, q0 + rows) of head h. */
static void dkv_tile(const struct attention_backward_args *b, struct key_tiles *t, int h, int64_t k0, int keys, int64_t q0, int rows) {
    const struct attention_args *a = &b->fwd;
    struct side sq = key_side(a, a->q, a->q_stride, h), so = value_side(a, b->dout, a->o_stride, h);
    pack_rows(&sq, q0, rows, t->q);
    pack_rows(&so, q0, rows, t->dout);
    tile_product(rows, keys, sq.dim, t->q, sq.pad, 1, t->k_t, TILE, t->p, TILE, false);
    tile_product(rows, keys, so.dim, t->dout, so.pad, 1, t->v_t, TILE, t->ds, TILE, false);
    gradient_rows(b, h, q0, rows, k0, keys, t->p, t->ds);
    tile_product(keys, so.pad, rows, t->p, 1, TILE, t->dout, so.pad, t->dv, so.pad, true);
    tile_product(keys, sq.pad, rows, t->ds, 1, TILE, t->q, sq.pad, t->dk, sq.pad, true);
}

/* Whether no query from q0 on sees a key before `end`: starts never decrease, but for padding. */
static bool past_keys(const struct attention_args *a, int64_t q0, int rows, int64_t end) {
    for (int i = 0; i < rows; i++)
        if (a->start[q0 + i] >= 0) return a->start[q0 + i] >= end;
    return false;
}

static void dkv_run(const struct attention_backward_args *b, int kv, int64_t k0, int keys) {
    const struct attention_args *a = &b->fwd;
    struct key_tiles t;
    struct side sk = key_side(a, a->k, a->k_stride, kv), sv = value_side(a, a->v, a->v_stride, kv);
    const size_t rows = (size_t)i64_round_up(keys, ROW_BLOCK);
    pack_rows(&sk, k0, keys, t.q);
    transpose_rows(&sk, keys, t.q, t.k_t);
    pack_rows(&sv, k0, keys, t.q);
    transpose_rows(&sv, keys, t.q, t.v_t);
    memset(t.dk, 0, rows * (size_t)sk.pad * sizeof *t.dk);
    memset(t.dv, 0, rows * (size_t)sv.pad * sizeof *t.dv);
    for (int h = 0; h < a->heads; h++) {
        if (kv_head(a, h) != kv) continue;
        for (int64_t q0 = k0; q0 < a->tokens && !past_window(a, q0, k0 + keys); q0 += TILE) {
            const int queries = (int)i64_min(TILE, a->tokens - q0);
            if (past_keys(a, q0, queries, k0 + keys)) break;
            dkv_tile(b, &t, h, k0, keys, q0, queries);
        }
    }
    unpack_rows(&sk, b->dk, k0, keys, t.dk, NULL);
    unpack_rows(&sv, b->dv, k0, keys, t.dv, NULL);
}

static void dkv_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct backward_call *c = arg;
    const struct attention_backward_args *b = c->b;
    const struct attention_args *a = &b->fwd;
    int kv = (int)(task % a->kv_heads);
    int64_t block = task / a->kv_heads, end = i64_min(a->tokens, (block + 1) * TILE); /* the longest are first */
    struct side sk = key_side(a, a->k, a->k_stride, kv), sv = value_side(a, a->v, a->v_stride, kv);
    for (int64_t j = block * TILE; j < end;) {
        int keys = run_length(a->start, j, end);
        if (a->start[j] < 0) { /* padding: no query sees it */
            zero_rows(&sk, b->dk, j, keys);
            zero_rows(&sv, b->dv, j, keys);
        } else if (!taken(c, j)) {
            dkv_run(b, kv, j, keys);
        }
        j += keys;
    }
}

/* dsinks of a head: a sink's share of the softmax has no value, so its dp is 0. */
static void sink_task(void *arg, int64_t h, int worker) {
    (void)worker;
    const struct attention_backward_args *b = arg;
    const struct attention_args *a = &b->fwd;
    const float *lse = a->lse + h * a->tokens, *delta = b->delta + h * a->tokens, sink = act_load(a->act, a->sinks, h);
    double sum = 0;
    for (int64_t run = 0; run < a->tokens; run += SUM_RUN) {
        vf part = {0};
        for (int64_t i = run; i < i64_min(a->tokens, run + SUM_RUN); i += L) {
            const int64_t n = i64_min(L, a->tokens - i);
            vi keep = {0}; /* lse and delta of padding are not to be read */
            for (int l = 0; l < n; l++) keep[l] = a->start[i + l] < 0 ? 0 : -1;
            const vf share = vf_exp(vf_set1(sink) - vf_load_act(DT_F32, lse, i, n));
            part += vf_mask(keep, share * vf_load_act(DT_F32, delta, i, n));
        }
        sum += (double)vf_sum(part);
    }
    b->dsinks_acc[h] -= (float)sum;
}

static void attention_backward_cpu(struct pool *pool, const struct attention_backward_args *b) {
    const struct attention_args *a = &b->fwd;
    struct backward_call c = {b, true};
    int64_t blocks = i64_div_up(a->tokens, TILE), tasks = 0, begin, length;
    bool others = false;
    for (int64_t i = 0; i < a->tokens; i++) {
        if (a->start[i] != i) continue;
        if (fits(a, i, &begin, &length)) tasks += a->kv_heads;
    }
    c.whole = tasks >= 2 * pool_threads(pool); /* fewer would leave threads without work */
    for (int64_t i = 0; i < a->tokens && !others; i++) others = !taken(&c, i);
    if (c.whole) pool_run(pool, blocks * a->kv_heads, whole_task, &c);
    if (others) {
        pool_run(pool, blocks * a->heads, dq_task, &c);
        pool_run(pool, blocks * a->kv_heads, dkv_task, &c);
    }
    if (a->sinks) pool_run(pool, a->heads, sink_task, (void *)(uintptr_t)b);
}
