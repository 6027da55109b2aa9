/* The cpu device. Owned: a queue a stream that has one (those of communicators). Kernels, copies and fills have run when launch returns; a
 * communication has begun then, which is all that waits in a queue, and is ended by the first await, sync or full queue behind it, so all
 * events of other streams are in the past. */
#include "device/device_int.h"

#include "base/os.h"

#include <stdlib.h>

enum { UNDER_WAY = 16 }; /* communications of a stream; a communicator has fewer */

struct cpu {
    struct queue queue[DEVICE_STREAMS];
    err_t err; /* of a task; its message is kept */
    char message[4096];
};

static struct cpu *cpu_of(const struct stream *s) { return s->device->state; }

static void keep_error(struct cpu *c, err_t err) {
    if (err == OK || c->err != OK) return;
    c->err = err;
    size_t n = 0;
    for (const char *m = err_message(); m[n] && n + 1 < sizeof c->message; n++) c->message[n] = m[n];
    c->message[n] = 0;
}

static err_t error_of(const struct cpu *c) { return c->err == OK ? OK : err_adopt(c->err, c->message); }

/* The oldest communication of a stream. */
static void finish_first(struct cpu *c, struct queue *q) {
    const struct item *i = queue_at(q, q->first);
    void *args = (void *)(uintptr_t)i->t.args;
    bool done = false;
    err_t err = OK;
    while (err == OK && !done) {
        err = i->t.poll(args, &done);
        if (err == OK && !done) err = i->t.idle(args);
    }
    keep_error(c, err);
    queue_pop(q);
}

static void launch(struct stream *s, const struct task *t) {
    struct cpu *c = cpu_of(s);
    struct queue *q = &c->queue[s->id];
    if (c->err != OK) return; /* comes out of the next await, sync or fetch */
    if (!t->poll) {
        while (!queue_empty(q)) finish_first(c, q);
        const int64_t ns = t->kind >= 0 && s->device->trace ? os_now_ns() : 0;
        keep_error(c, t->run(t->self, s->device->pool, (void *)(uintptr_t)t->args));
        if (t->kind >= 0 && s->device->trace) trace_add(s->device->trace, t->site, t->kind, os_now_ns() - ns, t->cost);
        q->queued++;
        q->done++;
        return;
    }
    while (!queue_push(q, t, 0)) {
        if (queue_empty(q)) {
            keep_error(c, FAIL(ERR_BUG, "internal: %s at %s needs %lld bytes of the ring of stream %s; please report it", t->what, t->site,
                               (long long)queue_bytes(t), s->name));
            return;
        }
        finish_first(c, q);
    }
    const struct item *i = queue_at(q, q->next - 1);
    err_t err = i->t.run(i->t.self, s->device->pool, (void *)(uintptr_t)i->t.args);
    if (err == OK) return;
    keep_error(c, err);
    q->next--; /* it has not begun; nothing behind it does */
    q->done++;
}

static err_t sync(struct device *d, const struct event *e) {
    struct cpu *c = d->state;
    struct queue *q = &c->queue[e->stream];
    while (c->err == OK && q->done < e->ticket && !queue_empty(q)) finish_first(c, q);
    return error_of(c);
}

static err_t await(struct stream *s, const struct event *e, const char *site) {
    (void)site;
    return sync(s->device, e);
}

static uint64_t queued(const struct stream *s) { return cpu_of(s)->queue[s->id].queued; }

static err_t open_stream(struct device *d, int id, int64_t ring_bytes) {
    return ring_bytes ? queue_new(&((struct cpu *)d->state)->queue[id], UNDER_WAY, ring_bytes) : OK;
}

static err_t reserve(struct device *d, enum tier tier, int64_t bytes, const char *what, void **out) {
    (void)d;
    (void)tier;
    return os_reserve((size_t)bytes, what, out);
}

static void release(struct device *d, enum tier tier, void *p, int64_t bytes) {
    (void)d;
    (void)tier;
    os_release(p, (size_t)bytes);
}

static void close_device(struct device *d) {
    struct cpu *c = d->state;
    for (int i = 0; i < d->streams; i++) queue_free(&c->queue[i]);
    free(c);
}

static const struct device_ops cpu_ops = {.name = "cpu",
                                          .launch = launch,
                                          .await = await,
                                          .sync = sync,
                                          .queued = queued,
                                          .open_stream = open_stream,
                                          .reserve = reserve,
                                          .release = release,
                                          .close = close_device};

err_t cpu_open(struct device *d) {
    d->state = calloc(1, sizeof(struct cpu));
    if (!d->state) return FAIL(ERR_NOMEM, "out of memory for a device");
    d->ops = &cpu_ops;
    return OK;
}
