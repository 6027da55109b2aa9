/* Operations of ranks that are threads of one process: post, copy from the peers' memory, release. See local_int.h. */
#include "comm/local_int.h"

#include <stdlib.h>
#include <string.h>

/* How many ranks of the group have come so far. Operation number u uses slot u % COMM_DEPTH in round u / COMM_DEPTH, so a stage
 * is passed at size * (round + 1): counts never go back, and a rank that enters round k + 1 has seen all leave round k. */
struct slot {
    _Atomic uint64_t posted, reduced, done;
};

struct group {
    struct local_world *world;
    struct group *older; /* of the world's */
    int size;
    int *ranks;                       /* (size) in the world */
    uint64_t *begun;                  /* (size) operations; each its own */
    const struct comm_request **post; /* (COMM_DEPTH, size) */
    const char **from;                /* (size, size) scratch of each: where the ranks' values lie */
    struct slot slot[COMM_DEPTH];
};

enum stage { POSTED, REDUCED, COPIED, COMPLETE }; /* what this rank has done; each waits for all to have done it */

err_t local_group_new(struct local_world *w, const int *ranks, int size, void **out) {
    struct group *g = calloc(1, sizeof *g);
    if (!g) return FAIL(ERR_NOMEM, "out of memory for a communicator of %d ranks; set ranks to a smaller number", size);
    size_t n = (size_t)size;
    g->world = w;
    g->size = size;
    g->ranks = calloc(n, sizeof *g->ranks);
    g->begun = calloc(n, sizeof *g->begun);
    g->post = calloc(n * COMM_DEPTH, sizeof *g->post);
    g->from = calloc(n * n, sizeof *g->from);
    bool whole = g->ranks && g->begun && g->post && g->from;
    if (whole) memcpy(g->ranks, ranks, n * sizeof *ranks);
    pthread_mutex_lock(&w->lock);
    g->older = w->groups;
    w->groups = g;
    pthread_mutex_unlock(&w->lock);
    if (!whole) return FAIL(ERR_NOMEM, "out of memory for a communicator of %d ranks; set ranks to a smaller number", size);
    *out = g;
    return OK;
}

void local_groups_free(struct local_world *w) {
    for (struct group *g = w->groups, *older; g; g = older) {
        older = g->older;
        free(g->ranks);
        free(g->begun);
        free(g->post);
        free(g->from);
        free(g);
    }
}

static struct local_seat *seat_of(const struct comm *c) {
    const struct group *g = c->group;
    return &g->world->seats[g->ranks[c->rank]];
}

static struct slot *slot_of(const struct comm_request *r) { return &((struct group *)r->comm->group)->slot[r->number % COMM_DEPTH]; }

/* Have all ranks counted themselves? */
static bool all_in(const struct comm_request *r, _Atomic uint64_t *count) {
    const struct group *g = r->comm->group;
    return atomic_load_explicit(count, memory_order_acquire) >= (uint64_t)g->size * (r->number / COMM_DEPTH + 1);
}

/* Count this rank; who completes the count rings the members. */
static void count_in(const struct comm_request *r, _Atomic uint64_t *count) {
    const struct group *g = r->comm->group;
    uint64_t now = atomic_fetch_add_explicit(count, 1, memory_order_acq_rel) + 1;
    if (now == (uint64_t)g->size * (r->number / COMM_DEPTH + 1)) local_ring(g->world, g->ranks, g->size);
}

static const struct comm_request **posts_of(const struct comm_request *r) {
    const struct group *g = r->comm->group;
    return g->post + (size_t)(r->number % COMM_DEPTH) * (size_t)g->size;
}

