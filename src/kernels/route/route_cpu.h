/* The router over vectors. Part of kernels/vector_set.h. Probabilities of ROUTE_EXPERTS_ON_STACK experts at a time lie on
 * the stack; with more experts they are formed again where they are needed. */

enum { PROB_SUMS = 65536, ROUTE_PARTS_MAX = 16 };

struct route_job {
    const struct route_args *a;
    int64_t parts;
    double *sums; /* (parts, experts), NULL: not wanted */
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

/* The softmax of one token, a block of experts at a time in p. */
struct route_softmax {
    const struct route_args *a;
    int64_t t;
    float max, sum;
    int e0, n; /* experts whose probabilities p holds; n 0: none yet */
    float p[ROUTE_EXPERTS_ON_STACK];
};

static void route_block(struct route_softmax *s, int e0) {
    if (s->n && s->e0 == e0) return;
    s->e0 = e0;
    s->n = (int)i64_min(ROUTE_EXPERTS_ON_STACK, s->a->experts - e0);
    (void)route_exp(s->a, s->t, s->max, e0, s->n, s->p);
    for (int e = 0; e < s->n; e++) s->p[e] /= s->sum;
}

static void route_begin(struct route_softmax *s, const struct route_args *a, int64_t t) {
    s->a = a;
    s->t = t;
    s->max = route_max(a, t);
    s->sum = 0;
    s->n = 0;
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        int n = (int)i64_min(ROUTE_EXPERTS_ON_STACK, a->experts - e0);
        s->sum += route_exp(a, t, s->max, e0, n, s->p);
    }
    if (a->experts > ROUTE_EXPERTS_ON_STACK) return;
    for (int e = 0; e < a->experts; e++) s->p[e] /= s->sum; /* the one block is there already */
    s->e0 = 0;
    s->n = a->experts;
}

static float route_prob(struct route_softmax *s, int e) {
    if (e < s->e0 || e >= s->e0 + s->n) route_block(s, e / ROUTE_EXPERTS_ON_STACK * ROUTE_EXPERTS_ON_STACK);
    return s->p[e - s->e0];
}

static bool route_padding(const struct route_args *a, int64_t t) { return a->start && a->start[t] < 0; }

