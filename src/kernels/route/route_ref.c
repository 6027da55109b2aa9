/* The specification of the router. Sums over experts and tokens are taken in fp64 here, to be what fp32 sums of any order
 * are compared with. Nothing of the size of E is kept: probabilities are formed again where they are needed. */
#include "kernels/kernels_int.h"

#include <math.h>

struct softmax {
    float max, sum;
};

static bool is_padding(const struct route_args *a, int64_t t) { return a->start && a->start[t] < 0; }

/* A NaN logit makes the sum and with it every probability of the token NaN. */
static struct softmax row_softmax(const struct route_args *a, int64_t t) {
    float max = -INFINITY;
    double sum = 0;
    for (int e = 0; e < a->experts; e++) max = fmaxf(max, act_load(a->act, a->logits, t * a->experts + e));
    for (int e = 0; e < a->experts; e++) sum += expf(act_load(a->act, a->logits, t * a->experts + e) - max);
    return (struct softmax){max, (float)sum};
}

static float prob(const struct route_args *a, struct softmax s, int64_t t, int e) {
    return expf(act_load(a->act, a->logits, t * a->experts + e) - s.max) / s.sum;
}

/* What the choice goes by; a NaN counts as the lowest. */
static float score(const struct route_args *a, struct softmax s, int64_t t, int e) {
    float x = prob(a, s, t, e) + (a->bias ? a->bias[e] : 0);
    return x == x ? x : -INFINITY;
}

/* One expert after the other goes into its place among the best so far, below its equals: those have lower indices. */
static void choose(const struct route_args *a, struct softmax s, int64_t t, uint16_t *ids) {
    for (int e = 0, held = 0; e < a->experts; e++) {
        int place = held;
        while (place > 0 && score(a, s, t, e) > score(a, s, t, ids[place - 1])) place--;
        if (place == a->k) continue;
        if (held < a->k) held++;
        for (int i = held - 1; i > place; i--) ids[i] = ids[i - 1];
        ids[place] = (uint16_t)e;
    }
}

static float chosen_sum(const struct route_args *a, struct softmax s, int64_t t) {
    const uint16_t *ids = a->ids + t * a->k;
    float sum = 0;
    for (int i = 0; i < a->k; i++)
        if (ids[i] != 0xffff) sum += prob(a, s, t, ids[i]);
    return sum;
}

void route_forward_ref(struct pool *pool, const struct route_args *a) {
    (void)pool;
    for (int64_t t = 0; t < a->tokens; t++) {
        uint16_t *ids = a->ids + t * a->k;
        float *weights = a->weights + t * a->k;
        for (int i = 0; i < a->k; i++) weights[i] = 0;
        if (is_padding(a, t)) {
            for (int i = 0; i < a->k; i++) ids[i] = 0xffff;
            continue;
        }
        struct softmax s = row_softmax(a, t);
        if (!a->ids_given) choose(a, s, t, ids);
        float sum = a->renormalise ? chosen_sum(a, s, t) : 1;
        for (int i = 0; i < a->k; i++) {
            if (ids[i] == 0xffff) continue;
            float w = prob(a, s, t, ids[i]) / sum;
            weights[i] = a->keep_fp32 ? w : act_round(a->act, w);
            if (a->count) a->count[ids[i]]++;
        }
    }
    if (!a->prob_sum) return;
    for (int64_t t = 0; t < a->tokens; t++) {
        if (is_padding(a, t)) continue;
        struct softmax s = row_softmax(a, t);
        for (int e = 0; e < a->experts; e++) a->prob_sum[e] += prob(a, s, t, e);
    }
}

/* Through w_i = p_i/P, P the sum of the chosen: dL/dp_i = (dw_i - sum_j dw_j w_j)/P; without renormalisation dw_i. */
static void chosen_gradient(const struct route_backward_args *b, struct softmax s, int64_t t, float *g) {
    const struct route_args *a = &b->fwd;
    const uint16_t *ids = a->ids + t * a->k;
    const float *dw = b->dweights + t * a->k;
    float sum = a->renormalise ? chosen_sum(a, s, t) : 1;
    double mean = 0;
    for (int i = 0; i < a->k; i++)
        if (a->renormalise && ids[i] != 0xffff) mean += (double)dw[i] * (prob(a, s, t, ids[i]) / sum);
    for (int i = 0; i < a->k; i++) g[i] = (dw[i] - (float)mean) / sum;
}

void route_backward_ref(struct pool *pool, const struct route_backward_args *b) {
    (void)pool;
    const struct route_args *a = &b->fwd;
    float g[ROUTE_TOPK_MAX];
    for (int64_t t = 0; t < a->tokens; t++) {
        const uint16_t *ids = a->ids + t * a->k;
        if (is_padding(a, t)) {
            for (int e = 0; e < a->experts; e++) act_store(a->act, b->dlogits, t * a->experts + e, 0);
            continue;
        }
        struct softmax s = row_softmax(a, t);
        chosen_gradient(b, s, t, g);
        double mean = 0;
        for (int e = 0; e < a->experts; e++) mean += b->aux ? (double)prob(a, s, t, e) * b->aux[e] : 0;
        for (int i = 0; i < a->k; i++) mean += ids[i] != 0xffff ? (double)prob(a, s, t, ids[i]) * g[i] : 0;
        for (int e = 0; e < a->experts; e++) {
            float ge = b->aux ? b->aux[e] : 0, p = prob(a, s, t, e);
            for (int i = 0; i < a->k; i++)
                if (ids[i] == e) ge += g[i];
            act_store(a->act, b->dlogits, t * a->experts + e, p * (ge - (float)mean));
        }
    }
}
