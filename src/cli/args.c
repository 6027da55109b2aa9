#include "base/os.h"
#include "cli/cli.h"

#include <string.h>

/* A word that starts like key= is an assignment even where a file of that very name exists: ./key=x is the file. */
static bool is_assignment(const char *word) {
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && word[0] != '-' && word[0] != '.' && word[n] == '=';
}

static bool is_run_file(const char *word) {
    const char *dot = strrchr(word, '.');
    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

err_t cli_options(int argc, char **argv, struct opt_set *s) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        char why[OS_WHY_MAX];
        if (is_assignment(word)) continue;
        if (word[0] == '-' && word[1] && strchr(word, '='))
            return FAIL(ERR_USAGE, "%.80s: options have no dashes; write %.80s", word, word + strspn(word, "-"));
        if (word[0] == '-')
            return FAIL(ERR_USAGE, "%.80s is not an option of mop %s; options are written key=value, see `mop help %s`", word, argv[0], argv[0]);
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
