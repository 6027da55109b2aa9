/* What a machine leaves this process, read from trees like /proc and /sys that are written here: control groups of both versions, seen
 * whole, in part or not at all, nested, with page cache; quotas; what is no limit. */
#include "base/limits.h"

#include "base/os.h"

#include "test.h"

#define MIB (1024.0 * 1024)

static char root[300];

static void put(const char *path, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(const char *path, const char *fmt, ...) {
    char whole[OS_PATH_MAX], text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)snprintf(whole, sizeof whole, "%s%s", root, path);
    char *slash = strrchr(whole, '/');
    *slash = 0;
    NEED(os_mkdirs(whole));
    *slash = '/';
    NEED(os_write_all(whole, text, n));
}

/* A machine with 4 GiB free. */
static void machine(const char *cgroup, const char *mountinfo) {
    NEED(os_remove_tree(root));
    put("/proc/meminfo", "MemTotal:  8388608 kB\nMemFree:  100 kB\nMemAvailable:    4194304 kB\n");
    put("/proc/sys/kernel/random/boot_id", "a-b-c\n");
    put("/proc/self/cgroup", "%s", cgroup);
    put("/proc/self/mountinfo", "%s", mountinfo);
}

static void memory(double mib, const char *name, const char *what) {
    struct limits l;
    limits_memory_at(root, &l);
    const struct limit *least = limits_least(&l);
    CASE(least->have <= mib * MIB && least->have >= mib * MIB, "%s: %.3f MiB, not %.3f", what, least->have / MIB, mib);
    CASE(strstr(least->name, name), "%s: it is %s, not %s", what, least->name, name);
}

static void cpus(double most, const char *name, const char *what) {
    struct limits l;
    limits_cpus_at(root, &l, NULL);
    const struct limit *least = &l.list[0];
    for (int i = 1; i < l.count; i++) /* this machine's own number of CPUs is no part of the test */
        if (i == 1 || l.list[i].have < least->have) least = &l.list[i];
    CASE(l.count > 1 && least->have <= most && least->have >= most, "%s: %.3f CPUs, not %.3f", what, least->have, most);
    CASE(strstr(least->name, name), "%s: it is %s, not %s", what, least->name, name);
}

static const char v2_mount[] =
    "24 1 0:22 / /proc rw - proc proc rw\n31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char v1_mounts[] = "31 24 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
                                "32 31 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                                "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

static void version_2(void) {
    machine("0::/\n", v2_mount);
    memory(4096, "the machine", "no files at all");
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory.current", "1048576\n");
    memory(4096, "the machine", "max is no limit");

    machine("0::/jobs/7/task\n", v2_mount);
    put("/sys/fs/cgroup/jobs/7/task/memory.max", "max\n");
    put("/sys/fs/cgroup/jobs/7/memory.max", "%lld\n", 300LL << 20);
    put("/sys/fs/cgroup/jobs/7/memory.current", "%lld\n", 100LL << 20);
    memory(200, "memory.max of the control group /jobs/7", "the parent's limit");
    put("/sys/fs/cgroup/jobs/7/memory.stat", "anon %lld\nfile %lld\ninactive_file %lld\nactive_file %lld\nslab_reclaimable %lld\n", 20LL << 20,
        80LL << 20, 50LL << 20, 20LL << 20, 5LL << 20);
    memory(275, "/jobs/7", "page cache can be had");
    put("/sys/fs/cgroup/jobs/memory.high", "%lld\n", 150LL << 20);
    put("/sys/fs/cgroup/jobs/memory.current", "%lld\n", 100LL << 20);
    memory(50, "memory.high of the control group /jobs", "beyond high nothing goes on well");
    put("/sys/fs/cgroup/jobs/memory.current", "%lld\n", 180LL << 20);
    memory(0, "/jobs", "full is 0, not below");

    put("/sys/fs/cgroup/jobs/7/task/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/jobs/cpu.max", "250000 100000\n");
    cpus(2.5, "cpu.max of the control group /jobs", "the grandparent's quota");
    put("/sys/fs/cgroup/jobs/7/task/cpu.max", "20000 40000\n");
    cpus(0.5, "/jobs/7/task", "half a CPU");

    /* the container's part of the host's tree, whose path is the host's */
    machine("0::/kube/pod 1/box\n", "31 24 0:27 /kube/pod\\0401/box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/memory.max", "%lld\n", 64LL << 20);
    memory(64, "control group /", "a part of the tree");
    machine("0::/../../other\n", v2_mount);
    put("/sys/fs/cgroup/memory.max", "%lld\n", 32LL << 20);
    memory(32, "control group /", "a path outside of what can be seen");
    /* a tree that mountinfo does not know */
    machine("0::/a\n", "");
    put("/sys/fs/cgroup/a/memory.max", "%lld\n", 16LL << 20);
    memory(16, "control group /a", "without mountinfo");
    machine("0::/a\n", "31 24 0:27 / /cg/uni\\040fied rw - cgroup2 none rw\n");
    put("/cg/uni fied/a/memory.max", "%lld\n", 8LL << 20);
    memory(8, "control group /a", "mounted somewhere else");
}

