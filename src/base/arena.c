#include "base/arena.h"

#include "base/log.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const tier_names[] = {"device", "pinned", "host"};
static const char *const life_names[] = {"run", "step", "layer", "scratch"};

const char *tier_name(enum tier t) { return tier_names[t]; }
const char *life_name(enum life l) { return life_names[l]; }

static err_t find_line(struct ledger *g, const char *room, const char *what, enum tier tier, enum life life, struct ledger_line **out) {
    for (int i = 0; i < g->lines; i++) {
        struct ledger_line *l = &g->line[i];
        if (l->tier == tier && l->life == life && strcmp(l->room, room) == 0 && strcmp(l->what, what) == 0) {
            *out = l;
            return OK;
        }
    }
    ENSURE(g->lines < LEDGER_LINES);
    *out = &g->line[g->lines++];
    **out = (struct ledger_line){room, what, tier, life, 0, 0};
    return OK;
}

err_t ledger_predict(struct ledger *g, const char *room, const char *what, enum tier tier, enum life life, int64_t bytes) {
    struct ledger_line *l;
    TRY(find_line(g, room, what, tier, life, &l));
    l->predicted_bytes += bytes;
    return OK;
}

/* What the room of a line has in its tier. */
static int64_t room_bytes(const struct ledger *g, const struct ledger_line *of, bool held) {
    int64_t sum = 0;
    for (int i = 0; i < g->lines; i++) {
        const struct ledger_line *l = &g->line[i];
        if (l->tier == of->tier && strcmp(l->room, of->room) == 0) sum += held ? l->held_bytes : l->predicted_bytes;
    }
    return sum;
}

struct ledger_row {
    struct ledger_line line;
    int64_t room_predicted, room_held;
};

/* By room and tier, the largest first; in those by size. */
static int larger_first(const void *a, const void *b) {
    const struct ledger_row *x = a, *y = b;
    if (x->room_predicted != y->room_predicted) return x->room_predicted < y->room_predicted ? 1 : -1;
    const int room = strcmp(x->line.room, y->line.room);
    if (room) return room;
    if (x->line.tier != y->line.tier) return x->line.tier < y->line.tier ? -1 : 1;
    const int64_t p = x->line.predicted_bytes, q = y->line.predicted_bytes;
    return (p < q) - (p > q);
}

static void print_bytes(int log_lvl, log_sink line, int64_t held, int64_t predicted, const char *tier, const char *life, const char *indent,
                        const char *name) {
    line(log_lvl, "  %10.2f  %10.2f  %-6s  %-7s  %s%s%s", (double)predicted / 1048576.0, (double)held / 1048576.0, tier, life, indent, name,
         held && held != predicted ? "  (NOT as predicted)" : "");
}

void ledger_print(const struct ledger *g, int log_lvl, log_sink line) {
    struct ledger_row row[LEDGER_LINES];
    for (int i = 0; i < g->lines; i++) row[i] = (struct ledger_row){g->line[i], room_bytes(g, &g->line[i], false), room_bytes(g, &g->line[i], true)};
    qsort(row, (size_t)g->lines, sizeof row[0], larger_first);
    line(log_lvl, "memory in MiB (the rooms' scratch lies in the same bytes, one room after another):");
    line(log_lvl, "   predicted        held  tier    life     room and what");
    for (int i = 0; i < g->lines; i++) {
        const struct ledger_line *l = &row[i].line;
        if (i == 0 || strcmp(l->room, row[i - 1].line.room) != 0 || l->tier != row[i - 1].line.tier)
            print_bytes(log_lvl, line, row[i].room_held, row[i].room_predicted, tier_names[l->tier], "all", "", l->room);
        print_bytes(log_lvl, line, l->held_bytes, l->predicted_bytes, tier_names[l->tier], life_names[l->life], "  ", l->what);
    }
}

void arena_init(struct arena *a, enum tier tier, enum life life, struct ledger *ledger) {
    *a = (struct arena){.tier = tier, .life = life, .ledger = ledger};
}

void arenas_init(struct arenas *m, struct ledger *g) {
    arena_init(&m->host, TIER_HOST, LIFE_RUN, g);
    arena_init(&m->run, TIER_DEVICE, LIFE_RUN, g);
    arena_init(&m->step, TIER_DEVICE, LIFE_STEP, g);
    arena_init(&m->scratch, TIER_DEVICE, LIFE_SCRATCH, g);
}

void arena_give(struct arena *a, void *base, int64_t bytes) {
    a->base = base;
    a->cap = bytes;
    a->used = a->high = 0;
}

err_t arena_push(struct arena *a, const char *room, const char *what, int64_t bytes, void **out) {
    ENSURE(bytes >= 0 && bytes < INT64_MAX / 4);
    int64_t take = arena_bytes(bytes);
    if (a->base && a->used + take > a->cap)
        return FAIL(ERR_BUG, "internal: %s: %s needs %lld bytes, the arena has %lld of %lld left; the dry run counted something else", room, what,
                    (long long)take, (long long)(a->cap - a->used), (long long)a->cap);
    if (a->ledger && a->base) {
        struct ledger_line *l;
        TRY(find_line(a->ledger, room, what, a->tier, a->life, &l));
        l->held_bytes += take;
    }
    *out = a->base ? a->base + a->used : NULL;
    a->used += take;
    if (a->used > a->high) a->high = a->used;
    return OK;
}

int64_t arena_mark(const struct arena *a) { return a->used; }
void arena_pop(struct arena *a, int64_t mark) { a->used = mark; }
