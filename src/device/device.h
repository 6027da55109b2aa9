/* WHAT    A rank's device: where work runs and where its memory is. Work is a TASK (a kernel, a copy, a fill, a communication),
 *         appended to one STREAM; streams run in order and beside each other, events order them. The device decides when a task
 *         runs, and whether the host may look:
 *           cpu       a task has run when the call that queued it returns, on the caller and its pool; a communication has begun then
 *                     and ends where it is awaited
 *           deferred  a task waits until something forces it, then runs in an order drawn from a seed among all that the events
 *                     allow; device memory is closed to the host outside tasks, and every access is checked against the events
 *         No mathematics.
 * MEMORY  A stream's ring holds what its unfinished tasks were given: STREAM_RING bytes on the deferred device, on the cpu device only
 *         streams of communicators have one.
 * INVARIANTS (C: docs/spec/device.md)
 *         I1 Two tasks on different streams are ordered only by record and await, and by the host's waits, never by host timing (C1).
 *         I2 The host touches device memory never, host memory always; fetch brings up, upload brings down (C2).
 *         I3 The host waits for the device at fetch and sync only, which count (C3).
 *         I4 A task's arguments, and the host's tables that they point to, are taken by value when it is queued.
 *         I5 A failure inside a task comes out of the next await, sync or fetch that comes behind it.
 *         I6 The same tasks are queued in the same order on every device (C8).
 * Local, but that a communication in a task waits for its peers. SEE docs/spec/device.md */
#ifndef MOP_DEVICE_DEVICE_H
#define MOP_DEVICE_DEVICE_H

#include "base/arena.h"
#include "base/opt.h"
#include "base/pool.h"
#include "base/trace.h"
#include "device/touch.h"

enum { DEVICE_STREAMS = 24, STREAM_RING = 1 << 20, TASK_BYTES = 768 };

struct device;

struct stream {
    struct device *device;
    int id;
    const char *name; /* static: "compute", "expert_dispatch": for messages */
};

/* All that was queued on a stream when it was recorded. */
struct event {
    int stream;      /* its id */
    uint64_t ticket; /* how much that was, waits for other streams too; 0: nothing, always past */
};

/* What is queued. Borrowed for the call. */
struct task {
    const char *site; /* "src/room/file.c:12", static: for messages and the time table */
    const char *what; /* static: "matmul", "copy" */
    int kind;         /* of the time table, or -1 */
    struct cost cost; /* from numbers that the host knows */
    /* Does the work on a copy of args; self outlives the device. A failure ends the rank's run at its next wait (I5). */
    err_t (*run)(const void *self, struct pool *pool, void *args) MUST;
    const void *self;
    /* NULL, or for a task that waits for peers: `run` begins it, poll says whether it has ended, without waiting; idle waits until
     * anything of this rank's that waits for peers has moved. */
    err_t (*poll)(void *args, bool *done) MUST;
    err_t (*idle)(void *args) MUST;
    void (*touch)(const void *args, struct touch *t); /* the bytes it reads and writes */
    void (*tables)(void *args, struct tables *t);     /* NULL, or: the host's arrays that args points to */
    const void *args;
    int64_t args_bytes; /* up to TASK_BYTES */
};

struct device_ops {
    const char *name;
    /* Queue a task behind what is on s. */
    void (*launch)(struct stream *s, const struct task *t);
    /* Later work on s comes after e. `site` names the place (device.drop counts these). */
    err_t (*await)(struct stream *s, const struct event *e, const char *site) MUST;
    /* The host waits for e: all of it has run when this returns. */
    err_t (*sync)(struct device *d, const struct event *e) MUST;
    uint64_t (*queued)(const struct stream *s); /* the ticket of an event recorded now */
    /* Room for what waits on stream `id`, whose tasks' arguments and tables take up to ring_bytes together; 0: nothing waits on the cpu device. */
    err_t (*open_stream)(struct device *d, int id, int64_t ring_bytes) MUST;
    /* Memory of a tier; `what` for messages. Content is zero on the host, and undefined on the device (the deferred one fills it with
     * NaN). New: release. */
    err_t (*reserve)(struct device *d, enum tier tier, int64_t bytes, const char *what, void **out) MUST;
    void (*release)(struct device *d, enum tier tier, void *p, int64_t bytes);
    void (*close)(struct device *d); /* runs nothing any more */
};

