/* The devices themselves: the deferred one's order, its closed pages (device C2), its check of every access against the events (C4, C5), what it takes
 * by value, where failures come out; and that both do the same work. */
#include "device/device.h"
#include "test.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 64, BYTES = N * 4 };

/* A device, and memory of it. */
struct rig {
    struct device d;
    struct arenas m;
    struct ledger g;
    int32_t *a, *b;
};

static void layout(struct rig *r) {
    NEED(ARENA(&r->m.run, "test", "a", N, &r->a));
    NEED(ARENA(&r->m.run, "test", "b", N, &r->b));
}

static void open_rig(struct rig *r, int kind, int64_t seed, int64_t drop) {
    const struct device_opts o = {kind, seed, drop};
    *r = (struct rig){.a = NULL};
    NEED(device_new(&o, 1, &r->d));
    arenas_init(&r->m, &r->g);
    layout(r);
    NEED(device_arenas(&r->d, &r->m));
    layout(r);
}

static void close_rig(struct rig *r) {
    device_arenas_release(&r->d, &r->m);
    device_free(&r->d);
}

/* A task of the test: x[i] += add for all i. */
struct add_one {
    int32_t *x;
    const int32_t *by; /* (1) the host's */
    bool fail;
};
static err_t add_run(const void *self, struct pool *pool, void *args) {
    (void)self;
    (void)pool;
    const struct add_one *a = args;
    if (a->fail) return FAIL(ERR_IO, "the task failed as it was told to");
    for (int i = 0; i < N; i++) a->x[i] += *a->by;
    return OK;
}
static void add_touch(const void *args, struct touch *t) { touch_range(t, TOUCH_ADD, ((const struct add_one *)args)->x, BYTES); }
static void add_tables(void *args, struct tables *t) { TABLE(t, &((struct add_one *)args)->by, 4); }

static void queue_add(struct stream *s, int32_t *x, int32_t by, bool fail) {
    const struct add_one a = {x, &by, fail};
    const struct task t = {.site = DEVICE_HERE,
                           .what = "add_one",
                           .kind = -1,
                           .run = add_run,
                           .touch = add_touch,
                           .tables = add_tables,
                           .args = &a,
                           .args_bytes = sizeof a};
    s->device->ops->launch(s, &t);
}

/* Two streams that hand one array to and fro, each change in its turn. */
static int32_t to_and_fro(int kind, int64_t seed) {
    struct rig r;
    int32_t out[N], host[N];
    open_rig(&r, kind, seed, 0);
    for (int i = 0; i < N; i++) host[i] = i;
    STREAM_UPLOAD(&r.d.compute, r.a, host, BYTES);
    memset(host, 0, sizeof host); /* it was taken by value */
    for (int i = 0; i < 20; i++) {
        NEED(STREAM_AFTER(&r.d.copy_in, &r.d.compute));
        STREAM_COPY(&r.d.copy_in, r.b, r.a, BYTES);
        NEED(STREAM_AFTER(&r.d.compute, &r.d.copy_in));
        queue_add(&r.d.compute, r.b, i, false);
        STREAM_COPY(&r.d.compute, r.a, r.b, BYTES);
    }
    const int64_t waits = r.d.waits;
    CASE_OK(STREAM_FETCH(&r.d.compute, out, r.a, BYTES));
    CASE(r.d.waits == waits + 1, "a fetch is one wait, not %lld", (long long)(r.d.waits - waits));
    for (int i = 1; i < N; i++) CASE(out[i] == out[0] + i, "element %d is %d, the first %d", i, out[i], out[0]);
    close_rig(&r);
    return out[0];
}

/* The same without one of the awaits: an error that names both places (C4, C9). */
static err_t short_of_one(int64_t drop) {
    struct rig r;
    int32_t out[N];
    open_rig(&r, DEVICE_DEFERRED, 1, drop);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    STREAM_FILL(&r.d.compute, r.b, 0, BYTES);
    err_t err = OK;
    for (int i = 0; i < 2 && err == OK; i++) {
        err = STREAM_AFTER(&r.d.copy_in, &r.d.compute);
        STREAM_COPY(&r.d.copy_in, r.b, r.a, BYTES);
        if (err == OK) err = STREAM_AFTER(&r.d.compute, &r.d.copy_in);
        queue_add(&r.d.compute, r.b, 1, false);
    }
    if (err == OK) err = STREAM_FETCH(&r.d.compute, out, r.b, BYTES);
    close_rig(&r);
    return err;
}

static void dropped(void) {
    CASE_OK(short_of_one(0));
    for (int64_t drop = 1; drop <= 4; drop++) {
        CASE_ERR(short_of_one(drop), ERR_BUG, "race on the device");
        const char *first = strstr(err_message(), "test_device.c:");
        CASE(first && strstr(first + 1, "test_device.c:"), "both places are named: %s", err_message());
    }
}

