/* What this process may have of the machine: memory and CPUs, as the kernel, its control groups (v1 and v2, every ancestor that can be
 * seen) and its environment allow. Each is a limit with an id: those of another process that have the same id are the same limit, and
 * what it allows is to be shared (comm/share.h). Local; nothing here fails: what cannot be read does not limit. */
#ifndef MOP_BASE_LIMITS_H
#define MOP_BASE_LIMITS_H

#include "base/err.h"

enum { LIMITS_MAX = 32, LIMIT_NAME = 128, LIMIT_CPUS = 8192 };

struct limit {
    uint64_t id;
    double have;           /* bytes that can be had now without swapping or being killed, or CPUs */
    char name[LIMIT_NAME]; /* "memory.max of the control group /jobs/7" */
};

/* list[0] is the machine itself. */
struct limits {
    int count;
    struct limit list[LIMITS_MAX];
};

/* Free memory of the machine (MemAvailable); each control group's maximum less what it holds, page cache counted as free; the
 * process's own (ulimit). */
void limits_memory(struct limits *out);

/* CPUs that the process may run on (list[0]; its affinity is in `cpus`, a bit each, if not NULL); CPU quotas of control groups;
 * OMP_NUM_THREADS and SLURM_CPUS_PER_TASK. */
void limits_cpus(struct limits *out, uint64_t cpus[LIMIT_CPUS / 64]);

/* The one with the least. */
const struct limit *limits_least(const struct limits *l);

/* For tests: as above, of a machine whose /proc and /sys lie under `root`. */
void limits_memory_at(const char *root, struct limits *out);
void limits_cpus_at(const char *root, struct limits *out, uint64_t cpus[LIMIT_CPUS / 64]);

#endif
