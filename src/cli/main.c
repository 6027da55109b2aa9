#include "base/fault.h"
#include "base/log.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOP_VERSION "0.1.0"

/* A file opened later must not become descriptor 0, 1 or 2: what is printed would go into it. Opened for reading, so
 * that writing there still fails. */
static void hold_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)open("/dev/null", O_RDONLY);
}

static bool is_help(const char *word) { return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

struct words {
    int argc;
    char **argv;
};

static err_t run(int argc, char **argv) {
    if (argc < 2) return FAIL(ERR_USAGE, "no command; `mop help` lists all");
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("mop %s\n", MOP_VERSION);
        return OK;
    }
    if (is_help(argv[1])) return cli_help(argc > 2 ? argv[2] : NULL);
    const struct cli_command *c;
    TRY(cli_find(argv[1], &c));
    if (argc > 2 && is_help(argv[2])) return cli_help(c->name);
    return c->run(argc - 1, argv + 1);
}

static err_t on_rank_0(void *arg, int rank, struct comm *world) {
    const struct words *w = arg;
    (void)world;
    return rank == 0 ? run(w->argc, w->argv) : OK;
}

/* Started by mpirun or srun, what is not a matter of ranks is done once; the other processes wait for it. */
static err_t run_once(int argc, char **argv) {
    const char *fault = getenv("MOP_FAULT");
    if (fault) TRY(fault_arm_text(fault));
    const struct cli_command *c = NULL;
    const bool ranks = argc > 1 && world_launched() && cli_find(argv[1], &c) == OK && c->on_ranks;
    if (!world_launched() || ranks) return run(argc, argv);
    err_clear();
    return world_run(0, on_rank_0, &(struct words){argc, argv});
}

/* What was printed may still be on its way, to a disk that is full. */
static err_t close_stdout(void) {
    bool bad = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0) bad = true;
    if (!bad) return OK;
    return FAIL(ERR_IO, "cannot write standard output: %s; the result is not complete", errno ? strerror(errno) : "an earlier write failed");
}

int main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that went away is a failed write, not the end; */
    (void)signal(SIGXFSZ, SIG_IGN); /* and so is a file that grows beyond its limit */
    hold_standard_descriptors();
    err_t err = run_once(argc, argv);
    if (err == OK) err = close_stdout();
    if (err == OK) return 0;
    log_line(LOG_ERROR, "%s", *err_message() ? err_message() : "failed without a message; please report it");
    log_line(LOG_LAYER, "  in %s", err_trail());
    return err == ERR_USAGE ? 2 : 1;
}
