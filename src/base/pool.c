/* A job's tasks are claimed one by one from a counter that carries the job's number, so a worker that wakes late finds nothing of an older job and
 * nobody waits for it: the caller waits for tasks that were claimed, and works itself until none is left. Small jobs are over before a sleeper would
 * have woken; it is woken only where the caller's first task says that there is something to win. */
#include "base/pool.h"

#include "base/fault.h"
#include "base/os.h"
#include "base/relax.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 8, SPINS = 2000, INDEX_BITS = 32, WORTH_WAKING_NS = 20000 };

typedef void (*task_fn)(void *arg, int64_t i, int worker);

/* Read by a worker before it claims a task; if the claim then succeeds it was this job's. */
struct job {
    _Atomic int64_t n;
    _Atomic(task_fn) fn;
    _Atomic(void *) arg;
    _Atomic int64_t finished; /* tasks */
};

struct seat {
    struct pool *pool;
    int worker;
};

struct pool {
    int threads, started;
    pthread_t *ids;
    struct seat *seats;   /* of each thread: a worker allocates and frees nothing */
    pthread_mutex_t lock; /* sleepers' and the sleeping caller's */
    pthread_cond_t wake, done;
    atomic_bool stop, waiting; /* waiting: the caller sleeps until its job is done */
    _Atomic int sleepers;
    struct job job[JOBS];  /* job g in place g % JOBS */
    _Atomic uint64_t next; /* the job's number, and of its tasks the next to be claimed: g << INDEX_BITS | i */
};

static uint64_t job_of(uint64_t next) { return next >> INDEX_BITS; }
static int64_t index_of(uint64_t next) { return (int64_t)(next & ((UINT64_C(1) << INDEX_BITS) - 1)); }

/* One task of whatever job there is; false: none is left. *g: the job's number. */
static bool work_one(struct pool *p, int worker, uint64_t *g) {
    uint64_t at = atomic_load_explicit(&p->next, memory_order_acquire);
    for (;;) {
        struct job *j = &p->job[job_of(at) % JOBS];
        const int64_t n = atomic_load_explicit(&j->n, memory_order_relaxed);
        const task_fn fn = atomic_load_explicit(&j->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&j->arg, memory_order_relaxed);
        *g = job_of(at);
        if (index_of(at) >= n) return false;
        if (!atomic_compare_exchange_weak_explicit(&p->next, &at, at + 1, memory_order_acq_rel, memory_order_acquire)) continue;
        fn(arg, index_of(at), worker);
        if (atomic_fetch_add(&j->finished, 1) + 1 == n && atomic_load(&p->waiting)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
        return true;
    }
}

static bool over(const struct pool *p, uint64_t g) { return job_of(atomic_load(&p->next)) == g && !atomic_load(&p->stop); }

/* Until there is another job than g, or the pool stops. */
static void sleep_after(struct pool *p, uint64_t g) {
    for (int spin = 0; spin < SPINS && over(p, g); spin++) cpu_relax();
    if (!over(p, g)) return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (over(p, g)) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg) {
    const struct seat *seat = arg;
    while (!atomic_load(&seat->pool->stop)) {
        uint64_t g;
        while (work_one(seat->pool, seat->worker, &g)) continue;
        sleep_after(seat->pool, g);
    }
    return NULL;
}

static void wake_all(struct pool *p) {
    if (atomic_load(&p->sleepers) == 0) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

err_t pool_new(int threads, struct pool **out) {
    struct pool *p = calloc(1, sizeof *p);
    if (p) p->ids = calloc((size_t)threads, sizeof *p->ids);
    if (p) p->seats = calloc((size_t)threads, sizeof *p->seats);
    if (!p || !p->ids || !p->seats) {
        if (p) free(p->ids);
        if (p) free(p->seats);
        free(p);
        return FAIL(ERR_NOMEM, "out of memory for a pool of %d threads", threads);
    }
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    err_t err = OK;
    for (int i = 1; i < threads && err == OK; i++) {
        p->seats[i] = (struct seat){p, i};
        if (fault_hit(FAULT_THREAD) || thread_start(&p->ids[i], worker_main, &p->seats[i]) != 0) {
            err = FAIL(ERR_NOMEM, "cannot start thread %d of %d; set threads to a smaller number", i + 1, threads);
        } else {
            p->started++;
        }
    }
    if (err != OK) {
        pool_free(p);
        return err;
    }
    *out = p;
    return OK;
}

void pool_free(struct pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++) (void)pthread_join(p->ids[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    free(p->ids);
    free(p->seats);
    free(p);
}

int pool_threads(const struct pool *p) { return p ? p->threads : 1; }

/* Claimed tasks are at work on other threads: the caller waits for them. */
static void finish(struct pool *p, struct job *j, int64_t n) {
    for (int spin = 0; spin < SPINS && atomic_load(&j->finished) < n; spin++) cpu_relax();
    if (atomic_load(&j->finished) == n) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, true);
    while (atomic_load(&j->finished) < n) pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->waiting, false);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, int64_t n, void (*fn)(void *arg, int64_t i, int worker), void *arg) {
    if (n <= 0) return;
    if (!p || p->threads == 1 || n == 1 || n >> INDEX_BITS) {
        for (int64_t i = 0; i < n; i++) fn(arg, i, 0);
        return;
    }
    uint64_t g = job_of(atomic_load_explicit(&p->next, memory_order_relaxed)) + 1;
    g &= (UINT64_C(1) << INDEX_BITS) - 1; /* numbers go round */
    struct job *j = &p->job[g % JOBS];
    atomic_store_explicit(&j->n, n, memory_order_relaxed);
    atomic_store_explicit(&j->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&j->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&j->finished, 0, memory_order_relaxed);
    atomic_store(&p->next, g << INDEX_BITS);
    const int64_t before = atomic_load(&p->sleepers) ? os_now_ns() : 0;
    uint64_t at;
    bool more = work_one(p, 0, &at);
    if (before && more && (n - 1) * (os_now_ns() - before) > WORTH_WAKING_NS) wake_all(p);
    while (more) more = work_one(p, 0, &at);
    finish(p, j, n);
}
