/* The deferred device gives the cpu device's bits (device C1): losses, the first gradients and the weights after three steps, whatever order its seed
 * draws, for strategies, layouts and dtypes in turn. With several ranks most tasks run out of the order they were queued in; every access is
 * checked against the events (C4), and device memory is closed to the host (C2), or the run fails. Ranks without tokens are among them. */
#include "ranks.h"

static const char *const expert_names[] = {"pipelined", "llep", "ep", "gather"}, *const vocab_names[] = {"ring", "dtp", "dense_logits"};

/* Of all runs of several ranks. */
struct order {
    int64_t tasks, odd;
};

static void same(const struct layout *how, enum dtype act, int64_t seed, const struct params *p, const struct result *cpu, const struct result *got,
                 struct order *all) {
    const char *t = dtype_name(act), *n = how->name;
    const size_t bytes = sizeof(float) * (size_t)p->elements;
    CASE(memcmp(cpu->loss, got->loss, sizeof cpu->loss) == 0, "%s %s seed %lld: losses differ", n, t, (long long)seed);
    CASE(memcmp(&cpu->aux, &got->aux, sizeof cpu->aux) == 0, "%s %s seed %lld: aux differs", n, t, (long long)seed);
    CASE(memcmp(cpu->grad, got->grad, bytes) == 0, "%s %s seed %lld: gradients differ", n, t, (long long)seed);
    CASE(memcmp(cpu->after, got->after, bytes) == 0, "%s %s seed %lld: weights differ", n, t, (long long)seed);
    for (int r = 0; how->ranks > 1 && r < how->ranks; r++) {
        all->tasks += got->tasks[r];
        all->odd += got->odd[r];
    }
}

static void try_layout(const struct model_src *src, struct layout *how, enum dtype act, bool keep, int64_t first_seed, struct order *all) {
    struct result cpu, got;
    int64_t held[16];
    bool formula[16];
    how->device = NULL;
    NEED(run_layout(src, how, act, keep, held, formula, &cpu));
    for (int64_t seed = first_seed; seed < first_seed + 2; seed++) {
        const struct device_opts d = {DEVICE_DEFERRED, seed, 0};
        how->device = &d;
        if (CASE(run_layout(src, how, act, keep, held, formula, &got) == OK, "%s %s seed %lld: %s", how->name, dtype_name(act), (long long)seed,
                 err_message()))
            same(how, act, seed, &src->params, &cpu, &got, all);
        free_result(&got);
    }
    how->device = NULL;
    free_result(&cpu);
}

static void meshes(const struct model_src *src, const char *name, int ranks, int turn, struct order *all) {
    for (int d = 1; d <= ranks; d++)
        for (int e = 1; e <= ranks; e++)
            for (int p = 1; p <= ranks; p++) {
                if (ranks % d || ranks % e || ranks % p || src->spec.heads % d || src->spec.experts % e) continue;
                const struct dense_opts dense = {turn % 3 == 0 ? DENSE_REPLICATE : DENSE_ZERO3};
                const struct attention_opts attention = {1 + turn % 2};
                const struct experts_opts experts = {
                    .strategy = turn % 4, .alpha = 1, .min_rows = 4, .lambda = 1.1, .chunk = 1 + turn % 9, .chunks_max = 10};
                const struct vocab_opts vocab = {turn % 3, turn / 3 % 3};
                struct layout how = {ranks, {.seq = d, .expert = e, .vocab = p}, {&dense, &attention, &experts, &vocab}, turn % 7 == 0, "", NULL};
                (void)snprintf(how.name, sizeof how.name, "%s, %d ranks, D %d, E_p %d, P %d, %s, %d head chunks, %s, %s travel %d", name, ranks, d, e,
                               p, dense.strategy == DENSE_ZERO3 ? "zero3" : "replicate", (int)attention.head_chunks, expert_names[experts.strategy],
                               vocab_names[vocab.strategy], vocab.travel);
                try_layout(src, &how, turn % 2 ? DT_BF16 : DT_F32, turn / 2 % 2, turn, all);
                turn++;
            }
}

int main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static const int ranks[] = {1, 2};
    const int configs = 1; /* a sanitizer sees the same code in fewer minutes */
#else
    static const int ranks[] = {1, 2, 3, 4, 8}; /* of 8 some have no token */
    const int configs = TINY_CONFIGS;
#endif
    struct model_src src = {.seed = 7};
    struct order all = {0};
    NEED(spec_from_json("dense", tiny_dense, (int64_t)strlen(tiny_dense), &src.spec));
    NEED(params_build(&src.spec, &src.params));
    for (size_t n = 0; n < sizeof ranks / sizeof *ranks && ranks[n] <= 4; n++) meshes(&src, "dense", ranks[n], (int)n, &all);
    model_src_close(&src);
    for (int which = 0; which < configs; which++) {
        tiny_open(which, &src);
        for (size_t n = 0; n < sizeof ranks / sizeof *ranks && ranks[n] <= (which == 2 ? 8 : which == 1 ? 3 : 2); n++)
            meshes(&src, tiny_configs[which].name, ranks[n], (int)n + which, &all);
        model_src_close(&src);
    }
    CASE(2 * all.odd > all.tasks, "%lld of %lld tasks out of queue order", (long long)all.odd, (long long)all.tasks);
    return test_end();
}
