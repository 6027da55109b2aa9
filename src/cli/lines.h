/* Where a command's lines go: standard output, or a file that appears whole. Local. */
#ifndef MOP_CLI_LINES_H
#define MOP_CLI_LINES_H

#include "base/os.h"

/* Zero-initialise. */
struct lines {
    struct os_writer os;
    bool to_stdout;
    bool inside; /* of an array, for the caller's use */
};
/* -: standard output. A file that is there is replaced only where `own` knows its first bytes: `what` says what it must be (os_may_replace). */
MUST err_t lines_open(struct lines *l, const char *path, bool (*own)(const char *begin, int64_t bytes), const char *what);
MUST err_t lines_write(struct lines *l, const char *text, size_t bytes);
MUST err_t lines_close(struct lines *l, err_t err); /* err: how the writing ended, which it returns; after an error there is no file */

#endif
