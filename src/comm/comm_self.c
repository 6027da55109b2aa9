#include "comm/comm.h"

#include "base/fault.h"
#include "base/log.h"

#include <string.h>

static err_t entered(void) {
    if (fault_hit(FAULT_COLLECTIVE)) return FAIL(ERR_IO, "a collective failed on rank 0 of 1 (injected)");
    return OK;
}

static err_t move(const void *send, void *recv, int64_t bytes) {
    TRY(entered());
    if (send != recv) memmove(recv, send, (size_t)bytes);
    return OK;
}

static err_t all_gather(struct comm *c, const void *send, void *recv, int64_t bytes) {
    (void)c;
    return move(send, recv, bytes);
}

static err_t reduce_scatter(struct comm *c, const void *send, void *recv, int64_t count, enum dtype t) {
    (void)c;
    return move(send, recv, count * dtype_bytes(t));
}

static err_t all_reduce(struct comm *c, void *data, int64_t count, enum dtype t) {
    (void)c;
    (void)data;
    (void)count;
    (void)t;
    return entered();
}

static err_t all_to_allv(struct comm *c, const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv, const int64_t *recv_bytes,
                         const int64_t *recv_at) {
    (void)c;
    ENSURE(send_bytes[0] == recv_bytes[0]);
    return move((const char *)send + send_at[0], (char *)recv + recv_at[0], send_bytes[0]);
}

static err_t ring_shift(struct comm *c, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes) {
    (void)c;
    ENSURE(send_bytes == recv_bytes);
    return move(send, recv, send_bytes);
}

static void abort_job(struct comm *c, const char *message) {
    (void)c;
    log_line(LOG_ERROR, "%s", message); /* a group of one: the caller's error ends it */
}

static const struct comm_ops self_ops = {
    .name = "self",
    .all_gather = all_gather,
    .reduce_scatter = reduce_scatter,
    .all_reduce = all_reduce,
    .all_to_allv = all_to_allv,
    .ring_shift = ring_shift,
    .abort = abort_job,
};

void comm_self_init(struct comm *out) { *out = (struct comm){&self_ops, 0, 1}; }
