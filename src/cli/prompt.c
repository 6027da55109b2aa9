/* A prompt out of a file or standard input. */
#include "base/os.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

err_t cli_read_prompt(const char *path, char **text, int64_t *bytes) {
    enum { MOST = 1 << 30 };
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    int fd;
    int64_t known, used = 0, room = 1 << 16, got = 1;
    TRY(os_stream_open(path, &fd, &known));
    char *to = malloc((size_t)room);
    err_t err = to ? OK : FAIL(ERR_NOMEM, "out of memory for the prompt of %s", name);
    while (err == OK && got > 0) {
        if (used == room) {
            char *more = room < MOST ? realloc(to, (size_t)room * 2) : NULL;
            if (!more) {
                err = FAIL(ERR_NOMEM, "%s is longer than a prompt can be, %lld bytes; shorten it", name, (long long)room);
                break;
            }
            to = more;
            room *= 2;
        }
        err = os_stream_read(fd, name, to + used, room - used, &got);
        if (err == OK) used += got;
    }
    os_close(fd);
    if (err == OK && used > 0 && to[used - 1] == '\n') used -= used > 1 && to[used - 2] == '\r' ? 2 : 1; /* editors and echo end a text so */
    if (err != OK) {
        free(to);
        return err;
    }
    *text = to;
    *bytes = used;
    return OK;
}
