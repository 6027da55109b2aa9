/* Operations of the group of one and of ranks as threads: awkward counts, bits, buffers, displacements beyond 2^31, order. */
#include "comm/delay.h"
#include "comm/ops_check.h"
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

static err_t one_case(void *arg, int rank, struct comm *world) {
    (void)rank;
    return check_op(world, arg);
}

static err_t checked_case(void *arg, int rank, struct comm *world) {
    struct comm part, checked;
    (void)rank;
    TRY(world->ops->split(world, 0, 0, "checked", &part));
    TRY(comm_check_open(&part, &checked));
    err_t err = check_op(&checked, arg);
    checked.ops->close(&checked);
    return err;
}

static void test_all_ops(void) {
    static const int sizes[] = {1, 2, 3, 4, 7, 8};
    struct op_case k;
    struct comm self;
    comm_self_init(&self);
    for (int i = 0; op_case_at(i, &k); i++) {
        CASE_OK(check_op(&self, &k));
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            alarm(30);
            CASE_OK(local_world_run(sizes[s], one_case, &k));
        }
        alarm(30);
        CASE_OK(local_world_run(3, checked_case, &k));
    }
}

/* Many operations one after the other and several under way at once, ended in another order on each rank. */
static err_t under_way(void *arg, int rank, struct comm *world) {
    enum { N = 100, FLY = COMM_DEPTH };
    int rounds = *(int *)arg, n = world->size;
    struct comm other;
    TRY(world->ops->split(world, 0, -rank, "turned round", &other)); /* keys turn the ranks' order */
    if (other.rank != n - 1 - rank) return FAIL(ERR_FAILED, "key does not order: rank %d is %d", rank, other.rank);
    float *x = calloc((size_t)(2 * FLY * N), sizeof *x);
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
                float want = (float)(n * (f + i + round) + n * (n - 1) / 2);
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

static err_t too_many(void *arg, int rank, struct comm *world) {
    (void)arg;
    (void)rank;
    struct comm_request r[COMM_DEPTH + 1];
    int64_t x[COMM_DEPTH + 1] = {0};
    for (int f = 0; f < COMM_DEPTH; f++) TRY(COMM_BEGIN(world, comm_call_all_reduce(&x[f], 1, DT_I64), &r[f]));
    err_t err = COMM_BEGIN(world, comm_call_all_reduce(&x[COMM_DEPTH], 1, DT_I64), &r[COMM_DEPTH]);
    char message[512];
    (void)snprintf(message, sizeof message, "%s", err_message());
    for (int f = 0; f < COMM_DEPTH; f++) TRY(comm_end(&r[f]));
    return err == OK ? OK : err_adopt(err, message);
}

/* Sparse memory: parts far behind 2^32 in buffers that nobody fills. */
static err_t far_apart(void *arg, int rank, struct comm *world) {
    (void)arg;
    enum { N = 5000 };
    const int64_t far = ((int64_t)1 << 32) + 12345, all = far * 3;
    char *send = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *recv = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (send == MAP_FAILED || recv == MAP_FAILED) return FAIL(ERR_NOMEM, "no address space");
    int64_t bytes[3], at[3];
    for (int p = 0; p < 3; p++) {
        bytes[p] = p < world->size ? N : 0;
        at[p] = (2 - p) * far;
        memset(send + at[p], 'a' + rank * 3 + p, N);
    }
    err_t err = COMM(world, all_to_allv, send, bytes, at, recv, bytes, at);
    for (int p = 0; p < world->size && err == OK; p++)
        if (recv[at[p]] != 'a' + p * 3 + rank || recv[at[p] + N - 1] != 'a' + p * 3 + rank || recv[at[p] + N] != 0)
            err = FAIL(ERR_FAILED, "rank %d: not what rank %d sent", rank, p);
    (void)munmap(send, (size_t)all);
    (void)munmap(recv, (size_t)all);
    return err;
}

/* 2^31 bytes and some in one message, in little memory: what is sent are pages that nobody wrote; where it arrives the same
 * pages are mapped again and again, and only the tail behind 2^31 has pages of its own. */
static err_t large(void *arg, int rank, struct comm *world) {
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

static err_t refused(void *arg, int rank, struct comm *world) {
    (void)arg;
    (void)rank;
    int64_t x[2] = {0}, minus = -1;
    uint16_t b[2] = {0};
    int64_t huge = INT64_MAX / 2, none = 0;
    struct {
        err_t got;
        const char *what;
    } list[] = {
        {COMM(world, all_reduce, b, 2, DT_BF16), "BF16"},
        {COMM(world, all_reduce, x, -1, DT_I64), "count below 0"},
        {COMM(world, reduce_scatter, x, x, huge, DT_F64), "size beyond 2^63"},
        {COMM(world, all_to_allv, x, &minus, &none, x, &none, &none), "bytes below 0"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].got != ERR_BUG) return FAIL(ERR_FAILED, "%s is not refused", list[i].what);
    return OK;
}

/* The next layer's gather begins before the present layer computes, and moves after. */
static err_t ordered(void *arg, int rank, struct comm *world) {
    (void)arg;
    struct events log = {0};
    struct delay d;
    struct comm late;
    struct comm_request r;
    int mine = rank + 1, all[8] = {0};
    delay_init(&d, world, &log, "gather", &late);
    TRY(COMM_BEGIN(&late, comm_call_all_gather(&mine, all, sizeof mine), &r));
    bool untouched = true;
    for (int p = 0; p < world->size; p++) untouched = untouched && all[p] == 0;
    event_add(&log, "compute", "layer 0");
    TRY(comm_end(&r));
    for (int p = 0; p < world->size; p++)
        if (all[p] != p + 1) return FAIL(ERR_FAILED, "part %d is %d", p, all[p]);
    int begin = event_find(&log, "begin gather"), compute = event_find(&log, "compute layer 0"), move = event_find(&log, "move gather");
    return untouched && begin == 0 && compute == 1 && move == 2 ? OK : FAIL(ERR_FAILED, "order %d %d %d", begin, compute, move);
}

static err_t several_cases(void *arg, int rank, struct comm *world) {
    int first = *(int *)arg;
    (void)rank;
    struct op_case k;
    for (int i = first; op_case_at(i, &k); i += 3) TRY(check_op(world, &k));
    return OK;
}

static err_t place(void *arg, int rank, struct comm *world) {
    (void)arg;
    (void)rank;
    TRY(COMM(world, all_reduce, NULL, 0, DT_F32));
    return world->site ? FAIL(ERR_FAILED, "a place outlives its operation") : OK;
}

int main(void) {
    test_all_ops();
    alarm(60);
    int rounds = 20;
    CASE_OK(local_world_run(1, under_way, &rounds));
    CASE_OK(local_world_run(2, under_way, &rounds));
    CASE_OK(local_world_run(5, under_way, &rounds));
    CASE_OK(local_world_run(8, under_way, &rounds));
    CASE_ERR(local_world_run(1, too_many, NULL), ERR_BUG, "under way on world");
    CASE_ERR(local_world_run(4, too_many, NULL), ERR_BUG, "under way on world");
    CASE_OK(local_world_run(1, far_apart, NULL));
    CASE_OK(local_world_run(3, far_apart, NULL));
#ifdef __SANITIZE_THREAD__
    test_skip("a message beyond 2^31 bytes: ThreadSanitizer would shadow it with 8 GB");
#else
    CASE_OK(local_world_run(2, large, NULL));
#endif
    CASE_OK(local_world_run(1, refused, NULL));
    CASE_OK(local_world_run(4, ordered, NULL));
    CASE_OK(local_world_run(2, place, NULL));
    for (int i = 0; i < 3; i++) CASE_OK(local_world_run(4, several_cases, &i));
    CASE_ERR(local_world_run(0, place, NULL), ERR_USAGE, "ranks must be 1 or more");
    return test_end();
}
