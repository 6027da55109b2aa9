/* Lists of paths as options give them: names, patterns, folders. */
#include "base/log.h"
#include "base/opt.h"
#include "base/os.h"
#include "data/data_int.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 }; /* folders in folders: more is a link that leads back */

void paths_free(struct paths *p) {
    os_free_list(p->list, p->count);
    *p = (struct paths){0};
}

err_t paths_add(struct paths *p, const char *path) {
    if (p->count == p->room) {
        const int64_t room = p->room ? 2 * p->room : 16;
        char **more = realloc(p->list, (size_t)room * sizeof *more);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the names of %lld files", (long long)room);
        p->list = more;
        p->room = room;
    }
    p->list[p->count] = strdup(path);
    if (!p->list[p->count]) return FAIL(ERR_NOMEM, "out of memory for the name %s", path);
    p->count++;
    return OK;
}

static int by_byte(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static err_t add_matches(struct paths *p, const char *pattern) {
    if (strstr(pattern, "**"))
        return FAIL(ERR_USAGE, "the pattern %s has **, which is not known; name the folder, which is read with the folders in it", pattern);
    glob_t g = {0};
    const int rc = glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &g);
    err_t err = OK;
    if (rc == GLOB_NOSPACE) err = FAIL(ERR_NOMEM, "out of memory for the files that %s matches", pattern);
    else if (rc != 0) err = FAIL(ERR_IO, "no file matches the pattern %s; check it, and the folder that it stands for", pattern);
    else if (g.gl_pathc) qsort(g.gl_pathv, g.gl_pathc, sizeof *g.gl_pathv, by_byte);
    for (size_t i = 0; err == OK && i < g.gl_pathc; i++) err = paths_add(p, g.gl_pathv[i]);
    globfree(&g);
    return err;
}

/* The commas between { and } are the pattern's: name i takes back those behind it that it was cut from. */
static err_t join_braces(char **names, int64_t count, int64_t *i, char **out) {
    size_t bytes = strlen(names[*i]) + 1;
    int64_t end = *i, open = 0;
    for (;; end++, bytes += strlen(names[end]) + 1) {
        for (const char *c = names[end]; *c; c++) open += (*c == '{') - (*c == '}');
        if (open <= 0 || end + 1 == count) break;
    }
    if (open > 0) end = *i; /* a name with a { */
    char *to = *out = malloc(bytes);
    if (!to) return FAIL(ERR_NOMEM, "out of memory for a pattern of %zu bytes", bytes);
    for (int64_t k = *i; k <= end; k++) to += sprintf(to, "%s%s", k > *i ? "," : "", names[k]);
    *i = end;
    return OK;
}

static err_t add_name(struct paths *p, const char *name, const char *text) {
    if (!*name) return FAIL(ERR_USAGE, "an empty name in the list of files \"%s\"; separate them by single commas", text);
    if (strcmp(name, "-") == 0 || os_exists(name)) return paths_add(p, name);
    if (strpbrk(name, "*?[{")) return add_matches(p, name);
    return paths_add(p, name); /* whoever opens it says why it cannot be */
}

err_t paths_expand(const char *text, struct paths *out) {
    *out = (struct paths){0};
    if (strchr(text, ',') && os_exists(text)) return paths_add(out, text);
    char **names;
    int64_t count;
    TRY(opt_split(text, &names, &count));
    err_t err = OK;
    for (int64_t i = 0; err == OK && i < count; i++) {
        char *name = NULL;
        err = os_exists(names[i]) ? add_name(out, names[i], text) : join_braces(names, count, &i, &name);
        if (err == OK && name) err = add_name(out, name, text);
        free(name);
    }
    os_free_list(names, count);
    if (err != OK) paths_free(out);
    return err;
}

err_t paths_walk(const char *dir, int depth, err_t (*file)(void *ctx, const char *path), void *ctx) { // NOLINT(misc-no-recursion): bounded by DEPTH
    if (depth > DEPTH) return FAIL(ERR_FORMAT, "%s lies more than %d folders deep; is there a link that leads back?", dir, DEPTH);
    char **names;
    int64_t n;
    TRY(os_list(dir, &names, &n));
    err_t err = OK;
    for (int64_t i = 0; i < n && err == OK; i++) {
        char path[OS_PATH_MAX];
        if (names[i][0] == '.') continue; /* hidden: .git and the like */
        err = os_join(path, dir, names[i]);
        if (err == OK) err = os_is_dir(path) ? paths_walk(path, depth + 1, file, ctx) : file(ctx, path);
    }
    os_free_list(names, n);
    return err;
}
