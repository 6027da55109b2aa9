#include "experts/experts_int.h"

#include "base/num.h"

#include <string.h>

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

/* Tokens of the largest chunk; tokens whose rows a set holds, and the chunks that they are. */
static int64_t chunk_tokens(const struct shape *h, const struct experts_opts *o) { return i64_min(tokens_here(h, o), EXPERTS_CHUNK); }
static int64_t set_tokens(const struct shape *h, const struct experts_opts *o) { return shape_kept(h) ? tokens_here(h, o) : chunk_tokens(h, o); }
static int64_t set_chunks(const struct shape *h, const struct experts_opts *o) { return i64_div_up(set_tokens(h, o), EXPERTS_CHUNK); }

err_t experts_bytes(const struct shape *h, const struct experts_opts *o, struct ledger *out) {
    const struct spec *s = h->spec;
    const int64_t layers = spec_moe_layers(s);
    if (layers == 0) return OK;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), e = s->experts, k = s->top_k, r = set_tokens(h, o) * k, i = s->expert_width;
    const int64_t slots = shape_slots(h, (int)layers);
    const int64_t set = arena_bytes(t * e * b) + arena_bytes(4 * t * k) + arena_bytes(8 * set_chunks(h, o) * (e + 1)) + 2 * arena_bytes(4 * r) +
                        2 * arena_bytes(r * s->hidden * b) + arena_bytes(r * 2 * i * b) + arena_bytes(r * i * b);
    TRY(ledger_predict(out, "experts", "sets", TIER_DEVICE, LIFE_RUN, arena_bytes(slots * (int64_t)sizeof(struct experts_saved))));
    TRY(ledger_predict(out, "experts", "routing", TIER_DEVICE, LIFE_RUN,
                       arena_bytes(2 * layers * t * k) + 2 * arena_bytes(8 * layers * e) + arena_bytes(4 * layers * e) + arena_bytes(8 * e) +
                           arena_bytes(4 * e) + 4 * arena_bytes((int64_t)sizeof(void *) * e)));
    TRY(ledger_predict(out, "experts", "intermediates", TIER_DEVICE, shape_kept(h) ? LIFE_STEP : LIFE_SCRATCH, slots * set));
    if (h->backward)
        TRY(ledger_predict(out, "experts", "gradients", TIER_DEVICE, LIFE_SCRATCH,
                           arena_bytes(4 * t * k) + arena_bytes(chunk_tokens(h, o) * k * i * b) + arena_bytes(t * s->hidden * b)));
    TRY(experts_weights_bytes(h, o, out));
    return experts_travel(h, o) ? experts_dispatch_bytes(h, o, out) : OK;
}

err_t experts_layout(struct experts *m, const struct exec *ex, struct store *store, struct mesh *mesh, const struct experts_opts *o,
                     const struct shape *h, struct arenas *arenas) {
    const struct spec *s = h->spec;
    *m = (struct experts){.ex = ex, .store = store, .mesh = mesh, .opts = *o, .shape = *h, .layers = spec_moe_layers(s)};
    if (m->layers == 0) return OK;
    const int64_t t = h->tokens, b = dtype_bytes(h->act), e = s->experts, k = s->top_k, r = set_tokens(h, o) * k, i = s->expert_width, l = m->layers;
    struct arena *run = &arenas->run, *scratch = &arenas->scratch;
    TRY(ARENA(run, "experts", "routing", l * t * k, &m->ids));
    TRY(ARENA(run, "experts", "routing", l * e, &m->count));
    TRY(ARENA(run, "experts", "routing", l * e, &m->count_step));
    TRY(ARENA(run, "experts", "routing", l * e, &m->bias));
    TRY(ARENA(run, "experts", "routing", e, &m->prob_sum));
    TRY(ARENA(run, "experts", "routing", e, &m->aux_grad));
    TRY(ARENA(run, "experts", "routing", e, &m->w_in));
    TRY(ARENA(run, "experts", "routing", e, &m->w_out));
    TRY(ARENA(run, "experts", "routing", e, &m->g_in));
    TRY(ARENA(run, "experts", "routing", e, &m->g_out));
    const int slots = shape_slots(h, m->layers);
    TRY(ARENA(run, "experts", "sets", slots, &m->saved));
    struct arena *keep = shape_kept(h) ? &arenas->step : scratch;
    for (int n = 0; n < slots; n++) {
        struct experts_saved unused, *v = m->saved ? &m->saved[n] : &unused;
        TRY(arena_push(keep, "experts", "intermediates", t * e * b, &v->logits));
        TRY(ARENA(keep, "experts", "intermediates", t * k, &v->weights));
        TRY(ARENA(keep, "experts", "intermediates", set_chunks(h, o) * (e + 1), &v->off));
        TRY(ARENA(keep, "experts", "intermediates", r, &v->token));
        TRY(ARENA(keep, "experts", "intermediates", r, &v->pos));
        TRY(arena_push(keep, "experts", "intermediates", r * s->hidden * b, &v->in));
        TRY(arena_push(keep, "experts", "intermediates", r * 2 * i * b, &v->gate_up));
        TRY(arena_push(keep, "experts", "intermediates", r * i * b, &v->mid));
        TRY(arena_push(keep, "experts", "intermediates", r * s->hidden * b, &v->out));
    }
    TRY(experts_weights_layout(m, arenas));
    if (experts_travel(h, o)) TRY(experts_dispatch_layout(m, arenas));
    if (!h->backward) return OK;
    TRY(ARENA(scratch, "experts", "gradients", t * k, &m->dweights));
    TRY(arena_push(scratch, "experts", "gradients", chunk_tokens(h, o) * k * i * b, &m->dmid));
    TRY(arena_push(scratch, "experts", "gradients", t * s->hidden * b, &m->dh_router));
    return OK;
}
