/* What every back-end must do, written against the table alone: each function is one rank's part of a case and fails with what
 * is wrong. Expected values are formed by plain loops here. */
#ifndef MOP_TESTS_COMM_OPS_CHECK_H
#define MOP_TESTS_COMM_OPS_CHECK_H

#include "comm/mesh.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OPS = 5, GUARD = 64 };
static const int64_t check_counts[] = {0, 1, 2, 7, 16, 1000, 3001};
enum { CHECK_COUNTS = sizeof check_counts / sizeof check_counts[0] };

/* Exactly `bytes`, with a pattern before and behind. */
struct guarded {
    unsigned char *all;
    void *at;
    int64_t bytes;
};

static inline struct guarded guarded_new(int64_t bytes) {
    struct guarded g = {malloc((size_t)bytes + 2 * GUARD), NULL, bytes};
    if (!g.all) abort();
    memset(g.all, 0xa5, (size_t)bytes + 2 * GUARD);
    g.at = g.all + GUARD;
    return g;
}

static inline bool guarded_free(struct guarded g) {
    bool whole = true;
    for (int i = 0; i < GUARD; i++) whole = whole && g.all[i] == 0xa5 && g.all[GUARD + g.bytes + i] == 0xa5;
    free(g.all);
    return whole;
}

/* Spreads a number over 64 bits; a large case draws some 10^8 of them. */
static inline uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

/* Of such sizes that another order of adding gives other bits; I64 sums wrap. */
static inline void fill(enum dtype t, void *to, int64_t count, int rank, uint64_t key) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = mixed(mixed(key * 64 + (uint64_t)rank) + (uint64_t)i);
        double x = ((double)(bits >> 11) * 0x1p-53 - 0.5) * (double)(1 << (bits % 24));
        if (t == DT_F32) ((float *)to)[i] = (float)x;
        if (t == DT_F64) ((double *)to)[i] = x;
        if (t == DT_I64) ((uint64_t *)to)[i] = bits;
        if (t == DT_U8) ((unsigned char *)to)[i] = (unsigned char)bits;
    }
}

static inline void add(enum dtype t, void *acc, const void *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (t == DT_F32) ((float *)acc)[i] += ((const float *)x)[i];
        if (t == DT_F64) ((double *)acc)[i] += ((const double *)x)[i];
        if (t == DT_I64) ((uint64_t *)acc)[i] += ((const uint64_t *)x)[i];
    }
}

/* The sum over ranks of fill's values, in rank order. */
static inline void *sums(enum dtype t, int64_t count, int size, uint64_t key) {
    size_t bytes = (size_t)count * (size_t)dtype_bytes(t);
    void *acc = malloc(bytes + 1), *x = malloc(bytes + 1);
    if (!acc || !x) abort();
    fill(t, acc, count, 0, key);
    for (int r = 1; r < size; r++) {
        fill(t, x, count, r, key);
        add(t, acc, x, count);
    }
    free(x);
    return acc;
}

static inline int64_t sent_bytes(int from, int to, int64_t count) { return (from * 5 + to * 3) % 4 == 0 ? 0 : count + from - to + 8; }

/* Begin the call, or run its blocking form. */
static inline err_t run_call(struct comm *c, struct comm_call k, bool split) {
    if (split) {
        struct comm_request r;
        TRY(COMM_BEGIN(c, k, &r));
        return comm_end(&r);
    }
    switch (k.op) {
    case COMM_ALL_GATHER: return COMM(c, all_gather, k.send, k.recv, k.count);
    case COMM_REDUCE_SCATTER: return COMM(c, reduce_scatter, k.send, k.recv, k.count, k.type);
    case COMM_ALL_REDUCE: return COMM(c, all_reduce, k.recv, k.count, k.type);
    case COMM_ALL_TO_ALLV: return COMM(c, all_to_allv, k.send, k.send_bytes, k.send_at, k.recv, k.recv_bytes, k.recv_at);
    case COMM_RING_SHIFT: return COMM(c, ring_shift, k.send, k.count, k.recv, k.recv_count);
    }
    return ERR_BUG;
}

struct op_case {
    enum comm_op op;
    enum dtype type;
    int64_t count;
    bool split, in_place;
    uint64_t key;
};

