/* Fault points: the places where the outside world can refuse (reserve, open, read, write, fsync, rename,
 * mkdir, remove, lock, collective, thread) ask here first. In ordinary use fault_hit is one relaxed load. A test says
 * "fail the n-th hit of this kind" and sees that nothing saved is lost and no rank hangs.
 * From the environment: MOP_FAULT=write:17 (read once by cli/main.c). */
#ifndef MOP_BASE_FAULT_H
#define MOP_BASE_FAULT_H

#include "base/err.h"

enum fault {
    FAULT_RESERVE,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_FSYNC,
    FAULT_RENAME,
    FAULT_MKDIR,
    FAULT_REMOVE,
    FAULT_LOCK,
    FAULT_COLLECTIVE,
    FAULT_THREAD,
    FAULT_KINDS
};

/* Arm: the nth hit (from 1) of `kind`, counted from now, fails; 0 disarms. */
void fault_arm(enum fault kind, int64_t nth);

/* "write:17" as fault_arm(FAULT_WRITE, 17); "kill-write:17" kills the process with SIGKILL there. ERR_USAGE for other text. */
MUST err_t fault_arm_text(const char *text);

/* Hits of `kind` counted since it was last armed (armed with a huge nth, this counts the points). */
int64_t fault_count(enum fault kind);

/* True where the caller must behave as if the operation had failed (errno is set to EIO, ENOMEM or ENOLCK). */
bool fault_hit(enum fault kind);

const char *fault_name(enum fault kind);

#endif
