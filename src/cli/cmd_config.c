#include "cli/cli.h"

err_t cmd_config(int argc, char **argv) {
    struct options values;
    struct opt_set *s;
    TRY(cli_load(argc, argv, NULL, &values, &s));
    opt_print(s);
    opt_free(s);
    return OK;
}
