#include "dense/dense_int.h"

#include <string.h>

static struct held *held_of(struct dense *d, int unit) { return &d->store->unit[unit]; }
static const struct unit *unit_of(const struct dense *d, int unit) { return &d->store->params->unit[unit]; }
static bool alone(const struct dense *d) { return d->shape.split.ranks == 1; }

/* This rank's part of a gathered unit begins here. */
static int64_t own_at(const struct dense *d, const struct held *u) { return u->shard.length * d->shape.split.rank; }

static const void *at_rest(const struct dense *d, const struct held *u) { return (const char *)d->store->w + u->at * dtype_bytes(d->store->act); }

static void add_to_rest(struct dense *d, const struct held *u, const float *sum) {
    float *to = d->store->grad_acc + u->at;
    for (int64_t i = 0; i < u->shard.own; i++) to[i] += sum[i];
}

/* ---- replicate ---- */

/* Where a unit lies in the copy of all. */
static int64_t whole_at(const struct dense *d, int unit) {
    int64_t at = 0;
    for (int i = 0; i < unit; i++) at += dense_gathered(&d->shape, unit_of(d, i));
    return at;
}

static err_t refresh_whole(struct dense *d) {
    if (d->version == d->store->version) return OK;
    int64_t at = 0;
    for (int i = 0; i < d->store->params->units; i++) {
        const int64_t n = dense_gathered(&d->shape, unit_of(d, i)), b = dtype_bytes(d->store->act);
        struct held *u = held_of(d, i);
        if (n == 0) continue;
        TRY(COMM(&d->mesh->dense_gather, all_gather, at_rest(d, u), d->whole_w + at * b, u->shard.length * b));
        at += n;
    }
    d->version = d->store->version;
    return OK;
}

static err_t settle_whole(struct dense *d) {
    int64_t at = 0;
    for (int i = 0; i < d->store->params->units; i++) {
        const int64_t n = dense_gathered(&d->shape, unit_of(d, i));
        struct held *u = held_of(d, i);
        if (n == 0) continue;
        float *g = d->whole_grad_acc + at, *own = g + own_at(d, u);
        TRY(COMM(&d->mesh->dense_scatter, reduce_scatter, g, own, u->shard.length, DT_F32));
        add_to_rest(d, u, own);
        memset(g, 0, sizeof *g * (size_t)n);
        at += n;
    }
    return OK;
}

/* ---- zero3 ---- */

static struct dense_slot *slot_with(struct dense *d, int unit) {
    for (int i = 0; i < 2; i++)
        if (d->slot[i].unit == unit) return &d->slot[i];
    return NULL;
}

err_t dense_begin(struct dense *d, int unit) {
    if (alone(d) || d->opts.strategy == DENSE_REPLICATE || unit < 0 || slot_with(d, unit)) return OK;
    struct dense_slot *t = slot_with(d, -1);
    const struct held *u = held_of(d, unit);
    ENSURE(t != NULL);
    TRY(COMM_BEGIN(&d->mesh->dense_gather, comm_call_all_gather(at_rest(d, u), t->w, u->shard.length * dtype_bytes(d->store->act)), &t->in));
    t->unit = unit;
    t->arriving = true;
    return OK;
}

/* The sum of a gradient that is on its way, to its owner. */
static err_t land(struct dense *d, struct dense_slot *t) {
    if (t->leaving < 0) return OK;
    TRY(comm_end(&t->out));
    const struct held *u = held_of(d, t->leaving);
    add_to_rest(d, u, t->grad_acc + own_at(d, u));
    t->leaving = -1;
    return OK;
}

err_t dense_enter(struct dense *d, int unit, int next, bool backward) {
    if (alone(d)) return OK;
    struct held *u = held_of(d, unit);
    u->from = 0;
    if (d->opts.strategy == DENSE_REPLICATE) {
        TRY(refresh_whole(d));
        const int64_t at = whole_at(d, unit);
        u->w = d->whole_w + at * dtype_bytes(d->store->act);
        u->grad_acc = backward ? d->whole_grad_acc + at : NULL;
        return OK;
    }
    TRY(dense_begin(d, unit));
    struct dense_slot *t = slot_with(d, unit);
    if (t->arriving) TRY(comm_end(&t->in));
    t->arriving = false;
    TRY(dense_begin(d, next));
    u->w = t->w;
    u->grad_acc = NULL;
    if (backward) {
        TRY(land(d, t));
        u->grad_acc = t->grad_acc;
        memset(u->grad_acc, 0, sizeof(float) * (size_t)dense_gathered(&d->shape, unit_of(d, unit)));
    }
    return OK;
}

err_t dense_leave(struct dense *d, int unit, bool backward) {
    if (alone(d)) return OK;
    struct held *u = held_of(d, unit);
    u->w = NULL;
    u->grad_acc = NULL;
    if (d->opts.strategy == DENSE_REPLICATE) return OK;
    struct dense_slot *t = slot_with(d, unit), *other = &d->slot[t == &d->slot[0]];
    t->unit = -1;
    if (!backward) return OK;
    TRY(land(d, other));
    float *own = t->grad_acc + own_at(d, u);
    TRY(COMM_BEGIN(&d->mesh->dense_scatter, comm_call_reduce_scatter(t->grad_acc, own, u->shard.length, DT_F32), &t->out));
    t->leaving = unit;
    return OK;
}

err_t dense_settle(struct dense *d) {
    if (alone(d)) return OK;
    if (d->opts.strategy == DENSE_REPLICATE) return settle_whole(d);
    for (int i = 0; i < 2; i++) TRY(land(d, &d->slot[i]));
    return OK;
}