static inline err_t wrong(const struct comm *c, const struct op_case *k, const char *what) {
    return FAIL(ERR_FAILED, "%s of %lld %s on rank %d of %d (%s, split %d, in place %d): %s", comm_op_name(k->op), (long long)k->count,
                dtype_name(k->type), c->rank, c->size, c->name, k->split, k->in_place, what);
}

static inline err_t check_gather(struct comm *c, const struct op_case *k) {
    struct guarded send = guarded_new(k->count), recv = guarded_new(k->count * c->size), want = guarded_new(k->count * c->size);
    for (int r = 0; r < c->size; r++) fill(DT_U8, (char *)want.at + r * k->count, k->count, r, k->key);
    void *from = k->in_place ? (char *)recv.at + c->rank * k->count : send.at;
    fill(DT_U8, from, k->count, c->rank, k->key);
    err_t err = run_call(c, comm_call_all_gather(from, recv.at, k->count), k->split);
    bool same = memcmp(recv.at, want.at, (size_t)want.bytes) == 0;
    bool whole = guarded_free(send);
    whole &= guarded_free(recv);
    whole &= guarded_free(want);
    if (err != OK) return err;
    return same && whole ? OK : wrong(c, k, same ? "wrote outside" : "other bytes");
}

static inline err_t check_reduce(struct comm *c, const struct op_case *k) {
    bool scatter = k->op == COMM_REDUCE_SCATTER;
    int64_t width = dtype_bytes(k->type), all = scatter ? k->count * c->size : k->count;
    struct guarded send = guarded_new(all * width), recv = guarded_new(k->count * width);
    fill(k->type, send.at, all, c->rank, k->key);
    char *want = sums(k->type, all, c->size, k->key), *mine = want;
    void *to = send.at;
    if (scatter) {
        mine += c->rank * k->count * width;
        to = k->in_place ? (char *)send.at + c->rank * k->count * width : recv.at;
    }
    struct comm_call call = scatter ? comm_call_reduce_scatter(send.at, to, k->count, k->type) : comm_call_all_reduce(to, k->count, k->type);
    err_t err = run_call(c, call, k->split);
    bool same = memcmp(to, mine, (size_t)(k->count * width)) == 0;
    free(want);
    bool whole = guarded_free(send);
    whole &= guarded_free(recv);
    if (err != OK) return err;
    return same && whole ? OK : wrong(c, k, same ? "wrote outside" : "not the sum in rank order");
}

static inline err_t check_all_to_all(struct comm *c, const struct op_case *k) {
    int n = c->size;
    int64_t *a = calloc((size_t)n * 4, sizeof *a), *send_bytes = a, *send_at = a + n, *recv_bytes = a + 2 * n, *recv_at = a + 3 * n, sent = 0,
            got = 0;
    if (!a) abort();
    for (int p = 0; p < n; p++) {
        send_bytes[p] = sent_bytes(c->rank, p, k->count);
        send_at[p] = sent;
        sent += send_bytes[p];
    }
    for (int p = n - 1; p >= 0; p--) { /* the last rank's part first */
        recv_bytes[p] = sent_bytes(p, c->rank, k->count);
        recv_at[p] = got;
        got += recv_bytes[p];
    }
    struct guarded send = guarded_new(sent), recv = guarded_new(got), want = guarded_new(got);
    for (int p = 0; p < n; p++) {
        fill(DT_U8, (char *)send.at + send_at[p], send_bytes[p], c->rank * n + p, k->key);
        fill(DT_U8, (char *)want.at + recv_at[p], recv_bytes[p], p * n + c->rank, k->key);
    }
    err_t err = run_call(c, comm_call_all_to_allv(send.at, send_bytes, send_at, recv.at, recv_bytes, recv_at), k->split);
    bool same = memcmp(recv.at, want.at, (size_t)got) == 0;
    bool whole = guarded_free(send);
    whole &= guarded_free(recv);
    whole &= guarded_free(want);
    free(a);
    if (err != OK) return err;
    return same && whole ? OK : wrong(c, k, same ? "wrote outside" : "other bytes");
}

static inline err_t check_ring(struct comm *c, const struct op_case *k) {
    int before = (c->rank + c->size - 1) % c->size;
    int64_t out = k->count + c->rank, in = k->count + before;
    struct guarded send = guarded_new(out), recv = guarded_new(in), want = guarded_new(in);
    fill(DT_U8, send.at, out, c->rank, k->key);
    fill(DT_U8, want.at, in, before, k->key);
    err_t err = run_call(c, comm_call_ring_shift(send.at, out, recv.at, in), k->split);
    bool same = memcmp(recv.at, want.at, (size_t)in) == 0;
    bool whole = guarded_free(send);
    whole &= guarded_free(recv);
    whole &= guarded_free(want);
    if (err != OK) return err;
    return same && whole ? OK : wrong(c, k, same ? "wrote outside" : "other bytes");
}

