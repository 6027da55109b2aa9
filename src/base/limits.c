#include "base/limits_int.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t limits_hash(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}

/* A line of a file, or its first; false if there is none that begins with `head`. */
static bool line_at(const char *root, const char *path, const char *head, char *out, int size) {
    char whole[OS_PATH_MAX];
    if (snprintf(whole, sizeof whole, "%s%s", root, path) >= (int)sizeof whole) return false;
    FILE *f = fopen(whole, "re");
    bool found = false;
    while (f && !found && fgets(out, size, f)) found = strncmp(out, head, strlen(head)) == 0;
    if (f) (void)fclose(f);
    return found;
}

/* "Name:   123 kB" of a file in /proc, in bytes; -1: not there. */
static int64_t kib_at(const char *root, const char *path, const char *head) {
    char line[256];
    long long kib;
    return line_at(root, path, head, line, sizeof line) && sscanf(line + strlen(head), "%lld kB", &kib) == 1 ? kib * 1024 : -1;
}

uint64_t limits_machine_id(const char *root) {
    char text[256] = "";
    if (!line_at(root, "/proc/sys/kernel/random/boot_id", "", text, sizeof text)) (void)gethostname(text, sizeof text - 1);
    return limits_hash(UINT64_C(14695981039346656037), text, strlen(text));
}

/* Of this process: its number is its own in its space of numbers. */
static uint64_t process_id(const char *root) {
    struct stat st = {0};
    (void)stat("/proc/self/ns/pid", &st);
    char who[64];
    (void)snprintf(who, sizeof who, "%llu %lld", (unsigned long long)st.st_ino, (long long)getpid());
    return limits_hash(limits_machine_id(root), who, strlen(who));
}

PRINTF_LIKE(4, 5) static void add(struct limits *l, uint64_t id, double have, const char *fmt, ...) {
    if (l->count == LIMITS_MAX) return;
    struct limit *to = &l->list[l->count++];
    to->id = id;
    to->have = have > 0 ? have : 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(to->name, sizeof to->name, fmt, ap);
    va_end(ap);
}

const struct limit *limits_least(const struct limits *l) {
    const struct limit *least = &l->list[0];
    for (int i = 1; i < l->count; i++)
        if (l->list[i].have < least->have) least = &l->list[i];
    return least;
}

/* ---- memory ---- */

/* What the kernel gives back before it kills: pages of files, and of its own tables of them. */
static int64_t reclaimable(const struct cgroup *g) {
    static const char *const v1[] = {"total_inactive_file", "total_active_file"}, *const v2[] = {"inactive_file", "active_file", "slab_reclaimable"};
    int64_t bytes = 0;
    for (int i = 0; i < (g->v2 ? 3 : 2); i++) {
        const int64_t n = cgroup_stat(g, "memory.stat", g->v2 ? v2[i] : v1[i]);
        if (n > 0) bytes += n;
    }
    return bytes;
}

static void add_group(struct limits *l, const struct cgroup *g, const char *what, int64_t most) {
    enum { UNLIMITED = 60 }; /* v1 says 2^63 less a page */
    if (most < 0 || most >= INT64_C(1) << UNLIMITED) return;
    const int64_t held = cgroup_number(g, g->v2 ? "memory.current" : "memory.usage_in_bytes"), cache = reclaimable(g);
    const int64_t used = held < 0 ? 0 : held > cache ? held - cache : 0;
    add(l, limits_hash(g->id, what, strlen(what)), (double)most - (double)used, "%s of the control group %.80s", what, g->shown);
}

static void memory_of(void *ctx, const struct cgroup *g) {
    static const char *const v2[] = {"memory.max", "memory.high"};
    struct limits *l = ctx;
    if (!g->v2) {
        add_group(l, g, "memory.limit_in_bytes", cgroup_number(g, "memory.limit_in_bytes"));
        /* the least of all ancestors, those that are not to be seen here among them */
        if (g->own) add_group(l, g, "hierarchical_memory_limit", cgroup_stat(g, "memory.stat", "hierarchical_memory_limit"));
        return;
    }
    for (int i = 0; i < 2; i++) add_group(l, g, v2[i], cgroup_number(g, v2[i]));
}

