/* A step on n ranks against the same step on one: every valid mesh of small models, each strategy, both dtypes. What a rank holds is the
 * rooms' formula, at rest a share of everything. */
#include "ranks.h"

/* How far n ranks may be from one. In fp32 each side is within the golden bounds of the exact result (1.5e-5 a gradient, 3e-6 a loss, 3e-5 a weight
 * after ten steps), so they are within twice that of each other. In bf16 the first forward pass is the same but for the sums of the loss; on
 * the way back each of the n_b roundings of docs/math/bf16_bounds.md may fall on the other side, one unit in the last place,
 * 2 r at the bottom of a binade: gain * tail * 2 r * sqrt(n_b). */
struct bounds {
    double loss, grad, after;
};

static struct bounds bounds_of(const struct spec *s, enum dtype act) {
    if (act == DT_F32) return (struct bounds){6e-6, 3e-5, 6e-5};
    double n = 5;
    for (int l = 0; l < s->layers; l++) n += 8 + 2 * (s->qk_norm != QK_NORM_NONE) + (s->is_moe[l] ? 13 : 7);
    const double grad = 2 * 2 * 2 * 0x1p-8 / sqrt(3) * sqrt(n);
    /* AdamW's update has |lr| at most however wrong a gradient is; weights are of the order of 0.15 */
    return (struct bounds){grad * grad, grad, 2 * LR * STEPS * sqrt(grad / 3.14159265358979323846) / 0.15};
}

static void compare(const struct model_src *src, const struct layout *how, enum dtype act, const struct result *a, const struct result *one) {
    const struct bounds b = bounds_of(&src->spec, act);
    const char *n = how->name, *t = dtype_name(act);
    CASE(a->targets == 0, "%s %s: counted %lld targets too many", n, t, (long long)a->targets);
    CASE(fabs(a->loss[0] - one->loss[0]) <= 6e-6 * one->loss[0], "%s %s: first loss %.9g, one rank %.9g", n, t, a->loss[0], one->loss[0]);
    for (int s = 1; s < STEPS; s++)
        CASE(fabs(a->loss[s] - one->loss[s]) <= b.loss * one->loss[s], "%s %s: loss of step %d %.9g, one rank %.9g", n, t, s, a->loss[s],
             one->loss[s]);
    CASE(fabs(a->aux - one->aux) <= 6e-6 * one->aux, "%s %s: aux %.9g, one rank %.9g", n, t, a->aux, one->aux);
    CASE(fabs(a->norm - one->norm) <= b.grad * one->norm, "%s %s: norm %.9g, one rank %.9g", n, t, a->norm, one->norm);
    for (int64_t i = 0; i < src->params.count; i++) {
        const struct param *p = &src->params.list[i];
        const double ge = tiny_error(a->grad + p->offset, one->grad + p->offset, p->count);
        const double we = tiny_error(a->after + p->offset, one->after + p->offset, p->count);
        CASE(ge <= b.grad, "%s %s: gradient of %s is off by %.2e", n, t, p->name, ge);
        CASE(we <= b.after, "%s %s: %s after %d steps is off by %.2e", n, t, p->name, STEPS, we);
    }
}

static void try_layout(const struct model_src *src, const struct layout *how, enum dtype act, bool keep, const struct result *one) {
    struct result a;
    int64_t held[16] = {0};
    bool formula[16] = {false};
    err_t err = run_layout(src, how, act, keep, held, formula, &a);
    if (CASE(err == OK, "%s %s: %s", how->name, dtype_name(act), err_message())) {
        compare(src, how, act, &a, one);
        const int64_t share = src->params.elements / how->ranks;
        for (int r = 0; r < how->ranks; r++) {
            CASE(formula[r], "%s: rank %d holds other than its formula", how->name, r);
            /* padding: at most a row of the vocabulary twice, and less than a number for each other unit */
            CASE(held[r] <= share + 2 * src->spec.hidden + src->params.units + 1, "%s: rank %d holds %lld numbers at rest, a share is %lld",
                 how->name, r, (long long)held[r], (long long)share);
        }
    }
    free_result(&a);
}

static void one_rank(const struct model_src *src, enum dtype act, bool skewed, struct result *out) {
    const struct layout alone = {.ranks = 1, .mesh = {.seq = 1}, .skewed = skewed};
    int64_t held[1];
    bool formula[1];
    NEED(run_layout(src, &alone, act, false, held, formula, out));
}

static const char *const expert_names[] = {"pipelined", "llep", "ep", "gather"}, *const vocab_names[] = {"ring", "dtp", "dense_logits"};

