/* What a rank's kernels did: per room and kernel, how often, how long, how many operations and bytes. The caller owns a trace and
 * one thread adds to it, so ranks as threads do not meet; nothing is allocated. Times are of the one who waits for the kernel: the
 * pool's threads work inside them. Local. */
#ifndef MOP_BASE_TRACE_H
#define MOP_BASE_TRACE_H

#include "base/err.h"

enum { TRACE_ROOMS = 16, TRACE_KINDS = 84, TRACE_NAME = 24 };
/* Kinds that are no kernels, behind those: what a device does beside them. */
enum { TRACE_COPY = 80, TRACE_FILL, TRACE_UPLOAD, TRACE_FETCH };

/* What an algorithm must do, not what a cache makes of it: arithmetic operations, and bytes with each operand read once and each
 * result written once. */
struct cost {
    double flops, bytes;
};

struct trace_event {
    int64_t count, ns;
    struct cost cost;
};

struct trace {
    char room[TRACE_ROOMS][TRACE_NAME];
    struct trace_event event[TRACE_ROOMS][TRACE_KINDS];
    int rooms;
};

/* One kernel of `kind` (in [0, TRACE_KINDS)), launched from the source file `site`: src/ROOM/file.c counts for ROOM, a file
 * elsewhere for "other". */
void trace_add(struct trace *t, const char *site, int kind, int64_t ns, struct cost cost);

#endif
