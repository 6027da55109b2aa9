/* WHAT    The program's commands. Each is `err_t cmd_NAME(int argc, char **argv)`, argv[0] being the command's name and
 *         the rest its words; main turns what it returns into the exit code (0 done, 1 failed, 2 usage) and prints the
 *         error. A command writes its result to standard output with stdio and leaves closing it, and finding out
 *         that the disk is full, to main. Local. */
#ifndef MOP_CLI_CLI_H
#define MOP_CLI_CLI_H

#include "base/err.h"
#include "base/opt.h"
#include "ckpt/ckpt.h"
#include "data/data.h"
#include "model/spec.h"
#include "train/train.h"

struct cli_command {
    const char *name;       /* a table ends with name NULL */
    const char *summary;    /* one line, no full stop */
    const char *usage;      /* the words behind `mop NAME`, one form a line */
    const struct opt *opts; /* of this command alone, or NULL */
    bool takes_run;         /* the options of a run too */
    bool on_ranks;          /* runs its ranks itself; others are rank 0's alone */
    err_t (*run)(int argc, char **argv);
};
extern const struct cli_command cli_commands[]; /* commands.c */
extern const struct opt tokenize_opt_list[], template_opt_list[], tokenizer_train_opt_list[], generate_opt_list[], eval_opt_list[], parity_opt_list[],
    plot_opt_list[], doctor_opt_list[]; /* beside their commands */

err_t cmd_train(int argc, char **argv);
err_t cmd_eval(int argc, char **argv);
err_t cmd_generate(int argc, char **argv);
err_t cmd_tokenize(int argc, char **argv);
err_t cmd_template(int argc, char **argv);
err_t cmd_tokenizer_train(int argc, char **argv);
err_t cmd_parity(int argc, char **argv);
err_t cmd_verify(int argc, char **argv);
err_t cmd_report(int argc, char **argv);
err_t cmd_plot(int argc, char **argv);
err_t cmd_doctor(int argc, char **argv);
err_t cmd_bench(int argc, char **argv);
err_t cmd_config(int argc, char **argv);
err_t cmd_help(int argc, char **argv);
err_t cmd_version(int argc, char **argv);

/* Options that belong to no room. */
struct cli_opts {
    const char *out, *tokenizer;
    int64_t threads; /* 0: one per CPU that this process may run on */
    int64_t log_level;
    int preset; /* enum cli_preset */
};
enum cli_preset { PRESET_MOP, PRESET_FSDP };
extern const struct opt cli_opt_list[];

/* The options of a run: every room's struct. A room that gets options is added here and in tables.c. */
struct options {
    struct cli_opts cli;
    struct model_opts model;
    struct data_opts data;
    struct train_opts train;
    struct optim_opts optim;
    struct dense_opts dense;
    struct attention_opts attention;
    struct experts_opts experts;
    struct vocab_opts vocab;
    struct mesh_opts mesh;
    struct device_opts device;
    struct stash_opts stash;
    struct ckpt_opts ckpt;
};

/* Threads of one rank: as asked for, or its share of the CPUs (comm/share.h); says so where that is less than the machine has.
 * Collective over world; NULL: this process alone. */
MUST err_t cli_threads(const struct options *o, struct comm *world, int64_t *threads);

/* Options of the preset that was asked for, if one was, where nothing else was said of them. */
MUST err_t cli_apply_preset(struct opt_set *s, int which);

/* The rooms' tables over `values`; returns how many. `out` has OPT_TABLES entries. */
int cli_tables(struct opt_table out[OPT_TABLES], struct options *values);

/* A command's words (argv[1] and on) as the options of a run, and of the command's own table where `extra` is not NULL;
 * sets the log level. New: opt_free(*set) once `values` and its texts are no longer used. */
MUST err_t cli_load(int argc, char **argv, const struct opt_table *extra, struct options *values, struct opt_set **set);

/* Read a command's words (argv[1] and on) into a set: run files (words that end in .yaml or .yml, or name a file) first,
 * then every key=value, each kind in its order. Any other word is ERR_USAGE. */
MUST err_t cli_options(int argc, char **argv, struct opt_set *s);

/* Help of one command with its own options, or of all where name is NULL, to standard output. ERR_USAGE names the nearest command. */
MUST err_t cli_help(const char *name);

/* The tokenizer of tokenizer=, else of the model's folder; NULL where there is none, or where it is not `needed` and cannot be read
 * (a warning says so). New: tokenizer_close. cmd_generate.c */
MUST err_t cli_tokenizer(const struct options *o, bool needed, struct tokenizer **out);

/* A prompt out of a file or, "-", standard input; a line's end at its end is none of it. Owned by the caller: free. */
MUST err_t cli_read_prompt(const char *path, char **text, int64_t *bytes); /* prompt.c */

/* What `mop help` prints besides help on commands; ends with name NULL. */
struct cli_topic {
    const char *name;
    void (*print)(void);
};
extern const struct cli_topic cli_topics[]; /* cmd_help.c */
void man_print(void);                       /* roff */
void completion_print(void);                /* a bash script */

/* What other programs call options and commands (words.c). */
extern const struct opt_word cli_words[], cli_command_words[];

/* The command of that name, or ERR_USAGE that names the nearest. */
MUST err_t cli_find(const char *name, const struct cli_command **out);

#endif
