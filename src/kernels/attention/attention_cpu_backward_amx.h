/* Backward by AMX. A document whose keys fit (1024 of 64 dimensions, in F32 512) is one task for each KV head: all its keys are packed and
 * have their sums at once, and scores are formed once for the three gradients. Longer ones take two passes, dq over blocks of queries, then dk
 * and dv over blocks of keys, which form the scores twice; so do all where there are more threads than such tasks. The chains of sums
 * are the same either way: of dq over the document's keys, of dk and dv over the group's heads and the document's queries, in units of
 * 32 in ascending order. Part of attention_cpu_{amx,split_amx}.c; see attention_cpu_amx.h. */
enum {
    TASK = 256,                        /* tokens of a task of the first pass */
    BLOCK_UNITS = 8,                   /* queries packed together, if they fit */
    WHOLE_UNITS = 4,                   /* the same where keys need not be packed again for them */
    KEY_UNITS = 4,                     /* keys that they are taken against at a time */
    SPAN_UNITS = 16,                   /* keys of a task of the second pass, if they fit */
    KEY_STEPS = PLANES == 1 ? 64 : 32, /* room for keys and for queries, one for each unit and step of dimensions */
    QUERY_STEPS = 32,
};

/* Of a unit of keys and a step of dimensions. k and v are left operands against dimensions, k_turned one against keys. */
struct key_step {
    struct operand k, v, k_turned;
    struct total dk, dv;
};
_Static_assert(KEY_STEPS >= KEY_UNITS * STEPS_MAX && QUERY_STEPS >= WHOLE_UNITS * STEPS_MAX, "blocks fit with any dimensions");

/* Up to 32 queries. */
struct query_unit {
    int n;
    int64_t row;
    int64_t from; /* the first key they see; the last is their own */
    float lse[32], delta[32];
};

struct gradient_tiles {
    struct key_step keys[KEY_STEPS];
    struct operand q[QUERY_STEPS], dout[QUERY_STEPS];                     /* right operands against dimensions */
    struct operand q_pairs[QUERY_STEPS], dout_pairs[QUERY_STEPS];         /* right operands against queries */
    struct operand p[KEY_UNITS][BLOCK_UNITS], ds[KEY_UNITS][BLOCK_UNITS]; /* left operands against queries */
    struct operand ds_keys[BLOCK_UNITS][KEY_UNITS];                       /* right operands against keys */
    struct total dq[QUERY_STEPS];
    struct quad s, dp;
    struct operand rows[STEPS_MAX], paired;
    struct query_unit unit[BLOCK_UNITS];
    int units;
};

static int64_t keys_that_fit(int steps) { return KEY_STEPS / steps * UNIT; }
static int64_t span_of(int steps) { return i64_min(SPAN_UNITS * UNIT, keys_that_fit(steps)); }
static int64_t block_of(int steps) { return i64_min(BLOCK_UNITS, QUERY_STEPS / steps) * UNIT; }
static int steps_of(const struct attention_args *a) { return (int)i64_div_up(a->head_dim, 32); }

/* What a task is after. */
struct wanted {
    bool dq, dkv;
};

/* Keys [k0, k0 + keys) into units 0 and on. */
static void pack_keys(const struct attention_args *a, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys, struct wanted w) {
    const struct head_rows k = head_of(a, a->k, a->k_stride, kv), v = head_of(a, a->v, a->v_stride, kv);
    for (int unit = 0; unit * UNIT < keys; unit++) {
        const int64_t row = k0 + unit * UNIT;
        const int n = (int)i64_min(UNIT, keys - unit * UNIT);
        struct key_step *to = t->keys + unit * k.steps;
        pack_rows(&k, row, n, &to->k, sizeof *to);
        pack_rows(&v, row, n, &to->v, sizeof *to);
        for (int d = 0; w.dq && d < k.steps; d++) {
            pair_rows(&to[d].k, &t->paired);
            turn(&t->paired, &to[d].k_turned);
        }
    }
}

