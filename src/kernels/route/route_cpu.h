/* The router over vectors. Part of kernels/vector_set.h. Scores of ROUTE_EXPERTS_ON_STACK experts at a time lie on the stack; with more
 * experts they are formed again where they are needed. */

enum { PROB_SUMS = 65536, ROUTE_PARTS_MAX = 16 };

struct route_job {
    const struct route_args *a;
    int64_t parts;
    double *sums;    /* (parts, experts), NULL: not wanted */
    int32_t *counts; /* the same */
};

/* exp(logit - max) of experts [e0, e0 + n) into p; returns their sum, lanes in a fixed order. */
static float route_exp(const struct route_args *a, int64_t t, float max, int e0, int n, float *p) {
    vf sum = {0};
    for (int e = 0; e < n; e += L) {
        int64_t left = n - e;
        vf x = vf_exp(vf_load_act(a->act, a->logits, t * a->experts + e0 + e, left) - vf_set1(max));
        vf_store_act(DT_F32, p, e, left, x);
        sum += vf_mask(vi_first(left >= L ? L : (int)left), x);
    }
    return vf_sum(sum);
}

static float route_max(const struct route_args *a, int64_t t) {
    vf max = vf_set1(-INFINITY);
    int e = 0;
    for (; e + L <= a->experts; e += L) max = vf_max(vf_load_act(a->act, a->logits, t * a->experts + e, L), max);
    float largest = vf_largest(max);
    for (; e < a->experts; e++) largest = fmaxf(largest, act_load(a->act, a->logits, t * a->experts + e));
    return largest;
}

/* Scores of one token, a block of experts at a time in p. */
struct route_scores {
    const struct route_args *a;
    enum route_score score; /* SOFTMAX and SIGMOID: p; CHOSEN: logits */
    int64_t t;
    float max, sum; /* of the softmax */
    int e0, n;      /* experts whose scores p holds; n 0: none yet */
    float p[ROUTE_EXPERTS_ON_STACK];
};

static void route_block(struct route_scores *s, int e0) {
    const struct route_args *a = s->a;
    if (s->n && s->e0 == e0) return;
    s->e0 = e0;
    s->n = (int)i64_min(ROUTE_EXPERTS_ON_STACK, a->experts - e0);
    if (s->score == ROUTE_SOFTMAX) {
        (void)route_exp(a, s->t, s->max, e0, s->n, s->p);
        for (int e = 0; e < s->n; e++) s->p[e] /= s->sum;
        return;
    }
    for (int e = 0; e < s->n; e += L) {
        const vf x = vf_load_act(a->act, a->logits, s->t * a->experts + e0 + e, s->n - e);
        vf_store_act(DT_F32, s->p, e, s->n - e, s->score == ROUTE_SIGMOID ? vf_sigmoid(x) : x);
    }
}

static void route_begin(struct route_scores *s, const struct route_args *a, enum route_score score, int64_t t) {
    s->a = a;
    s->score = score;
    s->t = t;
    s->n = 0;
    if (score != ROUTE_SOFTMAX) return;
    s->max = route_max(a, t);
    s->sum = 0;
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        int n = (int)i64_min(ROUTE_EXPERTS_ON_STACK, a->experts - e0);
        s->sum += route_exp(a, t, s->max, e0, n, s->p);
    }
    if (a->experts > ROUTE_EXPERTS_ON_STACK) return;
    for (int e = 0; e < a->experts; e++) s->p[e] /= s->sum; /* the one block is there already */
    s->e0 = 0;
    s->n = a->experts;
}

static float route_score_of(struct route_scores *s, int e) {
    if (e < s->e0 || e >= s->e0 + s->n) route_block(s, e / ROUTE_EXPERTS_ON_STACK * ROUTE_EXPERTS_ON_STACK);
    return s->p[e - s->e0];
}

static bool route_padding(const struct route_args *a, int64_t t) { return a->start && a->start[t] < 0; }

/* What the choice goes by; a NaN counts as the lowest. */
static inline float route_merit(float score, const float *bias, int e) {
    const float x = score + (bias ? bias[e] : 0);
    return x == x ? x : -INFINITY;
}

/* The groups whose two best have the largest sums, equals by index. */
static void route_groups(struct route_scores *s, bool *kept) {
    const struct route_args *a = s->a;
    const int size = a->experts / a->groups;
    float best[ROUTE_GROUPS_MAX];
    for (int g = 0; g < a->groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (int e = g * size; e < (g + 1) * size; e++) {
            const float x = route_merit(route_score_of(s, e), a->bias, e);
            if (x > second) second = x > first ? first : x;
            if (x > first) first = x;
        }
        best[g] = size > 1 ? first + second : first;
        if (best[g] != best[g]) best[g] = -INFINITY;
        kept[g] = false;
    }
    for (int i = 0; i < a->groups_kept; i++) {
        int top = -1;
        for (int g = 0; g < a->groups; g++)
            if (!kept[g] && (top < 0 || best[g] > best[top])) top = g;
        kept[top] = true;
    }
}

