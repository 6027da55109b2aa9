/* WHAT    Communicators: a group of ranks that act together, behind one table of operations. A back-end is one file:
 *         comm_self.c (a group of one).
 * INVARIANTS
 *         I1 Reductions add in ascending rank order in the type given; the result is the same bits on every rank and run.
 *         I2 Every operation is entered by every rank of the group, in the same order, with empty shares too.
 *         I3 Counts and displacements are 64-bit.
 * All operations: collective over the communicator. */
#ifndef MOP_COMM_COMM_H
#define MOP_COMM_COMM_H

#include "tensor/dtype.h"

struct comm;

struct comm_ops {
    const char *name;
    /* recv holds size*bytes: rank r's part at r*bytes. */
    err_t (*all_gather)(struct comm *c, const void *send, void *recv, int64_t bytes) MUST;
    /* send holds size*count elements; this rank's count of the sums arrive in recv. F32, F64, I64. */
    err_t (*reduce_scatter)(struct comm *c, const void *send, void *recv, int64_t count, enum dtype t) MUST;
    err_t (*all_reduce)(struct comm *c, void *data, int64_t count, enum dtype t) MUST;
    /* Bytes and byte offsets per rank. */
    err_t (*all_to_allv)(struct comm *c, const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv,
                         const int64_t *recv_bytes, const int64_t *recv_at) MUST;
    /* To rank+1, from rank-1. */
    err_t (*ring_shift)(struct comm *c, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes) MUST;
    /* End the job on every rank with this message. */
    void (*abort)(struct comm *c, const char *message);
};

struct comm {
    const struct comm_ops *ops;
    int rank, size;
};

void comm_self_init(struct comm *out);

#endif
