/* `mop doctor`: the machine, which kernels it runs and why not others, whether they compute what they must, and how fast. */
#include "base/os.h"
#include "cli/cli.h"
#include "cli/machine.h"
#include "kernels/check.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct doctor_opts {
    int64_t threads;
    bool speed;
};
#define FIELD(name) offsetof(struct doctor_opts, name)
const struct opt doctor_opt_list[] = {
    {.key = "threads", .type = OPT_INT, .offset = FIELD(threads), .def = "0", .hi = 1024, .help = "threads that compute; 0: one per CPU"},
    {.key = "speed",
     .type = OPT_BOOL,
     .offset = FIELD(speed),
     .def = "true",
     .help = "measure the roofline and the kernels beside it (a few seconds)"},
    {.key = NULL},
};
#undef FIELD

static void print_libraries(void) {
    char pcre2[64] = "?";
    (void)pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    const unsigned xx = XXH_versionNumber();
    (void)printf("libraries jansson %s, libyaml %s, pcre2 %.*s, utf8proc %s, xxhash %u.%u.%u\n", jansson_version_str(), yaml_get_version_string(),
                 (int)strcspn(pcre2, " "), pcre2, utf8proc_version(), xx / 10000, xx / 100 % 100, xx % 100);
}

static void print_sets(const char *best) {
    const char *name, *lack;
    (void)printf("\nsets of kernels\n");
    for (int i = 0; (name = kernels_cpu_set(i, &lack)) != NULL; i++)
        (void)printf("  %-12s  %s\n", name,
                     lack                      ? lack
                     : strcmp(name, best) == 0 ? "in use: the best this machine has"
                                               : "runs, and a better one is in use");
}

static const char *verdict_words(enum check_verdict v) {
    switch (v) {
    case CHECK_THREADS: return "has other bits with more threads";
    case CHECK_ROWS: return "has other bits beside other rows";
    default: return "is not what the reference computes";
    }
}

/* One set and type against the reference; *wrong: kernels that are not right. */
static err_t check_set(const struct kernels *k, struct pool *pool, enum dtype act, int *wrong) {
    struct check_result r[KERNEL_COUNT];
    int bad = 0;
    TRY(kernels_check(k, pool, act, r));
    for (int op = 0; op < KERNEL_COUNT; op++) bad += r[op].verdict != CHECK_EQUAL;
    (void)printf("  %-12s  %s  %d of %d right%s\n", k->isa, act == DT_BF16 ? "bf16" : "fp32", KERNEL_COUNT - bad, (int)KERNEL_COUNT,
                 bad ? ", WRONG:" : "");
    for (int op = 0; op < KERNEL_COUNT; op++)
        if (r[op].verdict != CHECK_EQUAL)
            (void)printf("    %s: %s %s: element %lld is %.9g, not %.9g within %.3g\n", kernel_names[op], r[op].what, verdict_words(r[op].verdict),
                         (long long)r[op].at, r[op].got, r[op].want, r[op].bound);
    *wrong += bad;
    return OK;
}

static err_t check_all(int *wrong) {
    enum { THREADS = 3 }; /* whatever the machine has: the split of work is what is checked */
    const char *name, *lack;
    struct pool *pool;
    TRY(pool_new(THREADS, &pool));
    err_t err = OK;
    (void)printf("\nchecks: every kernel against its reference, the same bits alone and on %d threads, rows of the matrix product on their own\n",
                 THREADS);
    for (int i = 0; (name = kernels_cpu_set(i, &lack)) != NULL && err == OK; i++) {
        struct kernels k;
        if (lack) continue;
        err = kernels_cpu(name, &k);
        if (err == OK) err = check_set(&k, pool, DT_F32, wrong);
        if (err == OK) err = check_set(&k, pool, DT_BF16, wrong);
    }
    pool_free(pool);
    return err;
}

static err_t print_speed(const struct kernels *best, struct pool *pool) {
    enum { BUDGET_NS = 30000000 };
    const char *name, *lack;
    struct machine_peaks peaks = {0};
    machine_roofline_head(pool_threads(pool));
    for (int i = 0; (name = kernels_cpu_set(i, &lack)) != NULL; i++) {
        struct kernels k;
        if (lack) continue;
        TRY(kernels_cpu(name, &k));
        TRY(machine_peaks(&k, pool, &peaks)); /* the best is the last */
    }
    TRY(machine_copy(pool, &peaks.copy));
    for (int bf16 = 0; bf16 < 2; bf16++) TRY(machine_kernels(best, pool, bf16, &peaks, BUDGET_NS));
    return OK;
}

static err_t examine(const struct doctor_opts *o) {
    struct kernels best;
    struct pool *pool;
    int wrong = 0;
    TRY(kernels_cpu(NULL, &best));
    TRY(pool_new(o->threads ? (int)o->threads : os_cpus(), &pool));
    machine_print(pool_threads(pool));
    print_libraries();
    print_sets(best.isa);
    err_t err = check_all(&wrong);
    if (err == OK && o->speed) err = print_speed(&best, pool);
    pool_free(pool);
    TRY(err);
    if (wrong)
        return FAIL(ERR_FAILED,
                    "%d kernels compute something wrong on this machine; the lines below WRONG say which: do not train here before that is solved",
                    wrong);
    (void)printf("\nall is well\n");
    return OK;
}

err_t cmd_doctor(int argc, char **argv) {
    struct doctor_opts own;
    struct opt_set *set;
    const struct opt_table table = {"doctor", doctor_opt_list, &own};
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) err = examine(&own);
    opt_free(set);
    return err;
}
