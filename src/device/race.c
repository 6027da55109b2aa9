#include "device/race.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct visit {
    int64_t stream;
    uint64_t ticket; /* 0: none */
    const char *site, *what;
};

/* Bytes [from, to) with the same history. */
struct span {
    uintptr_t from, to;
    bool written; /* since it was reserved or last used as work space */
    struct visit writer;
    struct visit reader[DEVICE_STREAMS]; /* the last of each stream since the writer */
};

/* A reservation: its spans in order, without gaps. */
struct region {
    uintptr_t from, to;
    struct span *span;
    int64_t count, cap;
};

enum { REGIONS = 16 };
struct race {
    struct region region[REGIONS];
    int regions;
};

err_t race_new(struct race **out) {
    *out = calloc(1, sizeof **out);
    return *out ? OK : FAIL(ERR_NOMEM, "out of memory for the race check");
}

void race_free(struct race *r) {
    for (int i = 0; r && i < r->regions; i++) free(r->region[i].span);
    free(r);
}

static err_t grow(struct region *g) {
    if (g->count + 2 < g->cap) return OK;
    const int64_t cap = g->cap ? 2 * g->cap : 64;
    struct span *span = realloc(g->span, (size_t)cap * sizeof *span);
    if (!span) return FAIL(ERR_NOMEM, "out of memory for the race check's table of %lld runs of bytes", (long long)cap);
    g->span = span;
    g->cap = cap;
    return OK;
}

err_t race_add(struct race *r, const void *p, int64_t bytes) {
    ENSURE(r->regions < REGIONS);
    struct region *g = &r->region[r->regions];
    *g = (struct region){.from = (uintptr_t)p, .to = (uintptr_t)p + (uintptr_t)bytes};
    TRY(grow(g));
    memset(&g->span[0], 0, sizeof g->span[0]);
    g->span[0].from = g->from;
    g->span[0].to = g->to;
    g->count = 1;
    r->regions++;
    return OK;
}

void race_remove(struct race *r, const void *p) {
    for (int i = 0; i < r->regions; i++) {
        if (r->region[i].from != (uintptr_t)p) continue;
        free(r->region[i].span);
        r->region[i] = r->region[--r->regions];
        return;
    }
}

/* The span that holds `at`. */
static int64_t find(const struct region *g, uintptr_t at) {
    int64_t lo = 0, hi = g->count - 1;
    while (lo < hi) {
        const int64_t mid = (lo + hi + 1) / 2;
        if (g->span[mid].from <= at) lo = mid;
        else hi = mid - 1;
    }
    return lo;
}

/* Make a border at `at`. */
static err_t cut(struct region *g, uintptr_t at) {
    const int64_t i = find(g, at);
    if (at <= g->from || at >= g->to || g->span[i].from == at) return OK;
    TRY(grow(g));
    memmove(&g->span[i + 1], &g->span[i], (size_t)(g->count - i) * sizeof g->span[0]);
    g->count++;
    g->span[i].to = g->span[i + 1].from = at;
    return OK;
}

static bool same_history(const struct span *a, const struct span *b) {
    return a->written == b->written && memcmp(&a->writer, &b->writer, sizeof a->writer) == 0 && memcmp(a->reader, b->reader, sizeof a->reader) == 0;
}

/* Spans from i - 1 to `to` that have become alike become one. */
static void join(struct region *g, int64_t i, uintptr_t to) {
    int64_t out = i64_max(i - 1, 0), in = out + 1;
    while (in < g->count && g->span[in].from <= to) {
        if (same_history(&g->span[out], &g->span[in])) g->span[out].to = g->span[in].to;
        else g->span[++out] = g->span[in];
        in++;
    }
    if (in == out + 1) return;
    memmove(&g->span[out + 1], &g->span[in], (size_t)(g->count - in) * sizeof g->span[0]);
    g->count -= in - out - 1;
}

struct checking {
    struct touch t;
    struct race *r;
    const struct clock *before;
    const struct task *task;
    struct visit me;
    err_t err;
};

static err_t conflict(const struct checking *c, const char *does, const struct visit *other, const char *did) {
    return FAIL(ERR_BUG,
                "race on the device: %s at %s %s memory that %s at %s %s, and no event orders them; a wait of one stream for the other is missing",
                c->task->what, c->task->site, does, other->what, other->site, did);
}

static bool unordered(const struct checking *c, const struct visit *v) {
    return v->ticket && v->stream != c->me.stream && v->ticket > c->before->of[v->stream];
}

static err_t visit_span(const struct checking *c, enum access how, struct span *s) {
    const bool reads = how == TOUCH_READ || how == TOUCH_ADD, writes = how != TOUCH_READ;
    if (reads && !s->written)
        return FAIL(ERR_BUG, "%s at %s reads device memory that nothing has written since it was reserved or used as work space", c->task->what,
                    c->task->site);
    if (unordered(c, &s->writer)) return conflict(c, reads ? "reads" : "overwrites", &s->writer, "writes");
    for (int i = 0; writes && i < DEVICE_STREAMS; i++)
        if (unordered(c, &s->reader[i])) return conflict(c, "overwrites", &s->reader[i], "reads");
    if (!writes) {
        s->reader[c->me.stream] = c->me;
        return OK;
    }
    s->written = how != TOUCH_WORK;
    s->writer = c->me;
    memset(s->reader, 0, sizeof s->reader);
    return OK;
}

static err_t visit_range(const struct checking *c, struct region *g, enum access how, uintptr_t from, uintptr_t to) {
    TRY(cut(g, from));
    TRY(cut(g, to));
    const int64_t first = find(g, from);
    for (int64_t i = first; i < g->count && g->span[i].from < to; i++) TRY(visit_span(c, how, &g->span[i]));
    join(g, first, to);
    return OK;
}

static void range(struct touch *t, enum access how, const void *p, int64_t bytes) {
    struct checking *c = (struct checking *)(void *)t;
    const uintptr_t from = (uintptr_t)p, to = from + (uintptr_t)bytes;
    if (c->err != OK) return;
    for (int i = 0; i < c->r->regions; i++) {
        struct region *g = &c->r->region[i];
        if (from < g->from || from >= g->to) continue;
        c->err = to <= g->to ? visit_range(c, g, how, from, to)
                             : FAIL(ERR_BUG, "%s at %s touches %lld bytes beyond the end of its memory", c->task->what, c->task->site,
                                    (long long)(to - g->to));
        return;
    }
    c->err = FAIL(ERR_BUG, "%s at %s touches %lld bytes that are not the device's", c->task->what, c->task->site, (long long)bytes);
}

err_t race_check(struct race *r, int s, uint64_t ticket, const struct clock *before, const struct task *t) {
    struct checking c = {{range}, r, before, t, {s, ticket, t->site, t->what}, OK};
    if (t->touch) t->touch(t->args, &c.t);
    return c.err;
}
