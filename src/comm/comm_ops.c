/* What every back-end shares: the front of an operation (fault point, checks), the blocking forms, and who owns which bytes. */
#include "base/fault.h"
#include "base/num.h"
#include "base/os.h"
#include "comm/comm_int.h"

#include <stdio.h>

const char *comm_op_name(enum comm_op op) {
    static const char *const names[] = {"all_gather", "reduce_scatter", "all_reduce", "all_to_allv", "ring_shift"};
    return names[op];
}

const char *comm_show(const struct comm_call *k, const char *name, char out[COMM_SHOWN]) {
    const char *site = k->site ? k->site : "no place given";
    if (k->op == COMM_ALL_TO_ALLV) (void)snprintf(out, COMM_SHOWN, "%s on %s (%s)", comm_op_name(k->op), name, site);
    else if (k->op == COMM_RING_SHIFT)
        (void)snprintf(out, COMM_SHOWN, "%s of %lld bytes, %lld expected, on %s (%s)", comm_op_name(k->op), (long long)k->count,
                       (long long)k->recv_count, name, site);
    else if (k->op == COMM_ALL_GATHER)
        (void)snprintf(out, COMM_SHOWN, "%s of %lld bytes on %s (%s)", comm_op_name(k->op), (long long)k->count, name, site);
    else (void)snprintf(out, COMM_SHOWN, "%s of %lld %s on %s (%s)", comm_op_name(k->op), (long long)k->count, dtype_name(k->type), name, site);
    return out;
}

/* No count below 0, and no end of a buffer beyond 2^63 - 1. */
static bool fits(const struct comm_call *k, int size) {
    int64_t all;
    switch (k->op) {
    case COMM_ALL_GATHER:
    case COMM_REDUCE_SCATTER: return k->count >= 0 && !__builtin_mul_overflow(k->count, (int64_t)size * dtype_bytes(k->type), &all);
    case COMM_ALL_REDUCE: return k->count >= 0 && !__builtin_mul_overflow(k->count, (int64_t)dtype_bytes(k->type), &all);
    case COMM_RING_SHIFT: return k->count >= 0 && k->recv_count >= 0;
    case COMM_ALL_TO_ALLV: break;
    }
    for (int p = 0; p < size; p++) {
        if (k->send_bytes[p] < 0 || k->send_at[p] < 0 || __builtin_add_overflow(k->send_bytes[p], k->send_at[p], &all)) return false;
        if (k->recv_bytes[p] < 0 || k->recv_at[p] < 0 || __builtin_add_overflow(k->recv_bytes[p], k->recv_at[p], &all)) return false;
    }
    return true;
}

err_t comm_begin(struct comm *c, struct comm_call call, struct comm_request *r) {
    char shown[COMM_SHOWN];
    call.site = c->site;
    c->site = NULL; /* the next operation has a place of its own, or none */
    *r = (struct comm_request){0};
    if (fault_hit(FAULT_COLLECTIVE)) return FAIL(ERR_IO, "rank %d of %d failed in %s (injected)", c->rank, c->size, comm_show(&call, c->name, shown));
    bool adds = call.op == COMM_REDUCE_SCATTER || call.op == COMM_ALL_REDUCE;
    if (adds && call.type != DT_F32 && call.type != DT_F64 && call.type != DT_I64)
        return FAIL(ERR_BUG, "%s: sums over ranks are formed in F32, F64 or I64; convert first", comm_show(&call, c->name, shown));
    if (!fits(&call, c->size))
        return FAIL(ERR_BUG, "%s has a negative or too large count or displacement on rank %d; check the counts", comm_show(&call, c->name, shown),
                    c->rank);
    r->call = call;
    r->comm = r->begun_on = c;
    err_t err = c->ops->begin(c, r);
    if (err == OK) return OK;
    r->comm = NULL;
    return err_frame(err, __func__);
}

err_t comm_end(struct comm_request *r) {
    struct comm *c = r->comm;
    ENSURE(c);
    const int64_t before = os_now_ns();
    err_t err = c->ops->end(c, r);
    r->begun_on->ended_ns += os_now_ns() - before;
    r->comm = NULL;
    return err == OK ? OK : err_frame(err, __func__);
}

