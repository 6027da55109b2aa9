/* The deferred device: finds a missing wait without a GPU. Owned: a queue a stream, the clocks, the table of the race check. A task waits until the host
 * waits for something or a queue is full; then tasks run in an order drawn from the seed, each stream's own kept, until that something is over.
 * Half of the times only what it needs runs, so that the rest is as late as it may be. A host that waits for its peers lets everything run
 * that can (C7). Device memory is closed to everybody but while tasks run; peers read it only meanwhile, since no communication is left under
 * way when the host goes on. */
#include "device/device_int.h"
#include "device/race.h"

#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ITEMS = 4096, REGIONS = 16, WAYS = 8 };

struct memory {
    void *p;
    int64_t bytes;
};

/* A stream's clock at one of its tickets: changes where it awaits. */
struct mark {
    uint64_t ticket;
    struct clock clock;
};

struct marks {
    struct mark *mark;
    int count, cap;
};

struct deferred {
    struct queue queue[DEVICE_STREAMS];
    int under_way[DEVICE_STREAMS];            /* communications begun */
    struct clock clock[DEVICE_STREAMS], host; /* what a stream's next task comes after; what the host has waited for */
    struct marks marks[DEVICE_STREAMS];
    struct race *race;
    struct memory memory[REGIONS];
    int memories;
    bool open;
    uint64_t seed, draws, order, highest; /* highest: of the tasks that have run */
    int64_t drop;
    err_t err;
    char message[4096];
};

static struct deferred *of(const struct device *d) { return d->state; }

static void keep_error(struct deferred *f, err_t err) {
    if (err == OK || f->err != OK) return;
    f->err = err;
    strncpy(f->message, err_message(), sizeof f->message - 1);
}

static err_t error_of(const struct deferred *f) { return f->err == OK ? OK : err_adopt(f->err, f->message); }

static uint64_t draw(struct deferred *f, uint64_t below) { return rng_u64(f->seed, 0, f->draws++) % below; }

/* ---- closed pages (C2) ---- */