/* The best k by decreasing merit, equals by index: a later expert goes below its equals. */
static void route_choose(struct route_scores *s, const float *bias, const bool *kept, uint16_t *ids) {
    const struct route_args *a = s->a;
    float best[ROUTE_TOPK_MAX];
    int held = 0;
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        for (int e = e0; e < e0 + s->n; e++) {
            if (kept && !kept[e / (a->experts / a->groups)]) continue;
            const float x = route_merit(s->p[e - e0], bias, e);
            if (held == a->k && !(x > best[held - 1])) continue;
            int place = held < a->k ? held++ : held - 1;
            for (; place > 0 && x > best[place - 1]; place--) {
                best[place] = best[place - 1];
                ids[place] = ids[place - 1];
            }
            best[place] = x;
            ids[place] = (uint16_t)e;
        }
    }
}

/* p of the chosen, up to a factor that renormalising takes out (0 for none); returns what they are divided by, slots added in order. */
static float route_chosen(struct route_scores *s, const uint16_t *ids, float *p) {
    const struct route_args *a = s->a;
    float sum = 0, max = -INFINITY;
    for (int i = 0; i < a->k; i++) {
        p[i] = ids[i] == 0xffff ? 0 : route_score_of(s, ids[i]);
        if (ids[i] != 0xffff) max = fmaxf(max, p[i]);
    }
    for (int i = 0; i < a->k; i++) {
        if (s->score == ROUTE_CHOSEN && ids[i] != 0xffff) p[i] = vf_exp(vf_set1(p[i] - max))[0];
        sum += p[i];
    }
    return route_renormalises(a) ? sum + a->sum_eps : 1;
}

/* What the load-balancing loss is of. */
static void route_statistics(struct route_scores *soft, double *sums, int32_t *counts) {
    const struct route_args *a = soft->a;
    uint16_t ids[ROUTE_TOPK_MAX];
    for (int e0 = 0; sums && e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(soft, e0);
        for (int e = 0; e < soft->n; e++) sums[e0 + e] += (double)soft->p[e];
    }
    if (!counts) return;
    route_choose(soft, NULL, NULL, ids);
    for (int i = 0; i < a->k; i++) counts[ids[i]]++;
}

static void route_token(struct route_scores *s, const struct route_args *a, int64_t t, double *sums, int32_t *counts) {
    uint16_t *ids = a->ids + t * a->k;
    float *weights = a->weights + t * a->k, p[ROUTE_TOPK_MAX];
    bool kept[ROUTE_GROUPS_MAX];
    if (route_padding(a, t)) {
        for (int i = 0; i < a->k; i++) {
            ids[i] = 0xffff;
            weights[i] = 0;
        }
        return;
    }
    route_begin(s, a, a->score, t);
    if (!a->ids_given) {
        if (a->groups) route_groups(s, kept);
        route_choose(s, a->bias, a->groups ? kept : NULL, ids);
    }
    float sum = route_chosen(s, ids, p);
    for (int i = 0; i < a->k; i++) {
        const float w = ids[i] == 0xffff ? 0 : p[i] / sum, scaled = w * route_factor(a);
        weights[i] = a->keep_fp32 ? scaled : act_round(a->act, scaled);
    }
    if (!sums && !counts) return;
    if (a->score != ROUTE_SOFTMAX) route_begin(s, a, ROUTE_SOFTMAX, t);
    route_statistics(s, sums, counts);
}

static void route_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct route_job *job = arg;
    const struct route_args *a = job->a;
    struct route_scores s;
    double *sums = job->sums ? job->sums + task * a->experts : NULL;
    int32_t *counts = job->counts ? job->counts + task * a->experts : NULL;
    for (int64_t t = a->tokens * task / job->parts; t < a->tokens * (task + 1) / job->parts; t++) route_token(&s, a, t, sums, counts);
}

/* Tokens are cut into parts by the shape alone; each part sums its probabilities apart, and parts are added in order.
 * Counts of rows are one pass over the ids. */
