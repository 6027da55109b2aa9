/* Paths as options: what a shell would have made of ~ and ${NAME}, and lists whose names may hold commas. */
#include "base/opt_int.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool name_first(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
static bool name_char(char c) { return name_first(c) || (c >= '0' && c <= '9'); }

/* The variable at `p` ("$NAME" or "${NAME}"): *end behind it; NULL if there is no whole name. */
static const char *variable(const char *p, char name[OPT_KEY_MAX], const char **end) {
    const bool braces = p[1] == '{';
    const char *from = p + 1 + braces, *to = from;
    if (name_first(*to))
        while (name_char(*to)) to++;
    const size_t n = (size_t)(to - from);
    if (n == 0 || n >= OPT_KEY_MAX || (braces && *to != '}')) return NULL;
    memcpy(name, from, n);
    name[n] = 0;
    *end = to + braces;
    return name;
}

struct text {
    char *at;
    size_t used, room;
};

static err_t add(struct text *t, const char *from, size_t n) {
    if (t->used + n + 1 > t->room) {
        const size_t room = 2 * (t->used + n + 1);
        char *more = realloc(t->at, room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for a path of %zu bytes", t->used + n);
        t->at = more;
        t->room = room;
    }
    memcpy(t->at + t->used, from, n);
    t->used += n;
    t->at[t->used] = 0;
    return OK;
}

struct expand {
    const struct opt *o;
    const char *text, *origin;
    enum opt_from from;
    struct text out;
};

static err_t put_variable(struct expand *x, const char **p, const char *name, const char *end) {
    const char *value = getenv(name);
    if (!value || !*value)
        return FAIL(ERR_USAGE, "%s: %s holds %.*s, and the environment has no %s; set it, or write the path out", x->origin, x->o->key,
                    (int)(end - *p), *p, name);
    *p = end;
    return add(&x->out, value, strlen(value));
}

/* A ~ that begins a path. */
static err_t put_home(struct expand *x, const char **p) {
    const char next = (*p)[1];
    if (next != 0 && next != '/' && !(next == ',' && x->o->type == OPT_PATHS))
        return FAIL(ERR_USAGE,
                    "%s: %s begins with %.*s, and other people's home folders are not looked up; write the path out, or ./~ for a file "
                    "whose name begins so",
                    x->origin, x->o->key, (int)strcspn(*p, "/,"), *p);
    return put_variable(x, p, "HOME", *p + 1);
}

/* In a run file everything that a shell would act on is acted on or refused; on the command line a shell has been at it, and what is left of
 * it was quoted: only what no file is called is acted on. */
static err_t put_dollar(struct expand *x, const char **p) {
    char name[OPT_KEY_MAX];
    const char *end;
    if ((*p)[0] == '$' && variable(*p, name, &end) && (x->from == OPT_FROM_FILE || (*p)[1] == '{')) return put_variable(x, p, name, end);
    if (x->from == OPT_FROM_FILE)
        return FAIL(ERR_USAGE, "%s: a %c in %s that does not stand in ${NAME}; write \\%c for the character itself", x->origin, **p, x->o->key, **p);
    return add(&x->out, (*p)++, 1);
}

err_t opt_path(const struct opt *o, const char *text, const char *origin, enum opt_from from, char **out) {
    struct expand x = {.o = o, .text = text, .origin = origin, .from = from};
    err_t err = add(&x.out, "", 0);
    bool first = true;
    for (const char *p = text; *p && err == OK;) {
        const bool escaped = p[0] == '\\' && from == OPT_FROM_FILE && (p[1] == '$' || p[1] == '`'), comma = p[0] == '\\' && p[1] == ',';
        if (first && *p == '~') {
            err = put_home(&x, &p);
        } else if (escaped || (comma && o->type == OPT_PATHS)) {
            err = escaped ? add(&x.out, p + 1, 1) : add(&x.out, p, 2);
            p += 2;
        } else if (*p == '$' || *p == '`') {
            err = put_dollar(&x, &p);
        } else {
            const bool next = *p == ',' && o->type == OPT_PATHS;
            err = add(&x.out, p++, 1);
            first = next;
            continue;
        }
        first = false;
    }
    if (err != OK) {
        free(x.out.at);
        return err;
    }
    *out = x.out.at;
    return OK;
}

err_t opt_split(const char *text, char ***names, int64_t *count) {
    int64_t n = 1;
    for (const char *p = text; *p; p++) n += *p == ',';
    char **list = calloc((size_t)n, sizeof *list);
    if (!list) return FAIL(ERR_NOMEM, "out of memory for a list of %lld names", (long long)n);
    n = 0;
    for (const char *p = text;; p++) {
        const char *end = p;
        while (*end && *end != ',') end += end[0] == '\\' && end[1] == ',' ? 2 : 1;
        char *to = list[n] = malloc((size_t)(end - p) + 1);
        if (!to) {
            os_free_list(list, n);
            return FAIL(ERR_NOMEM, "out of memory for a list of %lld names", (long long)n);
        }
        n++;
        while (p < end) {
            p += p[0] == '\\' && p[1] == ',';
            *to++ = *p++;
        }
        *to = 0;
        if (!*end) break;
    }
    *names = list;
    *count = n;
    return OK;
}