static err_t set_open(struct deferred *f, bool open) {
    if (f->open == open) return OK;
    for (int i = 0; i < f->memories; i++)
        if (mprotect(f->memory[i].p, (size_t)f->memory[i].bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
            return FAIL(ERR_IO, "cannot close the device's memory to the host: take device=cpu");
    f->open = open;
    return OK;
}

static int64_t whole_pages(int64_t bytes) { return i64_round_up(i64_max(bytes, 1), 4096); }

static err_t reserve(struct device *d, enum tier tier, int64_t bytes, const char *what, void **out) {
    struct deferred *f = of(d);
    if (tier != TIER_DEVICE) return os_reserve((size_t)bytes, what, out);
    void *p;
    ENSURE(f->memories < REGIONS);
    bytes = whole_pages(bytes);
    TRY(os_reserve((size_t)bytes, what, &p));
    memset(p, 0xff, (size_t)bytes); /* NaN in every type (C5) */
    err_t err = race_add(f->race, p, bytes);
    if (err != OK) {
        os_release(p, (size_t)bytes);
        return err;
    }
    TRY(set_open(f, true));
    f->memory[f->memories++] = (struct memory){p, bytes};
    TRY(set_open(f, false));
    *out = p;
    return OK;
}

static void release(struct device *d, enum tier tier, void *p, int64_t bytes) {
    struct deferred *f = of(d);
    if (!p) return;
    if (tier != TIER_DEVICE) {
        os_release(p, (size_t)bytes);
        return;
    }
    for (int i = 0; i < f->memories; i++) {
        if (f->memory[i].p != p) continue;
        race_remove(f->race, p);
        os_release(p, (size_t)f->memory[i].bytes);
        f->memory[i] = f->memory[--f->memories];
        return;
    }
}

/* ---- clocks ---- */

static void join(struct clock *a, const struct clock *b) {
    for (int i = 0; i < DEVICE_STREAMS; i++)
        if (b->of[i] > a->of[i]) a->of[i] = b->of[i];
}

/* The clock that a stream had when its item `ticket` was queued, that item included. */
static struct clock clock_at(const struct deferred *f, const struct event *e) {
    const struct marks *m = &f->marks[e->stream];
    struct clock c = {0};
    for (int i = m->count - 1; i >= 0; i--) {
        if (m->mark[i].ticket > e->ticket) continue;
        c = m->mark[i].clock;
        break;
    }
    c.of[e->stream] = e->ticket;
    return c;
}

/* From its next task on, stream s comes after what its clock says now. */
static err_t mark_clock(struct deferred *f, int s) {
    struct marks *m = &f->marks[s];
    const uint64_t ticket = f->queue[s].queued + 1;
    if (m->count) { /* its own place apart, as before */
        struct clock last = m->mark[m->count - 1].clock;
        last.of[s] = f->clock[s].of[s];
        if (memcmp(&last, &f->clock[s], sizeof last) == 0) return OK;
    }
    if (m->count && m->mark[m->count - 1].ticket == ticket) {
        m->mark[m->count - 1].clock = f->clock[s];
        return OK;
    }
    if (m->count == m->cap) {
        const int cap = m->cap ? 2 * m->cap : 64;
        struct mark *mark = realloc(m->mark, (size_t)cap * sizeof *mark);
        if (!mark) return FAIL(ERR_NOMEM, "out of memory for the race check's clocks");
        m->mark = mark;
        m->cap = cap;
    }
    m->mark[m->count++] = (struct mark){ticket, f->clock[s]};
    return OK;
}

/* The host has waited for e: all that is queued from now on comes after it. */
static void host_after(struct deferred *f, const struct event *e) {
    const struct clock c = clock_at(f, e);
    join(&f->host, &c);
    for (int s = 0; s < DEVICE_STREAMS; s++) { /* older marks say nothing that the host does not know */
        struct marks *m = &f->marks[s];
        int keep = m->count - 1;
        while (keep > 0 && m->mark[keep].ticket > f->host.of[s]) keep--;
        if (keep <= 0) continue;
        memmove(m->mark, m->mark + keep, (size_t)(m->count - keep) * sizeof *m->mark);
        m->count -= keep;
    }
}

/* ---- the order ---- */

static bool past(const struct deferred *f, const struct event *e) { return f->queue[e->stream].done >= e->ticket; }

/* Awaits in front that are past are over. */
static void pass_awaits(struct deferred *f, int s) {
    struct queue *q = &f->queue[s];
    while (!queue_empty(q) && queue_at(q, q->first)->is_await && past(f, &queue_at(q, q->first)->await)) queue_pop(q);
}

/* The first item of a stream that has not begun, if it may run now; behind communications that have, only another may begin. */
static struct item *runnable(struct deferred *f, int s) {
    struct queue *q = &f->queue[s];
    pass_awaits(f, s);
    for (uint64_t i = q->first; i < q->next; i++) {
        struct item *x = queue_at(q, i);
        if (x->is_await ? past(f, &x->await) : x->begun) continue;
        if (x->is_await || (f->under_way[s] && (!x->t.poll || f->under_way[s] == WAYS))) return NULL;
        return x;
    }
    return NULL;
}

/* How far each stream must have run for e, by the awaits between. */
static void needed(const struct deferred *f, const struct event *e, struct clock *need) {
    bool more = true;
    *need = (struct clock){0};
    need->of[e->stream] = e->ticket;
    while (more) {
        more = false;
        for (int s = 0; s < DEVICE_STREAMS; s++) {
            const struct queue *q = &f->queue[s];
            for (uint64_t i = q->first; i < q->next; i++) {
                const struct item *x = queue_at(q, i);
                if (!x->is_await || x->ticket > need->of[s] || x->await.ticket <= need->of[x->await.stream]) continue;
                need->of[x->await.stream] = x->await.ticket;
                more = true;
            }
        }
    }
}

static uint64_t lowest_waiting(const struct deferred *f, uint64_t but) {
    uint64_t low = UINT64_MAX;
    for (int s = 0; s < DEVICE_STREAMS; s++)
        for (uint64_t i = f->queue[s].first; i < f->queue[s].next; i++) {
            const struct item *x = queue_at(&f->queue[s], i);
            if (x->is_await || x->begun || x->order == but) continue;
            if (x->order < low) low = x->order;
            break;
        }
    return low;
}

static void run(struct device *d, int s, struct item *x) {
    struct deferred *f = of(d);
    struct queue *q = &f->queue[s];
    d->counts.tasks++;
    if (lowest_waiting(f, x->order) < x->order || f->highest > x->order) d->counts.odd++;
    if (x->order > f->highest) f->highest = x->order;
    const int64_t ns = os_now_ns();
    keep_error(f, x->t.run(x->t.self, d->pool, (void *)(uintptr_t)x->t.args));
    if (x->t.poll) {
        x->begun = true;
        f->under_way[s]++;
        return;
    }
    if (x->t.kind >= 0 && d->trace) trace_add(d->trace, x->t.site, x->t.kind, os_now_ns() - ns, x->t.cost);
    queue_pop(q); /* it was the first: what is behind communications under way waits for them */
}

/* A stream's first communication, if it has ended. */
static bool poll(struct deferred *f, int s) {
    struct queue *q = &f->queue[s];
    pass_awaits(f, s);
    if (!f->under_way[s]) return false;
    struct item *x = queue_at(q, q->first);
    bool done = false;
    keep_error(f, x->t.poll((void *)(uintptr_t)x->t.args, &done));
    if (!done) return false;
    f->under_way[s]--;
    queue_pop(q);
    return true;
}

/* Nothing can run here before a peer has moved. */
static err_t idle(struct deferred *f) {
    for (int s = 0; s < DEVICE_STREAMS; s++) {
        struct queue *q = &f->queue[s];
        if (f->under_way[s]) return queue_at(q, q->first)->t.idle((void *)(uintptr_t)queue_at(q, q->first)->t.args);
    }
    return FAIL(ERR_BUG, "internal: the streams of the device wait for each other; please report it");
}

static bool any_under_way(const struct deferred *f) {
    for (int s = 0; s < DEVICE_STREAMS; s++)
        if (f->under_way[s]) return true;
    return false;
}

/* One task, if one may run: any of those that `limit` (NULL: none) lets, streams in an order of their own. */
static bool run_one(struct device *d, const struct clock *limit) {
    struct deferred *f = of(d);
    struct item *may[DEVICE_STREAMS];
    int stream[DEVICE_STREAMS], n = 0;
    for (int s = 0; s < DEVICE_STREAMS; s++) {
        struct item *x = runnable(f, s);
        if (!x || (limit && x->ticket > limit->of[s])) continue;
        may[n] = x;
        stream[n++] = s;
    }
    if (n == 0) return false;
    const int i = (int)draw(f, (uint64_t)n);
    run(d, stream[i], may[i]);
    return true;
}

static bool poll_any(struct deferred *f) {
    bool moved = false;
    for (int s = 0; s < DEVICE_STREAMS && !moved && f->err == OK; s++) moved = poll(f, s);
    return moved;
}

/* Until e is past and no communication is under way. */
static err_t run_until(struct device *d, const struct event *e) {
    static const struct clock none = {0};
    struct deferred *f = of(d);
    const bool lazy = draw(f, 2) == 0;
    if (f->err == OK) keep_error(f, set_open(f, true));
    while (f->err == OK && (!past(f, e) || any_under_way(f))) {
        struct clock need;
        needed(f, e, &need);
        const struct clock *limit = past(f, e) ? &none : lazy ? &need : NULL;
        if (draw(f, 4) > 0 && run_one(d, limit)) continue;
        if (poll_any(f) || run_one(d, limit)) continue;
        if (f->err == OK && run_one(d, NULL)) continue; /* before it waits for its peers (C7) */
        if (f->err == OK) keep_error(f, idle(f));
    }
    if (f->err == OK) keep_error(f, set_open(f, false));
    return error_of(f);
}

/* ---- the device ---- */

static void launch(struct stream *s, const struct task *t) {
    struct device *d = s->device;
    struct deferred *f = of(d);
    struct queue *q = &f->queue[s->id];
    struct clock *c = &f->clock[s->id];
    if (f->err != OK) return;
    join(c, &f->host);
    c->of[s->id] = q->queued; /* those before it on its stream */
    keep_error(f, mark_clock(f, s->id));
    keep_error(f, race_check(f->race, s->id, q->queued + 1, c, t));
    while (f->err == OK && !queue_push(q, t, f->order + 1)) {
        if (queue_empty(q))
            keep_error(f, FAIL(ERR_BUG, "internal: %s at %s needs %lld bytes of the ring of stream %s; please report it", t->what, t->site,
                               (long long)queue_bytes(t), s->name));
        else if (q->queued > q->done) (void)run_until(d, &(struct event){s->id, q->done + (q->queued - q->done + 1) / 2}); /* its error is kept */
        else (void)run_until(d, &queue_at(q, q->first)->await);
        pass_awaits(f, s->id);
    }
    f->order++;
}

static err_t await(struct stream *s, const struct event *e, const char *site) {
    struct deferred *f = of(s->device);
    struct queue *q = &f->queue[s->id];
    if (f->err != OK) return error_of(f);
    if (e->ticket == 0 || e->stream == s->id) return OK;
    s->device->counts.awaits++;
    struct clock known = f->clock[s->id];
    join(&known, &f->host);
    const bool adds = known.of[e->stream] < e->ticket;
    s->device->counts.redundant += !adds;
    log_line(LOG_KERNEL, "deferred: await %lld at %s %s", (long long)s->device->counts.awaits, site, adds ? "orders" : "is ordered already");
    if (f->drop && s->device->counts.awaits == f->drop) {
        log_line(LOG_RUN, "deferred: await %lld at %s is left out", (long long)f->drop, site);
        return OK;
    }
    const struct clock c = clock_at(f, e);
    join(&f->clock[s->id], &c);
    TRY(mark_clock(f, s->id));
    while (f->err == OK && !queue_push_await(q, e, site, f->order)) {
        (void)run_until(s->device, &(struct event){s->id, q->done + 1});
        pass_awaits(f, s->id);
    }
    return error_of(f);
}

static err_t sync(struct device *d, const struct event *e) {
    struct deferred *f = of(d);
    TRY(run_until(d, e));
    host_after(f, e);
    return OK;
}

static uint64_t queued(const struct stream *s) { return of(s->device)->queue[s->id].queued; }

static err_t open_stream(struct device *d, int id, int64_t ring_bytes) {
    return queue_new(&of(d)->queue[id], ITEMS, i64_max(ring_bytes, STREAM_RING));
}

static void close_device(struct device *d) {
    struct deferred *f = of(d);
    if (d->counts.tasks)
        log_line(LOG_RUN, "deferred: %lld tasks, %lld out of queue order, %lld awaits", (long long)d->counts.tasks, (long long)d->counts.odd,
                 (long long)d->counts.awaits);
    for (int i = 0; i < DEVICE_STREAMS; i++) {
        queue_free(&f->queue[i]);
        free(f->marks[i].mark);
    }
    for (int i = 0; i < f->memories; i++) os_release(f->memory[i].p, (size_t)f->memory[i].bytes);
    race_free(f->race);
    free(f);
}

static const struct device_ops deferred_ops = {.name = "deferred",
                                               .launch = launch,
                                               .await = await,
                                               .sync = sync,
                                               .queued = queued,
                                               .open_stream = open_stream,
                                               .reserve = reserve,
                                               .release = release,
                                               .close = close_device};

err_t deferred_open(struct device *d, const struct device_opts *o) {
    struct deferred *f = calloc(1, sizeof *f);
    if (!f) return FAIL(ERR_NOMEM, "out of memory for a device");
    f->seed = (uint64_t)o->seed;
    f->drop = o->drop;
    err_t err = race_new(&f->race);
    if (err != OK) {
        free(f);
        return err;
    }
    d->state = f;
    d->ops = &deferred_ops;
    return OK;
}
