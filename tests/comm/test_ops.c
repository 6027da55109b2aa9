/* Operations of the group of one and of ranks as threads: awkward counts, bits, buffers, displacements beyond 2^31, order. */
#include "comm/delay.h"
#include "comm/ops_check.h"
#include "test.h"

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
