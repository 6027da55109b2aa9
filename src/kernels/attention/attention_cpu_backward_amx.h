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

/* Of a unit of keys and a step of dimensions, of which a unit has as many as the wider of keys and values. k and v are left operands
 * against dimensions, k_turned one against keys. */
struct key_step {
    struct operand k, v, k_turned;
    struct total dk, dv;
};
_Static_assert(KEY_STEPS >= KEY_UNITS * STEPS_MAX && QUERY_STEPS >= WHOLE_UNITS * STEPS_MAX, "blocks fit with any dimensions");

/* Up to 32 queries. */
struct query_unit {
    int n;
    int64_t row;
    int64_t from, begin; /* the first key that query 0 sees, and the document's; the last is their own */
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
    int steps, value_steps, unit_steps; /* of keys, of values, and the more */
};

static void begin_task(struct gradient_tiles *t, const struct attention_args *a) {
    t->steps = (int)i64_div_up(a->head_dim, 32);
    t->value_steps = (int)i64_div_up(attention_value_dim(a), 32);
    t->unit_steps = most_steps(a);
    amx_begin();
}

static int64_t keys_that_fit(int steps) { return KEY_STEPS / steps * UNIT; }
static int64_t span_of(int steps) { return i64_min(SPAN_UNITS * UNIT, keys_that_fit(steps)); }
static int64_t block_of(int steps) { return i64_min(BLOCK_UNITS, QUERY_STEPS / steps) * UNIT; }

/* What a task is after. */
struct wanted {
    bool dq, dkv;
};

