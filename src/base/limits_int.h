/* Private to the limits of base: limits.c (what there is) and cgroup.c (the folders of the process's control groups). */
#ifndef MOP_BASE_LIMITS_INT_H
#define MOP_BASE_LIMITS_INT_H

#include "base/limits.h"
#include "base/os.h"

/* One folder of a control group of this process, from the process's own up to the highest that can be seen. */
struct cgroup {
    char dir[OS_PATH_MAX];
    const char *shown; /* the part of dir that a person knows: below the root, or dir */
    uint64_t id;
    bool v2, own; /* own: the process's, no ancestor */
};

/* Call each() for all, of v2 and of v1's `controller` ("memory", "cpu"), each folder once. */
void cgroup_each(const char *root, const char *controller, void (*each)(void *ctx, const struct cgroup *g), void *ctx);

/* The whole number that `name` in the group's folder begins with; -1: none ("max", no such file). */
int64_t cgroup_number(const struct cgroup *g, const char *name);
/* The number behind `key` in `name`, a file of lines "key number"; -1: none. */
int64_t cgroup_stat(const struct cgroup *g, const char *name, const char *key);

/* FNV-1a of bytes, going on from h. */
uint64_t limits_hash(uint64_t h, const void *bytes, size_t n);
/* Of the kernel that runs now: the same for all processes and containers of a machine. */
uint64_t limits_machine_id(const char *root);

#endif
