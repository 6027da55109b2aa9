/* Experts and the head on many ranks: each rank of a block has one run of the unit (its experts, its columns), which the ranks with that run share
 * at rest. A run is gathered over these for use; whole, all runs are, over the block. Owned: the runs' scratch, the room's from enter to leave,
 * anybody's otherwise. */
#include "units/units_int.h"

static int degree(const struct split *how, enum unit_kind kind) { return kind == UNIT_EXPERTS ? how->expert : how->vocab; }
static int sharers(const struct split *how, enum unit_kind kind) { return how->ranks / degree(how, kind); }

int64_t unit_run_elements(const struct spec *s, const struct split *how, enum unit_kind kind) {
    const int64_t parts = sharers(how, kind);
    if (kind == UNIT_HEAD) return shard_vocab_rows(s, how->ranks) * s->hidden * parts;
    const int64_t run = 3 * s->hidden * s->expert_width * (s->experts / how->expert);
    return (run + parts - 1) / parts * parts;
}

err_t unit_runs_bytes(const struct spec *s, const struct split *how, enum dtype act, enum unit_kind kind, bool whole, bool gradient,
                      struct ledger *out) {
    const int64_t b = dtype_bytes(act), run = unit_run_elements(s, how, kind);
    int64_t bytes = 0;
    if (sharers(how, kind) > 1) bytes += arena_bytes(run * b) + (gradient && !whole ? arena_bytes(4 * run) : 0);
    if (whole) bytes += arena_bytes(run * degree(how, kind) * b) + (gradient ? arena_bytes(4 * run * degree(how, kind)) : 0);
    return bytes ? ledger_predict(out, "units", kind == UNIT_EXPERTS ? "runs of experts" : "runs of the head", TIER_DEVICE, LIFE_SCRATCH, bytes) : OK;
}

static struct unit_runs *runs_of(struct store *s, enum unit_kind kind) { return kind == UNIT_EXPERTS ? &s->experts : &s->head; }

err_t unit_runs_layout(struct store *s, enum unit_kind kind, bool whole, bool gradient, struct arena *a) {
    const char *what = kind == UNIT_EXPERTS ? "runs of experts" : "runs of the head";
    const bool experts = kind == UNIT_EXPERTS;
    struct unit_runs *r = runs_of(s, kind);
    const int64_t b = dtype_bytes(s->act), run = unit_run_elements(s->spec, &s->split, kind);
    *r = (struct unit_runs){.whole = whole,
                            .run = run,
                            .shard = experts ? &s->mesh->expert_shard : &s->mesh->vocab_shard,
                            .shard_scatter = experts ? &s->mesh->expert_shard_scatter : &s->mesh->vocab_shard,
                            .block = experts ? &s->mesh->expert_migrate : &s->mesh->vocab};
    if (sharers(&s->split, kind) > 1) {
        TRY(arena_push(a, "units", what, run * b, &r->w));
        if (gradient && !whole) TRY(ARENA(a, "units", what, run, &r->dw));
    }
    if (whole) {
        TRY(arena_push(a, "units", what, run * degree(&s->split, kind) * b, &r->all));
        if (gradient) TRY(ARENA(a, "units", what, run * degree(&s->split, kind), &r->dall));
    }
    return OK;
}

static struct unit_runs *runs_of_unit(struct store *s, int unit) {
    return runs_of(s, s->params->unit[unit].kind == UNIT_EXPERTS ? UNIT_EXPERTS : UNIT_HEAD); /* a tied head is the embedding */
}

err_t run_unit_enter(struct store *s, int unit, bool backward) {
    struct unit_runs *r = runs_of_unit(s, unit);
    struct held *u = &s->unit[unit];
    struct stream *q = s->ex->s;
    const int64_t b = dtype_bytes(s->act);
    void *w = unit_rest(s, unit);
    float *g = backward ? unit_rest_grad(s, unit) : NULL;
    if (r->shard->size > 1) {
        TRY(COMM_ON(q, r->shard, comm_call_all_gather(w, r->w, u->shard.length * b)));
        w = r->w;
        g = backward ? r->dw : NULL;
    }
    if (r->whole) {
        TRY(COMM_ON(q, r->block, comm_call_all_gather(w, r->all, r->run * b)));
        w = r->all;
        g = backward ? r->dall : NULL;
    }
    if (g && g != unit_rest_grad(s, unit)) STREAM_FILL(q, g, 0, 4 * r->run * (r->whole ? r->block->size : 1));
    u->w = w;
    u->grad_acc = g;
    u->from = r->whole                                     ? 0
              : s->params->unit[unit].kind == UNIT_EXPERTS ? s->params->unit[unit].count / r->block->size * r->block->rank
                                                           : r->block->rank * r->run;
    return OK;
}

err_t unit_give(struct store *s, int unit, float *dw) {
    struct unit_runs *r = runs_of_unit(s, unit);
    const int64_t length = s->unit[unit].shard.length;
    if (r->shard->size > 1) {
        float *own = dw + r->shard_scatter->rank * length;
        TRY(COMM_ON(s->ex->s, r->shard_scatter, comm_call_reduce_scatter(dw, own, length, DT_F32)));
        dw = own;
    }
    unit_add_to_rest(s, unit, dw);
    return OK;
}

/* Sums over the block first, then over the shards of the run, each in rank order. */
err_t run_unit_leave(struct store *s, int unit, bool backward) {
    struct unit_runs *r = runs_of_unit(s, unit);
    struct held *u = &s->unit[unit];
    float *g = backward ? u->grad_acc : NULL;
    if (!u->resident) u->w = NULL;
    if (!u->resident) u->grad_acc = NULL;
    if (!g || g == unit_rest_grad(s, unit)) return OK;
    if (r->whole) {
        float *own = g + r->block->rank * r->run;
        TRY(COMM_ON(s->ex->s, r->block, comm_call_reduce_scatter(g, own, r->run, DT_F32)));
        g = own;
    }
    return unit_give(s, unit, g);
}