/* All have posted: bring my share of the peers' data into my own buffer. */
static err_t take(struct comm_request *r) {
    const struct comm *c = r->comm;
    const struct comm_call *k = &r->call;
    const struct comm_request **post = posts_of(r);
    const char **from = ((struct group *)c->group)->from + (size_t)c->rank * (size_t)c->size;
    int n = c->size;
    for (int p = 0; p < n; p++) {
        TRY(comm_match(c->name, c->rank, k, p, &post[p]->call));
        from[p] = post[p]->call.send;
    }
    if (k->op == COMM_REDUCE_SCATTER || k->op == COMM_ALL_REDUCE) {
        int64_t at = c->rank * k->count, len = k->count, width = dtype_bytes(k->type);
        if (k->op == COMM_ALL_REDUCE) comm_chunk(k->count, n, c->rank, &at, &len);
        char *to = k->op == COMM_ALL_REDUCE ? (char *)k->recv + at * width : k->recv;
        if (len > 0) comm_sum(k->type, from, at * width, n, to, len);
        return OK;
    }
    for (int i = 0; i < n; i++) {
        int p = (c->rank + i) % n; /* not all from rank 0 at once */
        struct comm_sent sent = comm_sent(&post[p]->call, p, n, c->rank);
        struct comm_received got = comm_received(k, c->rank, n, p);
        if (sent.bytes != got.bytes) return comm_unequal(c->name, k, p, sent.bytes, c->rank, got.bytes);
        if (got.bytes && sent.at != got.at) memcpy(got.at, sent.at, (size_t)got.bytes);
    }
    return OK;
}

/* All have added their chunks: bring the others' here. */
static err_t take_sums(struct comm_request *r) {
    const struct comm *c = r->comm;
    const struct comm_request **post = posts_of(r);
    int64_t width = dtype_bytes(r->call.type);
    for (int i = 1; i < c->size; i++) {
        int64_t at, len;
        int p = (c->rank + i) % c->size;
        comm_chunk(r->call.count, c->size, p, &at, &len);
        if (len > 0) memcpy((char *)r->call.recv + at * width, (const char *)post[p]->call.recv + at * width, (size_t)(len * width));
    }
    return OK;
}

/* Peers' memory is read in here only: a stopped job waits until nobody does. */
static err_t reading(struct comm_request *r, err_t (*work)(struct comm_request *r)) {
    struct local_seat *s = seat_of(r->comm);
    struct local_world *w = s->world;
    atomic_fetch_add(&w->readers, 1);
    bool stopped = atomic_load(&w->stopped);
    err_t err = stopped ? OK : work(r);
    atomic_fetch_sub(&w->readers, 1);
    if (stopped) return local_stopped(s);
    if (err != OK) local_stop(w, s->rank, err_message());
    return err;
}

/* Go on as far as possible without waiting. */
static err_t advance(struct comm_request *r, bool *moved) {
    struct slot *slot = slot_of(r);
    if (r->stage == POSTED && all_in(r, &slot->posted)) {
        TRY(reading(r, take));
        r->stage = r->call.op == COMM_ALL_REDUCE ? REDUCED : COPIED;
        if (r->stage == COPIED) { /* every operation passes each count once, so that rounds stay in step */
            atomic_fetch_add_explicit(&slot->reduced, 1, memory_order_relaxed);
            count_in(r, &slot->done);
        } else {
            count_in(r, &slot->reduced);
        }
        *moved = true;
    }
    if (r->stage == REDUCED && all_in(r, &slot->reduced)) {
        TRY(reading(r, take_sums));
        r->stage = COPIED;
        count_in(r, &slot->done);
        *moved = true;
    }
    if (r->stage == COPIED && all_in(r, &slot->done)) {
        r->stage = COMPLETE;
        *moved = true;
    }
    return OK;
}

static err_t begin(struct comm *c, struct comm_request *r) {
    struct group *g = c->group;
    struct local_seat *s = seat_of(c);
    if (atomic_load(&s->world->stopped)) return local_stopped(s);
    r->number = g->begun[c->rank];
    const struct comm_request **post = &posts_of(r)[c->rank];
    if (*post) return FAIL(ERR_BUG, "more than %d operations under way on %s; end one before the next begins", COMM_DEPTH, c->name);
    g->begun[c->rank]++;
    *post = r;
    r->stage = POSTED;
    r->next = s->pending;
    s->pending = r;
    count_in(r, &slot_of(r)->posted);
    return OK;
}

