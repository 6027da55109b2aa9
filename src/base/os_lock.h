/* A lock on a file that the kernel gives up when the process ends, however it ends. What is locked is the open file description, so threads of
 * one process exclude each other too, and whoever asks takes nothing. Local. */
#ifndef MOP_BASE_OS_LOCK_H
#define MOP_BASE_OS_LOCK_H

#include "base/os.h"

enum os_lock {
    OS_LOCK_HELD, /* by *fd: close it to give it up */
    OS_LOCK_BUSY, /* by another */
    OS_LOCK_NONE, /* the file cannot be opened for writing, or its file system has no locks: *why is the errno; held where *fd is not -1, but not
                     locked */
};
/* Opens the file, made where it is not there, and locks it. A fault point: lock. */
enum os_lock os_lock(const char *path, int *fd, int *why);
/* Is it locked by another open of it? */
bool os_is_locked(const char *path);

/* Whether a lock on this file keeps out processes of other hosts too. Where not, or where that cannot be known, `what` names the file system. */
enum { OS_REACH_MAX = 96 };
bool os_lock_reaches_all(int fd, char what[OS_REACH_MAX]);

#endif