/* Keys [k0, k0 + keys) into units 0 and on. */
static void pack_keys(const struct attention_args *a, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys, struct wanted w) {
    const struct head_rows k = key_head(a, a->k, a->k_stride, kv), v = value_head(a, a->v, a->v_stride, kv);
    for (int unit = 0; unit * UNIT < keys; unit++) {
        const int64_t row = k0 + unit * UNIT;
        const int n = (int)i64_min(UNIT, keys - unit * UNIT);
        struct key_step *to = t->keys + unit * t->unit_steps;
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
    const struct head_rows q = key_head(a, a->q, a->q_stride, h), dout = value_head(a, b->dout, a->o_stride, h);
    t->units = 0;
    for (int64_t r = 0; r < rows; r += UNIT, t->units++) {
        struct query_unit *u = &t->unit[t->units];
        u->n = (int)i64_min(UNIT, rows - r);
        u->row = row + r;
        u->begin = a->start[row];
        u->from = attention_first_key(a, u->row);
        for (int i = 0; i < UNIT; i++) {
            const int64_t at = h * a->tokens + u->row + i;
            u->lse[i] = i < u->n ? a->lse[at] * log2_of_e : 0;
            u->delta[i] = i < u->n ? b->delta[at] : 0;
        }
        pack_rows(&q, u->row, u->n, t->rows, sizeof *t->rows);
        for (int d = 0, at = t->units * q.steps; d < q.steps; d++, at++) {
            turn(&t->rows[d], &t->q[at]);
            if (w.dkv) pair_rows(&t->rows[d], &t->q_pairs[at]);
        }
        pack_rows(&dout, u->row, u->n, t->rows, sizeof *t->rows);
        for (int d = 0, at = t->units * dout.steps; d < dout.steps; d++, at++) {
            turn(&t->rows[d], &t->dout[at]);
            if (w.dkv) pair_rows(&t->rows[d], &t->dout_pairs[at]);
        }
    }
}

/* The first key that query i of the unit sees; rows that are not there see what they would. */
static inline int64_t first_seen(const struct attention_args *a, const struct query_unit *u, int64_t i) {
    return a->window ? i64_max(u->begin, u->row + i - a->window + 1) : u->begin;
}

/* Of a unit of keys from k0 on and a unit of queries: p = exp(scale * score - lse) and p * (dp - delta), as operands. */
AMX_INLINE void gradient_pairs(const struct attention_args *a, struct gradient_tiles *t, const struct query_unit *u, int64_t k0, const bool masked,
                               struct operand *p, struct operand *ds, struct operand *ds_keys) {
    const __m512 rate = _mm512_set1_ps(a->scale * log2_of_e);
    __m512 lse[2], delta[2];
    __m512i first[2], last[2]; /* keys of the unit that each lane sees */
    for (int c = 0; c < 2; c++) {
        lse[c] = _mm512_loadu_ps(u->lse + 16 * c);
        delta[c] = _mm512_loadu_ps(u->delta + 16 * c);
        last[c] = _mm512_add_epi32(lane_numbers(c), _mm512_set1_epi32((int)i64_max(-UNIT - 1, i64_min(UNIT, u->row - k0))));
        if (!masked) continue;
        _Alignas(64) int32_t from[16];
        for (int i = 0; i < 16; i++) from[i] = (int32_t)i64_max(0, i64_min(UNIT, first_seen(a, u, 16 * c + i) - k0));
        first[c] = _mm512_load_si512(from);
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
                    const __m512i k = _mm512_set1_epi32(key);
                    const __mmask16 seen = _mm512_mask_cmple_epi32_mask(_mm512_cmpge_epi32_mask(last[c], k), first[c], k);
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

/* Whether a query of the unit sees a key of [k0, k0 + 32); *all: whether each sees each. */
static bool sees(const struct attention_args *a, const struct query_unit *u, int64_t k0, bool *all) {
    *all = first_seen(a, u, UNIT - 1) <= k0 && u->row >= k0 + UNIT - 1;
    return u->from < k0 + UNIT && u->row + u->n > k0;
}

/* The queries packed against units [unit0, unit0 + key_units) of the keys packed, which begin with token k0. */
AMX_INLINE void block_pairs(const struct attention_args *a, struct gradient_tiles *t, int unit0, int key_units, int64_t k0, const struct wanted w) {
    const int steps = t->steps, value_steps = t->value_steps;
    bool visible[KEY_UNITS][BLOCK_UNITS];
    const int64_t step = sizeof(struct operand);
    for (int k = 0; k < key_units; k++)
        for (int i = 0; i < t->units; i++) {
            bool all;
            const struct query_unit *u = &t->unit[i];
            const int64_t key = k0 + (int64_t)(unit0 + k) * UNIT;
            struct operand *p = w.dkv ? &t->p[k][i] : NULL, *ds = w.dkv ? &t->ds[k][i] : NULL, *ds_keys = w.dq ? &t->ds_keys[i][k] : NULL;
            visible[k][i] = sees(a, u, key, &all);
            if (!visible[k][i]) continue;
            const struct key_step *at = t->keys + (unit0 + k) * t->unit_steps;
            product(&t->s, (struct product){&at->k, t->q + i * steps, sizeof *at, sizeof *t->q, steps});
            product(&t->dp, (struct product){&at->v, t->dout + i * value_steps, sizeof *at, sizeof *t->dout, value_steps});
            if (all) gradient_pairs(a, t, u, key, false, p, ds, ds_keys);
            else gradient_pairs(a, t, u, key, true, p, ds, ds_keys);
        }
    for (int k = 0; w.dkv && k < key_units; k++)
        for (int i = 0, n; i < t->units; i += n) { /* the units that see it are neighbours */
            for (n = 0; i + n < t->units && visible[k][i + n] == visible[k][i];) n++;
            if (!visible[k][i]) continue;
            struct key_step *to = t->keys + (unit0 + k) * t->unit_steps;
            for (int d = 0; d < value_steps; d++)
                product_to(&to[d].dv, false,
                           (struct product){&t->p[k][i], t->dout_pairs + i * value_steps + d, sizeof t->p[k][i], value_steps * step, n});
            for (int d = 0; d < steps; d++)
                product_to(&to[d].dk, false, (struct product){&t->ds[k][i], t->q_pairs + i * steps + d, sizeof t->ds[k][i], steps * step, n});
        }
    for (int i = 0; w.dq && i < t->units; i++)
        for (int k = 0, n; k < key_units; k += n) {
            for (n = 0; k + n < key_units && visible[k + n][i] == visible[k][i];) n++;
            if (!visible[k][i]) continue;
            for (int d = 0; d < steps; d++)
                product_to(t->dq + i * steps + d, false,
                           (struct product){&t->keys[(unit0 + k) * t->unit_steps + d].k_turned, &t->ds_keys[i][k],
                                            t->unit_steps * (int64_t)sizeof *t->keys, sizeof t->ds_keys[i][k], n});
        }
}

/* One body for each of the three tasks. */
static void pairs_all(const struct attention_args *a, struct gradient_tiles *t, int unit0, int key_units, int64_t k0) {
    block_pairs(a, t, unit0, key_units, k0, (struct wanted){true, true});
}
static void pairs_dq(const struct attention_args *a, struct gradient_tiles *t, int unit0, int key_units, int64_t k0) {
    block_pairs(a, t, unit0, key_units, k0, (struct wanted){true, false});
}
static void pairs_dkv(const struct attention_args *a, struct gradient_tiles *t, int unit0, int key_units, int64_t k0) {
    block_pairs(a, t, unit0, key_units, k0, (struct wanted){false, true});
}

static void dq_out(const struct attention_backward_args *b, const struct gradient_tiles *t, int h) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows q = key_head(a, b->dq, a->q_stride, h);
    float factor[32];
    for (int i = 0; i < 32; i++) factor[i] = a->scale;
    for (int i = 0; i < t->units; i++)
        for (int d = 0; d < q.steps; d++) store_turned(&q, t->unit[i].row, t->unit[i].n, d, &t->dq[i * q.steps + d], factor);
}

static void dkv_out(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows k = key_head(a, b->dk, a->k_stride, kv), v = value_head(a, b->dv, a->v_stride, kv);
    for (int64_t r = 0; r < keys; r++) {
        const struct key_step *from = t->keys + r / UNIT * t->unit_steps;
        const int row = (int)(r % UNIT);
        for (int d = 0; d < k.steps; d++)
            store_row(&k, k0 + r, d, total_at(&from[d].dk, row, 0), total_at(&from[d].dk, row, 1), _mm512_set1_ps(a->scale));
        for (int d = 0; d < v.steps; d++) store_row(&v, k0 + r, d, total_at(&from[d].dv, row, 0), total_at(&from[d].dv, row, 1), _mm512_set1_ps(1));
    }
}

static void zero_dkv(struct gradient_tiles *t, int64_t keys) {
    for (int64_t i = 0; i < i64_div_up(keys, UNIT) * t->unit_steps; i++) {
        memset(&t->keys[i].dk, 0, sizeof t->keys[i].dk);
        memset(&t->keys[i].dv, 0, sizeof t->keys[i].dv);
    }
}

static void delta_rows(const struct attention_backward_args *b, int h, int64_t row, int64_t rows) {
    const struct attention_args *a = &b->fwd;
    const struct head_rows o = value_head(a, a->o, a->o_stride, h), dout = value_head(a, b->dout, a->o_stride, h);
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
    const int64_t room = keys_that_fit(most_steps(a));
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
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    pack_keys(a, t, kv, begin, length, (struct wanted){true, true});
    zero_dkv(t, length);
    for (int h = head0; h < head1; h++) {
        delta_rows(b, h, begin, length);
        for (int64_t r = 0; r < length; r += WHOLE_UNITS * UNIT) {
            const int64_t rows = i64_min(WHOLE_UNITS * UNIT, length - r), units = i64_div_up(r + rows, UNIT);
            pack_queries(b, t, h, begin + r, rows, (struct wanted){true, true});
            memset(t->dq, 0, (size_t)(t->units * t->steps) * sizeof *t->dq);
            for (int64_t unit = (t->unit[0].from - begin) / UNIT; unit < units; unit += KEY_UNITS)
                pairs_all(a, t, (int)unit, (int)i64_min(KEY_UNITS, units - unit), begin);
            dq_out(b, t, h);
        }
    }
    dkv_out(b, t, kv, begin, length);
}

/* Queries [row, row + rows) of one start. */
static void dq_run(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int h, int64_t row, int64_t rows) {
    const struct attention_args *a = &b->fwd;
    const struct wanted w = {true, false};
    delta_rows(b, h, row, rows);
    pack_queries(b, t, h, row, rows, w);
    memset(t->dq, 0, (size_t)(t->units * t->steps) * sizeof *t->dq);
    for (int64_t k0 = first_block(a, row, UNIT); k0 < row + rows; k0 += KEY_UNITS * UNIT) {
        const int64_t keys = i64_min(KEY_UNITS * UNIT, row + rows - k0);
        pack_keys(a, t, kv, k0, keys, w);
        pairs_dq(a, t, 0, (int)i64_div_up(keys, UNIT), k0);
    }
    dq_out(b, t, h);
}

/* dk and dv of keys [k0, k0 + keys) of one start. */
static void dkv_run(const struct attention_backward_args *b, struct gradient_tiles *t, int kv, int64_t k0, int64_t keys) {
    const struct attention_args *a = &b->fwd;
    const int units = (int)i64_div_up(keys, UNIT);
    const struct wanted w = {false, true};
    const int64_t run = run_begin(a, k0), first = run + (k0 - run) / UNIT * UNIT;
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    pack_keys(a, t, kv, k0, keys, w);
    zero_dkv(t, keys);
    for (int h = head0; h < head1; h++)
        for (int64_t q = first, rows; q < a->tokens && (a->start[q] < 0 || a->start[q] < k0 + keys) && !past_window(a, q, k0 + keys); q += rows) {
            rows = run_length(a->start, q, i64_min(a->tokens, q + block_of(t->unit_steps)));
            if (a->start[q] < 0) continue;
            pack_queries(b, t, h, q, rows, w);
            for (int unit = 0; unit < units; unit += KEY_UNITS) pairs_dkv(a, t, unit, (int)i64_min(KEY_UNITS, units - unit), k0);
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
    begin_task(&t, a);
    for (int64_t i = block * TASK, rows; i < end; i += rows) {
        int64_t begin, length;
        rows = run_length(a->start, i, end);
        if (a->start[i] < 0) {
            const struct head_rows dk = key_head(a, b->dk, a->k_stride, kv), dv = value_head(a, b->dv, a->v_stride, kv);
            zero_rows(&dk, i, rows);
            zero_rows(&dv, i, rows);
            for (int h = head0; h < head1; h++) {
                const struct head_rows dq = key_head(a, b->dq, a->q_stride, h);
                zero_rows(&dq, i, rows);
            }
        } else if (call->whole && fits(a, i, &begin, &length)) {
            if (begin == i) whole_document(b, &t, kv, begin, length);
        } else {
            rows = i64_min(rows, block_of(t.unit_steps));
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
    const int64_t span = span_of(most_steps(a)), block = task / a->kv_heads, end = i64_min(a->tokens, (block + 1) * span); /* the longest are first */
    begin_task(&t, a);
    for (int64_t i = block * span, keys; i < end; i += keys) {
        int64_t begin, length;
        keys = run_length(a->start, i, end);
        if (a->start[i] >= 0 && !(call->whole && fits(a, i, &begin, &length))) dkv_run(b, &t, (int)(task % a->kv_heads), i, keys);
    }
    amx_end();
}

/* dsinks of a head: a sink's share of the softmax has no value, so its dp is 0. Runs of 16 tokens are added in fp64. */
static void sink_task(void *arg, int64_t h, int worker) {
    (void)worker;
    const struct attention_backward_args *b = ((const struct call *)arg)->b;
    const struct attention_args *a = &b->fwd;
    const __m512 sink = _mm512_set1_ps(act_load(a->act, a->sinks, h));
    double sum = 0;
    for (int64_t i = 0; i < a->tokens; i += 16) {
        const __mmask16 have = (__mmask16)(0xffffu >> (16 - i64_min(16, a->tokens - i)));
        const __mmask16 seen = _mm512_mask_cmpge_epi32_mask(have, _mm512_maskz_loadu_epi32(have, a->start + i), _mm512_setzero_si512());
        const __m512 lse = _mm512_maskz_loadu_ps(seen, a->lse + h * a->tokens + i), delta = _mm512_maskz_loadu_ps(seen, b->delta + h * a->tokens + i);
        const __m512 share = exp2_of(_mm512_mul_ps(_mm512_sub_ps(sink, lse), _mm512_set1_ps(log2_of_e)));
        sum += (double)_mm512_reduce_add_ps(_mm512_maskz_mul_ps(seen, share, delta));
    }
    b->dsinks_acc[h] -= (float)sum;
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
    if (others || !call.whole) pool_run(pool, i64_div_up(a->tokens, span_of(most_steps(a))) * a->kv_heads, second_task, &call);
    if (a->sinks) pool_run(pool, a->heads, sink_task, &call);
}
