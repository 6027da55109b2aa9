/* `mop bench dispatch`: the plan of a dispatch without running it, for the routing profiles of the specification or for counts
 * given as JSON. docs/math/dispatch.md. */
#include "base/os.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "experts/llep_plan.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dispatch_opts {
    bool plan;
    const char *in;
};
#define FIELD(name) offsetof(struct dispatch_opts, name)
static const struct opt dispatch_opt_list[] = {
    {.key = "plan", .type = OPT_BOOL, .offset = FIELD(plan), .def = "false", .help = "print the send ratios of the specification's routing profiles"},
    {.key = "in",
     .type = OPT_PATH,
     .offset = FIELD(in),
     .help = "JSON file with ranks, experts, alpha, min_rows, lambda and counts, whose plan is printed as JSON; - reads standard input"},
    {.key = NULL},
};

/* ---- the routing profiles of mop.md section 4 ---- */

enum { TOKENS = 65536, EXPERTS = 128, TOP_K = 8, RANKS = 8, CHUNKS = 10 };
static const struct llep_rule paper_rule = {1.0, 1024, 1.3};
static const struct {
    const char *name;
    double hot;      /* r: share of hot tokens; below 0: balanced */
    int hot_experts; /* h */
} profiles[] = {{"balanced", -1, 0}, {"95/16", 0.95, 16}, {"80/16", 0.80, 16}, {"50/4", 0.50, 4}};

static int profile_expert(int which, int64_t token, int slot) {
    const int h = profiles[which].hot_experts;
    if (profiles[which].hot < 0) return (int)((token + slot) % EXPERTS);
    if (token < (int64_t)floor(profiles[which].hot * TOKENS)) return slot % h;
    return h + (int)((token + slot) % (EXPERTS - h));
}

/* Largest send over mean send of one source rank in one chunk, over all ranks and chunks; *received: the most rows that a destination
 * gets in a chunk, as a share of the bound E_p * k * c_eff. */
static double send_ratio(const struct llep_plan *p, int which, bool strided, double *received) {
    static const int64_t c_eff = (TOKENS + CHUNKS - 1) / CHUNKS;
    int64_t arrive[CHUNKS][RANKS] = {{0}}, next[EXPERTS], at[EXPERTS]; /* next row of an expert's list; the interval it lies in */
    double worst = 0;
    memset(next, 0, sizeof next);
    for (int e = 0; e < EXPERTS; e++) at[e] = p->first[e];
    for (int s = 0; s < RANKS; s++) {
        int64_t send[CHUNKS][RANKS] = {{0}};
        for (int64_t t = 0; t < TOKENS; t++)
            for (int j = 0; j < TOP_K; j++) {
                const int e = profile_expert(which, t, j);
                while (next[e] >= p->interval[at[e]].to) at[e]++;
                next[e]++;
                send[chunk_of(t, TOKENS, CHUNKS, strided)][p->interval[at[e]].rank]++;
            }
        for (int c = 0; c < CHUNKS; c++) {
            int64_t sum = 0, most = 0;
            for (int g = 0; g < RANKS; g++) {
                sum += send[c][g];
                most = send[c][g] > most ? send[c][g] : most;
                arrive[c][g] += send[c][g];
            }
            if (sum) worst = fmax(worst, (double)most * RANKS / (double)sum);
        }
    }
    int64_t most = 0;
    for (int c = 0; c < CHUNKS; c++)
        for (int g = 0; g < RANKS; g++) most = arrive[c][g] > most ? arrive[c][g] : most;
    *received = (double)most / (double)(RANKS * TOP_K * c_eff);
    return worst;
}

