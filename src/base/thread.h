/* Threads whose stacks are ours: what `ulimit -s` gives may be less than a kernel's frame, and 2 MiB where it says unlimited. Local. */
#ifndef MOP_BASE_THREAD_H
#define MOP_BASE_THREAD_H

#include "base/err.h"

#include <pthread.h>

enum { THREAD_STACK = 8 << 20 }; /* bytes; the deepest kernel takes 3 MiB */

/* 0, or the errno that says why not. The caller joins it. */
MUST int thread_start(pthread_t *id, void *(*main)(void *), void *arg);

#endif
