#include "base/os.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char on_command_line[] = "command line";

/* A word that starts like key= is an assignment even where a file of that very name exists: ./key=x is the file. */
static bool is_assignment(const char *word) {
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && word[0] != '-' && word[0] != '.' && word[n] == '=';
}

static bool is_run_file(const char *word) {
    const char *dot = strrchr(word, '.');
    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* A word with dashes, as other programs have their options: what to write instead. `next` is the word behind it, or NULL. */
static err_t dashed(const struct opt_set *s, const char *command, const char *word, const char *next) {
    const char *name = word + strspn(word, "-"), *equals = strchr(name, '=');
    char key[128];
    const char *text = equals ? equals + 1 : next && next[0] != '-' && !is_assignment(next) ? next : NULL;
    (void)snprintf(key, sizeof key, "%.*s", equals ? (int)(equals - name) : (int)strlen(name), name);
    if (opt_origin(s, key)) return FAIL(ERR_USAGE, "%.80s: options have no dashes; write %s=%.80s", word, key, text ? text : "VALUE");
    if (strlen(key) > 1) return opt_unknown(s, key, text, on_command_line);
    return FAIL(ERR_USAGE, "%.80s is not an option of mop %s; options are written key=value, see `mop help %s`", word, command, command);
}

err_t cli_options(int argc, char **argv, struct opt_set *s) {
    opt_set_words(s, cli_words);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        char why[OS_WHY_MAX];
        if (is_assignment(word)) continue;
        if (word[0] == '-') return dashed(s, argv[0], word, i + 1 < argc ? argv[i + 1] : NULL);
        if (os_is_dir(word))
            return FAIL(ERR_USAGE, "%.200s is a folder, not a run file; name options as key=value, see `mop help %s`", word, argv[0]);
        if (os_exists(word)) TRY(opt_read_yaml(s, word));
        else if (is_run_file(word)) return FAIL(ERR_USAGE, "the run file %.200s %s; check the path", word, os_no_dir(word, why));
        else return FAIL(ERR_USAGE, "%.80s is neither a run file nor key=value; see `mop help %s`", word, argv[0]);
    }
    for (int i = 1; i < argc; i++)
        if (is_assignment(argv[i])) TRY(opt_assign(s, argv[i]));
    return OK;
}
