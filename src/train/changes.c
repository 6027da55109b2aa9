#include "train/changes.h"

#include "base/log.h"
#include "base/opt.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

err_t changes_open(struct changes *c, const char *allowed) {
    memset(c, 0, sizeof *c);
    return allowed ? opt_split(allowed, &c->allowed, &c->allowed_count) : OK;
}

void changes_close(struct changes *c) {
    os_free_list(c->allowed, c->allowed_count);
    memset(c, 0, sizeof *c);
}

static void append(char *to, size_t size, const char *between, const char *text) {
    const size_t n = strlen(to);
    (void)snprintf(to + n, size - n, "%s%s", n ? between : "", text);
}

static void add(struct changes *c, const char *name, const char *text) {
    append(c->all, sizeof c->all, ",", name);
    for (int64_t i = 0; i < c->allowed_count; i++) {
        if (strcmp(c->allowed[i], name) != 0) continue;
        log_line(LOG_WARN, "this run differs from the one that it goes on from, as train.resume_changes allows: %s", text);
        return;
    }
    c->count++;
    append(c->said, sizeof c->said, "; ", text);
    append(c->keys, sizeof c->keys, ",", name);
}

void changes_add(struct changes *c, const char *name, const char *was, const char *is) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s %.160s, now %.160s", name, was, is);
    add(c, name, text);
}

void changes_add_text(struct changes *c, const char *name, const char *said) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s (%.400s)", name, said);
    add(c, name, text);
}

bool changes_have(const struct changes *c, const char *begin) {
    for (const char *p = c->all; p; p = strchr(p, ',')) {
        if (*p == ',') p++;
        if (strncmp(p, begin, strlen(begin)) == 0) return true;
    }
    return false;
}

err_t changes_check(const struct changes *c, const char *out) {
    if (c->count == 0) return OK;
    return FAIL(ERR_USAGE, "out=%s: this run differs from the one there: %s; use the same, choose another out, or go on with train.resume_changes=%s",
                out, c->said, c->keys);
}
