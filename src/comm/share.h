/* WHAT    What the ranks that share a machine or a control group may have of it together (base/limits.h): ranks as threads of one
 *         process, as processes of one host, and both at once. Ranks with the same limit, by its id, share it.
 * TRAFFIC One all_gather of some hundred bytes (memory) or a KiB (CPUs) a rank.
 * SEE     base/limits.h */
#ifndef MOP_COMM_SHARE_H
#define MOP_COMM_SHARE_H

#include "base/limits.h"
#include "comm/comm.h"

/* Of all limits that this rank meets the one that is fullest if every rank takes what it says. */
struct share {
    double need, have; /* bytes: of all ranks that share it; that can be had */
    int ranks;         /* that share it */
    char name[LIMIT_NAME];
    double host_need; /* of all ranks of this machine */
    int host_ranks;
};

/* What `bytes` of this rank, and what the others say, are beside what there is. Collective over world: nobody reserves before all have
 * been asked. */
MUST err_t share_memory(struct comm *world, int64_t bytes, struct share *out);
/* "4.00 GiB available" and, where it is not the machine alone, whose: " (memory.max of the control group /a, shared by 2 ranks)". */
enum { SHARE_TEXT = LIMIT_NAME + 96 };
const char *share_show(const struct share *s, char out[SHARE_TEXT]);

/* How many threads this rank has where nobody says: its part of the CPUs that it may run on, of the quotas of its control groups and
 * of OMP_NUM_THREADS and SLURM_CPUS_PER_TASK; at least 1. by: what decided. Collective over world. */
struct share_cpus {
    int threads, ranks; /* ranks that share what decided */
    char by[LIMIT_NAME];
    bool least; /* fewer than the CPUs that this rank has for itself or by its share */
};
MUST err_t share_cpus(struct comm *world, struct share_cpus *out);

#endif
