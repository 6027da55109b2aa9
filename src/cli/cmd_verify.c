#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static err_t compare(const char *dir, const char *other, const char *tolerance) {
    int64_t tensors, different;
    char *end = NULL;
    const double within = tolerance ? strtod(tolerance, &end) : 0;
    if (tolerance && (end == tolerance || *end || !(within >= 0)))
        return FAIL(ERR_USAGE, "tolerance=%.40s is not a number from 0 on; write tolerance=1e-5, say", tolerance);
    TRY(ckpt_compare(dir, other, within, &tensors, &different));
    (void)printf("%s and %s: %" PRId64 " tensors, ", dir, other, tensors);
    if (different == 0) (void)printf(within > 0 ? "all within %g of their norms\n" : "every bit the same\n", within);
    else (void)printf("%" PRId64 " DIFFERENT\n", different);
    return different == 0 ? OK : FAIL(ERR_FAILED, "%" PRId64 " tensors of %s and %s differ; the lines above say which", different, dir, other);
}

static const char *tolerance_of(const char *word) { return strncmp(word, "tolerance=", 10) == 0 ? word + 10 : NULL; }

err_t cmd_verify(int argc, char **argv) {
    const char *within = argc > 2 ? tolerance_of(argv[argc - 1]) : NULL;
    if (argc - (within != NULL) == 3 && argv[1][0] && argv[2][0]) return compare(argv[1], argv[2], within);
    if (argc != 2 || !argv[1][0])
        return FAIL(ERR_USAGE, "mop verify takes one folder, or two to compare, not %d words; see `mop help verify`", argc - 1);
    int64_t files = 0, tensors = 0;
    err_t err = ckpt_verify(argv[1], &files, &tensors);
    if (err == OK || err == ERR_FAILED)
        (void)printf("%s: %" PRId64 " files, %" PRId64 " tensors: %s\n", argv[1], files, tensors,
                     err == OK ? "every byte is as it was written" : "DAMAGED");
    return err;
}
