#include "experts/experts_int.h"

#include "base/num.h"

const struct opt experts_opt_list[] = {
    {.key = "experts.strategy",
     .type = OPT_CHOICE,
     .offset = offsetof(struct experts_opts, strategy),
     .def = "pipelined",
     .choices = "pipelined|llep|ep|gather",
     .resume = OPT_ROUNDS,
     .help =
         "how ranks share the experts' work: least-loaded expert parallelism in chunks, the same at once, each expert on its owner, or all experts "
         "gathered on every rank and nothing routed"},
    {.key = "experts.alpha",
     .type = OPT_FLOAT,
     .offset = offsetof(struct experts_opts, alpha),
     .def = "1.0",
     .lo = 0.01,
     .hi = 1e6,
     .resume = OPT_ROUNDS,
     .help = "rows that a rank takes before an expert spills to another, over the mean (llep, pipelined)"},
    {.key = "experts.min_rows",
     .type = OPT_FLOAT,
     .offset = offsetof(struct experts_opts, min_rows),
     .def = "1024",
     .lo = 0,
     .hi = 1e15,
     .resume = OPT_ROUNDS,
     .help = "fewest rows that are worth moving an expert's weights (llep, pipelined)"},
    {.key = "experts.lambda",
     .type = OPT_FLOAT,
     .offset = offsetof(struct experts_opts, lambda),
     .def = "1.3",
     .lo = 0,
     .hi = 1e6,
     .resume = OPT_ROUNDS,
     .help = "experts stay on their owners while the largest load over the mean is below this (llep, pipelined)"},
    {.key = "experts.chunk",
     .type = OPT_INT,
     .offset = offsetof(struct experts_opts, chunk),
     .def = "4096",
     .lo = 1,
     .hi = 1e12,
     .resume = OPT_ROUNDS,
     .help = "tokens of a rank that are dispatched at once (pipelined)"},
    {.key = "experts.chunks_max",
     .type = OPT_INT,
     .offset = offsetof(struct experts_opts, chunks_max),
     .def = "10",
     .lo = 1,
     .hi = 1e6,
     .resume = OPT_ROUNDS,
     .help = "most chunks of a dispatch; beyond it chunks are larger (pipelined)"},
    {.key = "experts.balance_rate",
     .type = OPT_FLOAT,
     .offset = offsetof(struct experts_opts, balance_rate),
     .def = "0",
     .lo = 0,
     .hi = 1,
     .help = "step of DeepSeek-V3's balancing by a bias on the choice of experts, instead of the load-balancing loss; 0 turns it off"},
    {.key = NULL},
};

/* Tokens whose experts' rows are worked on here, and not where the experts are. */
static int64_t tokens_here(const struct shape *h, const struct experts_opts *o) { return experts_travel(h, o) ? 0 : h->tokens; }

/* Tokens of the largest chunk; tokens whose rows a set holds. */
static int64_t chunk_tokens(const struct shape *h, const struct experts_opts *o) { return i64_min(tokens_here(h, o), EXPERTS_CHUNK); }
static int64_t set_tokens(const struct shape *h, const struct experts_opts *o) { return shape_kept(h) ? tokens_here(h, o) : chunk_tokens(h, o); }

/* Rows of each chunk and expert; layers that they are kept of. */
static int64_t counts_here(const struct shape *h) { return i64_div_up(h->tokens, EXPERTS_CHUNK) * h->spec->experts; }
static int64_t layers_kept(const struct shape *h) { return h->backward ? spec_moe_layers(h->spec) : 1; }

static bool gathers(const struct shape *h, const struct experts_opts *o) { return h->split.expert > 1 && !experts_travel(h, o); }

static err_t here_bytes(const struct shape *h, struct ledger *out) {
    const int64_t e = h->spec->experts;
    TRY(ledger_predict(out, "experts", "tables", TIER_HOST, LIFE_RUN,
                       arena_bytes(4 * e) + arena_bytes(8 * (e + 1)) + arena_bytes((int64_t)sizeof(int) * e) + arena_bytes(2 * (int64_t)sizeof(int)) +
                           4 * arena_bytes((int64_t)sizeof(void *) * e)));
    TRY(ledger_predict(out, "experts", "plans", TIER_HOST, LIFE_RUN,
                       arena_bytes(layers_kept(h) * (int64_t)sizeof(struct kept)) + layers_kept(h) * arena_bytes(4 * counts_here(h))));
    return ledger_predict(out, "experts", "places", TIER_DEVICE, LIFE_SCRATCH,
                          arena_bytes(4 * h->tokens * h->spec->top_k) + arena_bytes(4 * counts_here(h)) +
                              arena_bytes(4 * dispatch_count_work(h->tokens, EXPERTS_CHUNK, (int)e)));
}

