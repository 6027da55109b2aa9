/* Reading beside a run at work, which may put another model in the place of one, write a checkpoint again, or remove it. */
#include "ckpt/ckpt_int.h"

#include <sys/stat.h>
#include <time.h>

/* A manifest that appears is always another file than the one before. */
static struct ckpt_mark mark_of(const char *dir) {
    char path[OS_PATH_MAX];
    struct stat st;
    if (os_join(path, dir, MANIFEST_NAME) != OK || stat(path, &st) != 0) return (struct ckpt_mark){0};
    return (struct ckpt_mark){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (int64_t)st.st_mtim.tv_sec, (int64_t)st.st_mtim.tv_nsec};
}

static bool is_committing(const char *dir) {
    char path[OS_PATH_MAX], who[OUT_WHO_MAX];
    return os_join(path, dir, COMMIT_NAME) == OK && os_exists(path) && out_busy(dir, who);
}

err_t ckpt_settle(const char *dir, struct ckpt_mark *mark) {
    enum { POLL_NS = 10000000, TRIES = 6000 }; /* a minute: what there is to wait for are renames */
    for (int i = 0; i < TRIES; i++) {
        *mark = mark_of(dir);
        if (!is_committing(dir)) return OK;
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    return FAIL(ERR_FAILED, "a run has been putting its model in place in %s for a minute; try again when it is done", dir);
}

bool ckpt_changed(const char *dir, const struct ckpt_mark *mark) {
    const struct ckpt_mark now = mark_of(dir);
    return is_committing(dir) || now.device != mark->device || now.inode != mark->inode || now.seconds != mark->seconds || now.ns != mark->ns;
}