static void pack_queries(const struct attention_backward_args *b, struct gradient_tiles *t, int h, int64_t row, int64_t rows, struct wanted w) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows q = head_of(a, a->q, a->q_stride, h), dout = head_of(a, b->dout, a->o_stride, h);
    t->units = 0;
    for (int64_t r = 0; r < rows; r += UNIT, t->units++) {
        struct query_unit *u = &t->unit[t->units];
        u->n = (int)i64_min(UNIT, rows - r);
        u->row = row + r;
        u->from = a->start[row];
        for (int i = 0; i < UNIT; i++) {
            const int64_t at = h * a->tokens + u->row + i;
            u->lse[i] = i < u->n ? a->lse[at] * log2_of_e : 0;
            u->delta[i] = i < u->n ? b->delta[at] : 0;
        }
        const int at = t->units * q.steps;
        pack_rows(&q, u->row, u->n, t->rows, sizeof *t->rows);
        for (int d = 0; d < q.steps; d++) {
            turn(&t->rows[d], &t->q[at + d]);
            if (w.dkv) pair_rows(&t->rows[d], &t->q_pairs[at + d]);
        }
        pack_rows(&dout, u->row, u->n, t->rows, sizeof *t->rows);
        for (int d = 0; d < q.steps; d++) {
            turn(&t->rows[d], &t->dout[at + d]);
            if (w.dkv) pair_rows(&t->rows[d], &t->dout_pairs[at + d]);
        }
    }
}

/* Of a unit of keys from k0 on and a unit of queries: p = exp(scale * score - lse) and p * (dp - delta), as operands. */
AMX_INLINE void gradient_pairs(struct gradient_tiles *t, const struct query_unit *u, int64_t k0, float scale, const bool masked, struct operand *p,
                               struct operand *ds, struct operand *ds_keys) {
    const __m512 rate = _mm512_set1_ps(scale * log2_of_e);
    const int from = (int)i64_max(0, u->from - k0); /* the first key of the unit that is seen */
    __m512 lse[2], delta[2];
    __m512i last[2];
    for (int c = 0; c < 2; c++) {
        lse[c] = _mm512_loadu_ps(u->lse + 16 * c);
        delta[c] = _mm512_loadu_ps(u->delta + 16 * c);
        last[c] = _mm512_add_epi32(lane_numbers(c), _mm512_set1_epi32((int)i64_max(-UNIT - 1, i64_min(UNIT, u->row - k0))));
    }
    for (int pair = 0; pair < 16; pair++) {
        __m512 e[2][2], g[2][2]; /* [key][query] */
        for (int half = 0; half < 2; half++)
            for (int c = 0; c < 2; c++) {
                const int key = 16 * half + pair;
                const __m512 y = _mm512_fmsub_ps(_mm512_load_ps(&t->s.at[key][16 * c]), rate, lse[c]);
                __m512 x = exp2_of(_mm512_min_ps(_mm512_setzero_ps(), y)); /* it can be above by rounding */
                __m512 z = _mm512_mul_ps(x, _mm512_sub_ps(_mm512_load_ps(&t->dp.at[key][16 * c]), delta[c]));
                if (masked) {
                    const __mmask16 seen = key >= from ? _mm512_cmpge_epi32_mask(last[c], _mm512_set1_epi32(key)) : 0;
                    x = _mm512_maskz_mov_ps(seen, x);
                    z = _mm512_maskz_mov_ps(seen, z);
                }
                e[half][c] = x;
                g[half][c] = z;
            }
        for (int half = 0; half < 2; half++) {
            if (p) store_pair(p, half, pair, e[half][0], e[half][1]);
            if (ds) store_pair(ds, half, pair, g[half][0], g[half][1]);
        }
        for (int c = 0; ds_keys && c < 2; c++) store_pair(ds_keys, c, pair, g[0][c], g[1][c]);
    }
}

/* Whether a query of the unit sees a key of [k0, k0 + 32); *all: whether each sees each. Rows that are not there see what they would. */
static bool sees(const struct query_unit *u, int64_t k0, bool *all) {
    *all = u->from <= k0 && u->row >= k0 + UNIT - 1;
    return u->from < k0 + UNIT && u->row + u->n > k0;
}