err_t experts_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const struct spec *s = h->spec;
    const int64_t layers = spec_moe_layers(s);
    if (layers == 0) return OK;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), e = s->experts, k = s->top_k, r = set_tokens(h, o) * k, i = s->expert_width;
    const int64_t slots = shape_slots(h, (int)layers);
    const int64_t set = arena_bytes(t * e * b) + arena_bytes(4 * t * k) + 2 * arena_bytes(4 * r) + 2 * arena_bytes(r * s->hidden * b) +
                        arena_bytes(r * 2 * i * b) + arena_bytes(r * i * b);
    TRY(ledger_predict(out, "experts", "tables", TIER_HOST, LIFE_RUN,
                       arena_bytes((int64_t)sizeof(struct experts_work)) + arena_bytes(slots * (int64_t)sizeof(struct experts_saved)) +
                           4 * arena_bytes((int64_t)sizeof(void *) * e)));
    TRY(ledger_predict(out, "experts", "routing", TIER_DEVICE, LIFE_RUN,
                       arena_bytes(2 * layers * t * k) + arena_bytes(8 * (layers * e + 1)) + arena_bytes(8 * layers * e) +
                           arena_bytes(4 * layers * e) + arena_bytes(8 * e) + arena_bytes(4 * e)));
    TRY(ledger_predict(out, "experts", "intermediates", TIER_DEVICE, shape_kept(h) ? LIFE_STEP : LIFE_SCRATCH, slots * set));
    if (h->backward)
        TRY(ledger_predict(out, "experts", "gradients", TIER_DEVICE, LIFE_SCRATCH,
                           arena_bytes(4 * t * k) + arena_bytes(chunk_tokens(h, o) * k * i * b) + arena_bytes(t * s->hidden * b)));
    if (h->split.ranks > 1) TRY(unit_runs_bytes(s, &h->split, h->act, UNIT_EXPERTS, gathers(h, o), h->backward, out));
    return experts_travel(h, o) ? far_bytes(h, o, out) : here_bytes(h, out);
}

static err_t here_layout(struct experts *m, struct arenas *arenas) {
    const struct shape *h = &m->shape;
    const int64_t e = h->spec->experts;
    struct experts_work unused, *w = m->work ? m->work : &unused;
    struct arena *host = &arenas->host, *scratch = &arenas->scratch;
    struct groups *g = &w->here;
    TRY(ARENA(host, "experts", "tables", e, &w->base));
    TRY(ARENA(host, "experts", "tables", e + 1, &g->off));
    TRY(ARENA(host, "experts", "tables", e, &g->expert));
    TRY(ARENA(host, "experts", "tables", 2, &g->of_source));
    TRY(ARENA(host, "experts", "tables", e, &g->in));
    TRY(ARENA(host, "experts", "tables", e, &g->out));
    TRY(ARENA(host, "experts", "tables", e, &g->g_in));
    TRY(ARENA(host, "experts", "tables", e, &g->g_out));
    TRY(ARENA(host, "experts", "plans", layers_kept(h), &w->kept));
    for (int64_t l = 0; l < layers_kept(h); l++) {
        struct kept none, *k = w->kept ? &w->kept[l] : &none;
        TRY(ARENA(host, "experts", "plans", counts_here(h), &k->rows));
    }
    TRY(ARENA(scratch, "experts", "places", h->tokens * h->spec->top_k, &w->number));
    TRY(ARENA(scratch, "experts", "places", counts_here(h), &w->count));
    TRY(ARENA(scratch, "experts", "places", dispatch_count_work(h->tokens, EXPERTS_CHUNK, (int)e), &w->count_work));
    if (!m->work) return OK;
    for (int x = 0; x < e; x++) g->expert[x] = x;
    g->of_source[1] = g->count = (int)e;
    g->sources = 1;
    return OK;
}