/* A rank goes on with all it has begun: peers may wait for those first. */
static err_t advance_all(struct local_seat *s, bool *moved) {
    if (atomic_load(&s->world->stopped)) return local_stopped(s);
    for (struct comm_request *p = s->pending; p; p = p->next) TRY(advance(p, moved));
    return OK;
}

static err_t over(struct comm *c, struct comm_request *r) {
    struct comm_request **at = &seat_of(c)->pending;
    while (*at && *at != r) at = &(*at)->next;
    ENSURE(*at);
    *at = r->next;
    posts_of(r)[c->rank] = NULL;
    return OK;
}

static err_t test(struct comm *c, struct comm_request *r, bool *done) {
    bool moved = false;
    TRY(advance_all(seat_of(c), &moved));
    *done = r->stage == COMPLETE;
    return *done ? over(c, r) : OK;
}

static err_t idle(struct comm *c, struct comm_request *r) {
    struct local_seat *s = seat_of(c);
    for (;;) {
        uint64_t seen = atomic_load(&s->rings);
        bool moved = false;
        TRY(advance_all(s, &moved));
        if (moved || r->stage == COMPLETE) return OK;
        local_sleep(s, seen, r);
    }
}

static err_t end(struct comm *c, struct comm_request *r) {
    while (r->stage != COMPLETE) TRY(idle(c, r));
    return over(c, r);
}

static const struct comm_ops local_ops;

void local_comm_init(struct comm *out, void *group, int rank, const char *name) {
    const struct group *g = group;
    *out = (struct comm){.ops = &local_ops, .rank = rank, .size = g->size, .name = name, .group = group};
}

/* The first of the new group's ranks makes it, and all learn where it lies. */
static err_t split_into(struct comm *c, int *pairs, int *members, void **groups, const char *name, struct comm *out) {
    const struct group *g = c->group;
    void *mine = NULL;
    int rank, n;
    TRY(COMM(c, all_gather, &pairs[2 * c->rank], pairs, 2 * (int64_t)sizeof *pairs));
    n = comm_split_members(pairs, c->size, c->rank, members, &rank);
    int first = members[0];
    if (rank == 0) {
        for (int i = 0; i < n; i++) members[i] = g->ranks[members[i]];
        TRY(local_group_new(g->world, members, n, &mine));
    }
    TRY(COMM(c, all_gather, &mine, groups, (int64_t)sizeof mine));
    local_comm_init(out, groups[first], rank, name);
    return OK;
}

static err_t split(struct comm *c, int colour, int key, const char *name, struct comm *out) {
    size_t n = (size_t)c->size;
    int *pairs = calloc(2 * n, sizeof *pairs), *members = calloc(n, sizeof *members);
    void **groups = calloc(n, sizeof *groups);
    err_t err;
    if (pairs && members && groups) {
        pairs[2 * c->rank] = colour;
        pairs[2 * c->rank + 1] = key;
        err = split_into(c, pairs, members, groups, name, out);
    } else {
        err = FAIL(ERR_NOMEM, "out of memory for a communicator of up to %d ranks; set ranks to a smaller number", c->size);
    }
    free(pairs);
    free(members);
    free(groups);
    return err;
}

/* Groups live as long as their world: a member may still ring the others when one of them closes. */
static void shut(struct comm *c) { c->group = NULL; }

static void abort_job(struct comm *c, const char *message) { local_stop(seat_of(c)->world, seat_of(c)->rank, message); }

static const struct comm_ops local_ops = {
    .name = "local",
    COMM_BLOCKING,
    .begin = begin,
    .end = end,
    .test = test,
    .idle = idle,
    .split = split,
    .close = shut,
    .abort = abort_job,
};
