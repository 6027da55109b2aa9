#include "base/pool.h"

#include "base/fault.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct job {
    int64_t n;
    void (*fn)(void *arg, int64_t i, int worker);
    void *arg;
};

struct pool {
    int threads, started;
    pthread_t *ids;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    struct job job;
    uint64_t generation; /* of the job; a worker runs each once */
    int busy;            /* workers that have not finished the present generation */
    bool stop;
    _Atomic int64_t next;
    _Atomic uint64_t signal; /* generation, for workers that spin briefly before they sleep */
};

struct seat {
    struct pool *pool;
    int worker;
};

static void work(struct pool *p, struct job job, int worker) {
    for (;;) {
        int64_t i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= job.n) return;
        job.fn(job.arg, i, worker);
    }
}

static void *worker_main(void *arg) {
    struct seat seat = *(struct seat *)arg;
    free(arg);
    struct pool *p = seat.pool;
    uint64_t seen = 0;
    for (;;) {
        for (int spin = 0; spin < 2000 && atomic_load_explicit(&p->signal, memory_order_relaxed) == seen; spin++) __builtin_ia32_pause();
        pthread_mutex_lock(&p->lock);
        while (p->generation == seen && !p->stop) pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop) {
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        seen = p->generation;
        struct job job = p->job;
        pthread_mutex_unlock(&p->lock);
        work(p, job, seat.worker);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0) pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

err_t pool_new(int threads, struct pool **out) {
    struct pool *p = calloc(1, sizeof *p);
    if (p) p->ids = calloc((size_t)threads, sizeof *p->ids);
    if (!p || !p->ids) {
        free(p);
        return FAIL(ERR_NOMEM, "out of memory for a pool of %d threads", threads);
    }
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    err_t err = OK;
    for (int i = 1; i < threads && err == OK; i++) {
        struct seat *seat = malloc(sizeof *seat);
        if (seat) *seat = (struct seat){p, i};
        if (!seat || fault_hit(FAULT_THREAD) || thread_start(&p->ids[i], worker_main, seat) != 0) {
            free(seat);
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
    p->stop = true;
    atomic_fetch_add(&p->signal, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++) (void)pthread_join(p->ids[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    free(p->ids);
    free(p);
}

int pool_threads(const struct pool *p) { return p ? p->threads : 1; }

void pool_run(struct pool *p, int64_t n, void (*fn)(void *arg, int64_t i, int worker), void *arg) {
    if (n <= 0) return;
    if (!p || p->threads == 1 || n == 1) {
        for (int64_t i = 0; i < n; i++) fn(arg, i, 0);
        return;
    }
    struct job job = {n, fn, arg};
    pthread_mutex_lock(&p->lock);
    p->job = job;
    p->busy = p->threads - 1;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->generation++;
    atomic_store_explicit(&p->signal, p->generation, memory_order_relaxed);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    work(p, job, 0);
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