struct device {
    const struct device_ops *ops;
    struct pool *pool;
    struct trace *trace; /* NULL: nobody counts */
    struct stream compute, copy_in, copy_out;
    int streams;
    int64_t waits; /* of the host, so far (I3) */
    struct {
        int64_t tasks, odd, awaits,
            redundant; /* deferred: run, of them out of the order they were queued in; awaits, of them of what is ordered anyway */
    } counts;
    void *state; /* the back-end's */
};

enum device_kind { DEVICE_CPU, DEVICE_DEFERRED };
struct device_opts {
    int kind;
    int64_t seed; /* deferred: of the order */
    int64_t drop; /* deferred: the K-th await (from 1) is left out; 0: none (tests) */
};
extern const struct opt device_opt_list[];

/* threads: 0 takes all CPUs of this process. opts: NULL: the cpu device. New: device_free. */
MUST err_t device_new(const struct device_opts *opts, int64_t threads, struct device *out);
/* What was queued and has not run is dropped: sync first where it matters. */
void device_free(struct device *d);

/* A further stream, for tasks whose arguments and tables take up to ring_bytes together while they are under way (0: on the cpu device
 * nothing ever waits on it); `name` static. */
MUST err_t device_stream(struct device *d, const char *name, int64_t ring_bytes, struct stream *out);

/* Memory for arenas that have been laid out dry, each of its tier, and back. On ERR_NOMEM the ledger is printed. */
MUST err_t device_arenas(struct device *d, struct arenas *m);
void device_arenas_release(struct device *d, struct arenas *m);

/* ---- the parts that rooms use ---- */

#define DEVICE_TEXT_(x) #x
#define DEVICE_TEXT(x) DEVICE_TEXT_(x)
#define DEVICE_HERE __FILE__ ":" DEVICE_TEXT(__LINE__)

/* Everything queued on s so far. */
void stream_record(const struct stream *s, struct event *e);
#define STREAM_AWAIT(s, e) ((s)->device->ops->await((s), (e), DEVICE_HERE))
/* Later work on `later` comes after what is queued on `first` now. */
#define STREAM_AFTER(later, first) stream_after((later), (first), DEVICE_HERE)
MUST err_t stream_after(struct stream *later, const struct stream *first, const char *site);
/* The host waits for all that is queued on s. A named and counted place. */
MUST err_t stream_sync(struct stream *s);
/* All streams. */
MUST err_t device_sync(struct device *d);

/* Device memory to device memory; bytes of value `byte`; host memory, by value, to the device. Queued. */
#define STREAM_COPY(s, to, from, bytes) stream_copy((s), (to), (from), (bytes), DEVICE_HERE)
void stream_copy(struct stream *s, void *to, const void *from, int64_t bytes, const char *site);
#define STREAM_FILL(s, p, byte, bytes) stream_fill((s), (p), (byte), (bytes), DEVICE_HERE)
void stream_fill(struct stream *s, void *p, int byte, int64_t bytes, const char *site);
#define STREAM_UPLOAD(s, to, from, bytes) stream_upload((s), (to), (from), (bytes), DEVICE_HERE)
void stream_upload(struct stream *s, void *to, const void *from, int64_t bytes, const char *site);
/* Device memory to the host, which waits for all that is on s (I3). */
#define STREAM_FETCH(s, to, from, bytes) stream_fetch((s), (to), (from), (bytes), DEVICE_HERE)
MUST err_t stream_fetch(struct stream *s, void *to, const void *from, int64_t bytes, const char *site);

#endif
