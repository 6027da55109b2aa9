#include "base/trace.h"

#include <string.h>

/* The folder that holds the file, whatever path the compiler was given. */
static void room_of(const char *site, const char **name, size_t *length) {
    const char *end = strrchr(site, '/'), *begin = end;
    *name = "other";
    *length = 5;
    if (!end) return;
    while (begin > site && begin[-1] != '/') begin--;
    if (begin == end || end - begin >= TRACE_NAME) return;
    *name = begin;
    *length = (size_t)(end - begin);
}

void trace_add(struct trace *t, const char *site, int kind, int64_t ns, struct cost cost) {
    const char *name;
    size_t length;
    int r = 0;
    room_of(site, &name, &length);
    while (r < t->rooms && (memcmp(t->room[r], name, length) != 0 || t->room[r][length])) r++;
    if (r == t->rooms) {
        if (r == TRACE_ROOMS) r--; /* more rooms than the program has: the last takes them */
        else memcpy(t->room[t->rooms++], name, length);
    }
    struct trace_event *e = &t->event[r][kind];
    e->count++;
    e->ns += ns;
    e->cost.flops += cost.flops;
    e->cost.bytes += cost.bytes;
}
