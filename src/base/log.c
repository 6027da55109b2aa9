#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int level_now = LOG_STEP;
static bool progress_open = false;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int my_rank = 0;

void log_set_level(int level) { level_now = level; }
int log_level(void) { return level_now; }
void log_set_rank(int rank) { my_rank = rank; }

void log_line(int level, const char *fmt, ...) {
    if (level > level_now || (my_rank != 0 && level > LOG_ERROR)) return;
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *kind = level == LOG_ERROR ? "error: " : level == LOG_WARN ? "warning: " : "";
    pthread_mutex_lock(&lock);
    if (progress_open) (void)fputc('\n', stderr);
    progress_open = false;
    if (my_rank != 0) (void)fprintf(stderr, "[rank %d] ", my_rank);
    (void)fprintf(stderr, "%s%s\n", kind, text);
    pthread_mutex_unlock(&lock);
}

/* Columns of a terminal on which a line can go over the one before; 0: standard error is none. No escape sequence is needed for
 * it, so that NO_COLOR has nothing to turn off. */
static int columns(void) {
    const char *term = getenv("TERM");
    struct winsize w;
    if (!isatty(STDERR_FILENO) || !term || !*term || strcmp(term, "dumb") == 0 || strcmp(term, "unknown") == 0) return 0;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col : 80;
}

void log_progress(const char *fmt, ...) {
    if (level_now < LOG_STEP || my_rank != 0) return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    const int room = columns() - 1; /* the last column may wrap */
    if (room >= 0) {
        (void)fprintf(stderr, "\r%-*.*s", room, room, text);
        progress_open = true;
    } else {
        (void)fprintf(stderr, "%s\n", text);
    }
    (void)fflush(stderr);
    pthread_mutex_unlock(&lock);
}
