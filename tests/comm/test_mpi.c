/* Ranks as processes: this program starts itself under mpirun and does as a rank what its argument says. */
#include "comm/ops_check.h"
#include "test.h"

#include <signal.h>
#include <sys/wait.h>

/* Longer than a tile and than the blocks that long messages are cut into, with a rest. */
static err_t long_ops(void *arg, int rank, struct comm *world) {
    static const int64_t bytes[] = {(1 << 20) - 1, 1 << 20, 3333333}, values[] = {262143, 262144, 300001};
    struct op_case k;
    (void)arg;
    (void)rank;
    for (int i = 0; op_case_at(i, &k); i++) {
        if (i % (2 * CHECK_COUNTS) >= 3) continue; /* three of each kind */
        k.count = (k.type == DT_U8 ? bytes : values)[i % (2 * CHECK_COUNTS)];
        TRY(check_op(world, &k));
    }
    return OK;
}

static err_t all_ops(void *arg, int rank, struct comm *world) {
    struct op_case k;
    struct comm part, checked;
    (void)rank;
    for (int i = 0; op_case_at(i, &k); i++) TRY(check_op(world, &k));
    TRY(world->ops->split(world, 0, 0, "checked", &part));
    TRY(comm_check_open(&part, &checked));
    for (int i = 0; op_case_at(i, &k); i++) TRY(check_op(&checked, &k));
    checked.ops->close(&checked);
    TRY(under_way(arg, world->rank, world));
    return far_apart(arg, world->rank, world);
}

static err_t mesh(void *arg, int rank, struct comm *world) {
    struct mesh_opts o = {.seq = 2, .expert = 2, .vocab = 4};
    (void)arg;
    TRY(at_once(&o, rank, world));
    o = (struct mesh_opts){.seq = 4, .expert = 4, .vocab = 2, .check = true};
    return at_once(&o, rank, world);
}

static err_t waits(struct comm *world) {
    for (;;) TRY(COMM(world, all_reduce, NULL, 0, DT_F32));
}

static err_t fails(void *arg, int rank, struct comm *world) {
    (void)arg;
    if (rank == 2) return FAIL(ERR_IO, "disk %d is on fire", rank);
    return waits(world);
}

static err_t aborts(void *arg, int rank, struct comm *world) {
    (void)arg;
    if (rank == 1) world->ops->abort(world, "no more of this");
    return waits(world);
}

static err_t killed(void *arg, int rank, struct comm *world) {
    (void)arg;
    if (rank == 1) (void)raise(SIGKILL);
    return waits(world);
}

static err_t differs(void *arg, int rank, struct comm *world) {
    struct comm part, checked;
    float x[8] = {0};
    (void)arg;
    TRY(world->ops->split(world, 0, 0, "part", &part));
    TRY(comm_check_open(&part, &checked));
    return COMM(&checked, all_reduce, x, rank == 1 ? 8 : 4, DT_F32);
}

static const struct {
    const char *name;
    rank_main_fn fn;
    int ranks;
} modes[] = {
    {"ops", all_ops, 0},   {"long", long_ops, 0}, {"mesh", mesh, 0},       {"large", large, 0},    {"fails", fails, 0},
    {"aborts", aborts, 0}, {"killed", killed, 0}, {"differs", differs, 0}, {"three", long_ops, 3},
};

static int as_rank(const char *mode) {
    int rounds = 5;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(mode, modes[i].name) == 0) return world_run(modes[i].ranks, modes[i].fn, &rounds) != OK;
    return 2;
}

/* Standard error of `n` ranks in `mode`, and the launcher's exit status. timeout ends what hangs, with status 124. */
static int launch(const char *self, int n, const char *mode, char *text, size_t size) {
    char line[4096];
    (void)snprintf(line, sizeof line, "timeout -k 5 100 mpirun -n %d '%s' %s 2>&1 </dev/null", n, self, mode);
    FILE *f = popen(line, "r"); /* NOLINT(bugprone-command-processor): a test's own name */
    if (!f) return -1;
    size_t got = fread(text, 1, size - 1, f);
    text[got] = 0;
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const char *reason_to_skip(void) {
#ifndef MOP_MPI
    return "the program was built without MPI";
#endif
#ifdef __SANITIZE_THREAD__
    return "ThreadSanitizer does not know MPI's own synchronisation";
#endif
    if (system("mpirun --version >/dev/null 2>&1 </dev/null") != 0) return "there is no mpirun"; /* NOLINT: a fixed line */
    return NULL;
}

static void test_modes(const char *self) {
    char text[16384];
    static const struct {
        const char *mode;
        int n, status;
        const char *says;
    } list[] = {
        {"ops", 2, 0, ""},
        {"ops", 3, 0, ""},
        {"ops", 4, 0, ""},
        {"long", 4, 0, ""},
        {"large", 2, 0, ""},
        {"mesh", 4, 0, ""},
        {"fails", 4, 1, "[rank 2] error: disk 2 is on fire"},
        {"aborts", 3, 1, "[rank 1] error: no more of this"},
        {"killed", 3, -1, ""},
        {"differs", 3, 1, "rank 1 enters all_reduce of 8 F32 on part"},
        {"three", 4, 2, "ranks=3, but mpi"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int status = launch(self, list[i].n, list[i].mode, text, sizeof text);
        bool expected = list[i].status < 0 ? status != 0 && status != 124 : status == list[i].status;
        CASE(expected, "mpirun -n %d %s: exit status %d: %s", list[i].n, list[i].mode, status, text);
        CASE(strstr(text, list[i].says), "mpirun -n %d %s says: %s", list[i].n, list[i].mode, text);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) return as_rank(argv[1]);
    /* as root, and more ranks than CPUs: Open MPI 4, then 5 */
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    (void)setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    (void)setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe", 1);
    (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* the library's own */
    const char *why = reason_to_skip();
    if (why) {
        test_skip(why);
#ifndef MOP_MPI
        /* a launcher's ranks must not each go their own way */
        (void)setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
        CASE_ERR(world_run(0, long_ops, NULL), ERR_USAGE, "mpirun started 4 ranks, but this program was built without MPI");
#endif
    } else {
        test_modes(argv[0]);
    }
    return test_end();
}