static void version_1(void) {
    machine("9:name=systemd:/\n4:memory:/job/5\n3:cpu,cpuacct:/job/5\n0::/\n", v1_mounts);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "%lld\n", 500LL << 20);
    put("/sys/fs/cgroup/memory/job/5/memory.limit_in_bytes", "9223372036854771712\n");
    memory(4096, "the machine", "2^63 less a page is no limit");
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "%lld\n", 400LL << 20);
    put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "%lld\n", 150LL << 20);
    memory(250, "memory.limit_in_bytes of the control group /job", "the parent's limit");
    put("/sys/fs/cgroup/memory/job/memory.stat", "cache %lld\ninactive_file 7\ntotal_inactive_file %lld\ntotal_active_file %lld\n", 9LL << 20,
        60LL << 20, 40LL << 20);
    memory(350, "/job", "page cache of all below it can be had");
    put("/sys/fs/cgroup/memory/job/5/memory.usage_in_bytes", "%lld\n", 90LL << 20);
    put("/sys/fs/cgroup/memory/job/5/memory.stat", "hierarchical_memory_limit %lld\ntotal_inactive_file 0\n", 100LL << 20);
    memory(10, "hierarchical_memory_limit of the control group /job/5", "a limit above what can be seen");

    put("/sys/fs/cgroup/cpu,cpuacct/job/5/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/job/5/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n");
    cpus(3, "cpu.cfs_quota_us of the control group /job", "quota of the parent");

    /* both: memory by v1, the rest by v2 */
    machine("4:memory:/m\n0::/u\n", "32 31 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                                    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/unified/u/memory.max", "%lld\n", 70LL << 20);
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "%lld\n", 60LL << 20);
    memory(60, "/m", "the lower one of both versions");
    put("/sys/fs/cgroup/unified/u/memory.max", "%lld\n", 50LL << 20);
    memory(50, "/u", "the lower one of both versions");
}

static void identity(void) {
    struct limits a, b;
    machine("0::/jobs/7\n", v2_mount);
    put("/sys/fs/cgroup/jobs/memory.max", "%lld\n", 300LL << 20);
    put("/sys/fs/cgroup/jobs/7/memory.max", "%lld\n", 300LL << 20);
    put("/sys/fs/cgroup/jobs/8/memory.max", "%lld\n", 300LL << 20);
    limits_memory_at(root, &a);
    put("/proc/self/cgroup", "0::/jobs/8\n");
    limits_memory_at(root, &b);
    CASE(a.count == 3 && b.count == 3, "%d and %d limits", a.count, b.count);
    CASE(a.list[0].id == b.list[0].id, "the machine is the same");
    CASE(a.list[1].id != b.list[1].id, "the groups are not");
    CASE(a.list[2].id == b.list[2].id, "their parent is");
    put("/proc/sys/kernel/random/boot_id", "d-e-f\n");
    limits_memory_at(root, &b);
    CASE(a.list[0].id != b.list[0].id && a.list[2].id != b.list[2].id, "nothing of another machine is");
}

static void environment(void) {
    machine("", "");
    (void)setenv("OMP_NUM_THREADS", "3", 1);
    cpus(3, "OMP_NUM_THREADS=3", "OMP_NUM_THREADS");
    (void)setenv("OMP_NUM_THREADS", "5,2", 1);
    cpus(5, "OMP_NUM_THREADS=5", "of nested regions the outermost");
    (void)setenv("SLURM_CPUS_PER_TASK", "2", 1);
    cpus(2, "SLURM_CPUS_PER_TASK=2", "the lower one");
    static const char *const none[] = {"", "0", "-4", "x", "2x", "1e1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct limits l;
        (void)setenv("OMP_NUM_THREADS", none[i], 1);
        (void)setenv("SLURM_CPUS_PER_TASK", none[i], 1);
        limits_cpus_at(root, &l, NULL);
        CASE(l.count == 1, "\"%s\" is no number of CPUs", none[i]);
    }
    (void)unsetenv("OMP_NUM_THREADS");
    (void)unsetenv("SLURM_CPUS_PER_TASK");
}

static void damaged(void) {
    static const char *const cgroup[] = {"", "0", "0:", "0::", "::\n", "4:memory\n", "4:memory:x\n0:::\n"};
    static const char *const mounts[] = {"",
                                         " - ",
                                         "1 2 3 / - cgroup2",
                                         "1 2 3 4 5 6 - cgroup2 x",
                                         "1 2 3 / /sys/fs/cgroup rw - cgroup2 x y",
                                         "1 2 3 / /\\777\\04 rw - cgroup x memory"};
    for (size_t i = 0; i < sizeof cgroup / sizeof *cgroup; i++)
        for (size_t j = 0; j < sizeof mounts / sizeof *mounts; j++) {
            machine(cgroup[i], mounts[j]);
            put("/sys/fs/cgroup/memory.max", "12 x\n");
            memory(12 / MIB, "memory.max", "what lies in the usual place is found whatever /proc says");
        }
    machine("0::/\n", v2_mount);
    put("/sys/fs/cgroup/memory.max", "\n");
    put("/sys/fs/cgroup/cpu.max", "x");
    memory(4096, "the machine", "no number is no limit");
    struct limits l;
    limits_cpus_at(root, &l, NULL);
    CASE(l.count == 1, "no number is no quota");
    NEED(os_remove_tree(root));
    limits_memory_at(root, &l);
    CASE(l.count >= 1 && l.list[0].have > 1e15, "without /proc nothing limits");
}

int main(void) {
    (void)unsetenv("OMP_NUM_THREADS");
    (void)unsetenv("SLURM_CPUS_PER_TASK");
    (void)snprintf(root, sizeof root, "%s/root", test_dir());
    version_2();
    version_1();
    identity();
    environment();
    damaged();
    struct limits l;
    limits_memory(&l);
    CASE(l.list[0].have > 0 && os_memory_available() > 0 && (double)os_memory_available() <= l.list[0].have * 1.5, "this machine has memory");
    CASE(os_cpus() >= 1, "and a CPU");
    NEED(os_remove_tree(test_dir()));
    return test_end();
}
