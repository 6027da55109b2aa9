/* The router: fast against reference, gradients against central differences, ties, NaN, padding, given ids, many experts. */
#include "kernel_test.h"

struct shape {
    int64_t tokens;
    int experts, k;
    enum dtype t;
    bool bias, renormalise, keep_fp32, padded, alias;
    enum route_score score;
    int groups, groups_kept;
    float sum_eps, factor;
};

static bool divides(const struct shape *s) { return s->renormalise || s->score == ROUTE_CHOSEN; }
static double factor_of(const struct shape *s) { return s->factor != 0 ? s->factor : 1; }

/* Logits are multiples of 1/64: scores are equal or far apart, so rounding cannot flip a choice, and ties are many. */
static struct route_args arguments(struct io *io, const struct shape *s) {
    int64_t n = s->tokens * s->experts;
    void *logits = io_normal(io, s->t, n, 1);
    int32_t *start = io_new(io, s->tokens * 4);
    for (int64_t i = 0; i < n; i++) put(s->t, logits, i, rint(get(s->t, logits, i) * 64) / 64);
    for (int64_t t = 0; t < s->tokens; t++) start[t] = t % 6 == 4 ? -1 : 0;
    float *bias = io_normal(io, DT_F32, s->experts, 0.1);
    for (int e = 0; e < s->experts; e++) bias[e] = rintf(bias[e] * 16) / 16;
    return (struct route_args){.act = s->t,
                               .tokens = s->tokens,
                               .experts = s->experts,
                               .k = s->k,
                               .logits = logits,
                               .start = s->padded ? start : NULL,
                               .bias = s->bias ? bias : NULL,
                               .score = s->score,
                               .groups = s->groups,
                               .groups_kept = s->groups_kept,
                               .renormalise = s->renormalise,
                               .keep_fp32 = s->keep_fp32,
                               .sum_eps = s->sum_eps,
                               .factor = s->factor,
                               .ids = io_new(io, s->tokens * s->k * 2),
                               .weights = io_normal(io, DT_F32, s->tokens * s->k, 1)};
}

/* A probability is an exponential (2 ulp here, 1 in libm) over a sum of E of them; renormalised, over a sum of k more; the factor and
 * sum_eps are a rounding each. A sigmoid, and a softmax over k, are off by less. Where weights are rounded to bf16 the rounding may go the other way. */
static double p_relative(const struct shape *s) { return (2.0 * s->experts + 2 * s->k + 26) * U32; }

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct route_args a = arguments(io, s);
    double *sum = io_new(io, s->experts * 8), *bound;
    int64_t *count = io_new(io, s->experts * 8), *softmax_count = io_new(io, s->experts * 8), n = s->tokens * s->k;
    for (int e = 0; e < s->experts; e++) {
        sum[e] = 0.5 * e;
        count[e] = softmax_count[e] = e;
    }
    a.prob_sum = sum;
    a.count = count;
    a.softmax_count = softmax_count;
    io->k->route_forward(io->pool, &a);
    (void)io_out(io, "ids", DT_U16, a.ids, n);
    (void)io_out(io, "count", DT_I64, count, s->experts);
    (void)io_out(io, "softmax_count", DT_I64, softmax_count, s->experts);
    bound = io_out(io, "weights", DT_F32, a.weights, n);
    for (int64_t i = 0; i < n; i++) bound[i] = (p_relative(s) + (s->t == DT_BF16 && !s->keep_fp32 ? 2 * U16 : 0)) * a.weights[i];
    bound = io_out(io, "prob_sum", DT_F64, sum, s->experts);
    for (int e = 0; e < s->experts; e++) bound[e] = p_relative(s) * (sum[e] - 0.5 * e) + 0x1p-50 * sum[e];
    struct route_args again = a; /* given ids: the same weights and sums */
    again.ids_given = true;
    again.weights = io_new(io, n * 4);
    again.prob_sum = io_new(io, s->experts * 8);
    again.count = io_new(io, s->experts * 8);
    again.softmax_count = io_new(io, s->experts * 8);
    for (int e = 0; e < s->experts; e++) {
        again.prob_sum[e] = 0.5 * e;
        again.count[e] = again.softmax_count[e] = e;
    }
    io->k->route_forward(io->pool, &again);
    CASE(memcmp(again.weights, a.weights, (size_t)n * 4) == 0, "%s: given ids give the same weights", io->k->isa);
    CASE(memcmp(sum, again.prob_sum, (size_t)s->experts * 8) == 0 && memcmp(count, again.count, (size_t)s->experts * 8) == 0 &&
             memcmp(softmax_count, again.softmax_count, (size_t)s->experts * 8) == 0,
         "%s: given ids give the same sums", io->k->isa);
}

