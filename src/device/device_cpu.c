#include "base/os.h"
#include "device/device.h"

#include <string.h>

static err_t copy(struct stream *s, void *to, const void *from, int64_t bytes) {
    (void)s;
    memcpy(to, from, (size_t)bytes);
    return OK;
}

/* Work is done when the call that queued it returns: every event is in the past. */
static void record(struct stream *s, struct event *e) { e->ticket = s->id; }
static void await(struct stream *s, const struct event *e) {
    (void)s;
    (void)e;
}
static err_t sync(struct stream *s) {
    (void)s;
    return OK;
}

static const struct device_ops cpu_ops = {.name = "cpu", .copy = copy, .record = record, .await = await, .sync = sync};

err_t device_cpu_new(int64_t threads, struct device *out) {
    struct device d = {.ops = &cpu_ops, .compute = {0}, .copy_in = {1}, .copy_out = {2}};
    TRY(pool_new(threads ? (int)threads : os_cpus(), &d.pool));
    *out = d;
    return OK;
}

void device_free(struct device *d) {
    pool_free(d->pool);
    d->pool = NULL;
}
