/* The keeper's table: where each unit rests, and which strategy makes it whole. Owned: the arenas' arrays of weights and gradients, the table of
 * units; borrowed: exec, mesh, spec, params. Called: layout twice, clear, then ahead, enter and leave in the order of a step. */
#include "units/units_int.h"

#include "base/num.h"

static int64_t at_rest(const struct spec *s, const struct params *p, const struct split *how) {
    int64_t n = 0;
    for (int i = 0; i < p->units; i++) n += shard_of(s, &p->unit[i], how, how->rank).length;
    return n;
}

err_t store_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, int dense, struct ledger *out) {
    const int64_t n = at_rest(s, p, how);
    TRY(ledger_predict(out, "units", "units", TIER_HOST, LIFE_RUN, arena_bytes(p->units * (int64_t)sizeof(struct held))));
    TRY(ledger_predict(out, "units", "weights", TIER_DEVICE, LIFE_RUN, arena_bytes(n * dtype_bytes(act))));
    if (train) TRY(ledger_predict(out, "units", "gradients", TIER_DEVICE, LIFE_RUN, arena_bytes(4 * n)));
    return how->ranks > 1 ? dense_unit_bytes(s, p, how, act, train, dense, out) : OK;
}

/* Whether a rank uses of the unit just what it holds. */
static bool resident(const struct spec *s, const struct unit *u, const struct split *how) {
    if (how->ranks == 1) return true;
    if (u->kind == UNIT_EXPERTS) return how->expert == how->ranks;
    return (u->kind == UNIT_HEAD || (u->kind == UNIT_EMBED && s->tied)) && how->vocab == how->ranks;
}

err_t store_layout(struct store *s, const struct exec *ex, struct mesh *mesh, const struct spec *spec, const struct params *p,
                   const struct split *how, enum dtype act, bool train, int dense, struct arenas *m) {
    *s = (struct store){
        .ex = ex, .mesh = mesh, .spec = spec, .params = p, .split = *how, .act = act, .dense = dense, .elements = at_rest(spec, p, how)};
    TRY(ARENA(&m->host, "units", "units", p->units, &s->unit));
    TRY(arena_push(&m->run, "units", "weights", s->elements * dtype_bytes(act), &s->w));
    if (train) TRY(ARENA(&m->run, "units", "gradients", s->elements, &s->grad_acc));
    if (how->ranks > 1) TRY(dense_unit_layout(s, train, m));
    if (!s->unit) return OK;
    int64_t at = 0;
    for (int i = 0; i < p->units; i++) {
        struct held *u = &s->unit[i];
        *u = (struct held){.shard = shard_of(spec, &p->unit[i], how, how->rank), .at = at, .resident = resident(spec, &p->unit[i], how)};
        if (u->resident) {
            u->w = (char *)s->w + at * dtype_bytes(act);
            u->grad_acc = s->grad_acc ? s->grad_acc + at : NULL;
            u->from = u->shard.from;
        }
        at += u->shard.length;
    }
    return OK;
}

void store_clear(struct store *s) {
    STREAM_FILL(s->ex->s, s->w, 0, s->elements * dtype_bytes(s->act));
    if (s->grad_acc) STREAM_FILL(s->ex->s, s->grad_acc, 0, 4 * s->elements);
}

void unit_add_to_rest(struct store *s, int unit, const float *sum) {
    const int64_t n = s->unit[unit].shard.own;
    if (n > 0)
        RUN(s->ex, accumulate, accumulate_args, .rows = 1, .width = n, .from_type = DT_F32, .from = sum, .from_stride = n,
            .to_acc = unit_rest_grad(s, unit), .to_stride = n);
}

err_t unit_enter(struct store *s, int unit, int next, bool backward) {
    if (s->split.ranks == 1) return OK;
    return unit_is_dense(&s->params->unit[unit]) ? dense_unit_enter(s, unit, next, backward) : run_unit_enter(s, unit, backward);
}

err_t unit_leave(struct store *s, int unit, bool backward) {
    if (s->split.ranks == 1) return OK;
    return unit_is_dense(&s->params->unit[unit]) ? dense_unit_leave(s, unit, backward) : run_unit_leave(s, unit, backward);
}

/* ---- what rests ---- */

static struct piece piece_of(const struct store *s, const struct param *p, struct shard shard, int64_t at) {
    const int64_t first = p->offset - s->params->unit[p->unit_at].offset; /* of the tensor in its unit */
    const int64_t from = i64_max(first, shard.from), to = i64_min(first + p->count, shard.from + shard.own);
    if (to <= from) return (struct piece){0};
    return (struct piece){.from = from - first, .count = to - from, .at = at + from - shard.from};
}

/* The units before this one are as long on every rank, so a unit lies at the same place. */
struct piece store_piece_of(const struct store *s, const struct param *p, int rank) {
    return piece_of(s, p, shard_of(s->spec, &s->params->unit[p->unit_at], &s->split, rank), s->unit[p->unit_at].at);
}

struct piece store_piece(const struct store *s, const struct param *p) {
    return piece_of(s, p, s->unit[p->unit_at].shard, s->unit[p->unit_at].at);
}

err_t store_find(const struct store *s, enum param_kind kind, int layer, int expert, const struct param **out) {
    const struct param *p = params_at(s->params, kind, layer, expert);
    ENSURE(p != NULL);
    *out = p;
    return OK;
}
