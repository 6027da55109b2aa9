/* What other trainers call things: each word is answered with an option that there is, and docs/coming-from.md says nothing else. */
#include "cli/cli.h"

#include "test.h"

#include "base/os.h"

static struct options values;
static struct opt_table tables[OPT_TABLES];
static int count;

/* Of a run or of a command of its own; *of: the table. */
static const struct opt *option(const char *key, size_t n) {
    for (int t = 0; t < count; t++)
        for (const struct opt *o = tables[t].opts; o->key; o++)
            if (strlen(o->key) == n && memcmp(o->key, key, n) == 0) return o;
    for (const struct cli_command *c = cli_commands; c->name; c++)
        for (const struct opt *o = c->opts; o && o->key; o++)
            if (strlen(o->key) == n && memcmp(o->key, key, n) == 0) return o;
    return NULL;
}

static bool of_a_run(const char *key, size_t n) {
    for (int t = 0; t < count; t++)
        for (const struct opt *o = tables[t].opts; o->key; o++)
            if (strlen(o->key) == n && memcmp(o->key, key, n) == 0) return true;
    return false;
}

static void each_word(void) {
    struct opt_set *s;
    NEED(opt_new(tables, count, &s));
    opt_set_words(s, cli_words);
    for (const struct opt_word *w = cli_words; w->words; w++) {
        CASE(w->ours || w->how, "%s: neither a name nor a reason", w->words);
        if (w->ours) {
            const size_t n = strcspn(w->ours, "=");
            CASE(option(w->ours, n), "%s: there is no option %s", w->words, w->ours);
            if (w->ours[n] && of_a_run(w->ours, n)) CASE_OK(opt_assign(s, w->ours));
        }
        char words[1024];
        NEED(strlen(w->words) < sizeof words ? OK : ERR_FAILED);
        (void)snprintf(words, sizeof words, "%s", w->words);
        for (char *rest = words, *word; (word = strsep(&rest, "|"));) {
            CASE(*word, "%s: an empty word", w->words);
            CASE(!of_a_run(word, strlen(word)), "%s is an option of ours and never looked up", word);
            CASE(opt_word_find(cli_words, word) == w, "%s stands in two lines", word);
            err_clear();
            char assignment[200];
            (void)snprintf(assignment, sizeof assignment, "%s=7", word);
            CASE_ERR(opt_assign(s, assignment), ERR_USAGE, word);
            CASE(strstr(err_message(), w->ours ? w->ours : w->how), "%s: it says: %s", word, err_message());
            for (char *p = word; *p; p++) *p = *p == '_' ? '-' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
            CASE(opt_word_find(cli_words, word) == w, "%s, in capitals and with dashes", word);
        }
    }
    opt_free(s);
}

static void each_command(void) {
    const struct cli_command *c;
    for (const struct opt_word *w = cli_command_words; w->words; w++) {
        char words[512];
        (void)snprintf(words, sizeof words, "%s", w->words);
        if (w->ours) CASE_OK(cli_find(w->ours, &c));
        for (char *rest = words, *word; (word = strsep(&rest, "|"));) CASE_ERR(cli_find(word, &c), ERR_USAGE, w->ours ? w->ours : w->how);
    }
}

/* The next `word` in a cell, or NULL at its end; *at goes on behind it. */
static char *ticked(char **at, const char *end) {
    char *from = *at;
    while (from < end && *from != '`') from++;
    if (from >= end) return NULL;
    char *to = strchr(from + 1, '`');
    *to = 0;
    *at = to + 1;
    return from + 1;
}

/* Rows of the tables: the words on the left are known, as ours or as theirs; the options on the right exist. */
static void page(void) {
    char *text;
    int64_t bytes, rows = 0;
    NEED(os_read_all("docs/coming-from.md", 1 << 20, &text, &bytes));
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "| `", 3) != 0) continue;
        rows++;
        char *cell = strchr(line + 1, '|'), *end = strchr(cell + 1, '|'), *at = line;
        const bool none = strncmp(cell, "| none |", 8) == 0;
        char *ours[8], *theirs;
        int n = 0, t = 0;
        for (char *right = cell, *word; n < 8 && (word = ticked(&right, end)); n++) {
            ours[n] = word;
            CASE(option(word, strlen(word)), "the page names %s, which is no option", word);
        }
        CASE(none == (n == 0), "a row without an answer, or with two");
        for (; (theirs = ticked(&at, cell)); t++) {
            theirs += strspn(theirs, "-");
            const struct opt_word *w = opt_word_find(cli_words, theirs);
            const char *want = n ? ours[t < n ? t : n - 1] : NULL;
            const char *last = want && strrchr(want, '.') ? strrchr(want, '.') + 1 : want; /* "lr": found as the nearest */
            CASE(w || (last && strcmp(theirs, last) == 0), "the page has %s, the table has not", theirs);
            if (w && want)
                CASE((w->ours && strncmp(w->ours, want, strlen(want)) == 0) || (w->how && strstr(w->how, want)), "%s is %s on the page", theirs,
                     want);
        }
        CASE(n == 0 || n == 1 || n == t, "as many names on the right as on the left, or one");
    }
    CASE(rows > 60, "only %lld rows were found", (long long)rows);
    free(text);
}

int main(void) {
    count = cli_tables(tables, &values);
    each_word();
    each_command();
    page();
    return test_end();
}
