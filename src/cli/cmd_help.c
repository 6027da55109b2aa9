#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define MOP_VERSION "0.1.0"

static void options(void) {
    struct opt_table tables[OPT_TABLES];
    struct options values;
    opt_help(tables, cli_tables(tables, &values));
}

static void markdown(void) {
    struct opt_table tables[OPT_TABLES];
    struct options values;
    (void)printf("# Options\n\n"
                 "Made by `make docs` from the tables beside the code that reads them; do not edit.\n"
                 "In a run file (YAML) the dots may be nesting; on the command line they are `key=value`.\n"
                 "Whole numbers take k, M, G (powers of 1000) or Ki, Mi, Gi behind them.\n");
    opt_help_markdown(tables, cli_tables(tables, &values));
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        char head[64];
        (void)snprintf(head, sizeof head, "mop %s", c->name);
        if (c->opts) opt_help_markdown(&(struct opt_table){head, c->opts, NULL}, 1);
    }
}

const struct cli_topic cli_topics[] = {
    {"options", options}, {"markdown", markdown}, {"man", man_print}, {"completion", completion_print}, {NULL, NULL},
};

err_t cmd_help(int argc, char **argv) {
    if (argc > 2) return FAIL(ERR_USAGE, "mop help takes one word, not %d; see `mop help`", argc - 1);
    for (const struct cli_topic *t = cli_topics; argc == 2 && t->name; t++)
        if (strcmp(argv[1], t->name) == 0) {
            t->print();
            return OK;
        }
    TRY(cli_help(argc == 2 ? argv[1] : NULL));
    return OK;
}

err_t cmd_version(int argc, char **argv) {
    if (argc > 1) return FAIL(ERR_USAGE, "mop version takes no words; leave out %.60s", argv[1]);
    (void)printf("mop %s\n", MOP_VERSION);
    return OK;
}
