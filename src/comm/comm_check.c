/* comm.check=1: before each operation the ranks show each other what they are about to do; where two differ it is an error that
 * names both. Costs one more operation each, and begin waits for all ranks. */
#include "comm/comm_int.h"

#include <stdlib.h>
#include <string.h>

enum { SITE_MAX = 64 };

/* What a rank shows; behind it the bytes that it sends to each rank and the bytes that it expects, 2 * size of them. */
struct shown {
    int64_t op, type, count, recv_count;
    char site[SITE_MAX];
};

struct checker {
    struct comm inner;
    size_t shown_bytes;
    char *all; /* (size) of shown_bytes */
};

static struct shown *shown_of(const struct checker *k, int rank) { return (struct shown *)(void *)(k->all + (size_t)rank * k->shown_bytes); }

/* The end of a long path says more than its beginning. */
static void put_site(char out[SITE_MAX], const char *site) {
    size_t n = strlen(site), skip = n < SITE_MAX ? 0 : n - SITE_MAX + 1;
    memcpy(out, site + skip, n - skip + 1);
}

static struct comm_call call_of(const struct shown *s) {
    return (struct comm_call){
        .op = (enum comm_op)s->op, .type = (enum dtype)s->type, .count = s->count, .recv_count = s->recv_count, .site = s->site[0] ? s->site : NULL};
}

static err_t compare(struct checker *k) {
    const struct comm *c = &k->inner;
    char a[COMM_SHOWN], b[COMM_SHOWN];
    for (int p = 1; p < c->size; p++) {
        const struct shown *x = shown_of(k, 0), *y = shown_of(k, p);
        struct comm_call first = call_of(x), other = call_of(y);
        TRY(comm_match(c->name, 0, &first, p, &other));
        if (strcmp(x->site, y->site) != 0)
            return FAIL(ERR_FAILED,
                        "ranks disagree: rank 0 enters %s, rank %d enters %s; every rank must enter the same operations in the same order",
                        comm_show(&first, c->name, a), p, comm_show(&other, c->name, b));
    }
    for (int from = 0; from < c->size; from++) {
        for (int to = 0; to < c->size; to++) {
            int64_t sent = ((const int64_t *)(shown_of(k, from) + 1))[to];
            int64_t expected = ((const int64_t *)(shown_of(k, to) + 1))[c->size + from];
            struct comm_call call = call_of(shown_of(k, from));
            if (sent != expected) return comm_unequal(c->name, &call, from, sent, to, expected);
        }
    }
    return OK;
}

/* From here on the request is the inner communicator's. */
static err_t begin(struct comm *c, struct comm_request *r) {
    struct checker *k = c->group;
    struct shown *mine = shown_of(k, c->rank);
    const struct comm_call *call = &r->call;
    memset(mine, 0, k->shown_bytes);
    *mine = (struct shown){.op = call->op, .type = call->type, .count = call->count, .recv_count = call->recv_count};
    if (call->site) put_site(mine->site, call->site);
    int64_t *bytes = (int64_t *)(mine + 1);
    bool moves = call->op == COMM_ALL_TO_ALLV || call->op == COMM_RING_SHIFT;
    for (int p = 0; moves && p < c->size; p++) {
        bytes[p] = comm_sent(call, c->rank, c->size, p).bytes;
        bytes[c->size + p] = comm_received(call, c->rank, c->size, p).bytes;
    }
    TRY(k->inner.ops->all_gather(&k->inner, mine, k->all, (int64_t)k->shown_bytes));
    err_t err = compare(k);
    if (err != OK) return err_frame(err, __func__);
    r->comm = &k->inner;
    return k->inner.ops->begin(&k->inner, r);
}

/* comm_end goes to the inner communicator. */
static err_t end(struct comm *c, struct comm_request *r) {
    (void)r;
    return FAIL(ERR_BUG, "internal: an operation on %s was ended that never began; please report it", c->name);
}

static err_t test(struct comm *c, struct comm_request *r, bool *done) {
    *done = false;
    return end(c, r);
}

static err_t split(struct comm *c, int colour, int key, const char *name, struct comm *out) {
    struct checker *k = c->group;
    struct comm part;
    TRY(k->inner.ops->split(&k->inner, colour, key, name, &part));
    err_t err = comm_check_open(&part, out);
    if (err != OK) part.ops->close(&part);
    return err;
}

static void shut(struct comm *c) {
    struct checker *k = c->group;
    k->inner.ops->close(&k->inner);
    free(k->all);
    free(k);
}

static void abort_job(struct comm *c, const char *message) {
    struct checker *k = c->group;
    k->inner.ops->abort(&k->inner, message);
}

static const struct comm_ops check_ops = {
    .name = "check",
    COMM_BLOCKING,
    .begin = begin,
    .end = end,
    .test = test,
    .idle = end,
    .split = split,
    .close = shut,
    .abort = abort_job,
};

err_t comm_check_open(const struct comm *inner, struct comm *out) {
    struct checker *k = calloc(1, sizeof *k);
    size_t shown_bytes = sizeof(struct shown) + 2 * (size_t)inner->size * sizeof(int64_t);
    char *all = calloc((size_t)inner->size, shown_bytes);
    if (!k || !all) {
        free(k);
        free(all);
        return FAIL(ERR_NOMEM, "out of memory to check a communicator of %d ranks; set comm.check=0", inner->size);
    }
    *k = (struct checker){*inner, shown_bytes, all};
    *out = (struct comm){.ops = &check_ops, .rank = inner->rank, .size = inner->size, .name = inner->name, .group = k};
    return OK;
}