/* All meshes of n ranks; the strategies go round, so that each meets many meshes. */
static void all_meshes(int which, int ranks, enum dtype act) {
    struct model_src src;
    struct result one;
    tiny_open(which, &src);
    one_rank(&src, act, false, &one);
    int turn = which + ranks;
    for (int d = 1; d <= ranks; d++)
        for (int e = 1; e <= ranks; e++)
            for (int p = 1; p <= ranks; p++) {
                if (ranks % d || ranks % e || ranks % p || src.spec.heads % d || src.spec.experts % e) continue;
                const struct dense_opts dense = {turn % 3 == 0 ? DENSE_REPLICATE : DENSE_ZERO3};
                const struct attention_opts attention = {1 + turn % 2};
                const struct experts_opts experts = {
                    .strategy = turn % 4, .alpha = 1, .min_rows = 4, .lambda = 1.1, .chunk = 1 + turn % 9, .chunks_max = 10};
                const struct vocab_opts vocab = {turn % 3, turn / 3 % 3};
                struct layout how = {
                    ranks, {.seq = d, .expert = e, .vocab = p, .check = turn % 5 == 0}, {&dense, &attention, &experts, &vocab}, false, "", NULL};
                (void)snprintf(how.name, sizeof how.name, "%s, %d ranks, D %d, E_p %d, P %d, %s, %d head chunks, %s, %s travel %d",
                               tiny_configs[which].name, ranks, d, e, p, dense.strategy == DENSE_ZERO3 ? "zero3" : "replicate",
                               (int)attention.head_chunks, expert_names[experts.strategy], vocab_names[vocab.strategy], vocab.travel);
                try_layout(&src, &how, act, turn % 2, &one);
                turn++;
            }
    free_result(&one);
    model_src_close(&src);
}

/* All tokens go to the same k experts: the others are empty, ranks that own none of the k receive nothing in ep, and llep must move experts. */
static void skewed_routing(int which, int ranks, enum dtype act) {
    struct model_src src;
    struct result one, a;
    tiny_open(which, &src);
    const struct dense_opts dense = {DENSE_ZERO3};
    const struct attention_opts attention = {1};
    const struct vocab_opts vocab = {0, 0};
    int64_t held[16];
    bool formula[16];
    one_rank(&src, act, true, &one);
    for (int e = 1; e <= ranks; e++)
        for (int s = 0; s < 4; s++) {
            if (ranks % e || src.spec.experts % e) continue;
            const struct experts_opts experts = {.strategy = s, .alpha = 1, .min_rows = 4, .lambda = 1.1, .chunk = 5, .chunks_max = 10};
            struct layout how = {ranks, {.seq = 1, .expert = e, .vocab = ranks}, {&dense, &attention, &experts, &vocab}, true, "", NULL};
            (void)snprintf(how.name, sizeof how.name, "%s, %d ranks, E_p %d, all to the same experts, %s", tiny_configs[which].name, ranks, e,
                           expert_names[s]);
            if (CASE(run_layout(&src, &how, act, s % 2, held, formula, &a) == OK, "%s: %s", how.name, err_message())) {
                compare(&src, &how, act, &a, &one);
                int64_t guests = 0;
                for (int r = 0; r < ranks; r++) {
                    const bool owns = a.seen[r].place * (src.spec.experts / e) < src.spec.top_k;
                    guests += a.seen[r].guests;
                    if (e > 1 && s == EXPERTS_EP)
                        CASE((a.seen[r].rows > 0) == owns, "%s: rank %d had %lld rows", how.name, r, (long long)a.seen[r].rows);
                }
                CASE((guests > 0) == (e > 1 && s != EXPERTS_EP && s != EXPERTS_GATHER), "%s: %lld experts moved", how.name, (long long)guests);
            }
            free_result(&a);
        }
    free_result(&one);
    model_src_close(&src);
}

int main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static const int ranks[] = {1, 2, 4}; /* a sanitizer sees the same code in fewer minutes */
#else
    static const int ranks[] = {1, 2, 3, 4, 6, 8};
#endif
    for (int i = 0; i < TINY_CONFIGS; i++)
        for (size_t n = 0; n < sizeof ranks / sizeof *ranks; n++)
            for (int t = 0; t < 2; t++) all_meshes(i, ranks[n], t ? DT_BF16 : DT_F32);
    for (int t = 0; t < 2; t++) {
        skewed_routing(0, 5, t ? DT_BF16 : DT_F32);
        skewed_routing(2, 4, t ? DT_BF16 : DT_F32);
    }
    return test_end();
}
