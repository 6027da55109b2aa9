/* `mop bench kernels`: the kernels of one set or of all that this machine runs, on a model's shapes, beside the roofline that the same
 * run measures. */
#include "base/os.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/machine.h"
#include "kernels/cost.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct kernels_opts {
    const char *isa;
    int64_t threads;
};
#define FIELD(name) offsetof(struct kernels_opts, name)
static const struct opt kernels_opt_list[] = {
    {.key = "isa",
     .type = OPT_TEXT,
     .offset = FIELD(isa),
     .help = "one set of kernels: portable, avx2, avx512, avx512_bf16 or amx; without it all that this machine runs"},
    {.key = "threads", .type = OPT_INT, .offset = FIELD(threads), .def = "0", .hi = 1024, .help = "threads that compute; 0: one per CPU"},
    {.key = NULL},
};
#undef FIELD

enum { SETS = 8 };

/* The sets to measure; ERR_USAGE where isa is none or the CPU lacks what it takes. */
static err_t choose(const char *isa, struct kernels k[SETS], int *count) {
    const char *name, *lack;
    *count = 0;
    if (isa) {
        *count = 1;
        return kernels_cpu(isa, &k[0]);
    }
    for (int i = 0; (name = kernels_cpu_set(i, &lack)) != NULL; i++) {
        if (lack) continue;
        ENSURE(*count < SETS);
        TRY(kernels_cpu(name, &k[(*count)++]));
    }
    return OK;
}

static err_t measure(const struct kernels *k, int count, struct pool *pool) {
    /* All kernels together: half a minute, so that the slowest, which do not end in their share, leave it below one. */
    const int64_t each = (int64_t)30000000000 / (SETS * 2 * KERNEL_COUNT);
    struct machine_peaks peaks[SETS] = {{0}};
    machine_roofline_head(pool_threads(pool));
    for (int i = 0; i < count; i++) TRY(machine_peaks(&k[i], pool, &peaks[i]));
    TRY(machine_copy(pool, &peaks[0].copy));
    for (int i = 0; i < count; i++) {
        peaks[i].copy = peaks[0].copy;
        for (int bf16 = 0; bf16 < 2; bf16++) TRY(machine_kernels(&k[i], pool, bf16, &peaks[i], each));
    }
    return OK;
}

static void print_date(void) {
    char text[32] = "";
    const time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm)) (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm);
    (void)printf("date      %s UTC\n", text);
}

err_t bench_kernels(int argc, char **argv) {
    struct kernels_opts own;
    struct opt_set *set;
    struct kernels k[SETS];
    struct pool *pool;
    int count;
    const struct opt_table table = {"kernels", kernels_opt_list, &own};
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) err = choose(own.isa, k, &count);
    if (err == OK) err = pool_new(own.threads ? (int)own.threads : os_cpus(), &pool);
    if (err == OK) {
        print_date();
        machine_print(pool_threads(pool));
        err = measure(k, count, pool);
        pool_free(pool);
    }
    opt_free(set);
    return err;
}