/* Streams that nothing orders run in another order than they were queued in, and each in its own. */
static void orders(void) {
    struct rig r;
    int32_t out[N];
    open_rig(&r, DEVICE_DEFERRED, 9, 0);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    STREAM_FILL(&r.d.copy_in, r.b, 0, BYTES);
    for (int i = 0; i < 200; i++) queue_add(i % 2 ? &r.d.compute : &r.d.copy_in, i % 2 ? r.a : r.b, 1, false);
    CASE_OK(device_sync(&r.d));
    CASE(2 * r.d.counts.odd > r.d.counts.tasks, "%lld of %lld tasks are out of queue order", (long long)r.d.counts.odd, (long long)r.d.counts.tasks);
    CASE_OK(STREAM_FETCH(&r.d.compute, out, r.b, BYTES));
    CASE(out[5] == 100, "%d of 100 tasks", out[5]);
    close_rig(&r);
}

/* An overwrite that nothing orders behind a reader: the commonest of these faults. */
static void write_after_read(void) {
    struct rig r;
    open_rig(&r, DEVICE_DEFERRED, 2, 0);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    STREAM_FILL(&r.d.compute, r.b, 0, BYTES);
    NEED(STREAM_AFTER(&r.d.copy_out, &r.d.compute));
    STREAM_COPY(&r.d.copy_out, r.b, r.a, BYTES);
    STREAM_FILL(&r.d.compute, r.a, 1, BYTES);
    CASE_ERR(stream_sync(&r.d.compute), ERR_BUG, "overwrites memory that copy");
    close_rig(&r);
}

static void undefined(void) {
    struct rig r;
    int32_t out[N], host[N] = {0};
    open_rig(&r, DEVICE_DEFERRED, 3, 0);
    CASE_ERR(STREAM_FETCH(&r.d.compute, out, r.a, BYTES), ERR_BUG, "that nothing has written");
    close_rig(&r);
    open_rig(&r, DEVICE_DEFERRED, 3, 0);
    queue_add(&r.d.compute, host, 1, false);
    CASE_ERR(stream_sync(&r.d.compute), ERR_BUG, "not the device's");
    close_rig(&r);
    open_rig(&r, DEVICE_DEFERRED, 3, 0);
    STREAM_FILL(&r.d.compute, (char *)r.a + 4096 - 64, 0, 128);
    CASE_ERR(stream_sync(&r.d.compute), ERR_BUG, "beyond the end");
    close_rig(&r);
}

static void failure(int kind) {
    struct rig r;
    open_rig(&r, kind, 4, 0);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    queue_add(&r.d.compute, r.a, 1, true);
    CASE_ERR(stream_sync(&r.d.compute), ERR_IO, "failed as it was told to");
    CASE_ERR(device_sync(&r.d), ERR_IO, "failed as it was told to");
    close_rig(&r);
}

/* The host reads or writes device memory: the process ends (C2). */
static void closed(bool write) {
    struct rig r;
    open_rig(&r, DEVICE_DEFERRED, 5, 0);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    NEED(stream_sync(&r.d.compute));
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        volatile int32_t *x = r.a;
        (void)signal(SIGSEGV, SIG_DFL);
        if (write) x[1] = 7;
        else _exit(x[1] == 0 ? 0 : 1);
        _exit(0);
    }
    int status = 0;
    CASE(waitpid(child, &status, 0) == child && !(WIFEXITED(status) && WEXITSTATUS(status) == 0), "the host %s device memory and nothing happened",
         write ? "wrote" : "read");
    close_rig(&r);
}

/* More than the rings hold: the queues run on. */
static void many(int kind) {
    struct rig r;
    int32_t out[N];
    open_rig(&r, kind, 6, 0);
    STREAM_FILL(&r.d.compute, r.a, 0, BYTES);
    for (int i = 0; i < 20000; i++) queue_add(&r.d.compute, r.a, 1, false);
    CASE_OK(STREAM_FETCH(&r.d.compute, out, r.a, BYTES));
    CASE(out[0] == 20000 && out[N - 1] == 20000, "%d and %d of 20000 tasks have run", out[0], out[N - 1]);
    close_rig(&r);
}

int main(void) {
    const int32_t want = to_and_fro(DEVICE_CPU, 0);
    for (int seed = 0; seed < 8; seed++) {
        const int32_t got = to_and_fro(DEVICE_DEFERRED, seed);
        CASE(got == want, "seed %d: %d, on the cpu device %d", seed, got, want);
    }
    dropped();
    orders();
    write_after_read();
    undefined();
    for (int kind = DEVICE_CPU; kind <= DEVICE_DEFERRED; kind++) {
        failure(kind);
        many(kind);
    }
    closed(false);
    closed(true);
    return test_end();
}
