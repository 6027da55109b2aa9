#include "base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t left[FAULT_KINDS]; /* hits until failure, 0 disarmed */
static _Atomic int64_t seen[FAULT_KINDS];
static _Atomic int any_armed;
static _Atomic int kill_instead;

static const char *const names[FAULT_KINDS] = {
    [FAULT_RESERVE] = "reserve",       [FAULT_OPEN] = "open",   [FAULT_READ] = "read",     [FAULT_WRITE] = "write", [FAULT_FSYNC] = "fsync",
    [FAULT_RENAME] = "rename",         [FAULT_MKDIR] = "mkdir", [FAULT_REMOVE] = "remove", [FAULT_LOCK] = "lock",   [FAULT_THREAD] = "thread",
    [FAULT_COLLECTIVE] = "collective",
};

const char *fault_name(enum fault kind) { return names[kind]; }

void fault_arm(enum fault kind, int64_t nth) {
    atomic_store(&left[kind], nth);
    atomic_store(&seen[kind], 0);
    int any = 0;
    for (int k = 0; k < FAULT_KINDS; k++) any |= atomic_load(&left[k]) != 0;
    atomic_store(&any_armed, any);
}

err_t fault_arm_text(const char *text) {
    const char *t = text;
    int kill = strncmp(t, "kill-", 5) == 0;
    if (kill) t += 5;
    const char *colon = strchr(t, ':');
    for (int k = 0; colon && k < FAULT_KINDS; k++) {
        if (strlen(names[k]) != (size_t)(colon - t) || strncmp(t, names[k], (size_t)(colon - t)) != 0) continue;
        char *end;
        long long nth = strtoll(colon + 1, &end, 10);
        if (*end || nth < 1) break;
        atomic_store(&kill_instead, kill);
        fault_arm((enum fault)k, nth);
        return OK;
    }
    return FAIL(ERR_USAGE,
                "MOP_FAULT=%s is not understood; write KIND:N or kill-KIND:N with KIND one of reserve, open, read, write, fsync, rename, mkdir, "
                "remove, lock, "
                "collective, thread",
                text);
}

int64_t fault_count(enum fault kind) { return atomic_load(&seen[kind]); }

bool fault_hit(enum fault kind) {
    if (!atomic_load_explicit(&any_armed, memory_order_relaxed)) return false;
    if (atomic_load(&left[kind]) == 0) return false;
    atomic_fetch_add(&seen[kind], 1);
    if (atomic_fetch_sub(&left[kind], 1) != 1) return false;
    if (atomic_load(&kill_instead)) (void)raise(SIGKILL);
    errno = kind == FAULT_RESERVE ? ENOMEM : kind == FAULT_LOCK ? ENOLCK : EIO;
    return true;
}
