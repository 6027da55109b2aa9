/* Forward by AMX: parallel over (block of queries, KV head). What is packed of a tile of keys serves all queries of a run in the block,
 * those of several heads of the group where they fit. Part of attention_cpu_{amx,split_amx}.c; see attention_cpu_amx.h. */
#include <math.h>

enum {
    QUERIES = 256, /* of a task */
    KEYS = 64,     /* with their scores in L1 */
    TILE_UNITS = KEYS / UNIT,
    UNITS = 16,      /* of queries, against keys packed once, if they fit */
    UNIT_STEPS = 64, /* room for queries, one for each unit and step of dimensions */
};
_Static_assert(UNIT_STEPS >= QUERIES / UNIT * STEPS_MAX, "a head's queries fit with any dimensions");

/* Up to 32 queries of a head and a document. */
struct softmax_unit {
    __m512 max[2], sum[2];
    __m512i first[2], last[2]; /* of the tile of keys at work: the first and the last one each lane sees */
    __m512 shrink[2];
    int64_t row, token; /* of the first; row of q, o, lse and start */
    int head, n;
    int key_unit, key_units; /* [key_unit, key_units): those of the tile that any of them sees */
    bool fresh;              /* no keys yet */
};

struct forward_tiles {
    struct operand q[UNIT_STEPS], k[TILE_UNITS * STEPS_MAX], v[TILE_UNITS * STEPS_MAX], p[TILE_UNITS];
    struct total o[UNIT_STEPS];
    struct quad s[TILE_UNITS];
    struct operand rows[STEPS_MAX];
    struct softmax_unit unit[UNITS];
    int units;
};

/* Whether lanes see key `key` of the tile: lane l of half c sees the keys from first[c][l] to last[c][l]. */
AMX_INLINE __mmask16 seen_at(const struct softmax_unit *u, int key, int c) {
    const __m512i k = _mm512_set1_epi32(key);
    return _mm512_mask_cmple_epi32_mask(_mm512_cmpge_epi32_mask(u->last[c], k), u->first[c], k);
}

AMX_INLINE __m512 score_at(const struct quad *s, int key, int c) { return _mm512_load_ps(&s[key / UNIT].at[key % UNIT][16 * c]); }

/* The maximum so far, and how much what was summed before must shrink for it. A lane that has seen no key yet has none, and only zeros to
 * shrink. */
AMX_INLINE void raise_max(struct softmax_unit *u, const struct quad *s, const bool masked, __m512 rate) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    for (int c = 0; c < 2; c++) {
        __m512 max[4] = {u->max[c], u->max[c], u->max[c], u->max[c]};
        for (int key = UNIT * u->key_unit; key < UNIT * u->key_units; key += 4)
            for (int i = 0; i < 4; i++) {
                const __m512 x = score_at(s, key + i, c);
                max[i] = masked ? _mm512_mask_max_ps(max[i], seen_at(u, key + i, c), x, max[i]) : _mm512_max_ps(x, max[i]);
            }
        max[0] = _mm512_max_ps(_mm512_max_ps(max[0], max[1]), _mm512_max_ps(max[2], max[3]));
        u->shrink[c] = exp2_of(_mm512_mul_ps(_mm512_sub_ps(u->max[c], max[0]), rate));
        if (masked) u->shrink[c] = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(max[0], none, _CMP_NEQ_UQ), u->shrink[c]);
        u->max[c] = max[0];
        u->sum[c] = _mm512_mul_ps(u->sum[c], u->shrink[c]);
    }
}

/* Scores become pairs of exp(scale * (score - max)) against the keys. */
AMX_INLINE void weigh(struct softmax_unit *u, const struct quad *s, struct operand *p, const bool masked, __m512 rate) {
    __m512 sum[2][2] = {{_mm512_setzero_ps(), _mm512_setzero_ps()}, {_mm512_setzero_ps(), _mm512_setzero_ps()}};
    for (int key_unit = u->key_unit; key_unit < u->key_units; key_unit++)
        for (int pair = 0; pair < 16; pair++)
            for (int c = 0; c < 2; c++) {
                __m512 e[2];
                for (int half = 0; half < 2; half++) {
                    const int key = UNIT * key_unit + 16 * half + pair;
                    e[half] = exp2_of(_mm512_mul_ps(_mm512_sub_ps(score_at(s, key, c), u->max[c]), rate));
                    if (masked) e[half] = _mm512_maskz_mov_ps(seen_at(u, key, c), e[half]);
                    sum[c][half] = _mm512_add_ps(sum[c][half], e[half]);
                }
                store_pair(&p[key_unit], c, pair, e[0], e[1]);
            }
    for (int c = 0; c < 2; c++) u->sum[c] = _mm512_add_ps(u->sum[c], _mm512_add_ps(sum[c][0], sum[c][1]));
}