static void route_forward_cpu(struct pool *pool, const struct route_args *a) {
    double sums[PROB_SUMS];
    int32_t counts[PROB_SUMS];
    const bool summed = a->prob_sum != NULL, counted = a->softmax_count != NULL;
    const int64_t parts = i64_min(ROUTE_PARTS_MAX, summed || counted ? i64_max(1, PROB_SUMS / a->experts) : ROUTE_PARTS_MAX);
    struct route_job job = {a, parts, summed ? sums : NULL, counted ? counts : NULL};
    for (int64_t i = 0; summed && i < parts * a->experts; i++) sums[i] = 0;
    for (int64_t i = 0; counted && i < parts * a->experts; i++) counts[i] = 0;
    pool_run(pool, parts, route_forward_task, &job);
    for (int64_t i = 0; summed && i < parts * a->experts; i++) a->prob_sum[i % a->experts] += sums[i];
    for (int64_t i = 0; counted && i < parts * a->experts; i++) a->softmax_count[i % a->experts] += counts[i];
    if (!a->count) return;
    for (int64_t i = 0; i < a->tokens * a->k; i++)
        if (a->ids[i] != 0xffff) a->count[a->ids[i]]++;
}

/* g[i] = dL/dp of slot i: through w_i = factor * p_i/P it is factor * (dw_i - sum_j dw_j p_j/P)/P, else factor * dw_i. */
static void route_slot_gradients(const struct route_args *a, const float *dw, const float *p, float sum, float *g) {
    float mean = 0;
    for (int i = 0; route_renormalises(a) && i < a->k; i++) mean += dw[i] * (p[i] / sum);
    for (int i = 0; i < a->k; i++) g[i] = route_factor(a) * ((dw[i] - mean) / sum);
}

/* q (aux - mean) of each expert into dlogits, q the softmax; NULL: 0. dlogits may lie over logits: a block is written when nothing reads its
 * logits any more: max, sum and mean are known and its own probabilities are in soft->p. */
static void route_spread(struct route_scores *soft, const struct route_backward_args *b, int64_t t, float mean) {
    const struct route_args *a = &b->fwd;
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(soft, e0);
        for (int e = 0; e < soft->n; e += L) {
            int64_t n = soft->n - e;
            vf ge = b->aux ? vf_load_act(DT_F32, b->aux, e0 + e, n) : vf_set1(0);
            vf_store_act(a->act, b->dlogits, t * a->experts + e0 + e, n, vf_load_act(DT_F32, soft->p, e, n) * (ge - vf_set1(mean)));
        }
    }
}

/* What the chosen ones' scores and q have to do with what is written is taken before anything is: dlogits may lie over logits. */
static void route_backward_token(struct route_scores *s, const struct route_backward_args *b, int64_t t) {
    const struct route_args *a = &b->fwd;
    const uint16_t *ids = a->ids + t * a->k;
    const bool soft = a->score == ROUTE_SOFTMAX; /* what a chosen one gains the others lose */
    float p[ROUTE_TOPK_MAX], q[ROUTE_TOPK_MAX], g[ROUTE_TOPK_MAX];
    if (route_padding(a, t)) {
        memset(act_at_mut(a->act, b->dlogits, t * a->experts), 0, (size_t)(a->experts * act_bytes(a->act)));
        return;
    }
    route_begin(s, a, a->score, t);
    float sum = route_chosen(s, ids, p), mean = 0;
    route_slot_gradients(a, b->dweights + t * a->k, p, sum, g);
    for (int i = 0; soft && i < a->k; i++) mean += p[i] * g[i];
    if (!soft && b->aux) route_begin(s, a, ROUTE_SOFTMAX, t);
    for (int i = 0; b->aux && i < a->k; i++) q[i] = ids[i] == 0xffff ? 0 : route_score_of(s, ids[i]);
    for (int e0 = 0; b->aux && e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        mean += vf_dot(DT_F32, s->p, 0, b->aux, e0, s->n);
    }
    if (soft || b->aux) route_spread(s, b, t, mean);
    else memset(act_at_mut(a->act, b->dlogits, t * a->experts), 0, (size_t)(a->experts * act_bytes(a->act)));
    for (int i = 0; i < a->k; i++) {
        if (ids[i] == 0xffff) continue;
        const float aux = b->aux ? b->aux[ids[i]] : 0, own = a->score == ROUTE_SIGMOID ? g[i] * p[i] * (1.0f - p[i]) : g[i] * p[i];
        const float all = soft ? p[i] * (aux + g[i] - mean) : b->aux ? q[i] * (aux - mean) + own : own;
        act_store(a->act, b->dlogits, t * a->experts + ids[i], all);
    }
}

static void route_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct route_backward_args *b = arg;
    struct route_scores s;
    int64_t per = rows_per_task(b->fwd.experts);
    for (int64_t t = task * per; t < i64_min(b->fwd.tokens, (task + 1) * per); t++) route_backward_token(&s, b, t);
}

static void route_backward_cpu(struct pool *pool, const struct route_backward_args *b) {
    pool_run(pool, i64_div_up(b->fwd.tokens, rows_per_task(b->fwd.experts)), route_backward_task, (void *)(uintptr_t)b);
}
