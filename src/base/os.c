#include "base/os.h"

#include "base/fault.h"
#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_BUFFER = 1 << 20 };

err_t os_join(char out[OS_PATH_MAX], const char *dir, const char *name) {
    int n = snprintf(out, OS_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= OS_PATH_MAX)
        return FAIL(ERR_USAGE, "the path %.60s.../%.60s is longer than %d bytes; use a shorter one", dir, name, OS_PATH_MAX - 1);
    return OK;
}

bool os_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool os_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static err_t make_folder(const char *path, int *made) {
    char text[OS_WHY_MAX];
    if (os_is_dir(path)) return OK;
    if (!fault_hit(FAULT_MKDIR) && mkdir(path, 0777) == 0) {
        (*made)++;
        return OK;
    }
    const int why = errno;
    if (os_is_dir(path)) return OK; /* by another, in the meantime */
    if (os_exists(path)) return FAIL(ERR_IO, "%s is in the way: it is not a folder; choose another path", path);
    return FAIL(ERR_IO, "cannot make the folder %s: %s; check the path, its permissions and the disk", path, os_why(path, why, text));
}

err_t os_mkdirs_new(const char *path, int *made) {
    char p[OS_PATH_MAX];
    *made = 0;
    if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p)
        return FAIL(ERR_USAGE, "the path %.60s... is longer than %d bytes; use a shorter one", path, OS_PATH_MAX - 1);
    for (char *s = p + 1; s[-1]; s++) {
        if (*s != '/' && *s != 0) continue;
        char keep = *s;
        *s = 0;
        TRY(make_folder(p, made));
        *s = keep;
    }
    return OK;
}

err_t os_mkdirs(const char *path) {
    int made;
    return os_mkdirs_new(path, &made);
}

err_t os_remove_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) return OK;
    if (S_ISDIR(st.st_mode)) {
        char **names;
        int64_t n;
        TRY(os_list(path, &names, &n));
        err_t err = OK;
        for (int64_t i = 0; i < n && err == OK; i++) {
            char p[OS_PATH_MAX];
            err = os_join(p, path, names[i]);
            if (err == OK) err = os_remove_tree(p);
        }
        os_free_list(names, n);
        TRY(err);
        if (fault_hit(FAULT_REMOVE) || rmdir(path) != 0) return FAIL(ERR_IO, "cannot remove the folder %s: %s", path, strerror(errno));
    } else if (fault_hit(FAULT_REMOVE) || unlink(path) != 0) {
        return FAIL(ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return OK;
}

err_t os_sync_dir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return FAIL(ERR_IO, "cannot open the folder %s: %s", path, strerror(errno));
    int bad = fault_hit(FAULT_FSYNC) || fsync(fd) != 0;
    int why = errno;
    (void)close(fd);
    if (bad) return FAIL(ERR_IO, "fsync of the folder %s failed: %s; the disk may be full or failing", path, strerror(why));
    return OK;
}

static err_t sync_parent(const char *path) {
    char dir[OS_PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash) return os_sync_dir(".");
    if (slash == dir) slash++;
    *slash = 0;
    return os_sync_dir(dir);
}

err_t os_rename(const char *from, const char *to) {
    if (fault_hit(FAULT_RENAME) || rename(from, to) != 0) return FAIL(ERR_IO, "cannot rename %s to %s: %s", from, to, strerror(errno));
    return sync_parent(to);
}

err_t os_same_file(const char *a, const char *b, bool *same) {
    struct stat x, y;
    *same = stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    return OK;
}

static int by_byte(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

err_t os_list(const char *dir, char ***names, int64_t *count) {
    char why[OS_WHY_MAX];
    DIR *d = fault_hit(FAULT_OPEN) ? NULL : opendir(dir);
    if (!d) return FAIL(ERR_IO, "cannot list the folder %s: %s; check the path and its permissions", dir, os_why(dir, errno, why));
    char **list = NULL;
    int64_t n = 0, room = 0;
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (n == room) {
            room = room ? 2 * room : 16;
            char **more = realloc(list, (size_t)room * sizeof *list);
            if (!more) goto nomem;
            list = more;
        }
        list[n] = strdup(e->d_name);
        if (!list[n]) goto nomem;
        n++;
    }
    (void)closedir(d);
    if (n) qsort(list, (size_t)n, sizeof *list, by_byte);
    *names = list;
    *count = n;
    return OK;
nomem:
    (void)closedir(d);
    os_free_list(list, n);
    return FAIL(ERR_NOMEM, "out of memory while listing the folder %s", dir);
}