static void softmax_of(const struct route_args *a, int64_t t, double *q) {
    double max = -INFINITY, sum = 0;
    for (int e = 0; e < a->experts; e++) max = fmax(max, get(a->act, a->logits, t * a->experts + e));
    for (int e = 0; e < a->experts; e++) sum += q[e] = exp(get(a->act, a->logits, t * a->experts + e) - max);
    for (int e = 0; e < a->experts; e++) q[e] /= sum;
}

/* p of the chosen: of the softmax over all, of a sigmoid, or in proportion to the softmax over them. */
static void chosen_of(const struct route_args *a, int64_t t, const double *q, double *p) {
    for (int i = 0; i < a->k; i++) {
        const int e = a->ids[t * a->k + i];
        p[i] = a->score == ROUTE_SIGMOID ? 1 / (1 + exp(-get(a->act, a->logits, t * a->experts + e))) : q[e];
    }
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct route_args a = arguments(io, s);
    int64_t n = s->tokens * s->experts;
    route_forward_ref(NULL, &a);
    struct route_args kept = a;
    kept.logits = io_copy(io, a.logits, n * dtype_bytes(s->t));
    struct route_backward_args b = {.fwd = a,
                                    .dweights = io_normal(io, DT_F32, s->tokens * s->k, 1),
                                    .aux = s->bias ? io_normal(io, DT_F32, s->experts, 1) : NULL,
                                    .dlogits = s->alias ? (void *)(uintptr_t)a.logits : io_normal(io, s->t, n, 1)};
    io->k->route_backward(io->pool, &b);
    double *bound = io_out(io, "dlogits", s->t, b.dlogits, n), *q = io_new(io, s->experts * 8), *size = io_new(io, s->experts * 8);
    for (int64_t t = 0; io->bounds && t < s->tokens; t++) {
        const uint16_t *ids = a.ids + t * s->k;
        double chosen = 0, mean = 0, all = 0, p[ROUTE_TOPK_MAX], own[ROUTE_TOPK_MAX];
        if (s->padded && a.start[t] < 0) continue;
        softmax_of(&kept, t, q);
        chosen_of(&kept, t, q, p);
        for (int i = 0; i < s->k; i++) chosen += p[i];
        for (int i = 0; i < s->k; i++) mean += fabs((double)b.dweights[t * s->k + i]) * p[i] / chosen;
        for (int e = 0; e < s->experts; e++) size[e] = b.aux ? fabs((double)b.aux[e]) : 0;
        for (int i = 0; i < s->k; i++) {
            double dw = fabs((double)b.dweights[t * s->k + i]);
            own[i] = factor_of(s) * (divides(s) ? (dw + mean) / chosen : dw);
            if (s->score == ROUTE_SOFTMAX) size[ids[i]] += own[i];
        }
        for (int e = 0; e < s->experts; e++) all += q[e] * size[e];
        for (int e = 0; e < s->experts; e++) bound[t * s->experts + e] = 2 * p_relative(s) * q[e] * (size[e] + all);
        for (int i = 0; s->score != ROUTE_SOFTMAX && i < s->k; i++) /* a sigmoid's 1 - p is off by what p is, and by more than that of itself */
            bound[t * s->experts + ids[i]] += own[i] * p[i] * (2 * p_relative(s) * (s->score == ROUTE_SIGMOID ? 1 - p[i] : 1) + 16 * U32);
    }
}

enum { E = 9, K = 3 };
struct problem {
    double dw[K], aux[E];
    uint16_t ids[K];
    bool renormalise;
    enum route_score score;
};

static double loss(const double *x, const void *arg) {
    const struct problem *p = arg;
    double z = 0, chosen = 0, sum = 0, w[K];
    for (int e = 0; e < E; e++) z += exp(x[e]);
    for (int i = 0; i < K; i++) {
        const double l = x[p->ids[i]];
        w[i] = p->score == ROUTE_SIGMOID ? 1 / (1 + exp(-l)) : p->score == ROUTE_CHOSEN ? exp(l) : exp(l) / z;
        chosen += w[i];
    }
    for (int i = 0; i < K; i++)
        sum += p->dw[i] * 2.5 * w[i] / (p->renormalise || p->score == ROUTE_CHOSEN ? chosen + (p->score == ROUTE_CHOSEN ? 0 : 0.125) : 1);
    for (int e = 0; e < E; e++) sum += p->aux[e] * exp(x[e]) / z;
    return sum;
}

