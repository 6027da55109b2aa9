#include "ckpt/ckpt_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Room for `bytes` more and a NUL. */
static bool grow(struct text *t, int64_t bytes) {
    if (t->failed) return false;
    if (t->bytes + bytes < t->room) return true;
    int64_t room = 2 * (t->bytes + bytes) + 256;
    char *s = realloc(t->s, (size_t)room);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->room = room;
    return true;
}

void text_add(struct text *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) t->failed = true;
    else if (grow(t, n)) t->bytes += vsnprintf(t->s + t->bytes, (size_t)n + 1, fmt, again);
    va_end(again);
}

void text_quote(struct text *t, const char *s) {
    text_add(t, "\"");
    for (const char *p = s; *p;) {
        size_t plain = 0;
        while ((unsigned char)p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\') plain++;
        if (plain) text_add(t, "%.*s", (int)plain, p);
        p += plain;
        if (!*p) break;
        if ((unsigned char)*p < 0x20) text_add(t, "\\u%04x", (unsigned)*p);
        else text_add(t, "\\%c", *p);
        p++;
    }
    text_add(t, "\"");
}

void text_shape(struct text *t, const int64_t *shape, int ndim) {
    text_add(t, "[");
    for (int i = 0; i < ndim; i++) text_add(t, "%s%lld", i ? "," : "", (long long)shape[i]);
    text_add(t, "]");
}

err_t text_check(const struct text *t) {
    if (t->failed) return FAIL(ERR_NOMEM, "no memory for %lld more bytes of a table of tensors; free some memory", (long long)t->bytes);
    return OK;
}

void text_free(struct text *t) {
    free(t->s);
    memset(t, 0, sizeof *t);
}
