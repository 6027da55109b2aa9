/* A job that cannot go on ends, with the words of the rank that knows why: errors, aborts, ranks that are missing, operations
 * that do not meet, injected faults. Each case would hang for ever if it were wrong: the watchdog then ends the program. */
#include "base/fault.h"
#include "comm/mesh.h"
#include "comm/ops_check.h"
#include "test.h"

#include <unistd.h>

enum { WATCHDOG_S = 10 };

static err_t watched(int ranks, rank_main_fn fn, void *arg) {
    alarm(WATCHDOG_S);
    err_t err = local_world_run(ranks, fn, arg);
    alarm(60);
    return err;
}

/* What a case's ranks do. */
struct plan {
    enum comm_op op;
    int culprit;
    bool aborts;
};

static err_t enter(struct comm *c, enum comm_op op) {
    struct op_case k = {op, op == COMM_ALL_REDUCE || op == COMM_REDUCE_SCATTER ? DT_F32 : DT_U8, 100, false, false, 5};
    return check_op(c, &k);
}

static err_t one_fails(void *arg, int rank, struct comm *world) {
    const struct plan *p = arg;
    TRY(enter(world, p->op));
    if (rank != p->culprit) return enter(world, p->op);
    if (!p->aborts) return FAIL(ERR_IO, "disk %d is on fire", rank);
    world->ops->abort(world, "no more of this");
    return OK;
}

static void test_one_fails(void) {
    for (int op = 0; op < OPS; op++) {
        for (int culprit = 0; culprit < 4; culprit++) {
            char want[64];
            struct plan p = {(enum comm_op)op, culprit, false};
            (void)snprintf(want, sizeof want, "[rank %d] disk %d is on fire", culprit, culprit);
            CASE_ERR(watched(4, one_fails, &p), ERR_IO, want);
            p.aborts = true;
            (void)snprintf(want, sizeof want, "[rank %d] no more of this", culprit);
            CASE_ERR(watched(4, one_fails, &p), ERR_FAILED, want);
        }
    }
}

/* The others learn who it was. */
static err_t told(void *arg, int rank, struct comm *world) {
    int *heard = arg;
    if (rank == 2) return FAIL(ERR_FORMAT, "a bad file");
    err_t err = COMM(world, all_reduce, NULL, 0, DT_F32);
    heard[rank] = err == ERR_FAILED && strstr(err_message(), "stopped by rank 2: a bad file");
    err_t again = COMM(world, all_gather, NULL, NULL, 0);
    heard[rank] = heard[rank] && again == ERR_FAILED;
    return OK; /* that of the culprit must come out all the same */
}

/* Inside a sub-communicator, while the others of the world are in another. */
static err_t fails_in_part(void *arg, int rank, struct comm *world) {
    struct comm part;
    (void)arg;
    TRY(world->ops->split(world, rank % 2, 0, "half", &part));
    if (rank == 3) return FAIL(ERR_IO, "gone");
    err_t err = OK;
    for (int i = 0; i < 1000 && err == OK; i++) err = enter(&part, COMM_ALL_REDUCE);
    part.ops->close(&part);
    return err == OK ? enter(world, COMM_ALL_GATHER) : err;
}

/* Ranks stream through operations; one fails at a step of its own with a request of every kind under way. Buffers go back at
 * once: the sanitizers see whether a peer still reads. */
static err_t fails_anywhere(void *arg, int rank, struct comm *world) {
    enum { N = 4000 };
    uint64_t key = *(uint64_t *)arg;
    int culprit = (int)(mixed(key) % (uint64_t)world->size), at = (int)(mixed(key + 1000) % 6);
    float *x = malloc(sizeof(float) * N), *y = malloc(sizeof(float) * (size_t)(N * world->size)),
          *z = malloc(sizeof(float) * (size_t)(N * world->size));
    if (!x || !y || !z) abort();
    for (int i = 0; i < N; i++) x[i] = 1;
    for (int i = 0; i < N * world->size; i++) z[i] = 2;
    err_t err = OK;
    struct comm_request a, b; /* peers read them until abort has returned */
    for (int i = 0; i < 10 && err == OK; i++) {
        TRY_OR(COMM_BEGIN(world, comm_call_all_gather(x, y, N * (int64_t)sizeof *x), &a), done);
        TRY_OR(COMM_BEGIN(world, comm_call_all_reduce(z, N, DT_F32), &b), done);
        if (rank == culprit && i == at) TRY_OR(FAIL(ERR_IO, "fell over at %d", i), done);
        TRY_OR(comm_end(&b), done);
        TRY_OR(comm_end(&a), done);
    }
done:
    if (err != OK) world->ops->abort(world, err_message());
    free(x);
    free(y);
    free(z);
    return err;
}

static err_t missing(void *arg, int rank, struct comm *world) {
    (void)arg;
    if (rank == 1) return OK;
    return enter(world, COMM_ALL_TO_ALLV);
}

static err_t crossed(void *arg, int rank, struct comm *world) {
    struct comm a, b;
    (void)arg;
    TRY(world->ops->split(world, 0, 0, "first", &a));
    TRY(world->ops->split(world, 0, 0, "second", &b));
    return enter(rank == 0 ? &a : &b, COMM_ALL_REDUCE);
}

/* Begun and never ended, in memory that outlives the rank. */
struct flight {
    struct comm_request r;
    int64_t x, all[4];
};

