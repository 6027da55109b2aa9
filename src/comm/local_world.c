/* Ranks as threads of one process: starting, sleeping, failing. */
#include "base/fault.h"
#include "base/log.h"
#include "base/relax.h"
#include "base/thread.h"
#include "comm/local_int.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* A wake-up through the kernel costs more than most waits between ranks in step. */
enum { SPINS = 200 };

static void ring_all(struct local_world *w) {
    for (int r = 0; r < w->ranks; r++) {
        struct local_seat *s = &w->seats[r];
        atomic_fetch_add(&s->rings, 1);
        if (s->asleep) w->asleep--;
        s->asleep = false;
        pthread_cond_signal(&s->bell);
    }
}

static void stop(struct local_world *w, int rank, const char *message) {
    if (atomic_load(&w->stopped)) return;
    w->stop_rank = rank;
    (void)snprintf(w->stop_message, sizeof w->stop_message, "%s", message);
    atomic_store(&w->stopped, true);
    ring_all(w);
}

/* All ranks sleep or have ended: say who waits for what. */
static void stop_if_stuck(struct local_world *w, int rank) {
    if (w->asleep == 0 || w->asleep + w->ended < w->ranks) return;
    char text[2048], shown[COMM_SHOWN];
    size_t n = 0;
    for (int r = 0; r < w->ranks && n + COMM_SHOWN + 64 < sizeof text; r++) {
        const struct local_seat *s = &w->seats[r];
        int put = s->ended ? snprintf(text + n, sizeof text - n, "%srank %d has ended", r ? ", " : "", r)
                           : snprintf(text + n, sizeof text - n, "%srank %d waits in %s", r ? ", " : "", r,
                                      comm_show(&s->waiting->call, s->waiting->comm->name, shown));
        n += (size_t)put;
    }
    char message[sizeof text + 128];
    (void)snprintf(message, sizeof message, "the ranks wait for each other: %s; every rank must enter the same operations in the same order", text);
    stop(w, rank, message);
}

void local_ring(struct local_world *w, const int *ranks, int count) {
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < count; i++) {
        struct local_seat *s = &w->seats[ranks[i]];
        atomic_fetch_add(&s->rings, 1);
        if (!s->asleep) continue;
        s->asleep = false;
        w->asleep--;
        pthread_cond_signal(&s->bell);
    }
    pthread_mutex_unlock(&w->lock);
}

void local_sleep(struct local_seat *s, uint64_t seen, const struct comm_request *r) {
    struct local_world *w = s->world;
    for (int i = 0; i < SPINS && atomic_load(&s->rings) == seen; i++) cpu_relax();
    if (atomic_load(&s->rings) != seen) return;
    pthread_mutex_lock(&w->lock);
    if (atomic_load(&s->rings) == seen && !atomic_load(&w->stopped)) {
        s->asleep = true;
        s->waiting = r;
        w->asleep++;
        stop_if_stuck(w, s->rank);
        while (s->asleep) pthread_cond_wait(&s->bell, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

void local_stop(struct local_world *w, int rank, const char *message) {
    pthread_mutex_lock(&w->lock);
    stop(w, rank, message);
    pthread_mutex_unlock(&w->lock);
    while (atomic_load(&w->readers) > 0) sched_yield();
}

err_t local_stopped(struct local_seat *s) {
    struct local_world *w = s->world;
    /* a reader that comes later sees `stopped` and reads nothing; those inside finish their copy */
    while (atomic_load(&w->readers) > 0) sched_yield();
    if (w->stop_rank == s->rank) return FAIL(ERR_FAILED, "%s", w->stop_message);
    return FAIL(ERR_FAILED, "stopped by rank %d: %s", w->stop_rank, w->stop_message);
}

static void end_rank(struct local_seat *s) {
    struct local_world *w = s->world;
    if (s->err != OK) {
        (void)snprintf(s->message, sizeof s->message, "%s", err_message());
        local_stop(w, s->rank, s->message);
    }
    pthread_mutex_lock(&w->lock);
    s->ended = true;
    w->ended++;
    stop_if_stuck(w, s->rank);
    pthread_mutex_unlock(&w->lock);
}

struct start {
    struct local_seat *seat;
    void *group;
};

static void *run_rank(void *arg) {
    struct start *start = arg;
    struct local_seat *s = start->seat;
    struct comm c;
    log_set_rank(s->rank);
    local_comm_init(&c, start->group, s->rank, "world");
    err_clear();
    s->err = s->world->rank_main(s->world->arg, s->rank, &c);
    end_rank(s);
    return NULL;
}

/* The error of the rank that stopped the job, or OK. */
static err_t outcome(const struct local_world *w) {
    if (!atomic_load(&w->stopped)) return OK;
    const struct local_seat *s = &w->seats[w->stop_rank];
    char text[4096];
    const char *message = s->err != OK ? s->message : w->stop_message;
    if (w->ranks > 1) (void)snprintf(text, sizeof text, "[rank %d] %.4000s", s->rank, message);
    else (void)snprintf(text, sizeof text, "%s", message);
    return err_adopt(s->err != OK ? s->err : ERR_FAILED, text);
}

/* Threads are started one by one; those that run already are stopped where one does not start. */
static void run_threads(struct local_world *w, struct start *start) {
    int started = 1;
    while (started < w->ranks && !fault_hit(FAULT_THREAD) && thread_start(&w->seats[started].thread, run_rank, &start[started]) == 0) started++;
    if (started == w->ranks) {
        (void)run_rank(&start[0]);
    } else {
        w->seats[0].err = FAIL(ERR_NOMEM, "cannot start the thread of rank %d of %d; set ranks to a smaller number", started, w->ranks);
        end_rank(&w->seats[0]);
    }
    for (int r = 1; r < started; r++) (void)pthread_join(w->seats[r].thread, NULL);
    log_set_rank(0);
}

static err_t run_world(struct local_world *w, struct start *start, int *all) {
    void *group;
    for (int r = 0; r < w->ranks; r++) all[r] = r;
    TRY(local_group_new(w, all, w->ranks, &group));
    for (int r = 0; r < w->ranks; r++) {
        w->seats[r].world = w;
        w->seats[r].rank = r;
        pthread_cond_init(&w->seats[r].bell, NULL);
        start[r] = (struct start){&w->seats[r], group};
    }
    run_threads(w, start);
    for (int r = 0; r < w->ranks; r++) pthread_cond_destroy(&w->seats[r].bell);
    return outcome(w);
}

err_t local_world_run(int ranks, rank_main_fn rank_main, void *arg) {
    if (ranks < 1) return FAIL(ERR_USAGE, "%d ranks; ranks must be 1 or more", ranks);
    struct local_world w = {.ranks = ranks, .rank_main = rank_main, .arg = arg};
    struct start *start = calloc((size_t)ranks, sizeof *start);
    int *all = calloc((size_t)ranks, sizeof *all);
    err_t err;
    w.seats = calloc((size_t)ranks, sizeof *w.seats);
    pthread_mutex_init(&w.lock, NULL);
    if (start && all && w.seats) err = run_world(&w, start, all);
    else err = FAIL(ERR_NOMEM, "out of memory for %d ranks; set ranks to a smaller number", ranks);
    local_groups_free(&w);
    pthread_mutex_destroy(&w.lock);
    free(start);
    free(all);
    free(w.seats);
    return err;
}
