#include "base/log.h"
#include "cli/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* SIGTERM and Ctrl-C: the first asks the loop to finish its step and save, the second ends the program at once with 1. SIGUSR1
 * asks for the time table. A thread waits for them, so that no handler interrupts anything. */
struct watch {
    atomic_int stop, report;
    sigset_t set;
};

static void *watch_main(void *arg) {
    struct watch *w = arg;
    int sig;
    while (sigwait(&w->set, &sig) == 0) {
        if (sig == SIGUSR1) {
            atomic_store(&w->report, 1);
            continue;
        }
        if (atomic_exchange(&w->stop, 1)) _exit(1);
        log_line(LOG_RUN, "stopping after this step, with a checkpoint; once more to stop at once without one");
    }
    return NULL;
}

static err_t watch_begin(struct watch *w, pthread_t *thread) {
    atomic_init(&w->stop, 0);
    atomic_init(&w->report, 0);
    (void)sigemptyset(&w->set);
    (void)sigaddset(&w->set, SIGTERM);
    (void)sigaddset(&w->set, SIGINT);
    (void)sigaddset(&w->set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &w->set, NULL) != 0 || pthread_create(thread, NULL, watch_main, w) != 0)
        return FAIL(ERR_NOMEM, "cannot start the thread that waits for signals; free some memory or processes");
    return OK;
}

struct train_call {
    const struct options *o;
    struct watch *watch;
};

static err_t train_rank(void *arg, int rank, struct comm *world) {
    const struct train_call *c = arg;
    const struct options *o = c->o;
    (void)rank;
    const struct job job = {.model = &o->model,
                            .data = &o->data,
                            .train = &o->train,
                            .optim = &o->optim,
                            .rooms = {&o->dense, &o->attention, &o->experts, &o->vocab},
                            .mesh = &o->mesh,
                            .stash = &o->stash,
                            .ckpt = &o->ckpt,
                            .out = o->cli.out,
                            .tokenizer = o->cli.tokenizer,
                            .threads = cli_threads(o, world),
                            .stop = &c->watch->stop,
                            .report = &c->watch->report};
    return train_run(&job, world);
}

err_t cmd_train(int argc, char **argv) {
    struct options o;
    struct opt_set *set;
    TRY(cli_load(argc, argv, NULL, &o, &set));
    struct watch watch;
    pthread_t thread;
    err_t err = watch_begin(&watch, &thread);
    if (err == OK) {
        err = world_run((int)o.mesh.ranks, train_rank, &(struct train_call){&o, &watch});
        (void)pthread_cancel(thread);
        (void)pthread_join(thread, NULL);
    }
    opt_free(set);
    return err;
}
