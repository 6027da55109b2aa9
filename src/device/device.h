/* WHAT    A rank's device: where work runs and where its memory is. Streams are queues of copies and kernels; events
 *         order them. No mathematics. The CPU back-end runs everything at once on the caller and its pool, so its
 *         streams are always drained and its events always done; callers keep to the rules all the same.
 * INVARIANTS
 *         I1 Two pieces of work on different streams are ordered only by record and await, never by host timing.
 * Local. */
#ifndef MOP_DEVICE_DEVICE_H
#define MOP_DEVICE_DEVICE_H

#include "base/arena.h"
#include "base/pool.h"

struct stream {
    int id;
};
struct event {
    int64_t ticket;
};

struct device_ops {
    const char *name;
    /* Queue a copy of `bytes` between memory of any two tiers. */
    err_t (*copy)(struct stream *s, void *to, const void *from, int64_t bytes) MUST;
    void (*record)(struct stream *s, struct event *e);      /* e: all that is queued on s so far */
    void (*await)(struct stream *s, const struct event *e); /* later work on s waits for e */
    err_t (*sync)(struct stream *s) MUST;                   /* the host waits for all that is queued on s */
};

struct device {
    const struct device_ops *ops;
    struct pool *pool;
    struct stream compute, copy_in, copy_out;
};

/* threads: 0 takes all CPUs of this process. New: device_free. */
MUST err_t device_cpu_new(int64_t threads, struct device *out);
void device_free(struct device *d);

#endif
