#include "experts/experts_int.h"

#include <string.h>

static int64_t run_elements(const struct shape *h) { return experts_owned(h) * expert_elements(h->spec); }

/* A part of the run, padded. */
static int64_t part_elements(const struct shape *h) {
    const int64_t parts = h->split.ranks / h->split.expert;
    return (run_elements(h) + parts - 1) / parts;
}

/* Is the run other than what rests on the rank? */
static bool copied(const struct shape *h) { return h->split.expert < h->split.ranks; }
static bool gathers_all(const struct shape *h, const struct experts_opts *o) { return h->split.expert > 1 && o->strategy == EXPERTS_GATHER; }

err_t experts_weights_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const int64_t b = dtype_bytes(h->act), run = part_elements(h) * (h->split.ranks / h->split.expert),
                  all = h->spec->experts * expert_elements(h->spec);
    int64_t bytes = 0;
    if (copied(h)) bytes += arena_bytes(run * b) + (h->backward ? arena_bytes(4 * run) : 0);
    if (gathers_all(h, o)) bytes += arena_bytes(all * b) + (h->backward ? arena_bytes(4 * all) + arena_bytes(4 * run) : 0);
    return bytes ? ledger_predict(out, "experts", "gathered weights", TIER_DEVICE, LIFE_SCRATCH, bytes) : OK;
}

err_t experts_weights_layout(struct experts *m, struct arenas *arenas) {
    const struct shape *h = &m->shape;
    const int64_t b = dtype_bytes(h->act), run = part_elements(h) * (h->split.ranks / h->split.expert),
                  all = h->spec->experts * expert_elements(h->spec);
    struct arena *a = &arenas->scratch;
    if (copied(h)) {
        TRY(arena_push(a, "experts", "gathered weights", run * b, &m->far.run));
        if (h->backward) TRY(ARENA(a, "experts", "gathered weights", run, &m->far.drun));
    }
    if (gathers_all(h, &m->opts)) {
        TRY(arena_push(a, "experts", "gathered weights", all * b, &m->far.all));
        if (h->backward) TRY(ARENA(a, "experts", "gathered weights", all, &m->far.dall));
        if (h->backward) TRY(ARENA(a, "experts", "gathered weights", run, &m->far.landed));
    }
    return OK;
}

void experts_point(struct experts *m, int e, void *w, float *g) {
    const struct spec *s = m->shape.spec;
    const int64_t down = 2 * s->hidden * s->expert_width;
    m->w_in[e] = w;
    m->w_out[e] = w ? (const char *)w + down * dtype_bytes(m->shape.act) : NULL;
    m->g_in[e] = g;
    m->g_out[e] = g ? g + down : NULL;
}

/* Experts [first, first + n) lie one behind the other. */
static void point_all(struct experts *m, int first, int n, char *w, float *g) {
    const int64_t each = expert_elements(m->shape.spec), b = dtype_bytes(m->shape.act);
    for (int e = 0; e < m->shape.spec->experts; e++) {
        const bool here = e >= first && e < first + n;
        experts_point(m, e, here ? w + (e - first) * each * b : NULL, here && g ? g + (e - first) * each : NULL);
    }
}

err_t experts_weights_open(struct experts *m, int layer, bool backward) {
    const struct shape *h = &m->shape;
    const int64_t b = dtype_bytes(h->act), run = run_elements(h);
    m->far.unit = params_unit(m->store->params, UNIT_EXPERTS, layer);
    ENSURE(m->far.unit >= 0);
    const struct held *u = &m->store->unit[m->far.unit];
    char *w = (char *)m->store->w + u->at * b;
    float *g = m->store->grad_acc ? m->store->grad_acc + u->at : NULL;
    if (copied(h)) {
        TRY(COMM(&m->mesh->expert_shard, all_gather, w, m->far.run, u->shard.length * b));
        w = m->far.run;
        g = backward ? m->far.drun : NULL;
        if (g) memset(g, 0, sizeof *g * (size_t)(u->shard.length * m->mesh->expert_shard.size));
    }
    if (!gathers_all(h, &m->opts)) {
        point_all(m, m->mesh->expert.rank * experts_owned(h), experts_owned(h), w, g);
        return OK;
    }
    TRY(COMM(&m->mesh->expert_migrate, all_gather, w, m->far.all, run * b));
    if (backward) memset(m->far.dall, 0, sizeof(float) * (size_t)(run * h->split.expert));
    point_all(m, 0, h->spec->experts, m->far.all, backward ? m->far.dall : NULL);
    return OK;
}

static void add(float *to, const float *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* Sums over the block first, then over the shards of the run, each in rank order. */
err_t experts_weights_close(struct experts *m, bool backward) {
    const struct shape *h = &m->shape;
    const struct held *u = &m->store->unit[m->far.unit];
    float *rest = m->store->grad_acc ? m->store->grad_acc + u->at : NULL, *run = m->far.drun;
    if (!backward) return OK;
    ENSURE(rest != NULL);
    if (gathers_all(h, &m->opts)) {
        const int64_t n = run_elements(h);
        TRY(COMM(&m->mesh->expert_migrate, reduce_scatter, m->far.dall, m->far.landed, n, DT_F32));
        if (!copied(h)) {
            add(rest, m->far.landed, n);
            return OK;
        }
        memcpy(run, m->far.landed, sizeof *run * (size_t)n); /* what lies behind is zero since it was opened */
    }
    if (!copied(h)) return OK;
    float *own = run + m->mesh->expert_shard_scatter.rank * u->shard.length;
    TRY(COMM(&m->mesh->expert_shard_scatter, reduce_scatter, run, own, u->shard.length, DT_F32));
    add(rest, own, u->shard.own);
    return OK;
}
