#include "device/queue.h"

#include <stdlib.h>
#include <string.h>

enum { RING_ALIGN = 64 };

static int64_t aligned(int64_t bytes) { return (bytes + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN; }

err_t queue_new(struct queue *q, int cap, int64_t ring_bytes) {
    *q = (struct queue){.cap = cap, .ring_cap = aligned(ring_bytes)};
    q->item = calloc((size_t)cap, sizeof *q->item);
    q->ring = aligned_alloc(RING_ALIGN, (size_t)q->ring_cap + RING_ALIGN);
    if (q->item && q->ring) return OK;
    queue_free(q);
    return FAIL(ERR_NOMEM, "out of memory for a queue of %d tasks and %lld bytes", cap, (long long)ring_bytes);
}

void queue_free(struct queue *q) {
    free(q->item);
    free(q->ring);
    *q = (struct queue){0};
}

/* ---- the host's tables: counted first, then copied ---- */

struct count {
    struct tables t;
    int64_t bytes;
};

static void add_bytes(struct tables *t, const void **p, int64_t bytes) {
    if (*p && bytes > 0) ((struct count *)(void *)t)->bytes += aligned(bytes);
}

int64_t queue_bytes(const struct task *t) {
    struct count c = {{add_bytes}, aligned(t->args_bytes)};
    _Alignas(64) unsigned char args[TASK_BYTES];
    if (!t->tables) return c.bytes;
    memcpy(args, t->args, (size_t)t->args_bytes);
    t->tables(args, &c.t);
    return c.bytes;
}

struct put {
    struct tables t;
    unsigned char *at;
};

static void copy_table(struct tables *t, const void **p, int64_t bytes) {
    struct put *k = (struct put *)(void *)t;
    if (!*p || bytes <= 0) return;
    memcpy(k->at, *p, (size_t)bytes);
    *p = k->at;
    k->at += aligned(bytes);
}

/* ---- the ring ---- */

/* `bytes` in one piece, or NULL. */
static unsigned char *ring_take(struct queue *q, int64_t bytes) {
    if (queue_empty(q)) q->from = q->to = 0;
    const bool wrapped = q->to < q->from;
    if (!wrapped && q->ring_cap - q->to < bytes) {
        if (q->from < bytes + 1) return NULL; /* to never meets from but where the ring is empty */
        q->to = 0;
    } else if (wrapped && q->from - q->to < bytes + 1) {
        return NULL;
    }
    unsigned char *p = q->ring + q->to;
    q->to += bytes;
    return p;
}

static struct item *place(struct queue *q) {
    if (q->next - q->first == (uint64_t)q->cap) return NULL;
    struct item *i = queue_at(q, q->next);
    *i = (struct item){0};
    return i;
}

bool queue_push(struct queue *q, const struct task *t, uint64_t order) {
    struct item *i = place(q);
    unsigned char *p = i ? ring_take(q, queue_bytes(t)) : NULL;
    if (!p) return false;
    i->t = *t;
    i->t.args = p;
    memcpy(p, t->args, (size_t)t->args_bytes);
    struct put k = {{copy_table}, p + aligned(t->args_bytes)};
    if (t->tables) t->tables(p, &k.t);
    i->ticket = ++q->queued;
    i->order = order;
    i->ring_to = q->to;
    q->next++;
    return true;
}

bool queue_push_await(struct queue *q, const struct event *e, const char *site, uint64_t order) {
    struct item *i = place(q);
    if (!i) return false;
    i->is_await = true;
    i->await = *e;
    i->t.site = site;
    i->ticket = ++q->queued;
    i->order = order;
    i->ring_to = q->to;
    q->next++;
    return true;
}

void queue_pop(struct queue *q) {
    struct item *i = queue_at(q, q->first++);
    q->from = i->ring_to;
    q->done++;
}
