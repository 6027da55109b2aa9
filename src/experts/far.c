/* What rows that are sent need: sizes, formula and layout. N tokens of the fullest rank, c of a chunk at most, K chunks at most; D = c*k rows sent,
 * A = E_p*D rows that may come, whatever the router does. Of a layer: an expert has at most E_p + 1 intervals, so that a rank has at most
 * E*(E_p + 1) lists, as many pieces come to it, in at most E*E_p groups, and there are at most 2*E*E_p pieces in all. */
#include "experts/experts_int.h"

#include "base/num.h"

struct sizes {
    int64_t chunk, most; /* tokens of a chunk at most; K at most */
    int64_t out, in;     /* D, A */
    int64_t lists, groups, pieces;
    int legs; /* chunks on their way at once */
};

/* K grows with the tokens until it is chunks_max, so the largest chunk is one of the most tokens. */
static struct sizes sizes_of(const struct shape *h, const struct experts_opts *o) {
    const int64_t n = h->tokens_most, e = h->spec->experts, ep = h->split.expert;
    struct sizes z = {.chunk = n, .most = 1, .legs = 1, .lists = e * (ep + 1), .groups = e * ep, .pieces = 2 * e * ep};
    if (o->strategy == EXPERTS_PIPELINED) {
        z.most = chunk_count(n, o->chunk, o->chunks_max);
        z.chunk = i64_min(n, i64_max(o->chunk, i64_div_up(n, o->chunks_max)));
        z.legs = (int)i64_min(z.most, EXPERTS_LEGS);
    }
    z.out = z.chunk * h->spec->top_k;
    z.in = z.out * h->split.expert;
    return z;
}

static bool keeps(const struct shape *h) { return !h->threads || h->split.rank % h->split.expert == 0; }
static int64_t layers_kept(const struct shape *h) { return h->backward ? spec_moe_layers(h->spec) : 1; }
static int64_t counts_most(const struct sizes *z, const struct shape *h) { return i64_max(h->spec->experts, z->most * z->lists); }

/* Of a plan but its rows. */
static int64_t plan_bytes(const struct shape *h, const struct sizes *z) {
    const int64_t e = h->spec->experts;
    return arena_bytes(4 * z->groups) + arena_bytes(4 * (e + 1)) + arena_bytes((int64_t)sizeof(struct kept_interval) * z->lists);
}

static int64_t table_bytes(const struct shape *h, const struct sizes *z) {
    const int64_t e = h->spec->experts, ep = h->split.expert, p = (int64_t)sizeof(void *), i = (int64_t)sizeof(int);
    int64_t n = arena_bytes((int64_t)sizeof(struct far)) + arena_bytes(8 * (e + 1)) + arena_bytes(8 * ep * (e + 1)) + arena_bytes(8 * ep * e) +
                arena_bytes(llep_plan_bytes((int)ep, (int)e)) + arena_bytes(32 * ep) + 2 * arena_bytes(4 * z->most * z->lists) + arena_bytes(e / ep) +
                arena_bytes(e);
    n += arena_bytes(4 * (e + 1)) + 4 * arena_bytes(4 * z->lists) + 3 * arena_bytes(i * (ep + 1)) + arena_bytes(3 * i * ep) +
         arena_bytes(i * (z->groups + 1)) + arena_bytes(i * z->groups) + 4 * arena_bytes(p * z->groups);
    if (!keeps(h)) n += plan_bytes(h, z);
    return n + z->legs * (2 * arena_bytes(32 * ep) + arena_bytes(4 * z->lists) + arena_bytes(8 * (z->groups + 1)));
}

static int64_t leg_bytes(const struct shape *h, const struct sizes *z) {
    const int64_t row = h->spec->hidden * dtype_bytes(h->act);
    int64_t leg = arena_bytes(4 * z->out) + arena_bytes(4 * z->chunk * h->spec->top_k) + arena_bytes(z->out * row) + arena_bytes(z->in * row);
    if (h->backward) leg += 2 * arena_bytes(4 * z->out) + arena_bytes(z->out * row) + arena_bytes(z->in * row) + 2 * arena_bytes(4 * z->in);
    return leg;
}

/* What place_rows works in: its blocks have as many tokens as counts, or 512. */
static int64_t work_most(const struct shape *h, const struct sizes *z) { return h->tokens + i64_max(512, counts_most(z, h)); }