static inline err_t check_op(struct comm *c, const struct op_case *k) {
    switch (k->op) {
    case COMM_ALL_GATHER: return check_gather(c, k);
    case COMM_REDUCE_SCATTER:
    case COMM_ALL_REDUCE: return check_reduce(c, k);
    case COMM_ALL_TO_ALLV: return check_all_to_all(c, k);
    case COMM_RING_SHIFT: return check_ring(c, k);
    }
    return ERR_BUG;
}

/* The i-th of a list of cases; false behind its end. */
static inline bool op_case_at(int i, struct op_case *out) {
    static const struct {
        enum comm_op op;
        enum dtype type;
    } kinds[] = {{COMM_ALL_GATHER, DT_U8},      {COMM_REDUCE_SCATTER, DT_F32}, {COMM_REDUCE_SCATTER, DT_F64},
                 {COMM_REDUCE_SCATTER, DT_I64}, {COMM_ALL_REDUCE, DT_F32},     {COMM_ALL_REDUCE, DT_F64},
                 {COMM_ALL_REDUCE, DT_I64},     {COMM_ALL_TO_ALLV, DT_U8},     {COMM_RING_SHIFT, DT_U8}};
    int k = i / (CHECK_COUNTS * 2), n = i / 2 % CHECK_COUNTS;
    if (k >= (int)(sizeof kinds / sizeof kinds[0])) return false;
    *out = (struct op_case){kinds[k].op, kinds[k].type, check_counts[n], i % 2 == 1, i % 2 == 1, (uint64_t)i * 2 + 77};
    return true;
}

/* Many operations one after the other and several under way at once, ended in another order on each rank. */
static inline err_t under_way(void *arg, int rank, struct comm *world) {
    enum { N = 100, FLY = COMM_DEPTH };
    int rounds = *(int *)arg, n = world->size;
    struct comm other;
    TRY(world->ops->split(world, 0, -rank, "turned round", &other)); /* keys turn the ranks' order */
    if (other.rank != n - 1 - rank) return FAIL(ERR_FAILED, "key does not order: rank %d is %d", rank, other.rank);
    float *x = calloc((size_t)2 * FLY * N, sizeof *x);
    err_t err = OK;
    for (int round = 0; round < rounds && err == OK; round++) {
        struct comm_request r[2 * FLY];
        for (int f = 0; f < 2 * FLY; f++)
            for (int i = 0; i < N; i++) x[f * N + i] = (float)(rank + f + i + round);
        for (int f = 0; f < 2 * FLY; f++) TRY_OR(COMM_BEGIN(f % 2 ? &other : world, comm_call_all_reduce(x + f * N, N, DT_F32), &r[f]), done);
        for (int j = 0; j < 2 * FLY; j++) {
            int f = (j * 5 + rank * 3 + round) % (2 * FLY); /* 5 and 16 have no common divisor */
            TRY_OR(comm_end(&r[f]), done);
            for (int i = 0; i < N; i++) {
                int sum = n * (f + i + round) + n * (n - 1) / 2;
                float want = (float)sum;
                if (x[f * N + i] != want)
                    TRY_OR(FAIL(ERR_FAILED, "round %d, flight %d, value %d: %g, not %g", round, f, i, x[f * N + i], want), done);
            }
        }
    }
done:
    if (err != OK) world->ops->abort(world, err_message());
    free(x);
    other.ops->close(&other);
    return err;
}

