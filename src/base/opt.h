/* Options. Each room has a table of options beside the code that reads them; from the tables come
 * the parser's checks, `mop help`, `mop config` (every value and where it came from) and
 * docs/options.md. Run files are YAML: nested maps become dotted keys, lists become comma-separated
 * text. On the command line `key=value` overrides. An unknown key is ERR_USAGE and names the nearest
 * known one. Local. */
#ifndef MOP_BASE_OPT_H
#define MOP_BASE_OPT_H

#include "base/err.h"

enum opt_type {
    OPT_BOOL,   /* bool:        true|false|yes|no|on|off|1|0 */
    OPT_INT,    /* int64_t:     decimal, with k, M, G (powers of 1000) or Ki, Mi, Gi behind it; lo..hi */
    OPT_FLOAT,  /* double:      lo..hi */
    OPT_TEXT,   /* const char*: owned by the option set; NULL where the default is NULL and none was given */
    OPT_CHOICE, /* int:         index into `choices`, "fp32|bf16" */
    OPT_PATH,   /* const char*: as OPT_TEXT; a ~ at the beginning and ${NAME} are what a shell makes of them */
    OPT_PATHS   /* const char*: several paths, comma-separated; \, is a comma of a name (opt_split) */
};
static inline bool opt_is_text(enum opt_type type) { return type == OPT_TEXT || type == OPT_PATH || type == OPT_PATHS; }

/* May a run that goes on from a checkpoint have another value than the run that wrote it? Where a table does not say, it may not. */
enum opt_resume {
    OPT_SAME,   /* no: what is computed or written depends on it */
    OPT_CONFIG, /* it describes a model: what is compared is the config.json that comes of it */
    OPT_MORE,   /* a larger one */
    OPT_ROUNDS, /* yes: results differ by the rounding of sums */
    OPT_FREE    /* yes: no result depends on it, or on what it leads to rather than on its name (paths) */
};

struct opt {
    const char *key; /* "train.lr"; a table ends with key NULL */
    enum opt_type type;
    size_t offset;       /* of the field in the room's struct of options */
    const char *def;     /* as text; NULL: none given (texts and paths only) */
    const char *choices; /* OPT_CHOICE */
    double lo, hi;       /* OPT_INT and OPT_FLOAT; both 0: no limits */
    const char *help;    /* one sentence, units included, no full stop */
    enum opt_resume resume;
};

/* A room's table and the struct it fills. */
struct opt_table {
    const char *room;
    const struct opt *opts;
    void *values;
};

enum { OPT_TABLES = 16 };
struct opt_set; /* parsed values, their text and their origin */

/* Tables are borrowed and must outlive the set; all fields take their defaults here. New: opt_free. */
MUST err_t opt_new(const struct opt_table *tables, int count, struct opt_set **out);
void opt_free(struct opt_set *s);

/* Read a run file; origin is "FILE:LINE". A key given twice in one file is an error. */
MUST err_t opt_read_yaml(struct opt_set *s, const char *path);
/* One "key=value" from the command line; origin is "command line". */
MUST err_t opt_assign(struct opt_set *s, const char *assignment);
/* Set by the program (a preset, say); origin as given. */
MUST err_t opt_set_value(struct opt_set *s, const char *key, const char *value, const char *origin);

bool opt_given(const struct opt_set *s, const char *key); /* not the default */
const char *opt_origin(const struct opt_set *s, const char *key);

/* The names of a comma-separated list; "\," in it is a comma of a name. At least one, perhaps empty. Owned by the caller: os_free_list. */
MUST err_t opt_split(const char *text, char ***names, int64_t *count);

/* What other programs call an option. */
struct opt_word {
    const char *words; /* "learning_rate|optimizer.lr", in lower case, dashes as _; a table ends with words NULL */
    const char *ours;  /* "train.lr", "model.dtype=bf16"; NULL: there is none */
    const char *how;   /* what is different, or why there is none, as a clause; NULL: nothing is */
};
/* The entry of `list` for a word, or for it without groups before its last part; NULL: none. */
const struct opt_word *opt_word_find(const struct opt_word *list, const char *word);
/* Words that an option unknown to the set is looked up in before the nearest is named. Borrowed. */
void opt_set_words(struct opt_set *s, const struct opt_word *list);
/* ERR_USAGE for an option that is not one of the set: its name here, or why there is none, or the nearest. text: its value, or NULL. */
MUST err_t opt_unknown(const struct opt_set *s, const char *key, const char *text, const char *origin);

/* The i-th option of a set (or NULL) and its value, as text that reads back to the same; *text NULL: none. *o NULL: there are no more. Text: free. */
MUST err_t opt_at(const struct opt_set *s, int i, const struct opt **o, char **text);
/* The default in the same form. Text: free. */
MUST err_t opt_default(const struct opt *o, char **text);

/* Print "key = value  # origin" for all, to standard output, as YAML that reads back to the same. */
void opt_print(const struct opt_set *s);

/* Help of tables as text, and as the Markdown of docs/options.md. */
void opt_help(const struct opt_table *tables, int count);
void opt_help_markdown(const struct opt_table *tables, int count);

/* The entry of `names` nearest to `word` by edits (swaps count one), or NULL if none is near. */
const char *opt_nearest(const char *word, const char *const *names, int count);

#endif