static err_t not_ended(void *arg, int rank, struct comm *world) {
    struct flight *f = (struct flight *)arg + rank;
    TRY(COMM_BEGIN(world, comm_call_all_gather(&f->x, f->all, sizeof f->x), &f->r));
    if (rank == 0) return OK;
    return comm_end(&f->r);
}

/* Ranks that meet in different operations; `check`: through comm.check, else what the threads see by themselves. */
struct mismatch {
    int kind;
    bool check;
};

static err_t differ(struct comm *c, int kind) {
    int64_t x[8] = {0}, y[8] = {0}, zero[2] = {0}, eight[2] = {8, 8}, nine[2] = {8, 9};
    bool odd = c->rank == 1;
    switch (kind) {
    case 0: return odd ? COMM(c, all_gather, x, y, 8) : COMM(c, all_reduce, x, 1, DT_I64);
    case 1: return COMM(c, all_reduce, x, odd ? 3 : 2, DT_I64);
    case 2: return COMM(c, all_reduce, x, 2, odd ? DT_F64 : DT_I64);
    case 3: return COMM(c, all_to_allv, x, eight, zero, y, odd ? nine : eight, zero);
    case 4: return COMM(c, ring_shift, x, odd ? 16 : 8, y, 8);
    case 5:
        if (odd) return COMM(c, all_reduce, x, 1, DT_I64);
        return COMM(c, all_reduce, x, 1, DT_I64);
    }
    return ERR_BUG;
}

static err_t mismatched(void *arg, int rank, struct comm *world) {
    const struct mismatch *m = arg;
    struct comm part, checked;
    (void)rank;
    if (!m->check) return differ(world, m->kind);
    TRY(world->ops->split(world, 0, 0, "part", &part));
    TRY(comm_check_open(&part, &checked));
    err_t err = differ(&checked, m->kind);
    checked.ops->close(&checked);
    return err;
}

static void test_mismatch(void) {
    static const char *const want[][2] = {{"all_reduce of 1 I64", "all_gather of 8 bytes"},
                                          {"all_reduce of 2 I64", "all_reduce of 3 I64"},
                                          {"all_reduce of 2 I64", "all_reduce of 2 F64"},
                                          {"sends 8 bytes", "expects 9"},
                                          {"sends 16 bytes", "expects 8"},
                                          {"rank 0 enters", "rank 1 enters"}};
    for (int kind = 0; kind < 6; kind++) {
        for (int check = 0; check < 2; check++) {
            struct mismatch m = {kind, check};
            if (kind == 5 && !check) continue; /* places differ: only comm.check minds */
            CASE_ERR(watched(2, mismatched, &m), ERR_FAILED, want[kind][0]);
            CASE(strstr(err_message(), want[kind][1]), "%d names the other side: %s", kind, err_message());
            CASE(strstr(err_message(), "test_failure.c:"), "%d names the place: %s", kind, err_message());
        }
    }
}

/* A fixed program; every operation of it is failed once. */
static err_t program(void *arg, int rank, struct comm *world) {
    struct mesh m;
    const struct mesh_opts o = {.seq = 2, .expert = 2, .vocab = 4, .check = *(bool *)arg};
    (void)rank;
    err_t err = mesh_open(&m, world, &o, 8, NULL);
    for (int op = 0; op < OPS && err == OK; op++) err = enter(op % 2 ? &m.expert_dispatch : &m.dense, (enum comm_op)op);
    if (err != OK) world->ops->abort(world, err_message());
    mesh_close(&m);
    return err;
}

static void test_faults(bool check) {
    fault_arm(FAULT_COLLECTIVE, INT64_MAX);
    CASE_OK(watched(4, program, &check));
    int64_t points = fault_count(FAULT_COLLECTIVE);
    CASE(points > 4 * 24, "%lld operations count", (long long)points);
    for (int64_t n = 1; n <= points; n++) {
        fault_arm(FAULT_COLLECTIVE, n);
        CASE_ERR(watched(4, program, &check), ERR_IO, "(injected)");
        CASE(strncmp(err_message(), "[rank ", 6) == 0, "names its rank: %s", err_message());
    }
    fault_arm(FAULT_COLLECTIVE, 0);
    for (int64_t n = 1; n < 4; n++) {
        fault_arm(FAULT_THREAD, n);
        CASE_ERR(watched(4, program, &check), ERR_NOMEM, "set ranks to a smaller number");
    }
    fault_arm(FAULT_THREAD, 0);
}

int main(void) {
    test_one_fails();
    int heard[4] = {0};
    CASE_ERR(watched(4, told, heard), ERR_FORMAT, "[rank 2] a bad file");
    CASE(heard[0] && heard[1] && heard[3], "the others hear of it: %d %d %d", heard[0], heard[1], heard[3]);
    CASE_ERR(watched(8, fails_in_part, NULL), ERR_IO, "[rank 3] gone");
    for (uint64_t key = 0; key < 150; key++) CASE_ERR(watched(2 + (int)(key % 7), fails_anywhere, &key), ERR_IO, "fell over");
    CASE_ERR(watched(3, missing, NULL), ERR_FAILED, "rank 1 has ended");
    CASE_ERR(watched(2, crossed, NULL), ERR_FAILED, "wait for each other");
    CASE(strstr(err_message(), "on first (") && strstr(err_message(), "on second ("), "names both: %s", err_message());
    struct flight flights[4] = {0};
    CASE_ERR(watched(4, not_ended, flights), ERR_FAILED, "rank 0 has ended");
    test_mismatch();
    test_faults(false);
    test_faults(true);
    return test_end();
}
