#include "dense/dense.h"

#include "base/num.h"

static int mlp_layers(const struct spec *s) { return s->layers - spec_moe_layers(s); }

const struct opt dense_opt_list[] = {
    {.key = "dense.strategy",
     .type = OPT_CHOICE,
     .offset = offsetof(struct dense_opts, strategy),
     .def = "zero3",
     .choices = "zero3|replicate",
     .resume = OPT_ROUNDS,
     .help =
         "dense weights on many ranks: gathered layer by layer and given up after use, or whole on every rank for the step; gradients, masters and "
         "moments are sharded in both"},
    {.key = NULL},
};

static int64_t fetch_rows(const struct shape *h) { return i64_max(1, i64_div_up(h->tokens_most, h->split.ranks)) * h->split.ranks; }

static err_t ranks_bytes(const struct shape *h, struct ledger *out) {
    const int64_t b = dtype_bytes(h->act), w = h->split.ranks, n = h->tokens, rows = fetch_rows(h);
    TRY(ledger_predict(out, "dense", "embedding rows", TIER_HOST, LIFE_RUN,
                       arena_bytes(8 * n) + arena_bytes(4 * n) + arena_bytes(8 * (n + 1)) + arena_bytes(8 * w * w) + arena_bytes(8 * (w + 1)) +
                           arena_bytes(32 * w) + arena_bytes(4 * rows) + arena_bytes(4 * (2 * n + 1))));
    return ledger_predict(out, "dense", "embedding rows", TIER_DEVICE, LIFE_SCRATCH,
                          arena_bytes(4 * rows) + arena_bytes(4 * (2 * n + 1)) + 2 * arena_bytes(rows * h->spec->hidden * (h->backward ? 4 : b)));
}

err_t dense_bytes(const struct shape *h, struct ledger *out) {
    const struct spec *s = h->spec;
    if (h->split.ranks > 1) TRY(ranks_bytes(h, out));
    const int64_t t = h->tokens, b = dtype_bytes(h->act), f = mlp_layers(s) ? s->dense_width : 0;
    const int64_t halves = shape_slots(h, 2 * s->layers), mlps = mlp_layers(s) ? shape_slots(h, mlp_layers(s)) : 0;
    const bool kept = shape_kept(h);
    const int64_t normed = arena_bytes(t * s->hidden * b) + arena_bytes(4 * t);
    TRY(ledger_predict(out, "dense", "sets", TIER_HOST, LIFE_RUN,
                       arena_bytes(halves * (int64_t)sizeof(struct normed)) + arena_bytes(mlps * (int64_t)sizeof(struct mlp_saved))));
    TRY(ledger_predict(out, "dense", "normed inputs", TIER_DEVICE, kept ? LIFE_STEP : LIFE_SCRATCH, halves * normed));
    TRY(ledger_predict(out, "dense", "final norm", TIER_DEVICE, LIFE_STEP, normed));
    TRY(ledger_predict(out, "dense", "feed-forward", TIER_DEVICE, kept ? LIFE_STEP : LIFE_SCRATCH,
                       mlps * (arena_bytes(t * 2 * f * b) + arena_bytes(t * f * b))));
    if (h->backward && mlps) TRY(ledger_predict(out, "dense", "gradients", TIER_DEVICE, LIFE_SCRATCH, arena_bytes(t * f * b)));
    return OK;
}

static err_t push_normed(struct arena *a, const struct shape *h, const char *what, struct normed *n) {
    TRY(arena_push(a, "dense", what, h->tokens * h->spec->hidden * dtype_bytes(h->act), &n->h));
    return ARENA(a, "dense", what, h->tokens, &n->rstd);
}

err_t embed_layout(struct dense *d, struct arenas *m) {
    const struct shape *h = &d->shape;
    struct dense_fetch *f = &d->fetch;
    if (h->split.ranks == 1) return OK;
    const int64_t w = h->split.ranks, rows = fetch_rows(h), bytes = rows * h->spec->hidden * (h->backward ? 4 : dtype_bytes(h->act));
    f->cap = rows / w;
    TRY(ARENA(&m->host, "dense", "embedding rows", h->tokens, &f->key));
    TRY(ARENA(&m->host, "dense", "embedding rows", h->tokens, &f->want));
    TRY(ARENA(&m->host, "dense", "embedding rows", h->tokens + 1, &f->begin));
    TRY(ARENA(&m->host, "dense", "embedding rows", w * w, &f->count));
    TRY(ARENA(&m->host, "dense", "embedding rows", w + 1, &f->first));
    TRY(ARENA(&m->host, "dense", "embedding rows", 4 * w, &f->bytes));
    TRY(ARENA(&m->host, "dense", "embedding rows", rows, &f->asked));
    TRY(ARENA(&m->host, "dense", "embedding rows", 2 * h->tokens + 1, &f->table));
    TRY(ARENA(&m->scratch, "dense", "embedding rows", rows, &f->rows));
    TRY(ARENA(&m->scratch, "dense", "embedding rows", 2 * h->tokens + 1, &f->index));
    TRY(arena_push(&m->scratch, "dense", "embedding rows", bytes, &f->mine));
    return arena_push(&m->scratch, "dense", "embedding rows", bytes, &f->theirs);
}

err_t dense_layout(struct dense *d, const struct exec *ex, struct store *store, struct mesh *mesh, const struct shape *h, struct arenas *m) {
    const struct spec *s = h->spec;
    *d = (struct dense){.ex = ex, .store = store, .mesh = mesh, .shape = *h};
    const int halves = shape_slots(h, 2 * s->layers), mlps = mlp_layers(s) ? shape_slots(h, mlp_layers(s)) : 0;
    struct arena *keep = shape_kept(h) ? &m->step : &m->scratch;
    TRY(ARENA(&m->host, "dense", "sets", halves, &d->half));
    TRY(ARENA(&m->host, "dense", "sets", mlps, &d->mlp));
    TRY(push_normed(&m->step, h, "final norm", &d->last));
    for (int i = 0; i < halves; i++) {
        struct normed unused;
        TRY(push_normed(keep, h, "normed inputs", d->half ? &d->half[i] : &unused));
    }
    return OK;
}

err_t mlp_layout(struct dense *d, struct arenas *m) {
    const struct shape *h = &d->shape;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), f = h->spec->dense_width;
    if (mlp_layers(h->spec) == 0) return OK;
    const int mlps = shape_slots(h, mlp_layers(h->spec));
    struct arena *keep = shape_kept(h) ? &m->step : &m->scratch;
    for (int i = 0; i < mlps; i++) {
        struct mlp_saved unused, *v = d->mlp ? &d->mlp[i] : &unused;
        TRY(arena_push(keep, "dense", "feed-forward", t * 2 * f * b, &v->gate_up));
        TRY(arena_push(keep, "dense", "feed-forward", t * f * b, &v->mid));
    }
    if (h->backward) TRY(arena_push(&m->scratch, "dense", "gradients", t * f * b, &d->dmid));
    return OK;
}
