#include "base/fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file opened later must not become descriptor 0, 1 or 2: what is printed would go into it. Opened for reading, so
 * that writing there still fails. */
static void hold_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)open("/dev/null", O_RDONLY);
}

static bool is_help(const char *word) { return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

static err_t run(int argc, char **argv) {
    if (argc < 2) return FAIL(ERR_USAGE, "no command; `mop help` lists all");
    if (strcmp(argv[1], "--version") == 0) return cmd_version(1, argv + 1);
    if (is_help(argv[1])) return cli_help(argc > 2 ? argv[2] : NULL);
    const struct cli_command *c;
    TRY(cli_find(argv[1], &c));
    if (argc > 2 && is_help(argv[2])) return cli_help(c->name);
    return c->run(argc - 1, argv + 1);
}

/* Started by mpirun or srun, what is not a matter of ranks is done once, by the process that the launcher calls rank 0, without MPI:
 * an interactive step has the environment of ranks and no ranks. */
static err_t run_once(int argc, char **argv) {
    const char *fault = getenv("MOP_FAULT");
    if (fault) TRY(fault_arm_text(fault));
    const struct cli_command *c = NULL;
    const bool on_ranks = argc > 1 && cli_find(argv[1], &c) == OK && c->on_ranks;
    err_clear();
    return on_ranks || world_told_rank() == 0 ? run(argc, argv) : OK;
}

/* What was printed may still be on its way, to a disk that is full. */
static err_t close_stdout(void) {
    bool bad = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0) bad = true;
    if (!bad) return OK;
    return FAIL(ERR_IO, "cannot write standard output: %s; the result is not complete", errno ? strerror(errno) : "an earlier write failed");
}

struct words {
    int argc;
    char **argv;
    sigset_t signals; /* blocked when the program began */
    int status;       /* that it ends with */
};

static void *run_words(void *arg) {
    struct words *w = arg;
    (void)pthread_sigmask(SIG_SETMASK, &w->signals, NULL);
    err_t err = run_once(w->argc, w->argv);
    if (err == OK) err = close_stdout();
    w->status = err == OK ? 0 : err == ERR_USAGE ? 2 : 1;
    if (err == OK) return NULL;
    log_line(LOG_ERROR, "%s", *err_message() ? err_message() : "failed without a message; please report it");
    log_line(LOG_LAYER, "  in %s", err_trail());
    return NULL;
}

int main(int argc, char **argv) {
    struct words w = {.argc = argc, .argv = argv, .status = 1};
    pthread_t thread;
    sigset_t all;
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that went away is a failed write, not the end; */
    (void)signal(SIGXFSZ, SIG_IGN); /* and so is a file that grows beyond its limit */
    hold_standard_descriptors();
    /* a command runs on a thread, since the stack here is what `ulimit -s` allows, which may be too small; this one takes no signals */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &w.signals);
    const int why = thread_start(&thread, run_words, &w);
    if (why == 0) {
        (void)pthread_join(thread, NULL);
    } else {
        log_line(LOG_ERROR, "cannot start a thread with a stack of %d MiB: %s; allow more memory (ulimit -v) or processes (ulimit -u)",
                 THREAD_STACK >> 20, strerror(why));
    }
    return w.status;
}
