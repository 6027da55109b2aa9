#include "comm/comm_int.h"

#include <stdlib.h>

/* A count in the environment; 0 if there is none. */
static int env_count(const char *name) {
    const char *text = getenv(name);
    long n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n < (1 << 20) ? (int)n : 0;
}

/* srun: of the step, since a batch script itself sees the job's SLURM_NTASKS and is one process. A launcher that says only
 * which rank this is (PMIX_RANK) leaves the count to MPI: 2 stands for several. */
int mpi_launched(const char **launcher) {
    static const struct {
        const char *count, *name;
    } known[] = {{"OMPI_COMM_WORLD_SIZE", "mpirun"}, {"MPI_LOCALNRANKS", "mpiexec"}, {"PMI_SIZE", "mpiexec"}, {"SLURM_STEP_NUM_TASKS", "srun"}};
    int n = 0;
    *launcher = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int here = env_count(known[i].count);
        if (here <= n) continue;
        n = here;
        *launcher = known[i].name;
    }
    if (n == 0 && getenv("PMIX_RANK")) {
        *launcher = "a PMIx launcher";
        return 2;
    }
    return n > 1 ? n : 1;
}

bool world_launched(void) {
    const char *launcher;
    return mpi_launched(&launcher) > 1;
}

/* mpirun's word goes before srun's, which may be of the step that mpirun itself runs in. */
int world_told_rank(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"};
    if (!world_launched()) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return env_count(names[i]);
    return 0;
}

err_t world_run(int ranks, rank_main_fn rank_main, void *arg) {
    if (world_launched()) return mpi_world_run(ranks, rank_main, arg);
    return local_world_run(ranks ? ranks : 1, rank_main, arg);
}
