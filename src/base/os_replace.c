/* What is written over. */
#include "base/os.h"

#include <string.h>

err_t os_may_replace(const char *path, bool (*ours)(const char *begin, int64_t bytes), const char *what) {
    enum { BEGIN = 1 << 16 };
    if (!os_exists(path)) return OK;
    char begin[BEGIN];
    int fd;
    int64_t bytes;
    TRY(os_open_read(path, &fd, &bytes));
    if (bytes > BEGIN) bytes = BEGIN;
    err_t err = os_read_at(fd, path, begin, bytes, 0);
    os_close(fd);
    TRY(err);
    if (bytes > 0 && !ours(begin, bytes))
        return FAIL(ERR_USAGE, "%s is there and is not %s; it is not replaced, choose another name for what is to be written", path, what);
    return OK;
}
