/* Memory: arenas by life and tier, each reserved once; the ledger says who holds what.
 *
 * A room lays its buffers out with arena_push. The same code runs twice: on an arena that is not
 * reserved (base NULL) it only counts, which is the dry run; on the reserved one it hands out
 * memory. Each room also has a closed formula above its layout code; formula, dry run and high-water
 * mark are equal, and tests/plan says so. Nothing is allocated after the first step. */
#ifndef MOP_BASE_ARENA_H
#define MOP_BASE_ARENA_H

#include "base/err.h"
#include "base/log.h"

enum tier { TIER_DEVICE, TIER_PINNED, TIER_HOST, TIER_COUNT };
enum life { LIFE_RUN, LIFE_STEP, LIFE_LAYER, LIFE_SCRATCH, LIFE_COUNT };
enum { ARENA_ALIGN = 64, LEDGER_LINES = 192 };

const char *tier_name(enum tier t);

struct ledger_line {
    const char *room, *what; /* static strings */
    enum tier tier;
    enum life life;
    int64_t predicted_bytes; /* the room's closed formula */
    int64_t held_bytes;      /* what the layout took */
};

/* One per rank. Lines of the same room, what, tier and life add up. */
struct ledger {
    struct ledger_line line[LEDGER_LINES];
    int lines;
};

MUST err_t ledger_predict(struct ledger *g, const char *room, const char *what, enum tier tier, enum life life, int64_t bytes);
void ledger_print(const struct ledger *g, int log_lvl, log_sink line); /* a table by room and tier, largest first */
const char *life_name(enum life l);

struct arena {
    unsigned char *base; /* NULL: count only */
    int64_t cap, used, high;
    enum tier tier;
    enum life life;
    struct ledger *ledger; /* may be NULL */
};

void arena_init(struct arena *a, enum tier tier, enum life life, struct ledger *ledger);
/* Memory for it, borrowed: then lay out again, used goes back to 0. base NULL: none any more. */
void arena_give(struct arena *a, void *base, int64_t bytes);

/* `bytes` rounded up to ARENA_ALIGN, borrowed from the arena; what is in it is undefined, on the host zero at first use. In a dry run *out is
 * NULL. ERR_BUG when a reserved arena is too small: the dry run was of something else. */
MUST err_t arena_push(struct arena *a, const char *room, const char *what, int64_t bytes, void **out);
int64_t arena_mark(const struct arena *a);
void arena_pop(struct arena *a, int64_t mark); /* back to a mark: two layouts may share the same bytes */

/* A rank's arenas by life and tier. What the host reads and writes (tables of pointers, counts, its batch) lies in `host`, never beside
 * what the device works on. */
struct arenas {
    struct arena host;    /* run, host: tables, the host's batch */
    struct arena run;     /* run, device: weights, gradients, moments */
    struct arena step;    /* step, device: boundaries, kept intermediates, the batch */
    struct arena scratch; /* scratch, device: shared by the rooms in turn */
};
enum { ARENAS = 4 };
static inline void arenas_list(struct arenas *m, struct arena *out[ARENAS]) {
    out[0] = &m->host;
    out[1] = &m->run;
    out[2] = &m->step;
    out[3] = &m->scratch;
}
void arenas_init(struct arenas *m, struct ledger *g);

/* What a push of `bytes` takes: formulas use it too. */
static inline int64_t arena_bytes(int64_t bytes) { return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN; }

/* ARENA(a, "attention", "q", count, &p->q): count elements of *p->q's type. */
#define ARENA(a, room, what, count, out) arena_push((a), (room), (what), (int64_t)(count) * (int64_t)sizeof **(out), (void **)(out))

#endif