static err_t routing_layout(struct experts *m, struct arena *run) {
    const int64_t t = m->shape.tokens, e = m->shape.spec->experts, l = m->layers;
    TRY(ARENA(run, "experts", "routing", l * t * m->shape.spec->top_k, &m->ids));
    TRY(ARENA(run, "experts", "routing", l * e + 1, &m->count));
    TRY(ARENA(run, "experts", "routing", l * e, &m->count_step));
    TRY(ARENA(run, "experts", "routing", l * e, &m->bias));
    TRY(ARENA(run, "experts", "routing", e, &m->prob_sum));
    return ARENA(run, "experts", "routing", e, &m->aux_grad);
}

static err_t sets_layout(struct experts *m, struct arena *host, struct arena *keep) {
    const struct spec *s = m->shape.spec;
    const int64_t t = m->shape.tokens, b = dtype_bytes(m->shape.act), e = s->experts, k = s->top_k, i = s->expert_width;
    const int64_t r = set_tokens(&m->shape, &m->opts) * k;
    const int slots = shape_slots(&m->shape, m->layers);
    struct experts_work none, *w = m->work ? m->work : &none;
    TRY(ARENA(host, "experts", "tables", slots, &w->saved));
    for (int n = 0; n < slots; n++) {
        struct experts_saved unused, *v = w->saved ? &w->saved[n] : &unused;
        TRY(arena_push(keep, "experts", "intermediates", t * e * b, &v->logits));
        TRY(ARENA(keep, "experts", "intermediates", t * k, &v->weights));
        TRY(ARENA(keep, "experts", "intermediates", r, &v->token));
        TRY(ARENA(keep, "experts", "intermediates", r, &v->pos));
        TRY(arena_push(keep, "experts", "intermediates", r * s->hidden * b, &v->in));
        TRY(arena_push(keep, "experts", "intermediates", r * 2 * i * b, &v->gate_up));
        TRY(arena_push(keep, "experts", "intermediates", r * i * b, &v->mid));
        TRY(arena_push(keep, "experts", "intermediates", r * s->hidden * b, &v->out));
    }
    return OK;
}

err_t experts_layout(struct experts *m, const struct exec *ex, struct store *store, struct mesh *mesh, const struct experts_opts *o,
                     const struct shape *h, struct arenas *arenas) {
    const struct spec *s = h->spec;
    *m = (struct experts){.ex = ex, .store = store, .mesh = mesh, .opts = *o, .shape = *h, .layers = spec_moe_layers(s)};
    if (m->layers == 0) return OK;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), e = s->experts, k = s->top_k, i = s->expert_width;
    struct arena *host = &arenas->host, *scratch = &arenas->scratch;
    TRY(ARENA(host, "experts", "tables", 1, &m->work));
    struct experts_work unused, *w = m->work ? m->work : &unused;
    *w = (struct experts_work){0};
    TRY(ARENA(host, "experts", "tables", e, &w->w_in));
    TRY(ARENA(host, "experts", "tables", e, &w->w_out));
    TRY(ARENA(host, "experts", "tables", e, &w->g_in));
    TRY(ARENA(host, "experts", "tables", e, &w->g_out));
    TRY(routing_layout(m, &arenas->run));
    TRY(sets_layout(m, host, shape_kept(h) ? &arenas->step : scratch));
    if (h->split.ranks > 1) TRY(unit_runs_layout(store, UNIT_EXPERTS, gathers(h, o), h->backward, scratch));
    if (experts_travel(h, o)) TRY(far_layout(m, arenas));
    else TRY(here_layout(m, arenas));
    if (!h->backward) return OK;
    TRY(ARENA(scratch, "experts", "gradients", t * k, &w->dweights));
    TRY(arena_push(scratch, "experts", "gradients", chunk_tokens(h, o) * k * i * b, &w->dmid));
    return arena_push(scratch, "experts", "gradients", t * s->hidden * b, &w->dh_router);
}

void experts_open(struct experts *m) {
    const int64_t n = (int64_t)m->layers * m->shape.spec->experts;
    if (!m->layers) return;
    STREAM_FILL(m->ex->s, m->bias, 0, 4 * n);
    STREAM_FILL(m->ex->s, m->count_step, 0, 8 * n);
}

struct experts_seen experts_seen(const struct experts *m) {
    const struct far *f = m->work ? m->work->far : NULL;
    if (!f) return (struct experts_seen){0};
    return (struct experts_seen){f->call.kept ? f->call.kept->chunks : 0, f->legs, f->rows_high, f->guests_high};
}