err_t far_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const struct sizes z = sizes_of(h, o);
    const int64_t b = dtype_bytes(h->act), k = h->spec->top_k, i = h->spec->expert_width;
    TRY(ledger_predict(out, "experts", "tables", TIER_HOST, LIFE_RUN, table_bytes(h, &z) + arena_bytes(4 * counts_most(&z, h))));
    if (keeps(h))
        TRY(ledger_predict(out, "experts", "plans", TIER_HOST, LIFE_RUN,
                           arena_bytes(layers_kept(h) * (int64_t)sizeof(struct kept)) +
                               layers_kept(h) * (plan_bytes(h, &z) + arena_bytes(4 * z.pieces * z.most))));
    int64_t work = 2 * arena_bytes(4 * h->tokens * k) + arena_bytes(4 * counts_most(&z, h)) + arena_bytes(4 * work_most(h, &z)) +
                   arena_bytes(z.in * 2 * i * b) + arena_bytes(z.in * i * b);
    if (h->backward) work += arena_bytes(z.in * h->spec->hidden * b) + arena_bytes(z.in * i * b);
    TRY(ledger_predict(out, "experts", "dispatched rows", TIER_DEVICE, LIFE_SCRATCH, z.legs * leg_bytes(h, &z) + work));
    return experts_migrate_bytes(h, o, out);
}

static err_t plan_layout(struct arena *a, const char *what, const struct shape *h, const struct sizes *z, struct kept *k) {
    TRY(ARENA(a, "experts", what, z->groups, &k->counts));
    TRY(ARENA(a, "experts", what, h->spec->experts + 1, &k->first));
    return ARENA(a, "experts", what, z->lists, &k->interval);
}

static err_t call_layout(const struct experts *m, const struct sizes *z, struct arena *a, struct call *c) {
    const int64_t e = m->shape.spec->experts, ep = m->shape.split.expert;
    TRY(ARENA(a, "experts", "tables", e + 1, &c->first));
    TRY(ARENA(a, "experts", "tables", z->lists, &c->until));
    TRY(ARENA(a, "experts", "tables", z->lists, &c->place));
    TRY(ARENA(a, "experts", "tables", z->lists, &c->piece));
    TRY(ARENA(a, "experts", "tables", z->lists, &c->in_piece));
    TRY(ARENA(a, "experts", "tables", ep + 1, &c->to));
    TRY(ARENA(a, "experts", "tables", ep + 1, &c->from));
    TRY(ARENA(a, "experts", "tables", ep + 1, &c->in.of_source));
    TRY(ARENA(a, "experts", "tables", 3 * ep, &c->cursor));
    TRY(ARENA(a, "experts", "tables", z->groups + 1, &c->in_first));
    TRY(ARENA(a, "experts", "tables", z->groups, &c->in.expert));
    TRY(ARENA(a, "experts", "tables", z->groups, &c->in.in));
    TRY(ARENA(a, "experts", "tables", z->groups, &c->in.out));
    TRY(ARENA(a, "experts", "tables", z->groups, &c->in.g_in));
    return ARENA(a, "experts", "tables", z->groups, &c->in.g_out);
}

static err_t tables_layout(struct experts *m, const struct sizes *z, struct arena *a, struct far *f) {
    const struct shape *h = &m->shape;
    const int64_t e = h->spec->experts, ep = h->split.expert;
    void *plan;
    TRY(ARENA(a, "experts", "tables", e + 1, &f->mine));
    TRY(ARENA(a, "experts", "tables", ep * (e + 1), &f->all));
    TRY(ARENA(a, "experts", "tables", ep * e, &f->table));
    TRY(arena_push(a, "experts", "tables", llep_plan_bytes((int)ep, (int)e), &plan));
    if (plan) llep_plan_init(&f->plan, (int)ep, (int)e, plan);
    TRY(ARENA(a, "experts", "tables", 4 * ep, &f->bytes));
    TRY(ARENA(a, "experts", "tables", z->most * z->lists, &f->out_rows));
    TRY(ARENA(a, "experts", "tables", z->most * z->lists, &f->in_rows));
    TRY(ARENA(a, "experts", "tables", e / ep, &f->moves));
    TRY(ARENA(a, "experts", "tables", e, &f->guest));
    TRY(call_layout(m, z, a, &f->call));
    if (!keeps(h)) TRY(plan_layout(a, "tables", h, z, &f->now));
    for (int n = 0; n < z->legs; n++) {
        TRY(ARENA(a, "experts", "tables", 4 * ep, &f->leg[n].bytes));
        TRY(ARENA(a, "experts", "tables", 4 * ep, &f->leg[n].bytes_a));
        TRY(ARENA(a, "experts", "tables", z->lists, &f->leg[n].chunk.base));
        TRY(ARENA(a, "experts", "tables", z->groups + 1, &f->leg[n].in.off));
    }
    return OK;
}