static void differences(const struct kernels *k, enum route_score score, bool renormalise) {
    struct io io = {.seed = 61};
    float *logits = io_normal(&io, DT_F32, E, 1), *dw = io_normal(&io, DT_F32, K, 1), *aux = io_normal(&io, DT_F32, E, 1), g[E], weights[K];
    struct problem p = {.renormalise = renormalise, .score = score};
    double x[E], bound[E];
    struct route_backward_args b = {.fwd = {.act = DT_F32,
                                            .score = score,
                                            .tokens = 1,
                                            .experts = E,
                                            .k = K,
                                            .logits = logits,
                                            .renormalise = renormalise,
                                            .sum_eps = score == ROUTE_CHOSEN ? 0 : 0.125f,
                                            .factor = 2.5f,
                                            .ids = p.ids,
                                            .weights = weights},
                                    .dweights = dw,
                                    .aux = aux,
                                    .dlogits = g};
    for (int e = 0; e < E; e++) {
        x[e] = logits[e];
        p.aux[e] = aux[e];
        bound[e] = (2 * E + 2 * K + 26) * U32 * 50; /* terms under 50 */
    }
    for (int i = 0; i < K; i++) p.dw[i] = dw[i];
    k->route_forward(NULL, &b.fwd);
    k->route_backward(NULL, &b);
    check_gradient(k->isa, loss, &p, x, E, g, bound);
    io_end(&io);
}

/* Whatever the logits hold, ids are distinct experts; equals go to the lower index; a token alone has the same bits. */
static void edges(const struct kernels *k) {
    enum { EXPERTS = 21, TOP = 6, TOKENS = 5 };
    float logits[TOKENS * EXPERTS], weights[TOKENS * TOP], alone[TOP];
    uint16_t ids[TOKENS * TOP], id_alone[TOP];
    for (int i = 0; i < TOKENS * EXPERTS; i++) logits[i] = (float)(i % 5) * 0.25f;
    logits[1 * EXPERTS + 20] = NAN;
    for (int e = 0; e < EXPERTS; e++) logits[2 * EXPERTS + e] = e == 9 ? 0 : -INFINITY;
    logits[3 * EXPERTS + 7] = INFINITY;
    struct route_args a = {.act = DT_F32, .tokens = TOKENS, .experts = EXPERTS, .k = TOP, .logits = logits, .ids = ids, .weights = weights};
    k->route_forward(NULL, &a);
    bool distinct = true;
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < TOP; i++) {
            distinct = distinct && ids[t * TOP + i] < EXPERTS;
            for (int j = 0; j < i; j++) distinct = distinct && ids[t * TOP + i] != ids[t * TOP + j];
        }
    CASE(distinct, "%s: ids are distinct experts", k->isa);
    static const uint16_t ties[TOP] = {4, 9, 14, 19, 3, 8}, single[TOP] = {9, 0, 1, 2, 3, 4};
    CASE(memcmp(ids, ties, sizeof ties) == 0, "%s: ties go to the lower index", k->isa);
    CASE(memcmp(ids + 2 * TOP, single, sizeof single) == 0 && weights[(ptrdiff_t)2 * TOP] == 1, "%s: -inf logits", k->isa);
    CASE(isnan(weights[TOP]) && isnan(weights[(ptrdiff_t)3 * TOP]), "%s: what is not finite comes out in the weights", k->isa);
    float bias[EXPERTS] = {NAN, 0.5f, NAN};
    struct route_args biased = a;
    biased.bias = bias;
    k->route_forward(NULL, &biased);
    static const uint16_t lowest[TOP] = {1, 4, 9, 14, 19, 3};
    CASE(memcmp(ids, lowest, sizeof lowest) == 0, "%s: a NaN score is the lowest", k->isa);
    k->route_forward(NULL, &a);
    a.tokens = 1;
    a.logits = logits + (ptrdiff_t)4 * EXPERTS;
    a.ids = id_alone;
    a.weights = alone;
    k->route_forward(NULL, &a);
    CASE(memcmp(id_alone, ids + 4 * TOP, sizeof id_alone) == 0 && memcmp((char *)alone, (char *)(weights + 4 * TOP), sizeof alone) == 0,
         "%s: a token alone", k->isa);
}

/* Groups of two: the best one lies alone beside bad ones, so its group falls behind two that are good together. A bias moves the choice and
 * not the weights, and of equal groups the first is kept. */
