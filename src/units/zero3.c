/* Dense units on many ranks: zero3 gathers a half-layer's unit into one of two slots a half-layer ahead and gives it up after use; its gradient is on its
 * way to rest while the next one's is formed. replicate holds all of them whole, refreshed once the weights have changed. Owned: the slots;
 * a slot's weights are the gather's from ahead to enter, the room's from enter to leave; its gradient is the room's from enter to leave, the
 * reduce-scatter's from leave until it has landed. */
#include "units/units_int.h"

#include "base/num.h"

int64_t unit_whole_elements(const struct spec *s, const struct split *how, const struct unit *u) {
    return unit_is_dense(u) ? shard_of(s, u, how, 0).length * how->ranks : 0;
}

/* Of a slot: zero3's the largest unit, replicate's all of them. */
static int64_t slot_elements(const struct spec *s, const struct params *p, const struct split *how, int dense) {
    int64_t n = 0;
    for (int i = 0; i < p->units; i++) {
        const int64_t one = unit_whole_elements(s, how, &p->unit[i]);
        n = dense == DENSE_REPLICATE ? n + one : i64_max(n, one);
    }
    return n;
}

static int slots(int dense) { return dense == DENSE_REPLICATE ? 1 : 2; }

err_t dense_unit_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, int dense,
                       struct ledger *out) {
    const int64_t u = slot_elements(s, p, how, dense);
    TRY(ledger_predict(out, "units", "gathered weights", TIER_DEVICE, LIFE_RUN, slots(dense) * arena_bytes(u * dtype_bytes(act))));
    return train ? ledger_predict(out, "units", "gathered gradients", TIER_DEVICE, LIFE_RUN, slots(dense) * arena_bytes(4 * u)) : OK;
}

err_t dense_unit_layout(struct store *s, bool train, struct arenas *m) {
    const int64_t u = slot_elements(s->spec, s->params, &s->split, s->dense);
    for (int i = 0; i < 2; i++) s->slot[i].unit = s->slot[i].leaving = -1;
    for (int i = 0; i < slots(s->dense); i++) {
        TRY(arena_push(&m->run, "units", "gathered weights", u * dtype_bytes(s->act), &s->slot[i].w));
        if (train) TRY(ARENA(&m->run, "units", "gathered gradients", u, &s->slot[i].grad_acc));
    }
    if (s->dense != DENSE_REPLICATE) return OK;
    s->whole_w = s->slot[0].w;
    s->whole_grad_acc = s->slot[0].grad_acc;
    return OK;
}

static int64_t elements_of(const struct store *s, int unit) { return unit_whole_elements(s->spec, &s->split, &s->params->unit[unit]); }

/* This rank's part of a gathered unit begins here. */
static int64_t own_at(const struct store *s, int unit) { return s->unit[unit].shard.length * s->split.rank; }

static struct comm_call gather(const struct store *s, int unit, void *to) {
    return comm_call_all_gather(unit_rest(s, unit), to, s->unit[unit].shard.length * dtype_bytes(s->act));
}

/* ---- replicate ---- */

/* Where a unit lies in the copy of all. */
static int64_t whole_at(const struct store *s, int unit) {
    int64_t at = 0;
    for (int i = 0; i < unit; i++) at += elements_of(s, i);
    return at;
}

static err_t refresh_whole(struct store *s) {
    if (s->whole_version == s->version) return OK;
    int64_t at = 0;
    for (int i = 0; i < s->params->units; i++) {
        const int64_t n = elements_of(s, i);
        if (n) TRY(COMM_ON(s->ex->s, &s->mesh->dense_gather, gather(s, i, s->whole_w + at * dtype_bytes(s->act))));
        at += n;
    }
    if (s->whole_version == 0 && s->whole_grad_acc) STREAM_FILL(s->ex->s, s->whole_grad_acc, 0, 4 * at);
    s->whole_version = s->version;
    return OK;
}

static err_t settle_whole(struct store *s) {
    int64_t at = 0;
    for (int i = 0; i < s->params->units; i++) {
        const int64_t n = elements_of(s, i);
        float *g = s->whole_grad_acc + at, *own = g + own_at(s, i);
        if (n == 0) continue;
        TRY(COMM_ON(s->ex->s, &s->mesh->dense_scatter, comm_call_reduce_scatter(g, own, s->unit[i].shard.length, DT_F32)));
        unit_add_to_rest(s, i, own);
        STREAM_FILL(s->ex->s, g, 0, 4 * n);
        at += n;
    }
    return OK;
}

/* ---- zero3 ---- */

static struct unit_slot *slot_with(struct store *s, int unit) {
    for (int i = 0; i < 2; i++)
        if (s->slot[i].unit == unit) return &s->slot[i];
    return NULL;
}

err_t unit_ahead(struct store *s, int unit) {
    if (s->split.ranks == 1 || s->dense == DENSE_REPLICATE || unit < 0 || slot_with(s, unit)) return OK;
    struct unit_slot *t = slot_with(s, -1);
    ENSURE(t != NULL);
    TRY(COMM_QUEUE(s->ex->s, &s->mesh->dense_gather, gather(s, unit, t->w), &t->in));
    t->unit = unit;
    return OK;
}

/* The sum of a gradient that is on its way, to its owner. */
static err_t land(struct store *s, struct unit_slot *t) {
    if (t->leaving < 0) return OK;
    TRY(STREAM_AWAIT(s->ex->s, &t->out));
    unit_add_to_rest(s, t->leaving, t->grad_acc + own_at(s, t->leaving));
    t->leaving = -1;
    return OK;
}

err_t dense_unit_enter(struct store *s, int unit, int next, bool backward) {
    struct held *u = &s->unit[unit];
    u->from = 0;
    if (s->dense == DENSE_REPLICATE) {
        TRY(refresh_whole(s));
        const int64_t at = whole_at(s, unit);
        u->w = s->whole_w + at * dtype_bytes(s->act);
        u->grad_acc = backward ? s->whole_grad_acc + at : NULL;
        return OK;
    }
    TRY(unit_ahead(s, unit));
    struct unit_slot *t = slot_with(s, unit);
    TRY(STREAM_AWAIT(s->ex->s, &t->in));
    TRY(unit_ahead(s, next));
    u->w = t->w;
    u->grad_acc = NULL;
    if (backward) {
        TRY(land(s, t));
        u->grad_acc = t->grad_acc;
        STREAM_FILL(s->ex->s, u->grad_acc, 0, 4 * elements_of(s, unit));
    }
    return OK;
}

err_t dense_unit_leave(struct store *s, int unit, bool backward) {
    struct held *u = &s->unit[unit];
    u->w = NULL;
    u->grad_acc = NULL;
    if (s->dense == DENSE_REPLICATE) return OK;
    struct unit_slot *t = slot_with(s, unit), *other = &s->slot[t == &s->slot[0]];
    t->unit = -1;
    if (!backward) return OK;
    TRY(land(s, other));
    TRY(COMM_QUEUE(s->ex->s, &s->mesh->dense_scatter, comm_call_reduce_scatter(t->grad_acc, t->grad_acc + own_at(s, unit), u->shard.length, DT_F32),
                   &t->out));
    t->leaving = unit;
    return OK;
}

err_t unit_settle(struct store *s) {
    if (s->split.ranks == 1) return OK;
    if (s->dense == DENSE_REPLICATE) return settle_whole(s);
    for (int i = 0; i < 2; i++) TRY(land(s, &s->slot[i]));
    return OK;
}
