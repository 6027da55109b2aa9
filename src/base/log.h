/* Log to standard error (standard output belongs to a command's result). Levels by event rate:
 * 0 error, 1 warn, 2 once per run, 3 once per step, 4 per layer, 5 per kernel. Rank 0 prints; other
 * ranks print errors only, prefixed "[rank 3]". */
#ifndef MOP_BASE_LOG_H
#define MOP_BASE_LOG_H

#include "base/err.h"

enum { LOG_ERROR, LOG_WARN, LOG_RUN, LOG_STEP, LOG_LAYER, LOG_KERNEL };

void log_set_level(int level);
int log_level(void);
void log_set_rank(int rank); /* of the calling thread */

/* One line, newline added. A progress line under way is ended first. Any thread. */
void log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Where lines go: log_line, or what takes its place. */
typedef void (*log_sink)(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A line that overwrites itself where standard error is a terminal, and is an ordinary line
 * elsewhere. Level LOG_STEP. */
void log_progress(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