/* With a stream it takes its turn behind what is queued there. */
static err_t blocking(struct comm *c, struct comm_call call) {
    struct comm_request r;
    if (c->stream) {
        const char *site = c->site;
        c->site = NULL;
        return comm_control(c, call, site);
    }
    TRY(comm_begin(c, call, &r));
    TRY(comm_end(&r));
    return OK;
}

err_t comm_do_all_gather(struct comm *c, const void *send, void *recv, int64_t bytes) { return blocking(c, comm_call_all_gather(send, recv, bytes)); }

err_t comm_do_reduce_scatter(struct comm *c, const void *send, void *recv, int64_t count, enum dtype t) {
    return blocking(c, comm_call_reduce_scatter(send, recv, count, t));
}

err_t comm_do_all_reduce(struct comm *c, void *data, int64_t count, enum dtype t) { return blocking(c, comm_call_all_reduce(data, count, t)); }

err_t comm_do_all_to_allv(struct comm *c, const void *send, const int64_t *send_bytes, const int64_t *send_at, void *recv, const int64_t *recv_bytes,
                          const int64_t *recv_at) {
    return blocking(c, comm_call_all_to_allv(send, send_bytes, send_at, recv, recv_bytes, recv_at));
}

err_t comm_do_ring_shift(struct comm *c, const void *send, int64_t send_bytes, void *recv, int64_t recv_bytes) {
    return blocking(c, comm_call_ring_shift(send, send_bytes, recv, recv_bytes));
}

/* A part of no bytes has no place: its buffer may be NULL. */
struct comm_sent comm_sent(const struct comm_call *k, int rank, int size, int to) {
    int64_t at = 0, bytes = k->count;
    if (k->op == COMM_ALL_TO_ALLV) {
        at = k->send_at[to];
        bytes = k->send_bytes[to];
    } else if (k->op == COMM_RING_SHIFT && to != (rank + 1) % size) {
        bytes = 0;
    }
    return (struct comm_sent){bytes ? (const char *)k->send + at : NULL, bytes};
}

struct comm_received comm_received(const struct comm_call *k, int rank, int size, int from) {
    int64_t at = from * k->count, bytes = k->count;
    if (k->op == COMM_ALL_TO_ALLV) {
        at = k->recv_at[from];
        bytes = k->recv_bytes[from];
    } else if (k->op == COMM_RING_SHIFT) {
        at = 0;
        bytes = from == (rank + size - 1) % size ? k->recv_count : 0;
    }
    return (struct comm_received){bytes ? (char *)k->recv + at : NULL, bytes};
}

void comm_chunk(int64_t count, int size, int rank, int64_t *at, int64_t *len) {
    int64_t each = i64_round_up(i64_div_up(count, size), 16); /* whole cache lines: neighbours write side by side */
    *at = i64_min(rank * each, count);
    *len = i64_min(each, count - *at);
}

err_t comm_match(const char *name, int rank, const struct comm_call *mine, int other, const struct comm_call *theirs) {
    char a[COMM_SHOWN], b[COMM_SHOWN];
    bool moves = mine->op == COMM_ALL_TO_ALLV || mine->op == COMM_RING_SHIFT; /* counts differ by right */
    if (mine->op == theirs->op && mine->type == theirs->type && (moves || mine->count == theirs->count)) return OK;
    return FAIL(ERR_FAILED, "ranks disagree: rank %d enters %s, rank %d enters %s; every rank must enter the same operations in the same order", rank,
                comm_show(mine, name, a), other, comm_show(theirs, name, b));
}

err_t comm_unequal(const char *name, const struct comm_call *k, int from, int64_t sent, int to, int64_t expected) {
    char a[COMM_SHOWN];
    return FAIL(ERR_FAILED,
                "ranks disagree in %s: rank %d sends %lld bytes, rank %d expects %lld of it; counts must come from numbers that all ranks share",
                comm_show(k, name, a), from, (long long)sent, to, (long long)expected);
}

int comm_split_members(const int *pairs, int size, int me, int *members, int *rank) {
    int n = 0;
    for (int r = 0; r < size; r++) {
        if (pairs[2 * r] != pairs[2 * me]) continue;
        int at = n++;
        for (; at > 0 && pairs[2 * members[at - 1] + 1] > pairs[2 * r + 1]; at--) members[at] = members[at - 1];
        members[at] = r;
    }
    *rank = 0;
    while (members[*rank] != me) ++*rank;
    return n;
}
