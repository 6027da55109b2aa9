#include "ckpt/ckpt_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char unfinished[] = ".part", replaced[] = ".old";

void step_name(int64_t step, char name[STEP_NAME]) { (void)snprintf(name, STEP_NAME, "step-%08" PRId64, step); }

int64_t step_of(const char *name) {
    if (strncmp(name, "step-", 5) != 0 || strlen(name) > 5 + 18 || strspn(name + 5, "0123456789") != strlen(name + 5)) return -1;
    int64_t step = strtoll(name + 5, NULL, 10);
    char back[STEP_NAME];
    step_name(step, back);
    return strcmp(back, name) == 0 ? step : -1;
}

err_t step_path(const char *out, int64_t step, char path[OS_PATH_MAX]) {
    char folder[OS_PATH_MAX], name[STEP_NAME];
    step_name(step, name);
    TRY(os_join(folder, out, "ckpt"));
    return os_join(path, folder, name);
}

/* Names in out/ckpt; none where it is not there. */
static err_t list(const char *out, char folder[OS_PATH_MAX], char ***names, int64_t *count) {
    *names = NULL;
    *count = 0;
    TRY(os_join(folder, out, "ckpt"));
    return os_is_dir(folder) ? os_list(folder, names, count) : OK;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

err_t steps_list(const char *out, int64_t **steps, int64_t *count) {
    char folder[OS_PATH_MAX];
    char **names;
    int64_t n, found = 0;
    TRY(list(out, folder, &names, &n));
    int64_t *s = malloc((size_t)(n + 1) * sizeof *s);
    for (int64_t i = 0; s && i < n; i++) {
        int64_t step = step_of(names[i]);
        if (step >= 0) s[found++] = step;
    }
    os_free_list(names, n);
    if (!s) return FAIL(ERR_NOMEM, "no memory for the %" PRId64 " names in %s; free some memory", n, folder);
    qsort(s, (size_t)found, sizeof *s, ascending);
    *steps = s;
    *count = found;
    return OK;
}

/* `name` without `suffix` into base, where that is a step's name. */
static bool is_step_with(const char *name, const char *suffix, char base[STEP_NAME]) {
    size_t n = strlen(name), m = strlen(suffix);
    if (n <= m || n - m >= STEP_NAME || strcmp(name + n - m, suffix) != 0) return false;
    memcpy(base, name, n - m);
    base[n - m] = 0;
    return step_of(base) >= 0;
}

static err_t recover(const char *folder, const char *name) {
    char path[OS_PATH_MAX], whole[OS_PATH_MAX], base[STEP_NAME];
    TRY(os_join(path, folder, name));
    if (is_step_with(name, unfinished, base)) return os_remove_tree(path);
    if (!is_step_with(name, replaced, base)) return OK;
    TRY(os_join(whole, folder, base));
    return os_exists(whole) ? os_remove_tree(path) : os_rename(path, whole);
}

err_t steps_recover(const char *out) {
    char folder[OS_PATH_MAX];
    char **names;
    int64_t n;
    TRY(list(out, folder, &names, &n));
    err_t err = OK;
    for (int64_t i = 0; i < n && err == OK; i++) err = recover(folder, names[i]);
    os_free_list(names, n);
    return err;
}

err_t folder_discard(err_t err, const char *path) {
    char why[4096];
    (void)snprintf(why, sizeof why, "%s", err_message());
    (void)!os_remove_tree(path); /* what made it fail may forbid this too: the next save or resume removes it */
    return err_adopt(err, why);
}
