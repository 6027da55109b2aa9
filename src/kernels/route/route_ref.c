/* The specification of the router. Sums over experts and tokens are taken in fp64 here, to be what fp32 sums of any order
 * are compared with. Nothing of the size of E is kept: scores are formed again where they are needed. */
#include "kernels/kernels_int.h"

#include <math.h>

struct softmax {
    float max, sum;
};

static bool is_padding(const struct route_args *a, int64_t t) { return a->start && a->start[t] < 0; }

static float logit(const struct route_args *a, int64_t t, int e) { return act_load(a->act, a->logits, t * a->experts + e); }

/* A NaN logit makes the sum and with it every probability of the token NaN. */
static struct softmax row_softmax(const struct route_args *a, int64_t t) {
    float max = -INFINITY;
    double sum = 0;
    for (int e = 0; e < a->experts; e++) max = fmaxf(max, logit(a, t, e));
    for (int e = 0; e < a->experts; e++) sum += expf(logit(a, t, e) - max);
    return (struct softmax){max, (float)sum};
}

static float prob(const struct route_args *a, struct softmax s, int64_t t, int e) { return expf(logit(a, t, e) - s.max) / s.sum; }

/* How good an expert is before the bias. */
static float score(const struct route_args *a, enum route_score how, struct softmax s, int64_t t, int e) {
    if (how == ROUTE_SIGMOID) return 1.0f / (1.0f + expf(-logit(a, t, e)));
    return how == ROUTE_CHOSEN ? logit(a, t, e) : prob(a, s, t, e);
}

/* A choice of the best k: by the call's own score and bias, or by the softmax alone. */
struct choice {
    enum route_score score;
    const float *bias;
    int groups, groups_kept; /* 0: none */
};

/* What the choice goes by; a NaN counts as the lowest. */
static float merit(const struct route_args *a, const struct choice *c, struct softmax s, int64_t t, int e) {
    const float x = score(a, c->score, s, t, e) + (c->bias ? c->bias[e] : 0);
    return x == x ? x : -INFINITY;
}

static float group_merit(const struct route_args *a, const struct choice *c, struct softmax s, int64_t t, int group) {
    const int size = a->experts / c->groups;
    float best = -INFINITY, second = -INFINITY;
    for (int e = group * size; e < (group + 1) * size; e++) {
        const float x = merit(a, c, s, t, e);
        if (x > best) {
            second = best;
            best = x;
        } else if (x > second) {
            second = x;
        }
    }
    const float sum = size > 1 ? best + second : best;
    return sum == sum ? sum : -INFINITY;
}

/* Fewer than groups_kept groups are better, those of lower index that are as good among them. */
static bool is_kept(const struct route_args *a, const struct choice *c, struct softmax s, int64_t t, int group) {
    int better = 0;
    const float mine = group_merit(a, c, s, t, group);
    for (int g = 0; g < c->groups; g++) {
        const float x = group_merit(a, c, s, t, g);
        better += x > mine || (x == mine && g < group);
    }
    return better < c->groups_kept;
}

/* One expert after the other goes into its place among the best so far, below its equals: those have lower indices. */
static void choose(const struct route_args *a, const struct choice *c, struct softmax s, int64_t t, uint16_t *ids) {
    bool kept = true;
    for (int e = 0, held = 0; e < a->experts; e++) {
        int place = held;
        if (c->groups && e % (a->experts / c->groups) == 0) kept = is_kept(a, c, s, t, e / (a->experts / c->groups));
        if (!kept) continue;
        while (place > 0 && merit(a, c, s, t, e) > merit(a, c, s, t, ids[place - 1])) place--;
        if (place == a->k) continue;
        if (held < a->k) held++;
        for (int i = held - 1; i > place; i--) ids[i] = ids[i - 1];
        ids[place] = (uint16_t)e;
    }
}

/* p of the chosen, up to a factor that renormalising takes out (0 for none); returns what they are divided by. */
static float chosen(const struct route_args *a, struct softmax s, int64_t t, float *p) {
    const uint16_t *ids = a->ids + t * a->k;
    float sum = 0, max = -INFINITY;
    for (int i = 0; i < a->k; i++)
        if (ids[i] != 0xffff) max = fmaxf(max, logit(a, t, ids[i]));
    for (int i = 0; i < a->k; i++) {
        p[i] = 0;
        if (ids[i] == 0xffff) continue;
        p[i] = a->score == ROUTE_CHOSEN ? expf(logit(a, t, ids[i]) - max) : score(a, a->score, s, t, ids[i]);
        sum += p[i];
    }
    return route_renormalises(a) ? sum + a->sum_eps : 1;
}

