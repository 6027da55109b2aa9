/* WHAT    Signals that ask a run for something. A thread waits for them, so that no handler interrupts anything.
 *           SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXCPU   finish the step, save a checkpoint, end with 0
 *           SIGUSR2                                     print the time table and go on
 *         SIGTERM or SIGINT again, a second or more after the first of them, ends the program at once with 1. Sooner they are one request: a
 *         launcher signals a process and its group. The others come from systems (a line that breaks, Slurm before the time is up, a limit of CPU
 *         time, every second), which mean no hurry by them.
 *         A signal that was ignored when the program began (nohup, a job in a script's background) stays ignored.
 * One for the process, begun before its ranks. */
#ifndef MOP_CLI_WATCH_H
#define MOP_CLI_WATCH_H

#include "base/err.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct watch {
    atomic_int stop, report; /* asked for */
    atomic_int quiet;        /* another process says it */
    sigset_t set;
    pthread_t thread;
};

MUST err_t watch_begin(struct watch *w);
void watch_end(struct watch *w);

#endif
