/* What all devices share: the tasks that belong to no room, and the host's waits. */
#include "device/device_int.h"

#include "base/log.h"
#include "base/num.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

const struct opt device_opt_list[] = {
    {.key = "device",
     .type = OPT_CHOICE,
     .offset = offsetof(struct device_opts, kind),
     .def = "cpu",
     .choices = "cpu|deferred",
     .resume = OPT_FREE,
     .help = "what work is queued on: cpu runs it at once; deferred runs it as late and in as odd an order as is allowed, closes its memory to the "
             "host and checks every access (to find mistakes in mop; slow; ranks as threads only)"},
    {.key = "device.seed",
     .type = OPT_INT,
     .offset = offsetof(struct device_opts, seed),
     .def = "0",
     .lo = 0,
     .hi = 1e15,
     .resume = OPT_FREE,
     .help = "device=deferred: which of the orders"},
    {.key = "device.drop",
     .type = OPT_INT,
     .offset = offsetof(struct device_opts, drop),
     .def = "0",
     .lo = 0,
     .hi = 1e15,
     .resume = OPT_FREE,
     .help = "device=deferred: the number, from 1, of a wait of one stream for another that rank 0 leaves out, to see that it is missed; 0: none"},
    {.key = NULL},
};

err_t device_new(const struct device_opts *opts, int64_t threads, struct device *out) {
    struct device d = {0};
    TRY(pool_new(threads ? (int)threads : os_cpus(), &d.pool));
    *out = d;
    err_t err = opts && opts->kind == DEVICE_DEFERRED ? deferred_open(out, opts) : cpu_open(out);
    if (err == OK) err = device_stream(out, "compute", 0, &out->compute);
    if (err == OK) err = device_stream(out, "copy in", 0, &out->copy_in);
    if (err == OK) err = device_stream(out, "copy out", 0, &out->copy_out);
    if (err != OK) device_free(out);
    return err;
}

void device_free(struct device *d) {
    if (d->ops) d->ops->close(d);
    pool_free(d->pool);
    *d = (struct device){0};
}

err_t device_stream(struct device *d, const char *name, int64_t ring_bytes, struct stream *out) {
    ENSURE(d->streams < DEVICE_STREAMS);
    TRY(d->ops->open_stream(d, d->streams, ring_bytes));
    *out = (struct stream){d, d->streams++, name};
    return OK;
}

static err_t give(struct device *d, struct arena *a) {
    char what[64];
    void *p;
    const int64_t bytes = a->high;
    (void)snprintf(what, sizeof what, "%s memory for the life of a %s", tier_name(a->tier), life_name(a->life));
    err_t err = d->ops->reserve(d, a->tier, bytes, what, &p);
    if (err == ERR_NOMEM && a->ledger) ledger_print(a->ledger, LOG_RUN, log_line);
    TRY(err);
    arena_give(a, p, bytes);
    return OK;
}

err_t device_arenas(struct device *d, struct arenas *m) {
    struct arena *each[ARENAS];
    arenas_list(m, each);
    for (int i = 0; i < ARENAS; i++) TRY(give(d, each[i]));
    return OK;
}

void device_arenas_release(struct device *d, struct arenas *m) {
    struct arena *each[ARENAS];
    arenas_list(m, each);
    for (int i = ARENAS - 1; i >= 0; i--) {
        if (each[i]->base) d->ops->release(d, each[i]->tier, each[i]->base, each[i]->cap);
        arena_give(each[i], NULL, 0);
    }
}

void stream_record(const struct stream *s, struct event *e) { *e = (struct event){s->id, s->device->ops->queued(s)}; }

err_t stream_after(struct stream *later, const struct stream *first, const char *site) {
    struct event e;
    stream_record(first, &e);
    return later->device->ops->await(later, &e, site);
}

err_t stream_sync(struct stream *s) {
    struct event e;
    stream_record(s, &e);
    s->device->waits++;
    return s->device->ops->sync(s->device, &e);
}

