#include "model/store.h"

#include "base/num.h"

static int64_t at_rest(const struct spec *s, const struct params *p, const struct split *how) {
    int64_t n = 0;
    for (int i = 0; i < p->units; i++) n += shard_of(s, &p->unit[i], how, how->rank).length;
    return n;
}

err_t store_bytes(const struct spec *s, const struct params *p, const struct split *how, enum dtype act, bool train, struct ledger *out) {
    const int64_t n = at_rest(s, p, how);
    TRY(ledger_predict(out, "train", "units", TIER_DEVICE, LIFE_RUN, arena_bytes(p->units * (int64_t)sizeof(struct held))));
    TRY(ledger_predict(out, "train", "weights", TIER_DEVICE, LIFE_RUN, arena_bytes(n * dtype_bytes(act))));
    if (train) TRY(ledger_predict(out, "train", "gradients", TIER_DEVICE, LIFE_RUN, arena_bytes(4 * n)));
    return OK;
}

/* Whether a rank uses of the unit just what it holds. */
static bool resident(const struct spec *s, const struct unit *u, const struct split *how) {
    if (how->ranks == 1) return true;
    if (u->kind == UNIT_EXPERTS) return how->expert == how->ranks;
    return (u->kind == UNIT_HEAD || (u->kind == UNIT_EMBED && s->tied)) && how->vocab == how->ranks;
}

err_t store_layout(struct store *s, const struct spec *spec, const struct params *p, const struct split *how, enum dtype act, bool train,
                   struct arenas *m) {
    *s = (struct store){.spec = spec, .params = p, .split = *how, .act = act, .elements = at_rest(spec, p, how)};
    TRY(ARENA(&m->run, "train", "units", p->units, &s->unit));
    TRY(arena_push(&m->run, "train", "weights", s->elements * dtype_bytes(act), &s->w));
    if (train) TRY(ARENA(&m->run, "train", "gradients", s->elements, &s->grad_acc));
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