void os_free_list(char **names, int64_t count) {
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

err_t os_open_raw(const char *path, int *fd, int64_t *bytes) {
    /* O_NONBLOCK: a pipe without a writer is refused below rather than waited for; ordinary files do not know it */
    char why[OS_WHY_MAX];
    int f = fault_hit(FAULT_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f < 0) return FAIL(ERR_IO, "cannot open %s: %s; check the path and its permissions", path, os_why(path, errno, why));
    struct stat st = {0};
    if (fstat(f, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(f);
        return FAIL(ERR_IO, "%s is not an ordinary file but %s; give a file", path, S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
    }
    *fd = f;
    *bytes = st.st_size;
    return OK;
}

err_t os_open_read(const char *path, int *fd, int64_t *bytes) {
    static const char pointer[] = "version https://git-lfs.github.com/spec/";
    enum { MOST = 1024 }; /* pointers have some 130 bytes */
    char begin[sizeof pointer - 1];
    TRY(os_open_raw(path, fd, bytes));
    const bool is = *bytes >= (int64_t)sizeof begin && *bytes <= MOST && pread(*fd, begin, sizeof begin, 0) == (ssize_t)sizeof begin &&
                    memcmp(begin, pointer, sizeof begin) == 0;
    if (!is) return OK;
    os_close(*fd);
    return FAIL(ERR_FORMAT, "%s is a Git LFS pointer, not the file that it stands for; run `git lfs pull` in its folder", path);
}

err_t os_read_at(int fd, const char *path, void *to, int64_t bytes, int64_t offset) {
    char *p = to;
    while (bytes > 0) {
        int64_t ask = bytes < (1 << 30) ? bytes : (1 << 30);
        ssize_t n = fault_hit(FAULT_READ) ? -1 : pread(fd, p, (size_t)ask, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(ERR_IO, "cannot read %s at byte %lld: %s", path, (long long)offset, strerror(errno));
        if (n == 0)
            return FAIL(ERR_FORMAT, "%s ends at byte %lld, %lld bytes early; it is truncated, copy it again", path, (long long)offset,
                        (long long)bytes);
        p += n;
        bytes -= n;
        offset += n;
    }
    return OK;
}

void os_close(int fd) {
    if (fd >= 0) (void)close(fd);
}

err_t os_read_all(const char *path, int64_t max_bytes, char **data, int64_t *bytes) {
    int fd = -1;
    int64_t n = 0;
    TRY(os_open_read(path, &fd, &n));
    err_t err = OK;
    char *p = NULL;
    if (n > max_bytes)
        err = FAIL(ERR_FORMAT, "%s has %lld bytes, more than the %lld that such a file may have; is it the right file?", path, (long long)n,
                   (long long)max_bytes);
    else if (!(p = malloc((size_t)n + 1))) err = FAIL(ERR_NOMEM, "out of memory for the %lld bytes of %s", (long long)n, path);
    else err = os_read_at(fd, path, p, n, 0);
    os_close(fd);
    if (err != OK) {
        free(p);
        return err;
    }
    p[n] = 0;
    *data = p;
    *bytes = n;
    return OK;
}

err_t os_write_open(struct os_writer *w, const char *path) {
    memset(w, 0, sizeof *w);
    if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path - 16)
        return FAIL(ERR_USAGE, "the path %.60s... is longer than %d bytes; use a shorter one", path, OS_PATH_MAX - 17);
    (void)snprintf(w->tmp, sizeof w->tmp, "%.*s.mop-part", OS_PATH_MAX - 16, path);
    struct stat st; /* the rename at the end would put a file in the place of a device or a pipe */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return FAIL(ERR_IO, "%s is there and is not an ordinary file; it is not replaced, choose another path", path);
    w->buffer = malloc(WRITE_BUFFER);
    if (!w->buffer) return FAIL(ERR_NOMEM, "out of memory for the write buffer of %s", path);
    w->fd = fault_hit(FAULT_OPEN) ? -1 : open(w->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        char text[OS_WHY_MAX];
        const int why = errno;
        free(w->buffer);
        w->buffer = NULL;
        return FAIL(ERR_IO, "cannot write %s: %s; check the folder, its permissions and the disk", path, os_why(path, why, text));
    }
    w->open = true;
    return OK;
}

static err_t write_raw(struct os_writer *w, const char *p, int64_t bytes, int64_t at) {
    while (bytes > 0) {
        int64_t ask = bytes < (1 << 30) ? bytes : (1 << 30);
        ssize_t n = fault_hit(FAULT_WRITE) ? -1 : pwrite(w->fd, p, (size_t)ask, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return FAIL(ERR_IO, "cannot write %s at byte %lld: %s; what stood there before is intact", w->path, (long long)at, strerror(errno));
        p += n;
        bytes -= n;
        at += n;
    }
    return OK;
}

static err_t flush(struct os_writer *w) {
    TRY(write_raw(w, w->buffer, w->held, w->written - w->held));
    w->held = 0;
    return OK;
}

err_t os_write(struct os_writer *w, const void *data, int64_t bytes) {
    if (w->held + bytes > WRITE_BUFFER) TRY(flush(w));
    if (bytes > WRITE_BUFFER) {
        TRY(write_raw(w, data, bytes, w->written));
    } else {
        memcpy(w->buffer + w->held, data, (size_t)bytes);
        w->held += bytes;
    }
    w->written += bytes;
    return OK;
}

err_t os_write_at(struct os_writer *w, const void *data, int64_t bytes, int64_t offset) {
    ENSURE(offset >= 0 && offset + bytes <= w->written);
    TRY(flush(w));
    return write_raw(w, data, bytes, offset);
}

err_t os_write_commit(struct os_writer *w) {
    err_t err = flush(w);
    if (err == OK && (fault_hit(FAULT_FSYNC) || fsync(w->fd) != 0))
        err = FAIL(ERR_IO, "fsync of %s failed: %s; what stood there before is intact", w->tmp, strerror(errno));
    if (err == OK && close(w->fd) != 0) err = FAIL(ERR_IO, "closing %s failed: %s", w->tmp, strerror(errno));
    else if (err == OK) w->fd = -1;
    if (err == OK) err = os_rename(w->tmp, w->path);
    if (err != OK) {
        os_write_abort(w);
        return err;
    }
    w->open = false;
    free(w->buffer);
    w->buffer = NULL;
    return OK;
}

void os_write_abort(struct os_writer *w) {
    if (!w->open) return;
    os_close(w->fd);
    (void)unlink(w->tmp);
    w->open = false;
    free(w->buffer);
    w->buffer = NULL;
}

err_t os_write_all(const char *path, const void *data, int64_t bytes) {
    struct os_writer w;
    TRY(os_write_open(&w, path));
    err_t err = os_write(&w, data, bytes);
    if (err == OK) return os_write_commit(&w);
    os_write_abort(&w);
    return err;
}

err_t os_append_open(const char *path, int *fd) {
    char why[OS_WHY_MAX];
    *fd = fault_hit(FAULT_OPEN) ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (*fd < 0) return FAIL(ERR_IO, "cannot write %s: %s; check the folder and its permissions", path, os_why(path, errno, why));
    return OK;
}

err_t os_truncate(const char *path, int64_t bytes) {
    if (fault_hit(FAULT_WRITE) || truncate(path, bytes) != 0)
        return FAIL(ERR_IO, "cannot cut %s to its first %lld bytes: %s; check its permissions", path, (long long)bytes, strerror(errno));
    return OK;
}

err_t os_append(int fd, const char *path, const void *data, int64_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = fault_hit(FAULT_WRITE) ? -1 : write(fd, p, (size_t)bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return FAIL(ERR_IO, "cannot write %s: %s", path, strerror(errno));
        p += n;
        bytes -= n;
    }
    return OK;
}

int64_t os_now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t os_rss_bytes(void) {
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    char line[256];
    long long kib = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %lld kB", &kib) == 1) break;
    (void)fclose(f);
    return kib * 1024;
}

int os_cpus(void) {
    struct limits l;
    limits_cpus(&l, NULL);
    const double n = limits_least(&l)->have;
    return n > 1 ? (int)n + (n > (int)n) : 1;
}

int64_t os_memory_available(void) {
    struct limits l;
    limits_memory(&l);
    return (int64_t)limits_least(&l)->have;
}

err_t os_reserve(size_t bytes, const char *what, void **out) {
    enum { SMALL = 16 << 20 }; /* not worth the question */
    if (bytes == 0) bytes = 1;
    if (bytes > SMALL) {
        struct limits l;
        limits_memory(&l);
        const struct limit *least = limits_least(&l);
        if ((double)bytes > least->have)
            return FAIL(ERR_NOMEM, "%s needs %.2f GiB, of memory there are %.2f GiB available (%s); use a smaller model, batch or sequence", what,
                        (double)bytes / 1073741824.0, least->have / 1073741824.0, least->name);
    }
    void *p = fault_hit(FAULT_RESERVE) ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return FAIL(ERR_NOMEM, "cannot reserve %.1f MiB for %s: %s; use a smaller model, batch or sequence", (double)bytes / 1048576.0, what,
                    strerror(errno));
    /* matrices are read in columns of many rows, each on a page of its own if pages are small */
    if (bytes > SMALL) (void)madvise(p, bytes, MADV_HUGEPAGE);
    *out = p;
    return OK;
}

void os_release(void *p, size_t bytes) {
    if (p) (void)munmap(p, bytes ? bytes : 1);
}
