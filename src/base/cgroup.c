/* Where the control groups of this process lie: /proc/self/cgroup names them, /proc/self/mountinfo says where their trees are mounted
 * and which part of a tree is. Both may be wrong inside a container (a tree mounted over, a path of the host), so that the usual
 * places are looked at too, and what is not there is passed over. */
#include "base/limits_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE = 2 * OS_PATH_MAX, SEEN = 64 };

struct walk {
    const char *root, *controller;
    void (*each)(void *ctx, const struct cgroup *g);
    void *ctx;
    char path[OS_PATH_MAX]; /* of the process in the tree in hand */
    bool v2;
    uint64_t seen[SEEN];
    int count;
};

/* Is `word` one of the comma-separated words of `list`? */
static bool has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = list; *p; p += *p == ',') {
        const size_t m = strcspn(p, ",");
        if (m == n && memcmp(p, word, n) == 0) return true;
        p += m;
    }
    return false;
}

static void visit(struct walk *w, const char *dir, size_t top, bool own) {
    struct stat st;
    struct cgroup g = {.v2 = w->v2, .own = own};
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) return;
    const uint64_t where[2] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino};
    g.id = limits_hash(limits_machine_id(w->root), where, sizeof where);
    for (int i = 0; i < w->count; i++)
        if (w->seen[i] == g.id) return;
    if (w->count == SEEN) return;
    w->seen[w->count++] = g.id;
    (void)snprintf(g.dir, sizeof g.dir, "%s", dir);
    g.shown = g.dir[top] ? g.dir + top : "/";
    w->each(w->ctx, &g);
}

/* A tree whose part `part` is mounted at `at`: the process's folder there and its ancestors. */
static void walk_tree(struct walk *w, const char *at, const char *part) {
    char dir[OS_PATH_MAX];
    const size_t n = strcmp(part, "/") == 0 ? 0 : strlen(part);
    const char *below = w->path;
    if (strncmp(below, part, n) == 0 && (below[n] == '/' || below[n] == 0)) below += n;
    else below = ""; /* the path is another namespace's: what is mounted is what there is */
    if (strstr(below, "/..")) below = "";
    const int top = snprintf(dir, sizeof dir, "%s%s", w->root, at);
    if (top < 0 || (size_t)top + strlen(below) >= sizeof dir) return;
    (void)snprintf(dir + top, sizeof dir - (size_t)top, "%s", below);
    for (bool own = true;; own = false) {
        size_t len = strlen(dir);
        while (len > (size_t)top && dir[len - 1] == '/') dir[--len] = 0;
        visit(w, dir, (size_t)top, own);
        if (len <= (size_t)top) return;
        *strrchr(dir, '/') = 0;
    }
}

/* "\040" and its like, as mountinfo writes blanks. */
static void unescape(char *s) {
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else *to++ = *s;
    }
    *to = 0;
}

/* Fields: id, parent, device, root, place, options, optional ones, "-", type, source, options of the file system. */
static void walk_mount(struct walk *w, char *line) {
    char *field[6], *rest = line, *dash = strstr(line, " - ");
    if (!dash) return;
    *dash = 0;
    for (int i = 0; i < 6; i++)
        if (!(field[i] = strsep(&rest, " "))) return;
    char *after = dash + 3, *type = strsep(&after, " "), *source = strsep(&after, " "), *options = strsep(&after, " \n");
    if (!type || !source || !options) return;
    if (strcmp(type, w->v2 ? "cgroup2" : "cgroup") != 0 || (!w->v2 && !has_word(options, w->controller))) return;
    unescape(field[3]);
    unescape(field[4]);
    walk_tree(w, field[4], field[3]);
}

static FILE *open_at(const char *root, const char *path) {
    char whole[OS_PATH_MAX];
    return snprintf(whole, sizeof whole, "%s%s", root, path) < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

static void walk_mounts(struct walk *w) {
    char *line = NULL;
    size_t room = 0;
    FILE *f = open_at(w->root, "/proc/self/mountinfo");
    while (f && getline(&line, &room, f) > 0) walk_mount(w, line);
    free(line);
    if (f) (void)fclose(f);
}

/* The process's path in the tree of v2 or of v1's controller; false where it is in none. */
static bool find_path(struct walk *w) {
    char line[LINE];
    bool found = false;
    FILE *f = open_at(w->root, "/proc/self/cgroup");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line;
        (void)strsep(&rest, ":");
        const char *controllers = strsep(&rest, ":");
        if (!controllers || !rest) continue;
        found = w->v2 ? *controllers == 0 : has_word(controllers, w->controller);
        if (found) (void)snprintf(w->path, sizeof w->path, "%.*s", OS_PATH_MAX - 1, rest);
    }
    if (f) (void)fclose(f);
    return found;
}

void cgroup_each(const char *root, const char *controller, void (*each)(void *ctx, const struct cgroup *g), void *ctx) {
    struct walk w = {.root = root, .controller = controller, .each = each, .ctx = ctx};
    char usual[64];
    for (int v2 = 1; v2 >= 0; v2--) {
        w.v2 = v2;
        w.path[0] = 0;
        (void)find_path(&w);
        walk_mounts(&w);
        (void)snprintf(usual, sizeof usual, "/sys/fs/cgroup/%s", v2 ? "unified" : controller);
        if (v2) walk_tree(&w, "/sys/fs/cgroup", "/");
        walk_tree(&w, usual, "/");
    }
}

static FILE *open_in(const struct cgroup *g, const char *name) {
    char path[OS_PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", g->dir, name) < (int)sizeof path ? fopen(path, "re") : NULL;
}

int64_t cgroup_number(const struct cgroup *g, const char *name) {
    long long n = -1;
    FILE *f = open_in(g, name);
    if (!f) return -1;
    if (fscanf(f, "%lld", &n) != 1) n = -1;
    (void)fclose(f);
    return n;
}

int64_t cgroup_stat(const struct cgroup *g, const char *name, const char *key) {
    char word[64];
    long long n, found = -1;
    FILE *f = open_in(g, name);
    while (f && found < 0 && fscanf(f, "%63s %lld", word, &n) == 2)
        if (strcmp(word, key) == 0) found = n;
    if (f) (void)fclose(f);
    return found;
}
