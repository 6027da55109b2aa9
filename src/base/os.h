/* The operating system, behind fault points: every open, read, write, fsync and rename of the
 * program passes here, and every error says path and reason. Local. */
#ifndef MOP_BASE_OS_H
#define MOP_BASE_OS_H

#include "base/err.h"

enum { OS_PATH_MAX = 4096 };

/* "dir/name" into out; ERR_USAGE if it does not fit. */
MUST err_t os_join(char out[OS_PATH_MAX], const char *dir, const char *name);

bool os_exists(const char *path);
bool os_is_dir(const char *path);
/* Why the system refused `path` with `error` (an errno), in words for a message; where a folder on the way to it is what is missing, in the way
 * or closed, which. */
enum { OS_WHY_MAX = 512 };
const char *os_why(const char *path, int error, char out[OS_WHY_MAX]);
bool os_enters(const char *path); /* a folder, and its files may be looked at: elsewhere they seem not to be there */
/* For messages about a path that os_enters or os_exists does not find: "is not a folder", "does not exist", or why it cannot be looked at. */
const char *os_no_dir(const char *path, char out[OS_WHY_MAX]);
MUST err_t os_mkdirs(const char *path);                 /* and its parents; fine if it is there */
MUST err_t os_mkdirs_new(const char *path, int *made);  /* how many of them, the deepest, were not there */
MUST err_t os_remove_tree(const char *path);            /* fine if it is not there; never follows links */
MUST err_t os_rename(const char *from, const char *to); /* and fsync of the folder that holds `to` */
MUST err_t os_sync_dir(const char *path);
MUST err_t os_same_file(const char *a, const char *b, bool *same); /* by device and inode; false if one is missing */

/* Names in a folder, sorted by byte, without "." and "..". Owned by the caller: os_free_list. */
MUST err_t os_list(const char *dir, char ***names, int64_t *count);
void os_free_list(char **names, int64_t count);

/* A whole file, at most max_bytes, with a NUL behind it. Owned by the caller: free. */
MUST err_t os_read_all(const char *path, int64_t max_bytes, char **data, int64_t *bytes);

/* Random access. `path` in the calls is for the messages. A Git LFS pointer in the place of a file is ERR_FORMAT; os_open_raw takes it for
 * the file, to copy it. */
MUST err_t os_open_read(const char *path, int *fd, int64_t *bytes);
MUST err_t os_open_raw(const char *path, int *fd, int64_t *bytes);
MUST err_t os_read_at(int fd, const char *path, void *to, int64_t bytes, int64_t offset); /* all of it or an error */
void os_close(int fd);

/* ERR_USAGE unless nothing is at `path`, nothing is in it yet, or `ours` knows its first bytes (64 KiB at most) as those of `what`: a file that
 * was named by mistake is not lost. */
MUST err_t os_may_replace(const char *path, bool (*ours)(const char *begin, int64_t bytes), const char *what);

/* Input read from its beginning to its end, once: a file, a pipe, or "-", standard input. *bytes is -1 where they are not known before. */
bool os_is_file(const char *path);                                             /* an ordinary one */
MUST err_t os_file_age(const char *path, int64_t *bytes, int64_t *changed_ns); /* when its bytes were last changed, since 1970 */
MUST err_t os_stream_open(const char *path, int *fd, int64_t *bytes);
MUST err_t os_stream_read(int fd, const char *path, void *to, int64_t room, int64_t *got); /* *got 0: the end */

/* A file that appears whole or not at all: written under a temporary name beside its own, then
 * fsync, rename, fsync of the folder. Zero-initialise or os_write_open before any other call. */
struct os_writer {
    int fd;
    bool open;
    char path[OS_PATH_MAX], tmp[OS_PATH_MAX];
    char *buffer; /* small writes gather here */
    int64_t held, written;
};
MUST err_t os_write_open(struct os_writer *w, const char *path);
MUST err_t os_write(struct os_writer *w, const void *data, int64_t bytes);
MUST err_t os_write_at(struct os_writer *w, const void *data, int64_t bytes, int64_t offset); /* overwrite what is already written */
MUST err_t os_write_commit(struct os_writer *w); /* on error the temporary file is gone and `path` is as it was */
void os_write_abort(struct os_writer *w);        /* fine after a commit or on a writer never opened */
MUST err_t os_write_all(const char *path, const void *data, int64_t bytes);

/* Append-only log file: opened once, each line written whole. */
MUST err_t os_append_open(const char *path, int *fd);
/* The file is its first `bytes` from now on, in place. */
MUST err_t os_truncate(const char *path, int64_t bytes);
MUST err_t os_append(int fd, const char *path, const void *data, int64_t bytes);

int64_t os_now_ns(void);    /* monotonic */
int64_t os_rss_bytes(void); /* resident anonymous memory of the process now */
int os_cpus(void);          /* that this process has to itself, a part of one counting whole: the least of limits_cpus */

/* Bytes that can be had without swapping or being killed: the least of limits_memory. */
int64_t os_memory_available(void);

/* Anonymous zeroed memory straight from the system (a fault point: reserve). More than is available is ERR_NOMEM at once,
 * not a kill when the pages are touched. */
MUST err_t os_reserve(size_t bytes, const char *what, void **out);
void os_release(void *p, size_t bytes);

#endif