/* Sparse memory: parts far behind 2^32 in buffers that nobody fills. Up to 4 ranks. */
static inline err_t far_apart(void *arg, int rank, struct comm *world) {
    (void)arg;
    enum { N = 5000, RANKS = 4 };
    const int64_t far = ((int64_t)1 << 32) + 12345, all = far * RANKS;
    char *send = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *recv = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (send == MAP_FAILED || recv == MAP_FAILED) return FAIL(ERR_NOMEM, "no address space");
    int64_t bytes[RANKS], at[RANKS];
    for (int p = 0; p < RANKS; p++) {
        bytes[p] = p < world->size ? N : 0;
        at[p] = (RANKS - 1 - p) * far;
        memset(send + at[p], 'a' + rank * RANKS + p, N);
    }
    err_t err = COMM(world, all_to_allv, send, bytes, at, recv, bytes, at);
    for (int p = 0; p < world->size && err == OK; p++) {
        char want = (char)('a' + p * RANKS + rank);
        if (recv[at[p]] != want || recv[at[p] + N - 1] != want || recv[at[p] + N] != 0)
            err = FAIL(ERR_FAILED, "rank %d: not what rank %d sent", rank, p);
    }
    (void)munmap(send, (size_t)all);
    (void)munmap(recv, (size_t)all);
    return err;
}

/* 2^31 bytes and some in one message, in little memory: what is sent are pages that nobody wrote; where it arrives the same
 * pages are mapped again and again, and only the tail behind 2^31 has pages of its own. */
static inline err_t large(void *arg, int rank, struct comm *world) {
    (void)arg;
    enum { TAIL = 4097 };
    const int64_t body = (int64_t)1 << 31, page = (int64_t)64 << 20, map = body + page;
    int fd = memfd_create("large", 0);
    char *send = mmap(NULL, (size_t)map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *recv = mmap(NULL, (size_t)map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool mapped = fd >= 0 && ftruncate(fd, page) == 0 && send != MAP_FAILED && recv != MAP_FAILED;
    for (int64_t at = 0; mapped && at < body; at += page)
        mapped = mmap(recv + at, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    if (!mapped) return FAIL(ERR_NOMEM, "no address space");
    send[body + TAIL - 1] = 7;
    err_t err = COMM(world, ring_shift, send, rank == 0 ? body + TAIL : 0, recv, rank == 1 ? body + TAIL : 0);
    if (err == OK && recv[body + TAIL - 1] != (rank == 1 ? 7 : 0)) err = FAIL(ERR_FAILED, "rank %d: the last byte is wrong", rank);
    (void)munmap(send, (size_t)map);
    (void)munmap(recv, (size_t)map);
    (void)close(fd);
    return err;
}

/* All twelve under way at once, begun in one order, ended in another on each rank; twice the same bits. */
static inline err_t at_once(void *arg, int rank, struct comm *world) {
    enum { N = 300, AXES = 12 };
    const struct mesh_opts *o = arg;
    struct mesh m;
    TRY(mesh_open(&m, world, o, 64, NULL));
    struct comm *all[AXES] = {&m.dense,        &m.dense_gather,         &m.dense_scatter,  &m.seq,
                              &m.expert,       &m.expert_dispatch,      &m.expert_combine, &m.expert_migrate,
                              &m.expert_shard, &m.expert_shard_scatter, &m.vocab,          &m.vocab_shard};
    float *x = malloc(sizeof(float) * AXES * N), *first = malloc(sizeof(float) * AXES * N);
    if (!x || !first) abort();
    err_t err = OK;
    for (int round = 0; round < 10 && err == OK; round++) {
        struct comm_request r[AXES];
        for (int a = 0; a < AXES; a++) fill(DT_F32, x + a * N, N, all[a]->rank, (uint64_t)a + 9);
        for (int a = 0; a < AXES; a++) TRY_OR(COMM_BEGIN(all[a], comm_call_all_reduce(x + a * N, N, DT_F32), &r[a]), done);
        for (int j = 0; j < AXES; j++) TRY_OR(comm_end(&r[(j * 7 + rank) % AXES]), done); /* 7 and 12 have no common divisor */
        for (int a = 0; a < AXES; a++) {
            void *want = sums(DT_F32, N, all[a]->size, (uint64_t)a + 9);
            const void *got = x + a * N;
            bool same = memcmp(want, got, sizeof(float) * N) == 0;
            free(want);
            if (!same) TRY_OR(FAIL(ERR_FAILED, "%s on rank %d: not the sum in rank order", all[a]->name, rank), done);
        }
        if (round == 0) memcpy(first, x, sizeof(float) * AXES * N);
        const void *now = x, *then = first;
        if (memcmp(then, now, sizeof(float) * AXES * N) != 0) TRY_OR(FAIL(ERR_FAILED, "round %d differs", round), done);
    }
done:
    if (err != OK) world->ops->abort(world, err_message());
    free(x);
    free(first);
    mesh_close(&m);
    return err;
}

#endif