err_t device_sync(struct device *d) {
    d->waits++;
    for (int i = 0; i < d->streams; i++) {
        struct event e;
        stream_record(&(struct stream){d, i, NULL}, &e);
        TRY(d->ops->sync(d, &e));
    }
    return OK;
}

/* ---- copies and fills ---- */

struct copy_args {
    void *to;
    const void *from;
    int64_t bytes;
    int byte;
};

/* Large ones on the pool, in parts of whole pages. */
enum { PART = 1 << 20 };

static void copy_part(void *arg, int64_t i, int worker) {
    (void)worker;
    const struct copy_args *a = arg;
    memcpy((char *)a->to + i * PART, (const char *)a->from + i * PART, (size_t)i64_min(PART, a->bytes - i * PART));
}
static void fill_part(void *arg, int64_t i, int worker) {
    (void)worker;
    const struct copy_args *a = arg;
    memset((char *)a->to + i * PART, a->byte, (size_t)i64_min(PART, a->bytes - i * PART));
}

static err_t copy_run(const void *self, struct pool *pool, void *args) {
    (void)self;
    pool_run(pool, i64_div_up(((struct copy_args *)args)->bytes, PART), copy_part, args);
    return OK;
}
static err_t fill_run(const void *self, struct pool *pool, void *args) {
    (void)self;
    pool_run(pool, i64_div_up(((struct copy_args *)args)->bytes, PART), fill_part, args);
    return OK;
}

static void touch_both(const void *args, struct touch *t) {
    const struct copy_args *a = args;
    touch_range(t, TOUCH_READ, a->from, a->bytes);
    touch_range(t, TOUCH_WRITE, a->to, a->bytes);
}
static void touch_to(const void *args, struct touch *t) {
    const struct copy_args *a = args;
    touch_range(t, TOUCH_WRITE, a->to, a->bytes);
}
static void touch_from(const void *args, struct touch *t) {
    const struct copy_args *a = args;
    touch_range(t, TOUCH_READ, a->from, a->bytes);
}
static void table_from(void *args, struct tables *t) {
    struct copy_args *a = args;
    TABLE(t, &a->from, a->bytes);
}

static void queue_copy(struct stream *s, const struct task *kind, struct copy_args a, double bytes) {
    struct task t = *kind;
    if (a.bytes <= 0) return;
    t.cost = (struct cost){0, bytes};
    t.args = &a;
    t.args_bytes = sizeof a;
    s->device->ops->launch(s, &t);
}

void stream_copy(struct stream *s, void *to, const void *from, int64_t bytes, const char *site) {
    const struct task t = {.site = site, .what = "copy", .kind = TRACE_COPY, .run = copy_run, .touch = touch_both};
    queue_copy(s, &t, (struct copy_args){to, from, bytes, 0}, 2 * (double)bytes);
}

void stream_fill(struct stream *s, void *p, int byte, int64_t bytes, const char *site) {
    const struct task t = {.site = site, .what = "fill", .kind = TRACE_FILL, .run = fill_run, .touch = touch_to};
    queue_copy(s, &t, (struct copy_args){p, NULL, bytes, byte}, (double)bytes);
}

/* In parts that a ring always has room for. */
void stream_upload(struct stream *s, void *to, const void *from, int64_t bytes, const char *site) {
    const struct task t = {.site = site, .what = "upload", .kind = TRACE_UPLOAD, .run = copy_run, .touch = touch_to, .tables = table_from};
    for (int64_t done = 0; done < bytes; done += STREAM_RING / 4) {
        const int64_t n = i64_min(STREAM_RING / 4, bytes - done);
        queue_copy(s, &t, (struct copy_args){(char *)to + done, (const char *)from + done, n, 0}, 2 * (double)n);
    }
}

err_t stream_fetch(struct stream *s, void *to, const void *from, int64_t bytes, const char *site) {
    const struct task t = {.site = site, .what = "fetch", .kind = TRACE_FETCH, .run = copy_run, .touch = touch_from};
    queue_copy(s, &t, (struct copy_args){to, from, bytes, 0}, 2 * (double)bytes);
    return stream_sync(s);
}
