/* `mop bench kernels`: the kernels of one set or of all that this machine runs, and the matrix products of the rooms, on a model's
 * shapes, beside the roofline that the same run measures. */
#include "base/os.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/machine.h"
#include "kernels/check.h"
#include "kernels/roofline.h"

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

/* ---- the rooms' products ---- */

enum { MOST_GROUPS = 64, PRODUCT_NS = 30000000 };

struct product { /* y = x W^T, dx = dy W, dW += dy^T x; the rows lie in groups of as many, each with a W of its own */
    const char *name;
    int groups;
    int64_t rows, out, in;
};

struct launch {
    const struct kernels *k;
    struct pool *pool;
    const struct matmul_args *args;
};

static void launch(void *arg, int i) {
    (void)i;
    const struct launch *l = arg;
    l->k->matmul(l->pool, l->args);
}

/* Operations a second and the share of what the roofline allows, of the fastest of the launches in PRODUCT_NS. */
static void print_product(const struct kernels *k, struct pool *pool, const struct matmul_args *a, double flops, double copy) {
    const struct cost cost = matmul_cost(a);
    const double ns = (double)roofline_shortest_ns(launch, &(struct launch){k, pool, a}, PRODUCT_NS);
    (void)printf("  %9.1f  %5.1f", cost.flops / ns, 100 * roofline_seconds(cost, flops, copy) * 1e9 / ns);
}

static err_t run_product(const struct kernels *k, struct pool *pool, enum dtype act, const struct product *p, double flops, double copy) {
    ENSURE(p->groups <= MOST_GROUPS);
    const int64_t b = dtype_bytes(act), one = p->out * p->in, x = p->rows * p->in * b, y = p->rows * p->out * b, w = p->groups * one * b;
    const size_t all = (size_t)(2 * x + 2 * y + w + p->groups * one * 4);
    int64_t off[MOST_GROUPS + 1];
    const void *bs[MOST_GROUPS];
    void *cs[MOST_GROUPS], *memory;
    TRY(os_reserve(all, "the products' speed", &memory));
    memset(memory, 0x3f, all); /* 0.75 in either type: what is multiplied does not change the time, unless it were zero */
    char *at_x = memory, *at_dx = at_x + x, *at_y = at_dx + x, *at_dy = at_y + y, *at_w = at_dy + y, *at_dw = at_w + w;
    for (int g = 0; g <= p->groups; g++) off[g] = p->rows * g / p->groups;
    for (int g = 0; g < p->groups; g++) {
        bs[g] = at_w + g * one * b;
        cs[g] = at_dw + g * one * 4;
    }
    struct matmul_args a = {.groups = p->groups, .row_off = off, .bs = bs, .a_dtype = act, .b_dtype = act, .c_dtype = act};
    (void)printf("  %-18s  %6lld  %5lld  %5lld  %6d", p->name, (long long)p->rows, (long long)p->out, (long long)p->in, p->groups);
    a.kind = MATMUL_NT, a.n = p->out, a.k = p->in, a.a = at_x, a.lda = p->in, a.ldb = p->in, a.c = at_y, a.ldc = p->out;
    print_product(k, pool, &a, flops, copy);
    a.kind = MATMUL_NN, a.n = p->in, a.k = p->out, a.a = at_dy, a.lda = p->out, a.ldb = p->in, a.c = at_dx, a.ldc = p->in;
    print_product(k, pool, &a, flops, copy);
    a.kind = MATMUL_TN, a.m = p->out, a.n = p->in, a.b = at_x, a.bs = NULL, a.cs = cs, a.c_dtype = DT_F32, a.accumulate = true;
    print_product(k, pool, &a, flops, copy);
    (void)printf("\n");
    os_release(memory, all);
    return OK;
}

static err_t measure_products(const struct kernels *k, struct pool *pool, int bf16, const struct machine_peaks *peaks) {
    const struct case_shape *s = &case_demo;
    const int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim, rows = s->tokens * s->top_k;
    const struct product products[] = {
        {"attention q, k, v", 1, s->tokens, q + 2 * kv, s->hidden},
        {"attention out", 1, s->tokens, s->hidden, q},
        {"router", 1, s->tokens, s->experts, s->hidden},
        {"experts gate, up", s->experts, rows, 2 * s->width, s->hidden},
        {"experts down", s->experts, rows, s->hidden, s->width},
        {"logits", 1, s->vocab_rows, s->vocab, s->hidden},
    };
    (void)printf("\n%s, %s: the rooms' products, GFLOP/s and %% of what the roofline allows\n", k->isa, bf16 ? "bf16" : "fp32");
    (void)printf("  %-18s  %6s  %5s  %5s  %6s  %9s  %5s  %9s  %5s  %9s  %5s\n", "product", "rows", "out", "in", "groups", "y", "%", "dx", "%", "dW",
                 "%");
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        TRY(run_product(k, pool, bf16 ? DT_BF16 : DT_F32, &products[i], peaks->flops[bf16], peaks->copy));
    return OK;
}

static err_t measure(const struct kernels *k, int count, struct pool *pool) {
    /* All kernels together: half a minute, so that the slowest, which do not end in their share, leave it below one. */
    const int64_t each = (int64_t)30000000000 / (SETS * 2 * KERNEL_COUNT);
    for (int i = 0; i < count; i++) { /* the roofline again for each set: what else the machine does then changes both sides of a ratio */
        struct machine_peaks peaks;
        machine_roofline_head(pool_threads(pool));
        TRY(machine_peaks(&k[i], pool, &peaks));
        TRY(machine_copy(pool, &peaks.copy));
        for (int bf16 = 0; bf16 < 2; bf16++) {
            TRY(machine_kernels(&k[i], pool, bf16, &peaks, each));
            TRY(measure_products(&k[i], pool, bf16, &peaks));
        }
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
