/* Private to comm: what the back-ends share. */
#ifndef MOP_COMM_COMM_INT_H
#define MOP_COMM_COMM_INT_H

#include "comm/comm.h"

/* The blocking slots of a table: begin and end. */
err_t comm_do_all_gather(struct comm *c, const void *send, void *recv, int64_t bytes);
err_t comm_do_reduce_scatter(struct comm *c, const void *send, void *recv, int64_t count, enum dtype t);
err_t comm_do_all_reduce(struct comm *c, void *data, int64_t count, enum dtype t);
err_t comm_do_all_to_allv(struct comm *c, const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv, const int64_t *recv_bytes,
                          const int64_t *recv_at);
err_t comm_do_ring_shift(struct comm *c, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes);
#define COMM_BLOCKING                                                                                             \
    .all_gather = comm_do_all_gather, .reduce_scatter = comm_do_reduce_scatter, .all_reduce = comm_do_all_reduce, \
    .all_to_allv = comm_do_all_to_allv, .ring_shift = comm_do_ring_shift

/* comm_queue.c: an operation on host memory, queued and waited for. */
err_t comm_control(struct comm *c, struct comm_call call, const char *site);

/* Runs of bytes in callers' buffers. */
struct comm_sent {
    const char *at;
    int64_t bytes;
};
struct comm_received {
    char *at;
    int64_t bytes;
};

/* What `rank` of `size` sends to rank `to` in the operations that only move data. */
struct comm_sent comm_sent(const struct comm_call *k, int rank, int size, int to);
/* And where what comes from `from` belongs. */
struct comm_received comm_received(const struct comm_call *k, int rank, int size, int from);

/* The run of an all_reduce's `count` values that `rank` adds up: [*at, *at + *len). */
void comm_chunk(int64_t count, int size, int rank, int64_t *at, int64_t *len);

/* dst[i] = ((src_0[i] + src_1[i]) + ...), src_r = src[r] + offset bytes; dst may be one of them. F32, F64 or I64. */
void comm_sum(enum dtype t, const char *const *src, int64_t offset, int n, void *dst, int64_t count);

/* "all_reduce of 12 F32 on dense (train/step.c:44)" into out, which is returned. */
enum { COMM_SHOWN = 256 };
const char *comm_show(const struct comm_call *k, const char *name, char out[COMM_SHOWN]);

/* ERR_FAILED naming both where two ranks that meet do not enter the same operation. */
MUST err_t comm_match(const char *name, int rank, const struct comm_call *mine, int other, const struct comm_call *theirs);
/* ERR_FAILED that says how many bytes one rank sends and the other expects. */
MUST err_t comm_unequal(const char *name, const struct comm_call *k, int from, int64_t sent, int to, int64_t expected);

/* The groups that a split with everyone's colour and key, pairs[2*r] and pairs[2*r + 1], makes: ranks of c of my colour in their
 * order into members; my place among them is *rank. Returns how many. */
int comm_split_members(const int *pairs, int size, int me, int *members, int *rank);

/* comm_mpi.c. How many ranks the launcher that started this process says there are: 1 if there is none. */
int mpi_launched(const char **launcher);
/* Run as a rank of the MPI job. ERR_USAGE in a program built without MPI. */
MUST err_t mpi_world_run(int ranks, rank_main_fn rank_main, void *arg);

#endif