static void groups(const struct kernels *k) {
    enum { EXPERTS = 8, TOP = 3 };
    static const float logits[EXPERTS] = {4, -4, 1, 1, 1.5f, 0.5f, 1, 1};
    float weights[TOP], bias[EXPERTS] = {0};
    uint16_t ids[TOP];
    struct route_args a = {.act = DT_F32,
                           .score = ROUTE_SIGMOID,
                           .tokens = 1,
                           .experts = EXPERTS,
                           .k = TOP,
                           .logits = logits,
                           .groups = 4,
                           .groups_kept = 2,
                           .renormalise = true,
                           .sum_eps = 1e-20f,
                           .factor = 2.5f,
                           .keep_fp32 = true,
                           .ids = ids,
                           .weights = weights};
    const double one = 1 / (1 + exp(-1.0));
    k->route_forward(NULL, &a);
    CASE(ids[0] == 2 && ids[1] == 3 && ids[2] == 6, "%s: the two groups that are good together", k->isa);
    for (int i = 0; i < TOP; i++) CASE(fabs(weights[i] - 2.5 / 3) <= 20 * U32, "%s: weight %d of equals is %.9g", k->isa, i, (double)weights[i]);
    bias[4] = 0.25f;
    a.bias = bias;
    k->route_forward(NULL, &a);
    const double four = 1 / (1 + exp(-1.5)), sum = four + 2 * one;
    CASE(ids[0] == 4 && ids[1] == 2 && ids[2] == 3, "%s: a bias lifts its group", k->isa);
    CASE(fabs(weights[0] - 2.5 * four / sum) <= 20 * U32 && fabs(weights[1] - 2.5 * one / sum) <= 20 * U32, "%s: the weights are without it", k->isa);
    a.score = ROUTE_CHOSEN;
    a.bias = NULL;
    a.groups = a.groups_kept = 0;
    a.factor = 0;
    k->route_forward(NULL, &a);
    const double rest = exp(1.5 - 4) + exp(1.0 - 4);
    CASE(ids[0] == 0 && ids[1] == 4 && ids[2] == 2 && fabs(weights[0] - 1 / (1 + rest)) <= 20 * U32, "%s: the softmax over the chosen", k->isa);
}

int main(void) {
    static const struct shape shapes[] = {
        {.tokens = 0, .experts = 8, .k = 2},
        {.tokens = 1, .experts = 1, .k = 1, .renormalise = true, .alias = true},
        {.tokens = 13, .experts = 7, .k = 7, .bias = true, .renormalise = true, .keep_fp32 = true, .padded = true},
        {.tokens = 100, .experts = 64, .k = 8, .padded = true, .alias = true},
        {.tokens = 37, .experts = 130, .k = 4, .bias = true, .renormalise = true},
        {.tokens = 5, .experts = 4097, .k = 8, .bias = true, .keep_fp32 = true, .alias = true},
        {.tokens = 2, .experts = 9001, .k = 64, .renormalise = true, .alias = true},
        {.tokens = 41, .experts = 130, .k = 5, .score = ROUTE_SIGMOID, .bias = true, .renormalise = true, .keep_fp32 = true, .padded = true},
        {.tokens = 23,
         .experts = 96,
         .k = 6,
         .score = ROUTE_SIGMOID,
         .bias = true,
         .groups = 8,
         .groups_kept = 3,
         .renormalise = true,
         .keep_fp32 = true,
         .sum_eps = 1e-20f,
         .factor = 2.5f,
         .alias = true},
        {.tokens = 7, .experts = 12, .k = 2, .score = ROUTE_SIGMOID, .groups = 12, .groups_kept = 4, .factor = 1.8f},
        {.tokens = 3,
         .experts = 4100,
         .k = 6,
         .score = ROUTE_SIGMOID,
         .bias = true,
         .groups = 4,
         .groups_kept = 1,
         .renormalise = true,
         .alias = true},
        {.tokens = 33, .experts = 33, .k = 4, .score = ROUTE_CHOSEN, .padded = true, .alias = true},
        {.tokens = 2, .experts = 4097, .k = 9, .score = ROUTE_CHOSEN, .bias = true, .keep_fp32 = true, .alias = true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            char name[64];
            (void)snprintf(name, sizeof name, "route %s %lldx%d k %d score %d", dtype_name(s.t), (long long)s.tokens, s.experts, s.k, s.score);
            hold(name, forward, &s);
            hold(name, backward, &s);
        }
    struct shape most = {.tokens = 1, .experts = 65535, .k = 3, .t = DT_F32};
    hold("route, most experts", forward, &most);
    hold("route, most experts", backward, &most);
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        for (int score = 0; score < 3; score++)
            for (int renormalise = 0; renormalise < 2; renormalise++) differences(&sets[s], (enum route_score)score, renormalise);
        edges(&sets[s]);
        groups(&sets[s]);
    }
    return test_end();
}
