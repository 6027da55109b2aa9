/* Operations as tasks of a device. */
#include "base/os.h"
#include "comm/comm_int.h"

/* What a task holds: it stays where it is, in the stream's ring, until the operation is over, for peers read it. */
struct queued {
    struct comm *c;
    struct comm_call call;
    struct comm_request r;
};

static err_t run(const void *self, struct pool *pool, void *args) {
    (void)self;
    (void)pool;
    struct queued *q = args;
    q->c->site = q->call.site;
    return comm_begin(q->c, q->call, &q->r);
}

static err_t poll(void *args, bool *done) {
    struct queued *q = args;
    struct comm *c = q->r.comm;
    ENSURE(c);
    const int64_t before = os_now_ns();
    err_t err = c->ops->test(c, &q->r, done);
    q->c->ended_ns += os_now_ns() - before;
    return err == OK ? OK : err_frame(err, __func__);
}

static err_t idle(void *args) {
    struct queued *q = args;
    struct comm *c = q->r.comm;
    const int64_t before = os_now_ns();
    err_t err = c->ops->idle(c, &q->r);
    q->c->ended_ns += os_now_ns() - before;
    return err == OK ? OK : err_frame(err, __func__);
}

static void tables(void *args, struct tables *t) {
    struct queued *q = args;
    const int64_t bytes = q->c->size * (int64_t)sizeof(int64_t);
    TABLE(t, &q->call.send_bytes, bytes);
    TABLE(t, &q->call.send_at, bytes);
    TABLE(t, &q->call.recv_bytes, bytes);
    TABLE(t, &q->call.recv_at, bytes);
}

static void touch(const void *args, struct touch *t) {
    const struct queued *q = args;
    const struct comm_call *k = &q->call;
    const int64_t n = q->c->size, bytes = k->count * dtype_bytes(k->type);
    switch (k->op) {
    case COMM_ALL_GATHER:
        touch_range(t, TOUCH_READ, k->send, bytes);
        touch_range(t, TOUCH_WRITE, k->recv, n * bytes);
        break;
    case COMM_REDUCE_SCATTER:
        touch_range(t, TOUCH_READ, k->send, n * bytes);
        touch_range(t, TOUCH_WRITE, k->recv, bytes);
        break;
    case COMM_ALL_REDUCE: touch_range(t, TOUCH_ADD, k->recv, bytes); break;
    case COMM_ALL_TO_ALLV:
        for (int64_t p = 0; p < n; p++) touch_range(t, TOUCH_READ, (const char *)k->send + k->send_at[p], k->send_bytes[p]);
        for (int64_t p = 0; p < n; p++) touch_range(t, TOUCH_WRITE, (const char *)k->recv + k->recv_at[p], k->recv_bytes[p]);
        break;
    case COMM_RING_SHIFT:
        touch_range(t, TOUCH_READ, k->send, k->count);
        touch_range(t, TOUCH_WRITE, k->recv, k->recv_count);
        break;
    }
}

static void launch(struct comm *c, struct comm_call call, const char *site, bool on_device, struct event *e) {
    call.site = site;
    const struct queued q = {.c = c, .call = call};
    const struct task t = {.site = site,
                           .what = comm_op_name(call.op),
                           .kind = -1,
                           .run = run,
                           .poll = poll,
                           .idle = idle,
                           .tables = tables,
                           .touch = on_device ? touch : NULL,
                           .args = &q,
                           .args_bytes = sizeof q};
    c->stream->device->ops->launch(c->stream, &t);
    stream_record(c->stream, e);
}

err_t comm_queue(struct stream *s, struct comm *c, struct comm_call call, struct event *e, const char *site) {
    ENSURE(c->stream != NULL);
    TRY(stream_after(c->stream, s, site));
    launch(c, call, site, true, e);
    return OK;
}

err_t comm_on(struct stream *s, struct comm *c, struct comm_call call, const char *site) {
    struct event e;
    TRY(comm_queue(s, c, call, &e, site));
    return s->device->ops->await(s, &e, site);
}

err_t comm_control(struct comm *c, struct comm_call call, const char *site) {
    struct event e;
    launch(c, call, site, false, &e);
    return c->stream->device->ops->sync(c->stream->device, &e);
}

int64_t comm_ring_bytes(int size) { return (COMM_DEPTH + 1) * ((int64_t)sizeof(struct queued) + 4 * ((int64_t)sizeof(int64_t) * size + 64) + 64); }
