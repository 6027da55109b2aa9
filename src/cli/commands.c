#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

const struct cli_command cli_commands[] = {
    {"train", "train a model, or carry one from folder to folder", "[RUN.yaml ...] [key=value ...]", cmd_train},
    {"eval", "loss of a model on token files", "[RUN.yaml ...] [key=value ...]", cmd_eval},
    {"generate", "text from a model", "[RUN.yaml ...] [key=value ...]", cmd_generate},
    {"tokenize", "text to ids or a token file, ids to text",
     "tokenizer=FILE in=FILE.jsonl ids=-        one JSON array of ids per record {\"text\": ...}\n"
     "tokenizer=FILE decode=FILE.jsonl text=-   one JSON string per record {\"ids\": ...}\n"
     "tokenizer=FILE in=PATHS out=FILE.tok      a token file from text files, folders of text, JSONL",
     cmd_tokenize},
    {"tokenizer-train", "make a byte-level BPE tokenizer.json from text", "in=PATHS out=FILE [key=value ...]", cmd_tokenizer_train},
    {"parity", "compare a model's numbers with a golden file's", "DIR [key=value ...]", cmd_parity},
    {"verify", "check every byte that a run's manifests vouch for", "DIR", cmd_verify},
    {"bench", "measure, or look at a plan without running it",
     "dispatch plan=1         send ratios of the routing profiles, by the plan of a dispatch\n"
     "dispatch in=FILE.json   the plan of counts of your own, as JSON",
     cmd_bench},
    {"config", "print every option's value and where it came from", "[RUN.yaml ...] [key=value ...]", cmd_config},
    {"help", "what a command does; all options", "[COMMAND | options | markdown]", cmd_help},
    {NULL, NULL, NULL, NULL},
};

err_t cli_find(const char *name, const struct cli_command **out) {
    const char *names[32];
    int count = 0;
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) {
            *out = c;
            return OK;
        }
        names[count++] = c->name;
        ENSURE(count < 32);
    }
    const char *nearest = opt_nearest(name, names, count);
    if (nearest) return FAIL(ERR_USAGE, "there is no command %.60s; did you mean %s? `mop help` lists all", name, nearest);
    return FAIL(ERR_USAGE, "there is no command %.60s; `mop help` lists all", name);
}

err_t cli_help(const char *name) {
    if (!name) {
        (void)printf("usage: mop COMMAND [RUN.yaml ...] [key=value ...]\n\n");
        for (const struct cli_command *c = cli_commands; c->name; c++) (void)printf("  %-16s %s\n", c->name, c->summary);
        (void)printf("\n`mop help COMMAND` shows a command's words, `mop help options` all options of a run.\n"
                     "Exit codes: 0 done, 1 failed, 2 usage.\n");
        return OK;
    }
    const struct cli_command *c;
    TRY(cli_find(name, &c));
    (void)printf("mop %s: %s\n\n", c->name, c->summary);
    for (const char *line = c->usage; line;) {
        const char *end = strchr(line, '\n');
        (void)printf("  mop %s %.*s\n", c->name, end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
    }
    return OK;
}
