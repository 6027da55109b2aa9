/* Words that are no options: the nearest option, and what other programs call ours. */
#include "base/opt_int.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

int opt_distance(const char *a, const char *b) {
    enum { WORD = 64 };
    int m = (int)strnlen(a, WORD - 1), n = (int)strnlen(b, WORD - 1);
    int row[3][WORD]; /* of the table of distances between prefixes: this one and the two before it */
    for (int j = 0; j <= n; j++) row[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[m % 3][n];
}

const char *opt_nearest(const char *word, const char *const *names, int count) {
    const char *found = NULL;
    int best = (int)strnlen(word, 63) / 3;
    if (best < 2) best = 2; /* more edits than this and it is another word */
    for (int i = 0; i < count; i++) {
        int d = opt_distance(word, names[i]);
        if (d > best || (found && d == best) || d >= (int)strlen(names[i])) continue;
        best = d;
        found = names[i];
    }
    return found;
}

/* Is one of "a|b" the first n bytes of word, of which capitals and dashes do not count? */
static bool is_among(const char *words, const char *word, size_t n) {
    for (const char *p = words; *p; p += *p == '|') {
        const size_t m = strcspn(p, "|");
        size_t i = 0;
        while (i < n && i < m && (word[i] == '-' ? '_' : tolower((unsigned char)word[i])) == p[i]) i++;
        if (i == n && i == m) return true;
        p += m;
    }
    return false;
}

static const struct opt_word *find(const struct opt_word *list, const char *word, size_t n) {
    for (; list && list->words; list++)
        if (is_among(list->words, word, n)) return list;
    return NULL;
}

const struct opt_word *opt_word_find(const struct opt_word *list, const char *word) {
    const struct opt_word *w = find(list, word, strlen(word));
    const char *part = word;
    for (const char *dot; !w && (dot = strchr(part, '.')); part = dot + 1) w = find(list, dot + 1, strlen(dot + 1));
    return w;
}

/* A group of another program's options, "deepspeed" of deepspeed.stage; ours have the nearest. */
static const struct opt_word *find_group(const struct opt_set *s, const char *key) {
    char group[OPT_KEY_MAX + 1];
    const size_t n = strcspn(key, ".");
    if (!key[n] || n > OPT_KEY_MAX) return NULL;
    (void)snprintf(group, sizeof group, "%.*s", (int)n, key);
    return opt_is_group(s, group) ? NULL : find(s->words, group, n);
}

void opt_set_words(struct opt_set *s, const struct opt_word *list) { s->words = list; }

static err_t answer(const struct opt_set *s, const struct opt_word *w, const char *key, const char *text, const char *origin) {
    char shown[OPT_SHOWN_MAX], value[OPT_SHOWN_MAX], ours[OPT_KEY_MAX + 1];
    (void)opt_shown(key, shown);
    if (!w->ours) return FAIL(ERR_USAGE, "%s: there is no option %s: %s (docs/coming-from.md)", origin, shown, w->how);
    const size_t n = strcspn(w->ours, "=");
    (void)snprintf(ours, sizeof ours, "%.*s", (int)n, w->ours);
    if (!opt_find(s, ours))
        return FAIL(ERR_USAGE, "%s: %s is called %s here, and is no option of this command; see `mop help COMMAND`", origin, shown, w->ours);
    if (w->how) return FAIL(ERR_USAGE, "%s: %s is called %s here: %s (docs/coming-from.md)", origin, shown, w->ours, w->how);
    if (w->ours[n]) return FAIL(ERR_USAGE, "%s: %s is called %s here; write that (docs/coming-from.md)", origin, shown, w->ours);
    return FAIL(ERR_USAGE, "%s: %s is called %s here; write %s=%s (docs/coming-from.md)", origin, shown, ours, ours,
                text && *text ? opt_shown(text, value) : "VALUE");
}

err_t opt_unknown(const struct opt_set *s, const char *key, const char *text, const char *origin) {
    const struct opt_word *w = opt_word_find(s->words, key);
    if (!w) w = find_group(s, key);
    if (w) return answer(s, w, key, text, origin);
    /* the nearest is named however far it is; a key may also be near with its group left out, or with another one */
    const char *nearest = "", *given = strrchr(key, '.');
    int best = 1 << 20;
    for (int i = 0; i < s->count; i++) {
        const char *dot = strrchr(s->keys[i], '.'), *last = dot ? dot + 1 : s->keys[i];
        int d = 3 * opt_distance(key, s->keys[i]);
        if (3 * opt_distance(key, last) + 1 < d) d = 3 * opt_distance(key, last) + 1;
        if (given && 3 * opt_distance(given + 1, last) + 2 < d) d = 3 * opt_distance(given + 1, last) + 2;
        if (d >= best) continue;
        best = d;
        nearest = s->keys[i];
    }
    char shown[OPT_SHOWN_MAX], value[OPT_SHOWN_MAX], write[OPT_KEY_MAX + OPT_SHOWN_MAX + 16] = "";
    if (best <= 1 && text && *text) (void)snprintf(write, sizeof write, "write %s=%s, ", nearest, opt_shown(text, value));
    return FAIL(ERR_USAGE, "%s: there is no option %s; the nearest is %s (%s`mop help options` lists all)", origin, opt_shown(key, shown), nearest,
                write);
}
