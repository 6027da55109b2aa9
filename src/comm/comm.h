/* WHAT    Communicators: a group of ranks that act together, behind one table of operations. A back-end is one file:
 *         comm_self.c (a group of one), comm_local.c (ranks are threads of one process), comm_mpi.c (ranks are processes).
 *         comm_check.c stands before any of them and compares what the ranks are about to do.
 * MATH    reduce_scatter and all_reduce: ((x_0 + x_1) + x_2) + ..., ascending ranks, in the type given.
 * MEMORY  self, local: nothing that grows with the data (a rank reads its peers' memory). mpi: at most COMM_SCRATCH bytes per
 *         reduction under way and communicator. check: 96 + 16*size bytes per rank of the group.
 * TRAFFIC Received per rank, n ranks: all_gather (n-1)*bytes, reduce_scatter (n-1)*count values, all_reduce 2*(n-1)/n*count
 *         values, all_to_allv and ring_shift what the caller says.
 * INVARIANTS
 *         I1 Reductions add in ascending rank order in the type given: the same bits on every rank, run and back-end.
 *         I2 Every operation is entered by every rank of the group, in the same order, with empty shares too.
 *         I3 Counts and displacements are 64-bit.
 *         I4 begin returns before data moves: what is sent stays as it is and what is received is not looked at until end has
 *            returned. Up to COMM_DEPTH operations of a communicator may be under way; they end in any order.
 *         I5 A rank never waits for ever: when a rank fails or calls abort, when one ends while others wait for it and when all
 *            wait for each other (threads), every operation of every rank returns an error. Nothing touches a rank's buffers
 *            after such an error, or after abort, has returned; a rank that fails with operations begun calls abort
 *            before it gives their buffers back.
 * SEE     mop.md 2 (axes), 6 (rules); docs/decisions/comm.md. */
#ifndef MOP_COMM_COMM_H
#define MOP_COMM_COMM_H

#include "device/device.h"
#include "tensor/dtype.h"

#include <string.h>

enum { COMM_DEPTH = 8, COMM_SCRATCH = 8 << 20 };

enum comm_op { COMM_ALL_GATHER, COMM_REDUCE_SCATTER, COMM_ALL_REDUCE, COMM_ALL_TO_ALLV, COMM_RING_SHIFT };

/* One operation, as comm_begin takes it: made by the comm_call_* functions below. What it points to, arrays of counts
 * included, is borrowed until the end. */
struct comm_call {
    enum comm_op op;
    enum dtype type;           /* of what is added; DT_U8 where nothing is */
    int64_t count, recv_count; /* values to send to a rank (all_reduce: in all); to receive (ring_shift) */
    const void *send;
    void *recv;
    const int64_t *send_bytes, *send_at, *recv_bytes, *recv_at; /* (size), all_to_allv */
    const char *site;                                           /* "file.c:12", or NULL */
};

struct comm;

/* An operation under way: caller-owned, untouched by the caller between begin and end; like the buffers it stays where it is
 * until end, or after a failure abort, has returned, for peers read it. */
struct comm_request {
    struct comm *comm;     /* that ends it; NULL: nothing under way */
    struct comm *begun_on; /* whose time it is; with comm.check another than the one that ends it */
    struct comm_call call;
    uint64_t number; /* the back-end's: of the operation on its communicator */
    int stage;
    struct comm_request *next;
};

struct comm_ops {
    const char *name;
    /* Blocking forms: begin and end in one. recv holds size*bytes, rank r's part at r*bytes; send may be this rank's part of it. */
    err_t (*all_gather)(struct comm *c, const void *send, void *recv, int64_t bytes) MUST;
    /* send holds size*count elements; this rank's count of the sums arrive in recv (its part of send, or apart). F32, F64, I64:
     * what is added is never BF16. */
    err_t (*reduce_scatter)(struct comm *c, const void *send, void *recv, int64_t count, enum dtype t) MUST;
    err_t (*all_reduce)(struct comm *c, void *data, int64_t count, enum dtype t) MUST;
    /* Bytes and byte offsets per rank. Parts of send may overlap (an all-gather of unequal parts), parts of recv may not. */
    err_t (*all_to_allv)(struct comm *c, const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv, const int64_t *recv_bytes,
                         const int64_t *recv_at) MUST;
    /* To rank+1, from rank-1. */
    err_t (*ring_shift)(struct comm *c, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes) MUST;

    /* Entered by comm_begin and comm_end only; begin finds r->call and r->comm set. */
    err_t (*begin)(struct comm *c, struct comm_request *r) MUST;
    err_t (*end)(struct comm *c, struct comm_request *r) MUST;
    /* The two halves of end for who has more to do: has it ended (then nothing of it is left)? And wait until it has, or anything else of
     * this rank's has moved. */
    err_t (*test)(struct comm *c, struct comm_request *r, bool *done) MUST;
    err_t (*idle)(struct comm *c, struct comm_request *r) MUST;

    /* New: close. Ranks of equal colour form a group, ordered by key, then rank. `name` (static) is for messages. */
    err_t (*split)(struct comm *c, int colour, int key, const char *name, struct comm *out) MUST;
    void (*close)(struct comm *c); /* local; nothing under way, or the job stopped */
    /* End the job on every rank with this message. Local; returns, except under MPI. */
    void (*abort)(struct comm *c, const char *message);
};