static void softmax_all(struct softmax_unit *u, const struct quad *s, struct operand *p, __m512 rate) {
    raise_max(u, s, false, rate);
    weigh(u, s, p, false, rate);
}

static void softmax_masked(struct softmax_unit *u, const struct quad *s, struct operand *p, __m512 rate) {
    raise_max(u, s, true, rate);
    weigh(u, s, p, true, rate);
}

static void shrink_sums(struct total *o, int steps, const __m512 shrink[2]) {
    const __m512 one = _mm512_set1_ps(1);
    if (!(_mm512_cmp_ps_mask(shrink[0], one, _CMP_NEQ_UQ) | _mm512_cmp_ps_mask(shrink[1], one, _CMP_NEQ_UQ))) return;
    for (struct quad *q = o->sum; q < o[steps].sum; q++)
        for (int i = 0; i < 32; i++)
            for (int c = 0; c < 2; c++) _mm512_store_ps(&q->at[i][16 * c], _mm512_mul_ps(_mm512_load_ps(&q->at[i][16 * c]), shrink[c]));
}

/* A unit against the `keys` keys packed, the first of which is token k0. */
static void unit_tile(const struct attention_args *a, struct forward_tiles *t, int i, int64_t k0, int64_t keys, int steps, int value_steps) {
    const __m512 rate = _mm512_set1_ps(a->scale * log2_of_e);
    struct softmax_unit *u = &t->unit[i];
    struct total *o = t->o + i * value_steps;
    const int64_t last = u->token - k0, first = a->window ? i64_max(-UNIT, last - a->window + 1) : -UNIT; /* what the first query sees */
    if (last + u->n <= 0 || first >= keys) return;
    u->key_unit = (int)(i64_max(0, first) / UNIT);
    u->key_units = (int)i64_div_up(i64_min(keys, last + u->n), UNIT);
    for (int c = 0; c < 2; c++) {
        u->first[c] = _mm512_add_epi32(lane_numbers(c), _mm512_set1_epi32((int)first));
        u->last[c] = _mm512_add_epi32(lane_numbers(c), _mm512_set1_epi32((int)i64_min(last, KEYS)));
    }
    for (int k = u->key_unit; k < u->key_units; k++)
        product(&t->s[k], (struct product){t->k + k * steps, t->q + i * steps, sizeof *t->k, sizeof *t->q, steps});
    if (last < UNIT * u->key_units - 1 || (a->window && first + UNIT - 1 > UNIT * u->key_unit)) softmax_masked(u, t->s, t->p, rate);
    else softmax_all(u, t->s, t->p, rate);
    if (!u->fresh) shrink_sums(o, value_steps, u->shrink);
    for (int d = 0; d < value_steps; d++)
        product_to(&o[d], u->fresh,
                   (struct product){t->v + u->key_unit * value_steps + d, &t->p[u->key_unit], value_steps * (int64_t)sizeof *t->v, sizeof *t->p,
                                    u->key_units - u->key_unit});
    u->fresh = false;
}

static void unit_out(const struct attention_args *a, struct forward_tiles *t, int i) {
    const struct softmax_unit *u = &t->unit[i];
    const struct head_rows o = value_head(a, a->o, a->o_stride, u->head);
    _Alignas(64) float max[32], sum[32], inverse[32];
    for (int c = 0; c < 2; c++) {
        _mm512_store_ps(inverse + 16 * c, _mm512_div_ps(_mm512_set1_ps(1), u->sum[c]));
        _mm512_store_ps(max + 16 * c, u->max[c]);
        _mm512_store_ps(sum + 16 * c, u->sum[c]);
    }
    for (int r = 0; r < u->n; r++) a->lse[u->head * (a->tokens - a->first) + u->row + r] = max[r] * a->scale + logf(sum[r]);
    for (int d = 0; d < o.steps; d++) store_turned(&o, u->row, u->n, d, &t->o[i * o.steps + d], inverse);
}