static void add_ulimit(struct limits *l, const char *root, int resource, const char *held, const char *name) {
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)resource, &r) != 0 || r.rlim_cur == RLIM_INFINITY) return;
    const int64_t have = kib_at(root, "/proc/self/status", held);
    add(l, limits_hash(process_id(root), name, strlen(name)), (double)r.rlim_cur - (double)(have > 0 ? have : 0), "%s", name);
}

void limits_memory_at(const char *root, struct limits *out) {
    char line[64];
    out->count = 0;
    const int64_t free_bytes = kib_at(root, "/proc/meminfo", "MemAvailable:");
    add(out, limits_machine_id(root), free_bytes >= 0 ? (double)free_bytes : 1e18, "the machine");
    if (line_at(root, "/proc/sys/vm/overcommit_memory", "2", line, sizeof line)) {
        const int64_t most = kib_at(root, "/proc/meminfo", "CommitLimit:"), held = kib_at(root, "/proc/meminfo", "Committed_AS:");
        if (most >= 0 && held >= 0)
            add(out, limits_hash(limits_machine_id(root), "commit", 6), (double)most - (double)held, "the machine with vm.overcommit_memory=2");
    }
    cgroup_each(root, "memory", memory_of, out);
    add_ulimit(out, root, RLIMIT_AS, "VmSize:", "ulimit -v");
    add_ulimit(out, root, RLIMIT_DATA, "VmData:", "ulimit -d");
}

void limits_memory(struct limits *out) { limits_memory_at("", out); }

/* ---- CPUs ---- */

static void quota_of(void *ctx, const struct cgroup *g) {
    struct limits *l = ctx;
    int64_t quota = cgroup_number(g, g->v2 ? "cpu.max" : "cpu.cfs_quota_us"), period = 100000;
    if (g->v2) {
        char path[OS_PATH_MAX];
        long long q, p;
        if (snprintf(path, sizeof path, "%s/cpu.max", g->dir) >= (int)sizeof path) return;
        FILE *f = fopen(path, "re");
        if (f && fscanf(f, "%lld %lld", &q, &p) == 2) period = p;
        if (f) (void)fclose(f);
    } else period = cgroup_number(g, "cpu.cfs_period_us");
    if (quota <= 0 || period <= 0) return;
    add(l, limits_hash(g->id, "cpu", 3), (double)quota / (double)period, "%s of the control group %.80s", g->v2 ? "cpu.max" : "cpu.cfs_quota_us",
        g->shown);
}

/* "4", or "4,2" of nested regions, whose first is the outermost. */
static void add_environment(struct limits *l, const char *root, const char *name) {
    const char *text = getenv(name);
    char *end = NULL;
    const long n = text ? strtol(text, &end, 10) : 0;
    if (n < 1 || n > LIMIT_CPUS || (*end && *end != ',')) return;
    add(l, limits_hash(process_id(root), name, strlen(name)), (double)n, "%s=%ld", name, n);
}

void limits_cpus_at(const char *root, struct limits *out, uint64_t cpus[LIMIT_CPUS / 64]) {
    uint64_t set[LIMIT_CPUS / 64] = {0};
    out->count = 0;
    int n = 0;
    if (sched_getaffinity(0, sizeof set, (cpu_set_t *)(void *)set) == 0)
        for (int i = 0; i < LIMIT_CPUS / 64; i++) n += __builtin_popcountll(set[i]);
    add(out, limits_machine_id(root), n > 0 ? n : 1, "the CPUs that the process may run on");
    cgroup_each(root, "cpu", quota_of, out);
    add_environment(out, root, "OMP_NUM_THREADS");
    add_environment(out, root, "SLURM_CPUS_PER_TASK");
    if (cpus) memcpy(cpus, set, sizeof set);
}

void limits_cpus(struct limits *out, uint64_t cpus[LIMIT_CPUS / 64]) { limits_cpus_at("", out, cpus); }
