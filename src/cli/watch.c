#include "cli/watch.h"

#include "base/log.h"
#include "base/os.h"
#include "base/thread.h"

#include <string.h>
#include <unistd.h>

enum { ONE_REQUEST_NS = 1000000000 };

static const int stopping[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXCPU};

static void *watch_main(void *arg) {
    struct watch *w = arg;
    int64_t asked_ns = -1; /* the first SIGTERM or SIGINT */
    int sig;
    while (sigwait(&w->set, &sig) == 0) {
        if (sig == SIGUSR2) {
            atomic_store(&w->report, 1);
            continue;
        }
        const bool hurry = sig == SIGTERM || sig == SIGINT;
        const int64_t now = os_now_ns();
        if (hurry && asked_ns >= 0 && now - asked_ns >= ONE_REQUEST_NS) _exit(1);
        if (hurry && asked_ns < 0) asked_ns = now;
        if (!atomic_exchange(&w->stop, 1) && !atomic_load(&w->quiet))
            log_line(LOG_RUN, "SIG%s: stopping after this step, with a checkpoint; SIGTERM or Ctrl-C after a second to stop at once without one",
                     sigabbrev_np(sig));
    }
    return NULL;
}

static void add(sigset_t *set, int sig) {
    struct sigaction now;
    /* one that is ignored would be queued all the same while it is blocked */
    if (sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN) return;
    (void)sigaddset(set, sig);
}

err_t watch_begin(struct watch *w) {
    memset(w, 0, sizeof *w);
    (void)sigemptyset(&w->set);
    for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++) add(&w->set, stopping[i]);
    (void)sigaddset(&w->set, SIGUSR2);
    int why = pthread_sigmask(SIG_BLOCK, &w->set, NULL);
    if (why == 0) why = thread_start(&w->thread, watch_main, w);
    if (why) return FAIL(ERR_NOMEM, "cannot start the thread that waits for signals: %s; free some memory or processes", strerror(why));
    return OK;
}

void watch_end(struct watch *w) {
    (void)pthread_cancel(w->thread);
    (void)pthread_join(w->thread, NULL);
}
