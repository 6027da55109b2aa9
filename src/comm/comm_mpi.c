/* Ranks as processes of an MPI job (MPI-3: Open MPI, MPICH). Built with -DMOP_MPI; without, the one function below says so.
 *
 * Every operation is a set of non-blocking sends and receives. A message beyond BLOCK bytes goes as whole blocks of a type of
 * that size and a rest, so that counts stay below 2^31 up to 2^51 bytes. Reductions never use MPI's own: each rank receives its
 * chunk from all in tiles, two under way at a time, and adds them by comm_sum, so that the bits are those of threads.
 *
 * Who moves the data while kernels run: libraries do large transfers inside MPI calls only, so a thread tests what is under way.
 * All MPI calls are made under one lock (MPI_THREAD_SERIALIZED); none of them waits, but those that open and close. */
#include "comm/comm_int.h"

#ifndef MOP_MPI

err_t mpi_world_run(int ranks, rank_main_fn rank_main, void *arg) {
    (void)ranks;
    (void)rank_main;
    (void)arg;
    const char *launcher;
    int n = mpi_launched(&launcher);
    return FAIL(ERR_USAGE,
                "%s started %d ranks, but this program was built without MPI; install it (make deps) and build again, or run ranks=%d without %s",
                launcher ? launcher : "nobody", n, n, launcher ? launcher : "it");
}

#else

#include "base/fault.h"
#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "base/thread.h"

#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wstringop-overflow" /* MPICH's MPI_STATUSES_IGNORE is the address 1: to gcc 12 an object of no size */
#endif

enum { BLOCK = 1 << 20, TAGS = 1 << 14, WINDOWS = 2 };
enum { YIELDS = 200, NAP_NS = 20000, PROGRESS_NS = 100000 };

/* Messages under way together. */
struct window {
    MPI_Request *list; /* (4 * size): to and from each, blocks and rest */
    int count;
    char *tiles; /* (size, tile bytes), reductions */
};

/* One operation under way. */
struct flight {
    struct comm_request *req; /* NULL: free */
    struct window window[WINDOWS];
    char *scratch;             /* both windows' tiles; reserved at the first reduction */
    int64_t tile, tiles, next; /* values in a tile; how many; the one that is to be added next; next == tiles: the last messages */
    bool done;
    err_t err;
    char message[1024];
};

struct group {
    struct mpi_world *world;
    struct group *next;
    MPI_Comm comm;
    uint64_t begun;
    int64_t scratch_bytes;
    const char **from; /* (size) */
    struct flight flight[COMM_DEPTH];
};

struct mpi_world {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t thread;
    bool threaded, closing;
    int flying;
    struct group *groups;
    MPI_Datatype block;
};

static const struct comm_ops mpi_ops;

static err_t mpi_failed(int code, const char *call, const struct comm *c) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int len;
    (void)MPI_Error_string(code, text, &len);
    return FAIL(ERR_IO, "%.*s failed on rank %d of %s: %s; see whether all ranks and hosts are up", (int)strcspn(call, "("), call, c->rank, c->name,
                text);
}