/* The queries packed against units [unit0, unit0 + key_units) of the keys packed, which begin with token k0. */
AMX_INLINE void block_pairs(struct gradient_tiles *t, int unit0, int key_units, int64_t k0, int steps, float scale, const struct wanted w) {
    bool visible[KEY_UNITS][BLOCK_UNITS];
    const int64_t step = sizeof(struct operand);
    for (int k = 0; k < key_units; k++)
        for (int i = 0; i < t->units; i++) {
            bool all;
            const struct query_unit *u = &t->unit[i];
            const int64_t key = k0 + (int64_t)(unit0 + k) * UNIT;
            struct operand *p = w.dkv ? &t->p[k][i] : NULL, *ds = w.dkv ? &t->ds[k][i] : NULL, *ds_keys = w.dq ? &t->ds_keys[i][k] : NULL;
            visible[k][i] = sees(u, key, &all);
            if (!visible[k][i]) continue;
            const struct key_step *at = t->keys + (unit0 + k) * steps;
            product(&t->s, (struct product){&at->k, t->q + i * steps, sizeof *at, sizeof *t->q, steps});
            product(&t->dp, (struct product){&at->v, t->dout + i * steps, sizeof *at, sizeof *t->dout, steps});
            if (all) gradient_pairs(t, u, key, scale, false, p, ds, ds_keys);
            else gradient_pairs(t, u, key, scale, true, p, ds, ds_keys);
        }
    for (int k = 0; w.dkv && k < key_units; k++)
        for (int i = 0, n; i < t->units; i += n) { /* the units that see it are neighbours */
            for (n = 0; i + n < t->units && visible[k][i + n] == visible[k][i];) n++;
            if (!visible[k][i]) continue;
            for (int d = 0; d < steps; d++) {
                struct key_step *to = t->keys + (unit0 + k) * steps + d;
                product_to(&to->dv, false, (struct product){&t->p[k][i], t->dout_pairs + i * steps + d, sizeof t->p[k][i], steps * step, n});
                product_to(&to->dk, false, (struct product){&t->ds[k][i], t->q_pairs + i * steps + d, sizeof t->ds[k][i], steps * step, n});
            }
        }
    for (int i = 0; w.dq && i < t->units; i++)
        for (int k = 0, n; k < key_units; k += n) {
            for (n = 0; k + n < key_units && visible[k + n][i] == visible[k][i];) n++;
            if (!visible[k][i]) continue;
            for (int d = 0; d < steps; d++)
                product_to(t->dq + i * steps + d, false,
                           (struct product){&t->keys[(unit0 + k) * steps + d].k_turned, &t->ds_keys[i][k], steps * (int64_t)sizeof *t->keys,
                                            sizeof t->ds_keys[i][k], n});
        }
}

/* One body for each of the three tasks. */
static void pairs_all(struct gradient_tiles *t, int unit0, int key_units, int64_t k0, int steps, float scale) {
    block_pairs(t, unit0, key_units, k0, steps, scale, (struct wanted){true, true});
}
static void pairs_dq(struct gradient_tiles *t, int unit0, int key_units, int64_t k0, int steps, float scale) {
    block_pairs(t, unit0, key_units, k0, steps, scale, (struct wanted){true, false});
}
static void pairs_dkv(struct gradient_tiles *t, int unit0, int key_units, int64_t k0, int steps, float scale) {
    block_pairs(t, unit0, key_units, k0, steps, scale, (struct wanted){false, true});
}

static void dq_out(const struct attention_backward_args *b, const struct gradient_tiles *t, int h) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows q = head_of(a, b->dq, a->q_stride, h);
    float factor[32];
    for (int i = 0; i < 32; i++) factor[i] = a->scale;
    for (int i = 0; i < t->units; i++)
        for (int d = 0; d < q.steps; d++) store_turned(&q, t->unit[i].row, t->unit[i].n, d, &t->dq[i * q.steps + d], factor);
}

static void dkv_out(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows k = head_of(a, b->dk, a->k_stride, kv), v = head_of(a, b->dv, a->v_stride, kv);
    for (int64_t r = 0; r < keys; r++)
        for (int d = 0; d < k.steps; d++) {
            const struct key_step *from = t->keys + r / UNIT * k.steps + d;
            const int row = (int)(r % UNIT);
            store_row(&k, k0 + r, d, total_at(&from->dk, row, 0), total_at(&from->dk, row, 1), _mm512_set1_ps(a->scale));
            store_row(&v, k0 + r, d, total_at(&from->dv, row, 0), total_at(&from->dv, row, 1), _mm512_set1_ps(1));
        }
}

