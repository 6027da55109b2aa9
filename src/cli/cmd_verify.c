#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

err_t cmd_verify(int argc, char **argv) {
    if (argc != 2 || !argv[1][0]) return FAIL(ERR_USAGE, "mop verify takes one folder, not %d words; see `mop help verify`", argc - 1);
    int64_t files = 0, tensors = 0;
    err_t err = ckpt_verify(argv[1], &files, &tensors);
    if (err == OK || err == ERR_FAILED)
        (void)printf("%s: %" PRId64 " files, %" PRId64 " tensors: %s\n", argv[1], files, tensors,
                     err == OK ? "every byte is as it was written" : "DAMAGED");
    return err;
}
