/* `mop help man`: the manual page, in roff's man macros, from the tables of commands and options. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char date[] = "2026-11-24"; /* of the words below: a page has one, and a build is to be repeatable */

/* Up to `n` bytes as running text: nothing in it is markup. Long lines of the source are broken at spaces. */
static void text_n(const char *s, size_t n) {
    size_t column = 0;
    for (size_t i = 0; i < n && s[i]; i++, column++) {
        if (s[i] == ' ' && column > 60 && i + 1 < n && s[i + 1] && s[i + 1] != ' ') {
            (void)putchar('\n');
            column = 0;
            i++;
        }
        if (column == 0 && (s[i] == '.' || s[i] == '\'')) (void)fputs("\\&", stdout);
        switch (s[i]) {
        case '\\': (void)fputs("\\e", stdout); break;
        case '-': (void)fputs("\\-", stdout); break;
        case '\'': (void)fputs("\\(aq", stdout); break;
        case '`': (void)fputs("\\(ga", stdout); break;
        case '^': (void)fputs("\\(ha", stdout); break;
        case '~': (void)fputs("\\(ti", stdout); break;
        default: (void)putchar(s[i]);
        }
    }
}

static void text(const char *s) { text_n(s, strlen(s)); }

static const char *kind(const struct opt *o) {
    switch (o->type) {
    case OPT_BOOL: return "true|false";
    case OPT_INT: return "INTEGER";
    case OPT_FLOAT: return "NUMBER";
    case OPT_CHOICE: return o->choices;
    case OPT_PATH: return "PATH";
    case OPT_PATHS: return "PATH[,PATH...]";
    case OPT_TEXT: break;
    }
    return "TEXT";
}

static void options(const struct opt *o) {
    for (; o->key; o++) {
        (void)fputs(".TP\n\\fB", stdout);
        text(o->key);
        (void)fputs("\\fR=\\fI", stdout);
        text(kind(o));
        (void)fputs("\\fR\n", stdout);
        text(o->help);
        (void)fputs(".\n", stdout);
        if (!o->def) continue;
        (void)fputs("Default: ", stdout);
        text(*o->def ? o->def : "\"\"");
        (void)fputs(".\n", stdout);
    }
}

/* One form of a command: its words, and behind three spaces or more what that form does. */
static void form(const struct cli_command *c, const char *line, size_t n) {
    const char *gap = strstr(line, "   ");
    const size_t words = gap && gap < line + n ? (size_t)(gap - line) : n;
    const size_t says = words + strspn(line + words, " ");
    (void)fputs(says < n ? ".TP\n\\fBmop " : ".PP\n\\fBmop ", stdout);
    text(c->name);
    (void)fputs(words ? "\\fR " : "\\fR", stdout);
    text_n(line, words);
    (void)putchar('\n');
    if (says >= n) return;
    text_n(line + says, n - says);
    (void)putchar('\n');
}

static void command(const struct cli_command *c) {
    (void)fputs(".SS ", stdout);
    text(c->name);
    (void)putchar('\n');
    text(c->summary);
    (void)fputs(".\n", stdout);
    const char *line = c->usage; /* a command may have no words */
    do {
        const size_t n = strcspn(line, "\n");
        form(c, line, n);
        line += n + (line[n] == '\n');
    } while (*line);
    if (c->takes_run) (void)fputs(".PP\nIt takes the options of a run.\n", stdout);
    if (c->opts) {
        (void)printf(".PP\n%s:\n", c->takes_run ? "Options of its own" : "Options");
        options(c->opts);
    }
}

void man_print(void) {
    struct opt_table tables[OPT_TABLES];
    struct options values;
    const int count = cli_tables(tables, &values);
    (void)printf(".\\\" made by `mop help man`\n"
                 ".TH MOP 1 %s mop \"User Commands\"\n"
                 ".SH NAME\n"
                 "mop \\- train mixture\\-of\\-experts language models\n"
                 ".SH SYNOPSIS\n"
                 ".B mop\n"
                 ".I COMMAND\n"
                 "[\\fIRUN.yaml\\fR ...] [\\fIkey\\fR=\\fIvalue\\fR ...]\n"
                 ".SH DESCRIPTION\n"
                 "mop trains all the parameters of a mixture\\-of\\-experts language model.\n"
                 "A Hugging Face folder, or nothing but a config, and text go in;\n"
                 "a Hugging Face folder comes out.\n"
                 "The same run gives the same bits for any number of threads,\n"
                 "and a run that was stopped and resumed equals one that was not.\n"
                 ".PP\n"
                 "Options are written \\fIkey\\fR=\\fIvalue\\fR, and may stand in run files,\n"
                 "which are YAML; there the dots of a key may be nesting.\n"
                 "What stands on the command line wins, and among run files the last.\n"
                 "Whole numbers take k, M, G (powers of 1000) or Ki, Mi, Gi behind them.\n"
                 ".SH COMMANDS\n",
                 date);
    for (const struct cli_command *c = cli_commands; c->name; c++) command(c);
    (void)fputs(".SH OPTIONS OF A RUN\n"
                "The ranges of numbers are in what \\fBmop help options\\fR prints.\n",
                stdout);
    for (int i = 0; i < count; i++) {
        (void)printf(".SS %s\n", tables[i].room);
        options(tables[i].opts);
    }
    (void)fputs(".SH FILES\n"
                "Of a run with \\fBout\\fR=\\fIOUT\\fR:\n"
                ".TP\n"
                ".I OUT/config.json, OUT/model.safetensors, OUT/tokenizer.json\n"
                "The trained model, once the run is done.\n"
                ".TP\n"
                ".I OUT/manifest.json\n"
                "What was written, with checksums; \\fBmop verify\\fR reads it.\n"
                ".TP\n"
                ".I OUT/log.jsonl\n"
                "One JSON object a step.\n"
                ".TP\n"
                ".I OUT/events.out.tfevents.*\n"
                "The same for TensorBoard.\n"
                ".TP\n"
                ".I OUT/ckpt/\n"
                "Checkpoints, from which \\fBtrain.resume\\fR=auto goes on.\n"
                ".SH EXIT STATUS\n"
                "0 done, 1 failed, 2 usage.\n"
                ".SH SIGNALS\n"
                "A training run that gets SIGTERM, SIGINT (Ctrl\\-C), SIGHUP, SIGUSR1 or SIGXCPU finishes its step,\n"
                "saves a checkpoint and ends with 0.\n"
                "SIGTERM or SIGINT again, a second or more after the first, ends it at once with 1.\n"
                "SIGUSR2 prints the time table.\n"
                ".SH EXAMPLES\n"
                ".nf\n"
                "mop tokenizer\\-train in=text/ out=tokenizer.json\n"
                "mop tokenize tokenizer=tokenizer.json in=text/ out=train.tok\n"
                "mop train model.init=DIR data.train=train.tok train.steps=1000 out=OUT\n"
                "mop report OUT\n"
                "mop plot OUT\n"
                "mop generate model.init=OUT prompt=\"Once upon a time\"\n"
                ".fi\n",
                stdout);
}