static err_t print_profiles(void) {
    int64_t counts[RANKS * EXPERTS];
    struct llep_plan p;
    void *memory = malloc((size_t)llep_plan_bytes(RANKS, EXPERTS));
    if (!memory) return FAIL(ERR_NOMEM, "out of memory for a plan");
    llep_plan_init(&p, RANKS, EXPERTS, memory);
    (void)printf("largest send / mean send, N %d, E %d, k %d, E_p %d, K %d, alpha %.1f, m %.0f, lambda %.1f\n", TOKENS, EXPERTS, TOP_K, RANKS, CHUNKS,
                 paper_rule.alpha, paper_rule.min_rows, paper_rule.lambda);
    (void)printf("%-10s %8s %11s   largest receive of a chunk, share of E_p*k*c_eff\n", "profile", "strided", "contiguous");
    for (int w = 0; w < (int)(sizeof profiles / sizeof profiles[0]); w++) {
        memset(counts, 0, sizeof counts);
        for (int s = 0; s < RANKS; s++)
            for (int64_t t = 0; t < TOKENS; t++)
                for (int j = 0; j < TOP_K; j++) counts[s * EXPERTS + profile_expert(w, t, j)]++;
        llep_plan_make(&p, &paper_rule, counts);
        double share, unused;
        const double strided = send_ratio(&p, w, true, &share), contiguous = send_ratio(&p, w, false, &unused);
        (void)printf("%-10s %8.2f %11.2f   %.4f (1/E_p = %.4f)\n", profiles[w].name, strided, contiguous, share, 1.0 / RANKS);
    }
    free(memory);
    return OK;
}

/* ---- counts from JSON ---- */

struct input {
    int ranks, experts;
    struct llep_rule rule;
    int64_t *counts;
};

static err_t whole(const char *path, const json_t *root, const char *key, int64_t most, int *out) {
    const json_t *v = json_object_get(root, key);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > most)
        return FAIL(ERR_FORMAT, "%s: \"%s\" must be a whole number from 1 to %lld", path, key, (long long)most);
    *out = (int)json_integer_value(v);
    return OK;
}

static err_t number(const char *path, const json_t *root, const char *key, double *out) {
    const json_t *v = json_object_get(root, key);
    if (!json_is_number(v) || !(json_number_value(v) >= 0)) return FAIL(ERR_FORMAT, "%s: \"%s\" must be a number that is not negative", path, key);
    *out = json_number_value(v);
    return OK;
}

static err_t read_counts(const char *path, const json_t *root, struct input *in) {
    const json_t *rows = json_object_get(root, "counts");
    if (!json_is_array(rows) || json_array_size(rows) != (size_t)in->ranks)
        return FAIL(ERR_FORMAT, "%s: \"counts\" must be a list of %d lists, one per rank", path, in->ranks);
    in->counts = calloc((size_t)in->ranks * (size_t)in->experts, sizeof *in->counts);
    if (!in->counts) return FAIL(ERR_NOMEM, "out of memory for %d x %d counts", in->ranks, in->experts);
    int64_t left = INT64_C(1) << 62;
    for (int s = 0; s < in->ranks; s++) {
        const json_t *row = json_array_get(rows, (size_t)s);
        if (!json_is_array(row) || json_array_size(row) != (size_t)in->experts)
            return FAIL(ERR_FORMAT, "%s: \"counts\"[%d] must be a list of %d whole numbers, one per expert", path, s, in->experts);
        for (int e = 0; e < in->experts; e++) {
            const json_t *v = json_array_get(row, (size_t)e);
            if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > left)
                return FAIL(ERR_FORMAT, "%s: \"counts\"[%d][%d] must be a whole number that is not negative; all together stay below 2^62", path, s,
                            e);
            left -= json_integer_value(v);
            in->counts[(int64_t)s * in->experts + e] = json_integer_value(v);
        }
    }
    return OK;
}