static void zero_dkv(struct gradient_tiles *t, int64_t keys, int steps) {
    for (int64_t i = 0; i < i64_div_up(keys, UNIT) * steps; i++) {
        memset(&t->keys[i].dk, 0, sizeof t->keys[i].dk);
        memset(&t->keys[i].dv, 0, sizeof t->keys[i].dv);
    }
}

static void delta_rows(const struct attention_backward_args *b, int h, int64_t row, int64_t rows) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows o = head_of(a, a->o, a->o_stride, h), dout = head_of(a, b->dout, a->o_stride, h);
    for (int64_t i = row; i < row + rows; i++) {
        __m512 first = _mm512_setzero_ps(), second = first;
        for (int d = 0; d < o.steps; d++) {
            const int64_t at = i * o.stride + 32 * d;
            __m512 x[2], y[2];
            read_row(o.p + at, dims_in(o.dim, d), x);
            read_row(dout.p + at, dims_in(o.dim, d), y);
            first = _mm512_fmadd_ps(x[0], y[0], first);
            second = _mm512_fmadd_ps(x[1], y[1], second);
        }
        b->delta[h * a->tokens + i] = _mm512_reduce_add_ps(_mm512_add_ps(first, second));
    }
}

/* The document that token i (no padding) is of, if a task can take it whole: nobody else sees its keys, and they have room. */
static bool fits(const struct attention_args *a, int64_t i, int64_t *begin, int64_t *length) {
    const int64_t room = keys_that_fit(steps_of(a));
    *begin = a->start[i];
    if (a->start[*begin] != *begin) return false;
    *length = run_length(a->start, *begin, i64_min(a->tokens, *begin + room + 1));
    int64_t next = *begin + *length;
    while (next < a->tokens && a->start[next] < 0) next++;
    return *length <= room && (next == a->tokens || a->start[next] >= *begin + *length);
}

/* Where the run of equal starts that token i is in begins. */
static int64_t run_begin(const struct attention_args *a, int64_t i) {
    if (a->start[a->start[i]] == a->start[i]) return a->start[i];
    while (i > 0 && a->start[i - 1] == a->start[i]) i--;
    return i;
}

static void whole_document(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int64_t begin, int64_t length) {
    const struct attention_args *a = &b->fwd;
    const int steps = steps_of(a);
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    pack_keys(a, t, kv, begin, length, (struct wanted){true, true});
    zero_dkv(t, length, steps);
    for (int h = head0; h < head1; h++) {
        delta_rows(b, h, begin, length);
        for (int64_t r = 0; r < length; r += WHOLE_UNITS * UNIT) {
            const int64_t rows = i64_min(WHOLE_UNITS * UNIT, length - r), units = i64_div_up(r + rows, UNIT);
            pack_queries(b, t, h, begin + r, rows, (struct wanted){true, true});
            memset(t->dq, 0, (size_t)(t->units * steps) * sizeof *t->dq);
            for (int unit = 0; unit < units; unit += KEY_UNITS) pairs_all(t, unit, (int)i64_min(KEY_UNITS, units - unit), begin, steps, a->scale);
            dq_out(b, t, h);
        }
    }
    dkv_out(b, t, kv, begin, length);
}

/* Queries [row, row + rows) of one start. */
static void dq_run(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int h, int64_t row, int64_t rows) {
    const struct attention_args *a = &b->fwd;
    const int steps = steps_of(a);
    const struct wanted w = {true, false};
    delta_rows(b, h, row, rows);
    pack_queries(b, t, h, row, rows, w);
    memset(t->dq, 0, (size_t)(t->units * steps) * sizeof *t->dq);
    for (int64_t k0 = a->start[row]; k0 < row + rows; k0 += KEY_UNITS * UNIT) {
        const int64_t keys = i64_min(KEY_UNITS * UNIT, row + rows - k0);
        pack_keys(a, t, kv, k0, keys, w);
        pairs_dq(t, 0, (int)i64_div_up(keys, UNIT), k0, steps, a->scale);
    }
    dq_out(b, t, h);
}