/* Queries [row, row + rows) of one start, of the heads whose units fit. */
static void forward_run(const struct attention_args *a, struct forward_tiles *t, int kv, int head, int heads, int64_t row, int64_t rows) {
    const struct head_rows k = key_head(a, a->k, a->k_stride, kv), v = value_head(a, a->v, a->v_stride, kv);
    const int64_t token = a->first + row, end = token + rows;
    t->units = 0;
    for (int h = head; h < head + heads; h++) {
        const struct head_rows q = key_head(a, a->q, a->q_stride, h);
        const float sink = a->sinks ? act_load(a->act, a->sinks, h) / a->scale : -INFINITY; /* a maximum is of scores before they are scaled */
        for (int64_t r = 0; r < rows; r += UNIT, t->units++) {
            struct softmax_unit *u = &t->unit[t->units];
            *u = (struct softmax_unit){.head = h, .n = (int)i64_min(UNIT, rows - r), .row = row + r, .token = token + r, .fresh = true};
            u->max[0] = u->max[1] = _mm512_set1_ps(sink);
            u->sum[0] = u->sum[1] = _mm512_set1_ps(sink != -INFINITY);
            pack_rows(&q, u->row, u->n, t->rows, sizeof *t->rows);
            for (int d = 0; d < q.steps; d++) turn(&t->rows[d], &t->q[t->units * q.steps + d]);
        }
    }
    for (int64_t k0 = first_block(a, row, KEYS); k0 < end; k0 += KEYS) {
        const int64_t keys = i64_min(KEYS, end - k0);
        for (int64_t r = 0; r < keys; r += UNIT) {
            const int n = (int)i64_min(UNIT, keys - r);
            struct operand paired;
            pack_rows(&k, k0 + r, n, t->k + r / UNIT * k.steps, sizeof *t->k);
            pack_rows(&v, k0 + r, n, t->rows, sizeof *t->rows);
            for (int d = 0; d < v.steps; d++) {
                pair_rows(&t->rows[d], &paired);
                turn(&paired, &t->v[r / UNIT * v.steps + d]);
            }
        }
        for (int i = 0; i < t->units; i++) unit_tile(a, t, i, k0, keys, k.steps, v.steps);
    }
    for (int i = 0; i < t->units; i++) unit_out(a, t, i);
}

static void forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct attention_args *a = arg;
    struct forward_tiles t;
    const int kv = (int)(task % a->kv_heads);
    const int64_t queries = a->tokens - a->first, blocks = i64_div_up(queries, QUERIES);
    const int64_t block = blocks - 1 - task / a->kv_heads, end = i64_min(queries, (block + 1) * QUERIES); /* the longest first */
    int head0, head1;
    heads_of(a, kv, &head0, &head1);
    amx_begin();
    for (int64_t i = block * QUERIES, rows; i < end; i += rows) {
        rows = run_length(a->start, i, end);
        const int together = (int)(i64_min(UNITS, UNIT_STEPS / most_steps(a)) / i64_div_up(rows, UNIT));
        for (int h = head0; h < head1 && a->start[i] >= 0; h += together) forward_run(a, &t, kv, h, (int)i64_min(together, head1 - h), i, rows);
        for (int h = head0; h < head1 && a->start[i] < 0; h++) { /* padding */
            const struct head_rows o = value_head(a, a->o, a->o_stride, h);
            zero_rows(&o, i, rows);
            memset(a->lse + h * queries + i, 0, (size_t)rows * sizeof *a->lse);
        }
    }
    amx_end();
}

static void attention_forward_tiles(struct pool *pool, const struct attention_args *a) {
    pool_run(pool, i64_div_up(a->tokens - a->first, QUERIES) * a->kv_heads, forward_task, (void *)(uintptr_t)a);
}
