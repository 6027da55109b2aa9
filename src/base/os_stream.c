/* Input that is read once, from its beginning: files, pipes, standard input. */
#include "base/fault.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool os_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

err_t os_file_age(const char *path, int64_t *bytes, int64_t *changed_ns) {
    struct stat st;
    char why[OS_WHY_MAX];
    if (stat(path, &st) != 0) return FAIL(ERR_IO, "cannot look at %s: %s; check the path and its permissions", path, os_why(path, errno, why));
    *bytes = st.st_size;
    *changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return OK;
}

err_t os_stream_open(const char *path, int *fd, int64_t *bytes) {
    const bool standard = strcmp(path, "-") == 0;
    if (!standard && os_is_file(path)) return os_open_read(path, fd, bytes);
    int f = fault_hit(FAULT_OPEN) ? -1 : standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0) return FAIL(ERR_IO, "cannot open %s: %s; check the path and its permissions", standard ? "standard input" : path, strerror(errno));
    struct stat st = {0};
    *bytes = fstat(f, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
    if (S_ISDIR(st.st_mode)) {
        (void)close(f);
        return FAIL(ERR_IO, "%s is a folder; name a file", standard ? "standard input" : path);
    }
    *fd = f;
    return OK;
}

err_t os_stream_read(int fd, const char *path, void *to, int64_t room, int64_t *got) {
    for (;;) {
        ssize_t n = fault_hit(FAULT_READ) ? -1 : read(fd, to, (size_t)(room < (1 << 30) ? room : (1 << 30)));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
        *got = n;
        return OK;
    }
}