/* Layers' plans, of a block whose ranks share memory at its first rank; the others learn where. */
static err_t kept_layout(struct experts *m, const struct sizes *z, struct arena *a, struct experts_work *w) {
    const struct shape *h = &m->shape;
    if (keeps(h)) {
        TRY(ARENA(a, "experts", "plans", layers_kept(h), &w->kept));
        for (int64_t l = 0; l < layers_kept(h); l++) {
            struct kept unused, *k = w->kept ? &w->kept[l] : &unused;
            TRY(plan_layout(a, "plans", h, z, k));
            TRY(ARENA(a, "experts", "plans", z->pieces * z->most, &k->rows));
        }
    }
    if (!m->work || !h->threads) return OK;
    struct kept **all = (struct kept **)(void *)w->far->all;
    TRY(COMM(&m->mesh->expert, all_gather, &w->kept, all, (int64_t)sizeof *all));
    w->kept = all[0];
    return OK;
}

static err_t leg_layout(const struct experts *m, const struct sizes *z, struct arena *a, struct leg *l) {
    const struct shape *h = &m->shape;
    const int64_t row = h->spec->hidden * dtype_bytes(h->act);
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->chunk.token));
    TRY(ARENA(a, "experts", "dispatched rows", z->chunk * h->spec->top_k, &l->chunk.pos));
    TRY(arena_push(a, "experts", "dispatched rows", z->out * row, &l->sent));
    TRY(arena_push(a, "experts", "dispatched rows", z->in * row, &l->x));
    if (!h->backward) return OK;
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->sent_a));
    TRY(ARENA(a, "experts", "dispatched rows", z->out, &l->back_a));
    TRY(arena_push(a, "experts", "dispatched rows", z->out * row, &l->sent_g));
    TRY(arena_push(a, "experts", "dispatched rows", z->in * row, &l->g));
    TRY(ARENA(a, "experts", "dispatched rows", z->in, &l->a));
    return ARENA(a, "experts", "dispatched rows", z->in, &l->da);
}

err_t far_layout(struct experts *m, struct arenas *arenas) {
    const struct shape *h = &m->shape;
    const struct sizes z = sizes_of(h, &m->opts);
    const int64_t b = dtype_bytes(h->act), k = h->spec->top_k, i = h->spec->expert_width;
    struct arena *host = &arenas->host, *scratch = &arenas->scratch;
    struct experts_work unused_work, *w = m->work ? m->work : &unused_work;
    struct far unused, *f;
    TRY(ARENA(host, "experts", "tables", 1, &w->far));
    f = w->far ? w->far : &unused;
    *f = (struct far){.legs = z.legs, .keeper = keeps(h)};
    TRY(ARENA(host, "experts", "tables", counts_most(&z, h), &w->fetched));
    TRY(tables_layout(m, &z, host, f));
    TRY(kept_layout(m, &z, host, w));
    for (int n = 0; n < z.legs; n++) TRY(leg_layout(m, &z, scratch, &f->leg[n]));
    TRY(ARENA(scratch, "experts", "dispatched rows", h->tokens * k, &w->number));
    TRY(ARENA(scratch, "experts", "dispatched rows", h->tokens * k, &w->list));
    TRY(ARENA(scratch, "experts", "dispatched rows", counts_most(&z, h), &w->count));
    TRY(ARENA(scratch, "experts", "dispatched rows", work_most(h, &z), &w->count_work));
    TRY(arena_push(scratch, "experts", "dispatched rows", z.in * 2 * i * b, &f->gate_up));
    TRY(arena_push(scratch, "experts", "dispatched rows", z.in * i * b, &f->mid));
    if (h->backward) {
        TRY(arena_push(scratch, "experts", "dispatched rows", z.in * h->spec->hidden * b, &f->out));
        TRY(arena_push(scratch, "experts", "dispatched rows", z.in * i * b, &f->dmid));
    }
    return experts_migrate_layout(m, scratch);
}
