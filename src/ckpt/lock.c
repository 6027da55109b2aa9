/* One run, one folder. OUT/run.lock is locked by the run at work there, in the kernel, so that a killed run holds nothing; its text says who, for
 * messages. A run that ends by itself removes it. */
#include "base/log.h"
#include "base/os_lock.h"
#include "ckpt/ckpt_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 256, POLL_NS = 50000000, GOING_NS = 1000000000 };
/* A run whose launcher was killed ends seconds after it. */
#define WAIT_NS ((int64_t)5 * GOING_NS)

static err_t lock_path(const char *out, char path[OS_PATH_MAX]) { return os_join(path, out, LOCK_NAME); }

/* What the lock's file says, without what a terminal would take for orders; "" where it says nothing. */
static void read_text(const char *path, char text[TEXT_MAX]) {
    FILE *f = fopen(path, "re");
    const size_t n = f ? fread(text, 1, TEXT_MAX - 1, f) : 0;
    if (f) (void)fclose(f);
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
}

static void write_text(int fd) {
    char host[65] = "?", began[32] = "?", text[TEXT_MAX];
    time_t now = time(NULL);
    struct tm utc;
    (void)gethostname(host, sizeof host - 1);
    if (gmtime_r(&now, &utc)) (void)strftime(began, sizeof began, "%Y-%m-%d %H:%M:%S UTC", &utc);
    const int n = snprintf(text, sizeof text, "process %lld on host %s, begun %s\n", (long long)getpid(), host, began);
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n) return; /* for messages only */
}

uint64_t out_lock_mark(const char *out) {
    char path[OS_PATH_MAX], text[TEXT_MAX];
    if (lock_path(out, path) != OK) return 0;
    read_text(path, text);
    return *text ? XXH3_64bits(text, strlen(text)) : 0;
}

static void pause_ns(long ns) { (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

bool out_busy(const char *out, char who[OUT_WHO_MAX]) {
    char path[OS_PATH_MAX], text[TEXT_MAX];
    if (lock_path(out, path) != OK || !os_is_locked(path)) return false;
    read_text(path, text);
    (void)snprintf(who, OUT_WHO_MAX, "%.200s", *text ? text : "of which nothing is known");
    return true;
}

/* Folders made for the lock that hold nothing go again. */
static void remove_made(const struct out_lock *l) {
    char p[OS_PATH_MAX];
    (void)snprintf(p, sizeof p, "%s", l->out);
    for (int left = l->made; left > 0; left--) {
        size_t n = strlen(p);
        while (n > 1 && p[n - 1] == '/') p[--n] = 0;
        if (rmdir(p) != 0) return;
        char *slash = strrchr(p, '/');
        if (!slash || slash == p) return;
        *slash = 0;
    }
}

/* What there is to say of a lock that not everyone sees. */
static void say_reach(const struct out_lock *l, const char *last) {
    char what[OS_REACH_MAX];
    if (os_lock_reaches_all(l->fd, what)) return;
    log_line(LOG_WARN,
             "out=%s lies on %s, where a lock may hold on this host only: a run of another host in the same folder would not be noticed%s%.200s%s",
             l->out, what, *last ? "; the last run there did not end by itself: " : "", last, *last ? "; make sure that it is not at work" : "");
}

static err_t take(struct out_lock *l, const char *path, bool wait, enum os_lock *got, int *why) {
    const int64_t start = os_now_ns();
    bool said = false;
    char who[OUT_WHO_MAX];
    for (;;) {
        *got = os_lock(path, &l->fd, why);
        if (*got != OS_LOCK_BUSY) return OK;
        const int64_t waited = os_now_ns() - start;
        if (!wait || waited > WAIT_NS) {
            if (!out_busy(l->out, who)) continue; /* it has just ended */
            return FAIL(ERR_USAGE, "a run is at work in out=%s: %s; wait until it ends, stop it, or choose another out", l->out, who);
        }
        if (!said && waited > GOING_NS) log_line(LOG_RUN, "a run is at work in %s; waiting a moment in case it is about to end", l->out);
        said = said || waited > GOING_NS;
        pause_ns(POLL_NS);
    }
}

/* The file could not be opened for writing. Where nothing can be written, a finished run can still be found to be one. */
static err_t not_ours(const struct out_lock *l, const char *path, int why) {
    char text[OS_WHY_MAX], who[OUT_WHO_MAX];
    if (why == EROFS || (why == EACCES && !os_exists(path))) return OK;
    if (out_busy(l->out, who)) return FAIL(ERR_USAGE, "a run is at work in out=%s: %s; wait until it ends, or choose another out", l->out, who);
    return FAIL(ERR_IO, "cannot write %s: %s; check the folder, its permissions and the disk", path, os_why(path, why, text));
}

static err_t take_or_say(struct out_lock *l, bool wait) {
    char path[OS_PATH_MAX], last[TEXT_MAX], text[OS_WHY_MAX];
    enum os_lock got;
    int why;
    TRY(lock_path(l->out, path));
    read_text(path, last); /* left by a killed run, where we get the lock */
    if (*last && strncmp(last, "process ", 8) != 0)
        return FAIL(ERR_USAGE, "%s is in the way: it is no lock of a run; rename it, or choose another out", path);
    TRY(take(l, path, wait, &got, &why));
    if (got == OS_LOCK_HELD) {
        say_reach(l, last);
        write_text(l->fd);
        return OK;
    }
    if (l->fd < 0) return not_ours(l, path, why);
    log_line(LOG_WARN, "out=%s: its file system has no locks (%s): a second run in the same folder would not be noticed; start one at a time", l->out,
             os_why(path, why, text));
    return OK;
}

err_t out_lock_take(const char *out, bool wait, struct out_lock *l) {
    *l = (struct out_lock){.out = out, .fd = -1};
    TRY(os_mkdirs_new(out, &l->made));
    err_t err = take_or_say(l, wait);
    if (err != OK) {
        os_close(l->fd);
        remove_made(l);
        *l = (struct out_lock){.fd = -1};
    }
    return err;
}

void out_lock_drop(struct out_lock *l) {
    char path[OS_PATH_MAX];
    if (!l->out) return;
    if (l->fd >= 0 && lock_path(l->out, path) == OK) (void)unlink(path); /* before it is given up: the next to lock it looks whether it is there */
    os_close(l->fd);
    remove_made(l);
    *l = (struct out_lock){.fd = -1};
}