static void count_softmax(const struct route_args *a, struct softmax s, int64_t t) {
    uint16_t ids[ROUTE_TOPK_MAX] = {0};
    choose(a, &(struct choice){.score = ROUTE_SOFTMAX}, s, t, ids);
    for (int i = 0; i < a->k; i++) a->softmax_count[ids[i]]++;
}

void route_forward_ref(struct pool *pool, const struct route_args *a) {
    (void)pool;
    const struct choice own = {a->score, a->bias, a->groups, a->groups_kept};
    for (int64_t t = 0; t < a->tokens; t++) {
        uint16_t *ids = a->ids + t * a->k;
        float *weights = a->weights + t * a->k, p[ROUTE_TOPK_MAX];
        for (int i = 0; i < a->k; i++) weights[i] = 0;
        if (is_padding(a, t)) {
            for (int i = 0; i < a->k; i++) ids[i] = 0xffff;
            continue;
        }
        struct softmax s = row_softmax(a, t);
        if (!a->ids_given) choose(a, &own, s, t, ids);
        const float sum = chosen(a, s, t, p);
        for (int i = 0; i < a->k; i++) {
            if (ids[i] == 0xffff) continue;
            const float w = p[i] / sum, scaled = w * route_factor(a);
            weights[i] = a->keep_fp32 ? scaled : act_round(a->act, scaled);
            if (a->count) a->count[ids[i]]++;
        }
        if (a->softmax_count) count_softmax(a, s, t);
    }
    if (!a->prob_sum) return;
    for (int64_t t = 0; t < a->tokens; t++) {
        if (is_padding(a, t)) continue;
        struct softmax s = row_softmax(a, t);
        for (int e = 0; e < a->experts; e++) a->prob_sum[e] += prob(a, s, t, e);
    }
}

/* Through w_i = factor * p_i/P, P the sum of the chosen: dL/dp_i = factor * (dw_i - sum_j dw_j p_j/P)/P; without renormalisation
 * factor * dw_i. */
static void chosen_gradient(const struct route_backward_args *b, int64_t t, const float *p, float sum, float *g) {
    const struct route_args *a = &b->fwd;
    const float *dw = b->dweights + t * a->k;
    double mean = 0;
    for (int i = 0; route_renormalises(a) && i < a->k; i++)
        if (a->ids[t * a->k + i] != 0xffff) mean += (double)dw[i] * (p[i] / sum);
    for (int i = 0; i < a->k; i++) g[i] = route_factor(a) * ((dw[i] - (float)mean) / sum);
}

void route_backward_ref(struct pool *pool, const struct route_backward_args *b) {
    (void)pool;
    const struct route_args *a = &b->fwd;
    float p[ROUTE_TOPK_MAX], g[ROUTE_TOPK_MAX];
    for (int64_t t = 0; t < a->tokens; t++) {
        const uint16_t *ids = a->ids + t * a->k;
        if (is_padding(a, t)) {
            for (int e = 0; e < a->experts; e++) act_store(a->act, b->dlogits, t * a->experts + e, 0);
            continue;
        }
        struct softmax s = row_softmax(a, t);
        const bool spread = a->score == ROUTE_SOFTMAX; /* what a chosen one gains the others lose */
        chosen_gradient(b, t, p, chosen(a, s, t, p), g);
        double mean = 0;
        for (int e = 0; e < a->experts; e++) mean += b->aux ? (double)prob(a, s, t, e) * b->aux[e] : 0;
        for (int i = 0; i < a->k; i++) mean += spread && ids[i] != 0xffff ? (double)p[i] * g[i] : 0;
        for (int e = 0; e < a->experts; e++) {
            float ge = b->aux ? b->aux[e] : 0, own = 0;
            for (int i = 0; i < a->k; i++) {
                if (ids[i] != e) continue;
                if (spread) ge += g[i];
                else own = g[i] * p[i] * (a->score == ROUTE_SIGMOID ? 1.0f - p[i] : 1.0f);
            }
            if (spread || b->aux) own += prob(a, s, t, e) * (ge - (float)mean);
            act_store(a->act, b->dlogits, t * a->experts + e, own);
        }
    }
}