struct comm {
    const struct comm_ops *ops;
    int rank, size;
    const char *name;      /* "dispatch": for messages */
    const char *site;      /* of the next operation; COMM and COMM_BEGIN set it */
    void *group;           /* the back-end's */
    int64_t ended_ns;      /* spent in waiting for others, copies and sums so far */
    struct stream *stream; /* what its operations are queued on; NULL: none is queued (before there is a device) */
};

#define COMM_TEXT_(x) #x
#define COMM_TEXT(x) COMM_TEXT_(x)
#define COMM_HERE __FILE__ ":" COMM_TEXT(__LINE__)
/* TRY(COMM(&mesh->dense, all_reduce, &sum, 1, DT_F64)): the blocking form, with its place for messages and comm.check. */
#define COMM(c, op, ...) ((c)->site = COMM_HERE, (c)->ops->op((c), __VA_ARGS__))
/* TRY(COMM_BEGIN(&mesh->dense_gather, comm_call_all_gather(shard, full, bytes), &r)); ... TRY(comm_end(&r)); */
#define COMM_BEGIN(c, call, r) ((c)->site = COMM_HERE, comm_begin((c), (call), (r)))

/* On device memory: queue the operation on the communicator's stream, behind what is on `s` now; *e is its end, to be awaited by
 * whatever uses recv or overwrites send: STREAM_AWAIT(s, &e). The call is taken by value, counts and displacements too.
 *   TRY(COMM_QUEUE(s, &mesh->dense_gather, comm_call_all_gather(shard, full, bytes), &e)); ... TRY(STREAM_AWAIT(s, &e));
 * COMM_ON: both at once. Collective over c. The blocking form above is for host memory: control numbers. */
#define COMM_QUEUE(s, c, call, e) comm_queue((s), (c), (call), (e), COMM_HERE)
#define COMM_ON(s, c, call) comm_on((s), (c), (call), COMM_HERE)

static inline struct comm_call comm_call_all_gather(const void *send, void *recv, int64_t bytes) {
    return (struct comm_call){.op = COMM_ALL_GATHER, .type = DT_U8, .send = send, .recv = recv, .count = bytes};
}
static inline struct comm_call comm_call_reduce_scatter(const void *send, void *recv, int64_t count, enum dtype t) {
    return (struct comm_call){.op = COMM_REDUCE_SCATTER, .type = t, .send = send, .recv = recv, .count = count};
}
static inline struct comm_call comm_call_all_reduce(void *data, int64_t count, enum dtype t) {
    return (struct comm_call){.op = COMM_ALL_REDUCE, .type = t, .send = data, .recv = data, .count = count};
}
static inline struct comm_call comm_call_all_to_allv(const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv,
                                                     const int64_t *recv_bytes, const int64_t *recv_at) {
    return (struct comm_call){.op = COMM_ALL_TO_ALLV,
                              .type = DT_U8,
                              .send = send,
                              .recv = recv,
                              .send_bytes = send_bytes,
                              .send_at = send_at,
                              .recv_bytes = recv_bytes,
                              .recv_at = recv_at};
}
static inline struct comm_call comm_call_ring_shift(const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes) {
    return (struct comm_call){.op = COMM_RING_SHIFT, .type = DT_U8, .send = send, .recv = recv, .count = send_bytes, .recv_count = recv_bytes};
}

/* Collective over c, but neither waits for data: the operation is entered, and ended later. On error nothing is under way. */
MUST err_t comm_begin(struct comm *c, struct comm_call call, struct comm_request *r);
/* Returns when recv is complete and send may be changed, on error too. */
MUST err_t comm_end(struct comm_request *r);

MUST err_t comm_queue(struct stream *s, struct comm *c, struct comm_call call, struct event *e, const char *site);
MUST err_t comm_on(struct stream *s, struct comm *c, struct comm_call call, const char *site);
/* Bytes of a ring that holds the operations of a communicator of `size` ranks which may be under way. */
int64_t comm_ring_bytes(int size);

const char *comm_op_name(enum comm_op op);

void comm_self_init(struct comm *out);

/* Are the ranks threads of this process, which share its memory and CPUs? */
static inline bool comm_is_threads(const struct comm *c) { return strcmp(c->ops->name, "local") == 0; }

/* Compare operation, bytes and call site over the ranks before every operation of `inner`, which is taken over (closed with
 * *out); it begins nothing before all ranks have. New: close. Collective over inner: it must be called by all or none. */
MUST err_t comm_check_open(const struct comm *inner, struct comm *out);

typedef err_t (*rank_main_fn)(void *arg, int rank, struct comm *world);

/* Run rank_main on `ranks` threads (rank 0 on the caller's). The error of the rank that failed first, "[rank r] " before its
 * message; the others' operations return errors as soon as a rank fails. */
MUST err_t local_world_run(int ranks, rank_main_fn rank_main, void *arg);

/* Did mpirun or srun start this process as one of several? */
bool world_launched(void);
/* Which of them the launcher says that this is; 0 where nobody says. Nothing of MPI is asked. */
int world_told_rank(void);

/* Run rank_main once per rank: as this process's rank of an MPI job where mpirun or srun started several (ranks: 0, or the job's
 * size), else as `ranks` (0: 1) threads. Under MPI a rank's error is logged and ends the job. */
MUST err_t world_run(int ranks, rank_main_fn rank_main, void *arg);

#endif