/* The best k so far by decreasing score, equals by index: a later expert goes below its equals. NaN counts as the lowest. */
static void route_choose(struct route_softmax *s, uint16_t *ids) {
    const struct route_args *a = s->a;
    float best[ROUTE_TOPK_MAX];
    int held = 0;
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        for (int e = e0; e < e0 + s->n; e++) {
            float x = s->p[e - e0] + (a->bias ? a->bias[e] : 0);
            if (x != x) x = -INFINITY;
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

/* Probabilities of the chosen into p (0 for none); returns their sum in slot order, 1 without renormalisation. */
static float route_chosen(struct route_softmax *s, const uint16_t *ids, float *p) {
    float sum = 0;
    for (int i = 0; i < s->a->k; i++) {
        p[i] = ids[i] == 0xffff ? 0 : route_prob(s, ids[i]);
        sum += p[i];
    }
    return s->a->renormalise ? sum : 1;
}

static void route_token(struct route_softmax *s, const struct route_args *a, int64_t t, double *sums) {
    uint16_t *ids = a->ids + t * a->k;
    float *weights = a->weights + t * a->k, p[ROUTE_TOPK_MAX];
    if (route_padding(a, t)) {
        for (int i = 0; i < a->k; i++) {
            ids[i] = 0xffff;
            weights[i] = 0;
        }
        return;
    }
    route_begin(s, a, t);
    if (!a->ids_given) route_choose(s, ids);
    float sum = route_chosen(s, ids, p);
    for (int i = 0; i < a->k; i++) {
        float w = ids[i] == 0xffff ? 0 : p[i] / sum;
        weights[i] = a->keep_fp32 ? w : act_round(a->act, w);
    }
    for (int e0 = 0; sums && e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        for (int e = 0; e < s->n; e++) sums[e0 + e] += (double)s->p[e];
    }
}

static void route_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct route_job *job = arg;
    const struct route_args *a = job->a;
    struct route_softmax s;
    double *sums = job->sums ? job->sums + task * a->experts : NULL;
    for (int64_t t = a->tokens * task / job->parts; t < a->tokens * (task + 1) / job->parts; t++) route_token(&s, a, t, sums);
}

/* Tokens are cut into parts by the shape alone; each part sums its probabilities apart, and parts are added in order.
 * Counts are integers: one pass over the ids. */
static void route_forward_cpu(struct pool *pool, const struct route_args *a) {
    double sums[PROB_SUMS];
    bool wanted = a->prob_sum != NULL;
    struct route_job job = {a, i64_min(ROUTE_PARTS_MAX, wanted ? i64_max(1, PROB_SUMS / a->experts) : ROUTE_PARTS_MAX), wanted ? sums : NULL};
    for (int64_t i = 0; wanted && i < job.parts * a->experts; i++) sums[i] = 0;
    pool_run(pool, job.parts, route_forward_task, &job);
    for (int64_t i = 0; wanted && i < job.parts * a->experts; i++) a->prob_sum[i % a->experts] += sums[i];
    if (!a->count) return;
    for (int64_t i = 0; i < a->tokens * a->k; i++)
        if (a->ids[i] != 0xffff) a->count[a->ids[i]]++;
}

/* g[i] = dL/dp of slot i: through w_i = p_i/P it is (dw_i - sum_j dw_j w_j)/P, else dw_i. */
static void route_slot_gradients(const struct route_args *a, const float *dw, const float *p, float sum, float *g) {
    float mean = 0;
    for (int i = 0; a->renormalise && i < a->k; i++) mean += dw[i] * (p[i] / sum);
    for (int i = 0; i < a->k; i++) g[i] = (dw[i] - mean) / sum;
}

/* dlogits may lie over logits: a block is written when nothing reads its logits any more: max, sum, the chosen
 * probabilities and the mean are known and its own probabilities are in s->p. */
static void route_backward_token(struct route_softmax *s, const struct route_backward_args *b, int64_t t) {
    const struct route_args *a = &b->fwd;
    const uint16_t *ids = a->ids + t * a->k;
    float p[ROUTE_TOPK_MAX], g[ROUTE_TOPK_MAX];
    if (route_padding(a, t)) {
        memset(act_at_mut(a->act, b->dlogits, t * a->experts), 0, (size_t)(a->experts * act_bytes(a->act)));
        return;
    }
    route_begin(s, a, t);
    float sum = route_chosen(s, ids, p), mean = 0;
    route_slot_gradients(a, b->dweights + t * a->k, p, sum, g);
    for (int i = 0; i < a->k; i++) mean += p[i] * g[i];
    for (int e0 = 0; b->aux && e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        mean += vf_dot(DT_F32, s->p, 0, b->aux, e0, s->n);
    }
    for (int e0 = 0; e0 < a->experts; e0 += ROUTE_EXPERTS_ON_STACK) {
        route_block(s, e0);
        for (int e = 0; e < s->n; e += L) {
            int64_t n = s->n - e;
            vf ge = b->aux ? vf_load_act(DT_F32, b->aux, e0 + e, n) : vf_set1(0);
            vf_store_act(a->act, b->dlogits, t * a->experts + e0 + e, n, vf_load_act(DT_F32, s->p, e, n) * (ge - vf_set1(mean)));
        }
    }
    for (int i = 0; i < a->k; i++)
        if (ids[i] != 0xffff) act_store(a->act, b->dlogits, t * a->experts + ids[i], p[i] * ((b->aux ? b->aux[ids[i]] : 0) + g[i] - mean));
}

static void route_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct route_backward_args *b = arg;
    struct route_softmax s;
    int64_t per = rows_per_task(b->fwd.experts);
    for (int64_t t = task * per; t < i64_min(b->fwd.tokens, (task + 1) * per); t++) route_backward_token(&s, b, t);
}

static void route_backward_cpu(struct pool *pool, const struct route_backward_args *b) {
    pool_run(pool, i64_div_up(b->fwd.tokens, rows_per_task(b->fwd.experts)), route_backward_task, (void *)(uintptr_t)b);
}
