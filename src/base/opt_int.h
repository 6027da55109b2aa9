/* Private to the options of base: opt.c (the set), opt_words.c (what is no option), opt_value.c (text to value and back), opt_path.c (paths, lists), opt_yaml.c (run files),
 * opt_print.c (what a person reads). */
#ifndef MOP_BASE_OPT_INT_H
#define MOP_BASE_OPT_INT_H

#include "base/opt.h"

enum { OPT_KEY_MAX = 128, OPT_SHOWN_MAX = 80 };

struct opt_entry {
    const struct opt *o;
    const char *room;
    void *field;  /* in the room's struct of values */
    char *text;   /* owned; NULL: none given */
    char *origin; /* owned; NULL: the default */
    int64_t file; /* number of the run file that set it last, 0: none; line there */
    int64_t line;
};

struct opt_set {
    struct opt_entry *list;
    int count;
    int64_t files;     /* run files read so far */
    const char **keys; /* [count]: for opt_nearest */
    const struct opt_word *words;
};

/* NULL if there is none. */
struct opt_entry *opt_find(const struct opt_set *s, const char *key);
/* Is `key` the first part of known keys ("train" of "train.lr")? */
bool opt_is_group(const struct opt_set *s, const char *key);
/* Who wrote a value: a path is what a shell would have made of it, and how much of that is left to do depends on who. */
enum opt_from { OPT_FROM_PROGRAM, OPT_FROM_COMMAND_LINE, OPT_FROM_FILE };
/* Convert and store; text NULL: a null, for texts without a default. The entry is as it was on error. */
MUST err_t opt_store(struct opt_set *s, const char *key, const char *text, const char *origin, enum opt_from from);
/* The text of an OPT_PATH or OPT_PATHS with ~ and ${NAME} replaced. Owned by the caller: free. */
MUST err_t opt_path(const struct opt *o, const char *text, const char *origin, enum opt_from from, char **out);

/* text as o's type into field (the exact C type of the option). `origin` begins the message. */
MUST err_t opt_convert(const struct opt *o, const char *text, const char *origin, void *field);
/* What may be written: "1..64", "0 or more", "fp32|bf16"; "" for anything. */
void opt_range(const struct opt *o, char *out, size_t size);
/* Index-th of "a|b|c" into out; false if there is none. */
bool opt_choice(const char *choices, int index, char *out, size_t size);
/* The UTF-8 character at p: its bytes (1..4), or 0 if it is none. */
int opt_utf8(const char *p, uint32_t *code);
/* For messages: control characters as '?', invalid UTF-8 too, at most OPT_SHOWN_MAX bytes. Returns out. */
const char *opt_shown(const char *text, char out[OPT_SHOWN_MAX]);

/* Edits between two words, a swap of neighbours counting one; of their first 63 bytes. */
int opt_distance(const char *a, const char *b);

#endif
