#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define RUN_WORDS "[RUN.yaml ...] [key=value ...]"

const struct cli_command cli_commands[] = {
    {"train", "train a model, or carry one from folder to folder", RUN_WORDS, NULL, true, true, cmd_train},
    {"eval", "loss of a model on token files, or its accuracy in multiple choice",
     "data.valid=FILE.tok [RUN.yaml ...] [key=value ...]     loss, perplexity, bits per byte\n"
     "data.valid=FILE.jsonl [RUN.yaml ...] [key=value ...]   accuracy by likelihood: {\"context\", \"choices\", \"answer\": index} a line",
     eval_opt_list, true, false, cmd_eval},
    {"generate", "text from a model", RUN_WORDS, generate_opt_list, true, false, cmd_generate},
    {"tokenize", "text to ids or a token file, ids to text",
     "tokenizer=FILE in=FILE.jsonl ids=-        one JSON array of ids per record {\"text\": ...}\n"
     "tokenizer=FILE decode=FILE.jsonl text=-   one JSON string per record {\"ids\": ...}\n"
     "tokenizer=FILE in=PATHS out=FILE.tok      a token file from text files, folders of text, JSONL",
     tokenize_opt_list, false, false, cmd_tokenize},
    {"template", "what a chat template makes of conversations", "template=FILE|DIR in=FILE.jsonl [text=FILE]", template_opt_list, false, false,
     cmd_template},
    {"tokenizer-train", "make a byte-level BPE tokenizer.json from text", "in=PATHS out=FILE [key=value ...]", tokenizer_train_opt_list, false, false,
     cmd_tokenizer_train},
    {"parity", "compare a model's numbers with those of DIR/golden.safetensors", "DIR [key=value ...]", parity_opt_list, true, true, cmd_parity},
    {"verify", "check every byte that a run's manifests vouch for, or hold two runs against each other",
     "DIR\n"
     "DIR OTHER [tolerance=X]   models and checkpoints of both, tensor by tensor",
     NULL, false, false, cmd_verify},
    {"report", "what a run did, and where its time and memory went", "RUN", NULL, false, false, cmd_report},
    {"plot", "draw a run's loss, throughput and expert balance", "RUN [out=FILE.svg|FILE.html]", plot_opt_list, false, false, cmd_plot},
    {"doctor", "what this machine is, whether its kernels compute what they must, and how fast", "[key=value ...]", doctor_opt_list, false, false,
     cmd_doctor},
    {"bench", "measure, or look at a plan without running it",
     "dispatch plan=1                 send ratios of the routing profiles, by the plan of a dispatch\n"
     "dispatch in=FILE.json           the plan of counts of your own, as JSON\n"
     "dispatch [ranks=4 ...]          experts: ep, llep and pipelined for the routing profiles, on ranks that are threads\n"
     "vocab [ranks=4 ...]             the head: dense_logits, dtp and ring\n"
     "attention [ranks=4 ...]         Ulysses with 1 and more head chunks\n"
     "step [ranks=4 budget=GIB ...]   the whole step under presets fsdp and mop, and the longest context\n"
     "kernels [isa=SET] [threads=N]   every kernel's speed beside the roofline, of all sets in half a minute",
     NULL, false, false, cmd_bench},
    {"config", "print every option's value and where it came from", RUN_WORDS, NULL, true, false, cmd_config},
    {"help", "what a command does; all options", "[COMMAND | options | markdown | man | completion]", NULL, false, false, cmd_help},
    {"version", "print the version of mop", "", NULL, false, false, cmd_version},
    {0},
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
    const struct opt_word *w = opt_word_find(cli_command_words, name);
    if (w && w->ours) return FAIL(ERR_USAGE, "there is no command %.60s; mop calls it %s, see `mop help %s`", name, w->ours, w->ours);
    if (w) return FAIL(ERR_USAGE, "there is no command %.60s: %s; `mop help` lists all", name, w->how);
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
        (void)printf("  mop %s%s%.*s\n", c->name, *line ? " " : "", end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
    }
    if (c->opts) {
        (void)printf("\n");
        opt_help(&(struct opt_table){"options of its own", c->opts, NULL}, 1);
    }
    if (c->takes_run) (void)printf("\nIt takes the options of a run as well: `mop help options`.\n");
    return OK;
}
