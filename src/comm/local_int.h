/* Private to comm_local.c (operations) and local_world.c (threads, sleep, failure).
 *
 * Each rank posts its request in the group and later, in end, copies what it needs from its peers' memory into its own. A stage
 * of an operation is passed when all ranks of the group have counted themselves into it; who completes a count rings the
 * members. A rank that can go on with none of its requests sleeps until its bell rings. If all ranks sleep or have ended,
 * nothing can ever ring again, and the job stops with who waits for what. */
#ifndef MOP_COMM_LOCAL_INT_H
#define MOP_COMM_LOCAL_INT_H

#include "comm/comm_int.h"

#include <pthread.h>
#include <stdatomic.h>

/* One rank. */
struct local_seat {
    struct local_world *world;
    int rank;
    pthread_t thread;
    pthread_cond_t bell;
    _Atomic uint64_t rings;             /* changed under the world's lock */
    bool asleep, ended;                 /* under the lock */
    const struct comm_request *waiting; /* what it sleeps in, under the lock */
    struct comm_request *pending;       /* begun, not ended; the rank's own */
    err_t err;                          /* what rank_main returned */
    char message[4096];
};

struct local_world {
    int ranks;
    pthread_mutex_t lock;
    void *groups;        /* a list of all communicators; under the lock */
    int asleep, ended;   /* ranks; under the lock */
    atomic_bool stopped; /* set under the lock, once */
    int stop_rank;       /* the rank that stopped the job, and why: set before `stopped` */
    char stop_message[4096];
    atomic_int readers;       /* ranks that read peers' memory just now */
    struct local_seat *seats; /* (ranks) */
    rank_main_fn rank_main;
    void *arg;
};

/* Ring every rank of `ranks` (count of them, numbers in the world). */
void local_ring(struct local_world *w, const int *ranks, int count);
/* Sleep in r until the bell has rung since `seen`. Returns at once where the job has stopped. */
void local_sleep(struct local_seat *s, uint64_t seen, const struct comm_request *r);
/* Stop the job for this reason; the first wins. All ranks wake. */
void local_stop(struct local_world *w, int rank, const char *message);
/* The error of a rank whose job has stopped; on return nobody reads its memory any more. */
MUST err_t local_stopped(struct local_seat *s);

/* A communicator of these ranks of the world, which owns it. */
MUST err_t local_group_new(struct local_world *w, const int *ranks, int size, void **out);
void local_groups_free(struct local_world *w);
void local_comm_init(struct comm *out, void *group, int rank, const char *name);

#endif