static err_t read_input(const char *path, const json_t *root, struct input *in) {
    if (!json_is_object(root)) return FAIL(ERR_FORMAT, "%s: must be one JSON object with ranks, experts, alpha, min_rows, lambda and counts", path);
    TRY(whole(path, root, "ranks", 65536, &in->ranks));
    TRY(whole(path, root, "experts", 65536, &in->experts));
    if (in->experts % in->ranks)
        return FAIL(ERR_FORMAT, "%s: \"ranks\" %d must divide \"experts\" %d, for each rank owns as many", path, in->ranks, in->experts);
    TRY(number(path, root, "alpha", &in->rule.alpha));
    TRY(number(path, root, "min_rows", &in->rule.min_rows));
    TRY(number(path, root, "lambda", &in->rule.lambda));
    return read_counts(path, root, in);
}

static void print_plan(const struct llep_plan *p, const int64_t *send) {
    (void)printf("{\"plan\": [");
    for (int64_t i = 0; i < p->first[p->experts]; i++)
        (void)printf("%s{\"expert\": %d, \"rank\": %d, \"from\": %lld, \"to\": %lld}", i ? ", " : "", p->interval[i].expert, p->interval[i].rank,
                     (long long)p->interval[i].from, (long long)p->interval[i].to);
    (void)printf("], \"migrations\": [");
    const char *comma = "";
    for (int e = 0; e < p->experts; e++)
        for (int g = 0; g < p->ranks; g++) { /* an expert migrates to a rank once, however many intervals it has there */
            bool goes = false;
            for (int64_t i = p->first[e]; i < p->first[e + 1]; i++) goes = goes || p->interval[i].rank == g;
            if (!goes || g == llep_owner(p, e)) continue;
            (void)printf("%s{\"expert\": %d, \"from\": %d, \"to\": %d}", comma, e, llep_owner(p, e), g);
            comma = ", ";
        }
    (void)printf("], \"send\": [");
    for (int s = 0; s < p->ranks; s++) {
        (void)printf("%s[", s ? ", " : "");
        for (int g = 0; g < p->ranks; g++) (void)printf("%s%lld", g ? ", " : "", (long long)send[(int64_t)s * p->ranks + g]);
        (void)printf("]");
    }
    (void)printf("]}\n");
}

static err_t plan_of(const struct input *in) {
    struct llep_plan p;
    void *memory = malloc((size_t)llep_plan_bytes(in->ranks, in->experts));
    int64_t *send = malloc(sizeof *send * (size_t)in->ranks * (size_t)in->ranks);
    err_t err = OK;
    if (!memory || !send) {
        err = FAIL(ERR_NOMEM, "out of memory for the plan of %d ranks and %d experts", in->ranks, in->experts);
    } else {
        llep_plan_init(&p, in->ranks, in->experts, memory);
        llep_plan_make(&p, &in->rule, in->counts);
        llep_plan_send(&p, in->counts, send);
        print_plan(&p, send);
    }
    free(memory);
    free(send);
    return err;
}

static err_t plan_file(const char *path) {
    json_error_t why;
    json_t *root;
    if (strcmp(path, "-") == 0) {
        root = json_loadf(stdin, JSON_REJECT_DUPLICATES, &why);
    } else {
        char *text;
        int64_t bytes;
        TRY(os_read_all(path, INT64_C(1) << 30, &text, &bytes));
        root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
        free(text);
    }
    if (!root) return FAIL(ERR_FORMAT, "%s:%d: not JSON: %s", path, why.line, why.text);
    struct input in = {0};
    err_t err = read_input(path, root, &in);
    json_decref(root);
    if (err == OK) err = plan_of(&in);
    free(in.counts);
    return err;
}

err_t bench_dispatch(int argc, char **argv) {
    struct dispatch_opts own;
    struct ranks_opts ranks;
    struct opt_set *set;
    const struct opt_table tables[] = {{"dispatch", dispatch_opt_list, &own}, {"bench", ranks_opt_list, &ranks}};
    TRY(opt_new(tables, 2, &set));
    err_t err = cli_options(argc, argv, set);
    if (err != OK) err = err_frame(err, __func__);
    else if (own.in) err = plan_file(own.in);
    else if (own.plan) err = print_profiles();
    else err = bench_ranks("dispatch", &ranks);
    opt_free(set);
    return err;
}