#define MPI_TRY(call, c)                                              \
    do {                                                              \
        int code_ = (call);                                           \
        if (code_ != MPI_SUCCESS) return mpi_failed(code_, #call, c); \
    } while (0)

static err_t post_send(const struct comm_request *r, struct window *w, const char *at, int64_t bytes, int to) {
    struct group *g = r->comm->group;
    int tag = (int)(r->number % TAGS);
    int64_t blocks = bytes / BLOCK, rest = bytes % BLOCK;
    if (blocks) MPI_TRY(MPI_Isend(at, (int)blocks, g->world->block, to, tag, g->comm, &w->list[w->count++]), r->comm);
    if (rest) MPI_TRY(MPI_Isend(at + blocks * BLOCK, (int)rest, MPI_BYTE, to, tag, g->comm, &w->list[w->count++]), r->comm);
    return OK;
}

static err_t post_receive(const struct comm_request *r, struct window *w, char *at, int64_t bytes, int from) {
    struct group *g = r->comm->group;
    int tag = (int)(r->number % TAGS);
    int64_t blocks = bytes / BLOCK, rest = bytes % BLOCK;
    if (blocks) MPI_TRY(MPI_Irecv(at, (int)blocks, g->world->block, from, tag, g->comm, &w->list[w->count++]), r->comm);
    if (rest) MPI_TRY(MPI_Irecv(at + blocks * BLOCK, (int)rest, MPI_BYTE, from, tag, g->comm, &w->list[w->count++]), r->comm);
    return OK;
}

/* The values of a reduction that rank p adds. */
static void chunk_of(const struct comm_request *r, int p, int64_t *at, int64_t *len) {
    *at = p * r->call.count;
    *len = r->call.count;
    if (r->call.op == COMM_ALL_REDUCE) comm_chunk(r->call.count, r->comm->size, p, at, len);
}

/* Tile t of rank p's values. */
static void tile_of(const struct flight *f, int64_t t, int p, int64_t *at, int64_t *len) {
    int64_t chunk;
    chunk_of(f->req, p, at, &chunk);
    *len = i64_max(0, i64_min(f->tile, chunk - t * f->tile));
    *at += t * f->tile;
}

static err_t post_tile(struct flight *f, int64_t t) {
    const struct comm_request *r = f->req;
    int64_t at, len, width = dtype_bytes(r->call.type);
    int n = r->comm->size, me = r->comm->rank;
    struct window *w = &f->window[t % WINDOWS];
    for (int i = 1; i < n; i++) {
        int from = (me + n - i) % n, to = (me + i) % n;
        tile_of(f, t, me, &at, &len);
        TRY(post_receive(r, w, w->tiles + from * f->tile * width, len * width, from));
        tile_of(f, t, to, &at, &len);
        if (len) TRY(post_send(r, w, (const char *)r->call.send + at * width, len * width, to));
    }
    return OK;
}

static void add_tile(struct flight *f, int64_t t) {
    const struct comm_request *r = f->req;
    struct group *g = r->comm->group;
    const struct window *w = &f->window[t % WINDOWS];
    int64_t at, len, width = dtype_bytes(r->call.type);
    int n = r->comm->size, me = r->comm->rank;
    tile_of(f, t, me, &at, &len);
    if (len == 0) return;
    for (int p = 0; p < n; p++) g->from[p] = p == me ? (const char *)r->call.send + at * width : w->tiles + p * f->tile * width;
    int64_t to = r->call.op == COMM_ALL_REDUCE ? at : t * f->tile;
    comm_sum(r->call.type, g->from, 0, n, (char *)r->call.recv + to * width, len);
}

/* The sums of an all_reduce go to all. */
static err_t post_sums(struct flight *f) {
    const struct comm_request *r = f->req;
    struct window *w = &f->window[f->tiles % WINDOWS];
    int64_t at, len, width = dtype_bytes(r->call.type);
    int n = r->comm->size, me = r->comm->rank;
    char *data = r->call.recv;
    for (int i = 1; i < n; i++) {
        int from = (me + n - i) % n, to = (me + i) % n;
        chunk_of(r, from, &at, &len);
        if (len) TRY(post_receive(r, w, data + at * width, len * width, from));
        chunk_of(r, me, &at, &len);
        if (len) TRY(post_send(r, w, data + at * width, len * width, to));
    }
    return OK;
}

static err_t post_moves(struct flight *f) {
    const struct comm_request *r = f->req;
    int n = r->comm->size, me = r->comm->rank;
    for (int i = 1; i < n; i++) {
        int from = (me + n - i) % n, to = (me + i) % n;
        struct comm_received got = comm_received(&r->call, me, n, from);
        struct comm_sent sent = comm_sent(&r->call, me, n, to);
        TRY(post_receive(r, &f->window[0], got.at, got.bytes, from));
        TRY(post_send(r, &f->window[0], sent.at, sent.bytes, to));
    }
    return OK;
}

static bool adds(const struct comm_request *r) { return r->call.op == COMM_REDUCE_SCATTER || r->call.op == COMM_ALL_REDUCE; }

/* Go on as far as possible without waiting. Under the lock. */
static err_t advance(struct flight *f) {
    const struct comm_request *r = f->req;
    while (!f->done) {
        struct window *w = &f->window[f->next % WINDOWS];
        int all;
        MPI_TRY(MPI_Testall(w->count, w->list, &all, MPI_STATUSES_IGNORE), r->comm);
        if (!all) return OK;
        w->count = 0;
        if (f->next < f->tiles) {
            add_tile(f, f->next);
            if (f->next + WINDOWS < f->tiles) TRY(post_tile(f, f->next + WINDOWS));
            f->next++;
            if (f->next == f->tiles && r->call.op == COMM_ALL_REDUCE) TRY(post_sums(f));
            continue;
        }
        if (!adds(r)) {
            int n = r->comm->size, me = r->comm->rank;
            struct comm_sent sent = comm_sent(&r->call, me, n, me);
            struct comm_received got = comm_received(&r->call, me, n, me);
            if (got.bytes && sent.at != got.at) memcpy(got.at, sent.at, (size_t)got.bytes);
        }
        f->done = true;
    }
    return OK;
}

/* All that is under way; a failure waits in its flight for the end. Under the lock. */
static void advance_all(struct mpi_world *w) {
    for (struct group *g = w->groups; g; g = g->next) {
        for (int i = 0; i < COMM_DEPTH; i++) {
            struct flight *f = &g->flight[i];
            if (!f->req || f->done) continue;
            f->err = advance(f);
            if (f->err == OK) continue;
            f->done = true;
            (void)snprintf(f->message, sizeof f->message, "%s", err_message());
        }
    }
}

static void nap(long ns) {
    struct timespec t = {0, ns};
    (void)nanosleep(&t, NULL);
}

static void *progress(void *arg) {
    struct mpi_world *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        if (w->flying == 0) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        advance_all(w);
        pthread_mutex_unlock(&w->lock);
        nap(PROGRESS_NS);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Tiles of equal length on all ranks, as long as the scratch allows. */
static err_t cut_tiles(struct group *g, struct flight *f) {
    const struct comm *c = f->req->comm;
    int64_t at, len, bytes = i64_min(BLOCK, COMM_SCRATCH / (WINDOWS * (int64_t)c->size) / 64 * 64);
    void *scratch = f->scratch;
    g->scratch_bytes = bytes * WINDOWS * c->size;
    if (!scratch) TRY(os_reserve((size_t)g->scratch_bytes, "tiles of a reduction", &scratch));
    f->scratch = scratch;
    for (int i = 0; i < WINDOWS; i++) f->window[i].tiles = f->scratch + i * bytes * c->size;
    chunk_of(f->req, 0, &at, &len); /* the first rank's chunk is the longest */
    f->tile = bytes / dtype_bytes(f->req->call.type);
    f->tiles = i64_div_up(len, f->tile);
    return OK;
}

static err_t take_off(struct group *g, struct flight *f) {
    if (!adds(f->req)) return post_moves(f);
    TRY(cut_tiles(g, f));
    for (int64_t t = 0; t < f->tiles && t < WINDOWS; t++) TRY(post_tile(f, t));
    return OK;
}

static err_t begin(struct comm *c, struct comm_request *r) {
    struct group *g = c->group;
    struct mpi_world *w = g->world;
    pthread_mutex_lock(&w->lock);
    int i = 0;
    while (i < COMM_DEPTH && g->flight[i].req) i++;
    err_t err;
    if (i == COMM_DEPTH) {
        err = FAIL(ERR_BUG, "more than %d operations under way on %s; end one before the next begins", COMM_DEPTH, c->name);
    } else {
        struct flight *f = &g->flight[i];
        r->stage = i;
        r->number = g->begun++;
        f->req = r;
        f->done = false;
        f->tiles = f->next = 0;
        err = take_off(g, f);
        if (err == OK) {
            w->flying++;
            pthread_cond_signal(&w->work);
        } else {
            f->done = true; /* its messages stay where they are: the job cannot go on */
        }
    }
    pthread_mutex_unlock(&w->lock);
    return err;
}

/* Under the lock: take what has ended out of the air. */
static err_t land(struct mpi_world *w, struct flight *f) {
    err_t err = f->err;
    w->flying--;
    f->err = OK;
    f->req = NULL;
    return err == OK ? OK : err_adopt(err, f->message);
}

static err_t test(struct comm *c, struct comm_request *r, bool *done) {
    struct group *g = c->group;
    struct mpi_world *w = g->world;
    struct flight *f = &g->flight[r->stage];
    pthread_mutex_lock(&w->lock);
    advance_all(w);
    *done = f->done;
    err_t err = *done ? land(w, f) : OK;
    pthread_mutex_unlock(&w->lock);
    return err;
}

static err_t idle(struct comm *c, struct comm_request *r) {
    struct group *g = c->group;
    struct mpi_world *w = g->world;
    const struct flight *f = &g->flight[r->stage];
    for (int tries = 0;; tries++) {
        pthread_mutex_lock(&w->lock);
        advance_all(w);
        const bool done = f->done;
        pthread_mutex_unlock(&w->lock);
        if (done) return OK;
        if (tries < YIELDS) sched_yield();
        else nap(NAP_NS);
    }
}

static err_t end(struct comm *c, struct comm_request *r) {
    bool done;
    TRY(idle(c, r));
    return test(c, r, &done);
}

static void group_free(struct group *g) {
    for (int i = 0; i < COMM_DEPTH; i++) {
        for (int j = 0; j < WINDOWS; j++) free(g->flight[i].window[j].list);
        if (g->flight[i].scratch) os_release(g->flight[i].scratch, (size_t)g->scratch_bytes);
    }
    free(g->from);
    free(g);
}

static err_t group_new(struct mpi_world *w, int size, struct group **out) {
    struct group *g = calloc(1, sizeof *g);
    bool whole = g && (g->from = calloc((size_t)size, sizeof *g->from)) != NULL;
    for (int i = 0; whole && i < COMM_DEPTH * WINDOWS; i++) {
        struct window *v = &g->flight[i / WINDOWS].window[i % WINDOWS];
        v->list = calloc(4 * (size_t)size, sizeof(MPI_Request));
        whole = v->list != NULL;
    }
    if (!whole) {
        if (g) group_free(g);
        return FAIL(ERR_NOMEM, "out of memory for a communicator of %d ranks", size);
    }
    g->world = w;
    *out = g;
    return OK;
}

/* Takes over `mpi`. */
static err_t comm_of(struct mpi_world *w, MPI_Comm mpi, const char *name, struct comm *out) {
    struct group *g;
    *out = (struct comm){.ops = &mpi_ops, .name = name};
    MPI_TRY(MPI_Comm_rank(mpi, &out->rank), out);
    MPI_TRY(MPI_Comm_size(mpi, &out->size), out);
    TRY(group_new(w, out->size, &g));
    g->comm = mpi;
    g->next = w->groups;
    w->groups = g;
    out->group = g;
    return OK;
}

static err_t split(struct comm *c, int colour, int key, const char *name, struct comm *out) {
    struct group *g = c->group;
    struct mpi_world *w = g->world;
    MPI_Comm part;
    pthread_mutex_lock(&w->lock);
    int code = MPI_Comm_split(g->comm, colour, key, &part);
    err_t err = code == MPI_SUCCESS ? comm_of(w, part, name, out) : mpi_failed(code, "MPI_Comm_split", c);
    pthread_mutex_unlock(&w->lock);
    return err;
}

static void shut(struct comm *c) {
    struct group *g = c->group;
    struct mpi_world *w = g->world;
    pthread_mutex_lock(&w->lock);
    struct group **at = &w->groups;
    while (*at != g) at = &(*at)->next;
    *at = g->next;
    (void)MPI_Comm_free(&g->comm);
    pthread_mutex_unlock(&w->lock);
    group_free(g);
}

/* This rank's own words, then the end of all. */
static void end_job(struct mpi_world *w, const char *message, int status) {
    log_line(LOG_ERROR, "%s", message);
    pthread_mutex_lock(&w->lock);
    (void)MPI_Abort(MPI_COMM_WORLD, status);
    pthread_mutex_unlock(&w->lock);
}

static void abort_job(struct comm *c, const char *message) { end_job(((struct group *)c->group)->world, message, 1); }

static const struct comm_ops mpi_ops = {
    .name = "mpi",
    COMM_BLOCKING,
    .begin = begin,
    .end = end,
    .test = test,
    .idle = idle,
    .split = split,
    .close = shut,
    .abort = abort_job,
};

/* The world's communicator and the thread; `found` is what MPI_Init_thread gave. */
static err_t open_world(struct mpi_world *w, int ranks, int found, struct comm *world) {
    const char *launcher;
    MPI_Comm all;
    int told = mpi_launched(&launcher);
    *world = (struct comm){.name = "world"};
    MPI_TRY(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), world);
    MPI_TRY(MPI_Type_contiguous(BLOCK, MPI_BYTE, &w->block), world);
    MPI_TRY(MPI_Type_commit(&w->block), world);
    MPI_TRY(MPI_Comm_dup(MPI_COMM_WORLD, &all), world);
    TRY(comm_of(w, all, "world", world));
    log_set_rank(world->rank);
    if (world->size == 1 && told > 1)
        return FAIL(
            ERR_USAGE,
            "%s started %d ranks, but MPI sees one; start it with the launcher of the MPI it was built with (srun: --mpi=pmix or --mpi=pmi2); in "
            "the shell of an interactive step start it with srun, or with `env -u SLURM_STEP_NUM_TASKS` as one process",
            launcher, told);
    if (ranks != 0 && ranks != world->size)
        return FAIL(ERR_USAGE, "ranks=%d, but %s started %d; leave ranks out or set it to %d", ranks, launcher, world->size, world->size);
    if (found >= MPI_THREAD_SERIALIZED && !fault_hit(FAULT_THREAD)) w->threaded = thread_start(&w->thread, progress, w) == 0;
    if (!w->threaded && world->rank == 0)
        log_line(LOG_WARN, "communication does not go on while kernels run: MPI or the system gives no thread for it");
    return OK;
}

static void close_world(struct mpi_world *w, struct comm *world) {
    if (w->threaded) {
        pthread_mutex_lock(&w->lock);
        w->closing = true;
        pthread_cond_signal(&w->work);
        pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    shut(world);
    (void)MPI_Type_free(&w->block);
}

err_t mpi_world_run(int ranks, rank_main_fn rank_main, void *arg) {
    struct mpi_world w = {.groups = NULL};
    struct comm world;
    int found;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &found) != MPI_SUCCESS) return FAIL(ERR_IO, "MPI does not start; see what it says above");
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.work, NULL);
    err_t err = open_world(&w, ranks, found, &world);
    if (err == OK) err = rank_main(arg, world.rank, &world);
    if (err != OK) {
        end_job(&w, err_message(), err == ERR_USAGE ? 2 : 1);
        return err; /* where MPI_Abort comes back, nothing of MPI may be touched any more */
    }
    close_world(&w, &world);
    (void)MPI_Finalize();
    pthread_cond_destroy(&w.work);
    pthread_mutex_destroy(&w.lock);
    return OK;
}

#endif
