#include "cli/lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

err_t lines_open(struct lines *l, const char *path, bool (*own)(const char *begin, int64_t bytes), const char *what) {
    l->to_stdout = strcmp(path, "-") == 0;
    if (l->to_stdout) return OK;
    TRY(os_may_replace(path, own, what));
    return os_write_open(&l->os, path);
}

err_t lines_write(struct lines *l, const char *text, size_t bytes) {
    if (!l->to_stdout) return os_write(&l->os, text, (int64_t)bytes);
    if (fwrite(text, 1, bytes, stdout) != bytes) return FAIL(ERR_IO, "cannot write standard output: %s; the result is not complete", strerror(errno));
    return OK;
}

err_t lines_close(struct lines *l, err_t err) {
    if (l->to_stdout) return err;
    if (err == OK) return os_write_commit(&l->os);
    os_write_abort(&l->os);
    return err;
}