/* dk and dv of keys [k0, k0 + keys) of one start. */
static void dkv_run(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys) {
    const struct attention_args *a = &b->fwd;
    const int steps = steps_of(a), units = (int)i64_div_up(keys, UNIT);
    const struct wanted w = {false, true};
    const int64_t run = run_begin(a, k0), first = run + (k0 - run) / UNIT * UNIT;
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    pack_keys(a, t, kv, k0, keys, w);
    zero_dkv(t, keys, steps);
    for (int h = head0; h < head1; h++)
        for (int64_t q = first, rows; q < a->tokens && (a->start[q] < 0 || a->start[q] < k0 + keys); q += rows) {
            rows = run_length(a->start, q, i64_min(a->tokens, q + block_of(steps)));
            if (a->start[q] < 0) continue;
            pack_queries(b, t, h, q, rows, w);
            for (int unit = 0; unit < units; unit += KEY_UNITS) pairs_dkv(t, unit, (int)i64_min(KEY_UNITS, units - unit), k0, steps, a->scale);
        }
    dkv_out(b, t, kv, k0, keys);
}

struct call {
    const struct attention_backward_args *b;
    bool whole; /* documents that fit are taken whole */
};

/* Every document that begins in the block and is taken whole; dq of the block's other queries; padding's zeros. */
static void first_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct call *call = arg;
    const struct attention_backward_args *b = call->b;
    const struct attention_args *a = &b->fwd;
    struct gradient_tiles t;
    const int kv = (int)(task % a->kv_heads);
    const int64_t blocks = i64_div_up(a->tokens, TASK), block = blocks - 1 - task / a->kv_heads; /* the longest first */
    const int64_t end = i64_min(a->tokens, (block + 1) * TASK);
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    amx_begin();
    for (int64_t i = block * TASK, rows; i < end; i += rows) {
        int64_t begin, length;
        rows = run_length(a->start, i, end);
        if (a->start[i] < 0) {
            const struct head_rows dk = head_of(a, b->dk, a->k_stride, kv), dv = head_of(a, b->dv, a->v_stride, kv);
            zero_rows(&dk, i, rows);
            zero_rows(&dv, i, rows);
            for (int h = head0; h < head1; h++) {
                const struct head_rows dq = head_of(a, b->dq, a->q_stride, h);
                zero_rows(&dq, i, rows);
            }
        } else if (call->whole && fits(a, i, &begin, &length)) {
            if (begin == i) whole_document(b, &t, kv, begin, length);
        } else {
            rows = i64_min(rows, block_of(steps_of(a)));
            for (int h = head0; h < head1; h++) dq_run(b, &t, kv, h, i, rows);
        }
    }
    amx_end();
}

/* dk and dv of a block's keys, but those of documents that were taken whole. */
static void second_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct call *call = arg;
    const struct attention_backward_args *b = call->b;
    const struct attention_args *a = &b->fwd;
    struct gradient_tiles t;
    const int64_t span = span_of(steps_of(a)), block = task / a->kv_heads, end = i64_min(a->tokens, (block + 1) * span); /* the longest are first */
    amx_begin();
    for (int64_t i = block * span, keys; i < end; i += keys) {
        int64_t begin, length;
        keys = run_length(a->start, i, end);
        if (a->start[i] >= 0 && !(call->whole && fits(a, i, &begin, &length))) dkv_run(b, &t, (int)(task % a->kv_heads), i, keys);
    }
    amx_end();
}

static void attention_backward_tiles(struct pool *pool, const struct attention_backward_args *b) {
    const struct attention_args *a = &b->fwd;
    int64_t documents = 0;
    bool others = false;
    for (int64_t i = 0, begin, length; i < a->tokens; i = begin + length) {
        const bool padding = a->start[i] < 0, one = !padding && fits(a, i, &begin, &length);
        documents += one;
        others |= !padding && !one;
        if (one) continue;
        begin = i;
        length = run_length(a->start, i, a->tokens);
    }
    /* Whole documents are less work, but not where they leave threads without any. */
    struct call call = {b, documents * a->kv_heads >= pool_threads(pool)};
    pool_run(pool, i64_div_up(a->tokens, TASK) * a->kv_heads, first_task, &call);
    if (others || !call.whole) pool_run(pool, i64_div_up(a->tokens, span_of(steps_of(a))) * a->kv_heads, second_task, &call);
}
