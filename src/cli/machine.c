#include "cli/machine.h"

#include "base/limits.h"
#include "base/os.h"
#include "kernels/check.h"
#include "kernels/roofline.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum dtype act;
} act_names[2] = {{"fp32", DT_F32}, {"bf16", DT_BF16}};

/* The flags of /proc/cpuinfo that a set of kernels could be made for. */
static const char *const flags[] = {"avx",      "avx2",        "fma",         "f16c",        "avx_vnni", "avx512f",  "avx512bw", "avx512vl",
                                    "avx512dq", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"};

static bool has_word(const char *line, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = line; (p = strstr(p, word)) != NULL; p += n)
        if (p > line && p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n' || p[n] == 0)) return true;
    return false;
}

/* A line of the kernel's own files (their size is not known before they are read) that begins with `head`; "" where there is none. */
static void line_of(const char *path, const char *head, char *out, int size) {
    FILE *f = fopen(path, "re");
    bool found = false;
    while (f && !found && fgets(out, size, f)) found = strncmp(out, head, strlen(head)) == 0;
    if (f) (void)fclose(f);
    if (!found) out[0] = 0;
    out[strcspn(out, "\n")] = 0;
}

void machine_print(int threads) {
    char name[KERNELS_CPU_NAME], line[8192];
    kernels_cpu_name(name);
    (void)printf("CPU       %s; %d CPU%s for this process, %d thread%s\n", name, os_cpus(), os_cpus() == 1 ? "" : "s", threads,
                 threads == 1 ? "" : "s");
    line_of("/proc/cpuinfo", "flags", line, sizeof line);
    (void)printf("flags    ");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (has_word(line, flags[i])) (void)printf(" %s", flags[i]);
    (void)printf("\nmemory    %.2f GiB, %.2f available; pages of %ld KiB",
                 (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1073741824.0, (double)os_memory_available() / 1073741824.0,
                 sysconf(_SC_PAGESIZE) / 1024);
    line_of("/sys/kernel/mm/transparent_hugepage/enabled", "", line, sizeof line);
    if (line[0]) (void)printf("; large pages %s", line);
    struct limits l;
    limits_memory(&l);
    for (int i = 1; i < l.count; i++)
        (void)printf("%s %s: %.2f GiB left", i > 1 ? "\n         " : "\nlimits   ", l.list[i].name, l.list[i].have / 1073741824.0);
    const bool any = l.count > 1;
    limits_cpus(&l, NULL);
    for (int i = 1; i < l.count; i++) (void)printf("%s %s: %.2f CPUs", any || i > 1 ? "\n         " : "\nlimits   ", l.list[i].name, l.list[i].have);
    (void)printf("%s\n", any || l.count > 1 ? "" : "\nlimits    none of control groups, ulimit or the environment");
}

enum { PEAK_NS = 150000000 };

void machine_roofline_head(int threads) {
    (void)printf("\nroofline, %d thread%s: matrix products of 1024^3 at their best, GFLOP/s\n  %-12s  %9s  %9s\n", threads, threads == 1 ? "" : "s",
                 "set", "fp32", "bf16");
}

err_t machine_peaks(const struct kernels *k, struct pool *pool, struct machine_peaks *out) {
    for (int i = 0; i < 2; i++) TRY(roofline_matmul(k, pool, act_names[i].act, PEAK_NS, &out->flops[i]));
    (void)printf("  %-12s  %9.1f  %9.1f\n", k->isa, out->flops[0] / 1e9, out->flops[1] / 1e9);
    return OK;
}

err_t machine_copy(struct pool *pool, double *bytes) {
    TRY(roofline_copy(pool, PEAK_NS, bytes));
    (void)printf("  a copy of 128 MiB reads and writes %.1f GB/s; what lies in the caches goes faster, and above 100 %%\n", *bytes / 1e9);
    return OK;
}

static err_t print_kernel(const char *indent, const struct kernels *k, struct pool *pool, int bf16, const struct machine_peaks *peaks,
                          int64_t budget_ns, int op, const struct case_shape *s, void *memory) {
    struct case_run r;
    TRY(case_launch((enum kernel_id)op, k, pool, act_names[bf16].act, s, memory, CASE_DEMO_BYTES, budget_ns, &r));
    const double ns = r.ns > 0 ? (double)r.ns : 1, best = roofline_seconds(r.cost, peaks->flops[bf16], peaks->copy);
    (void)printf("%s%-*s  %9.3f  %9.1f  %8.2f  %6.1f  %s\n", indent, 24 - (int)strlen(indent), kernel_names[op], ns / 1e6, r.cost.flops / ns,
                 r.cost.bytes / ns, 100 * best * 1e9 / ns, r.cost.flops / peaks->flops[bf16] > r.cost.bytes / peaks->copy ? "compute" : "memory");
    return OK;
}

err_t machine_kernels(const struct kernels *k, struct pool *pool, int bf16, const struct machine_peaks *peaks, int64_t budget_ns) {
    const struct case_shape *s = &case_demo;
    void *memory;
    TRY(os_reserve(CASE_DEMO_BYTES, "the kernels' speed", &memory));
    (void)printf("\n%s, %s: %lld tokens, H %lld, %d/%d heads of %d, E %d, k %d, I %lld, V %lld, %lldM weights; %% of what the roofline allows\n",
                 k->isa, act_names[bf16].name, (long long)s->tokens, (long long)s->hidden, s->heads, s->kv_heads, s->head_dim, s->experts, s->top_k,
                 (long long)s->width, (long long)s->vocab, (long long)s->weights >> 20);
    (void)printf("  %-22s  %9s  %9s  %8s  %6s  bound by\n", "kernel", "ms", "GFLOP/s", "GB/s", "%");
    err_t err = OK;
    for (int op = 0; op < KERNEL_COUNT && err == OK; op++) err = print_kernel("  ", k, pool, bf16, peaks, budget_ns, op, s, memory);
    for (int f = 0; f < CASE_FAMILIES && err == OK; f++) {
        const struct case_family *family = &case_families[f];
        (void)printf("with %s\n", family->what);
        for (int i = 0; i < 2 && err == OK; i++) err = print_kernel("    ", k, pool, bf16, peaks, budget_ns, family->op[i], &family->shape, memory);
    }
    os_release(memory, CASE_DEMO_BYTES);
    return err;
}
