/* What ranks that are threads of one process share: its memory, its CPUs, its environment. */
#include "comm/share.h"

#include "base/os.h"

#include "test.h"

struct seen {
    int64_t bytes[8];
    struct share memory[8];
    struct share_cpus cpus[8];
};

static err_t look(void *arg, int rank, struct comm *world) {
    struct seen *s = arg;
    TRY(share_memory(world, s->bytes[rank], &s->memory[rank]));
    return share_cpus(world, &s->cpus[rank]);
}

static void ranks(int n) {
    struct seen s = {.bytes = {0}};
    double all = 0;
    for (int r = 0; r < n; r++) all += (double)(s.bytes[r] = (int64_t)(r + 1) << 30);
    NEED(local_world_run(n, look, &s));
    for (int r = 0; r < n; r++) {
        const struct share *m = &s.memory[r];
        CASE(m->ranks == n && m->host_ranks == n, "rank %d of %d: %d share what is fullest, %d the machine", r, n, m->ranks, m->host_ranks);
        CASE(m->need <= all && m->need >= all && m->host_need <= all && m->host_need >= all, "rank %d of %d: %g bytes needed in all, not %g", r, n,
             m->need, all);
        CASE(m->have > 0, "%g bytes are there", m->have);
        const int part = os_cpus() / n > 1 ? os_cpus() / n : 1;
        CASE(s.cpus[r].threads == part, "rank %d of %d has %d threads, not %d", r, n, s.cpus[r].threads, part);
    }
}

int main(void) {
    (void)unsetenv("OMP_NUM_THREADS");
    (void)unsetenv("SLURM_CPUS_PER_TASK");
    for (int n = 1; n <= 8; n++) ranks(n);
    (void)setenv("OMP_NUM_THREADS", "1", 1);
    ranks(1);
    ranks(3);
    char text[SHARE_TEXT];
    const struct share s = {.need = 1, .have = 3221225472.0, .ranks = 4, .name = "memory.max of the control group /a"};
    CASE(strcmp(share_show(&s, text), "3.00 GiB available (memory.max of the control group /a, shared by 4 ranks)") == 0, "%s", text);
    return test_end();
}
