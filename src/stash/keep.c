#include "stash/stash.h"

const struct opt stash_opt_list[] = {
    {.key = "stash.strategy",
     .type = OPT_CHOICE,
     .offset = offsetof(struct stash_opts, strategy),
     .def = "auto",
     .choices = "auto|recompute|keep",
     .resume = OPT_FREE,
     .help = "what backward needs again of each half-layer: computed again from its input (less memory), kept (about a fifth less time), or "
             "kept if the run then fits in stash.budget; the results are the same"},
    {.key = "stash.budget",
     .type = OPT_FLOAT,
     .offset = offsetof(struct stash_opts, budget),
     .def = "0",
     .lo = 0,
     .hi = 1e9,
     .resume = OPT_FREE,
     .help = "GiB that the ranks of a machine may hold together for stash.strategy=auto to keep; 0: three quarters of what is available when the run "
             "begins"},
    {.key = NULL},
};

static int boundaries(const struct shape *h) { return h->backward ? 2 * h->spec->layers + 1 : 2; }

err_t stash_bytes(const struct shape *h, struct ledger *out) {
    const int64_t n = boundaries(h);
    TRY(ledger_predict(out, "stash", "list", TIER_HOST, LIFE_RUN, arena_bytes(n * (int64_t)sizeof(void *))));
    return ledger_predict(out, "stash", "boundaries", TIER_DEVICE, LIFE_STEP, n * arena_bytes(h->tokens * h->spec->hidden * dtype_bytes(h->act)));
}

err_t stash_layout(struct stash *s, const struct shape *h, struct arenas *m) {
    s->count = boundaries(h);
    TRY(ARENA(&m->host, "stash", "list", s->count, &s->boundary));
    for (int j = 0; j < s->count; j++) {
        void *unused;
        TRY(arena_push(&m->step, "stash", "boundaries", h->tokens * h->spec->hidden * dtype_bytes(h->act), s->boundary ? &s->boundary[j] : &unused));
    }
    return OK;
}
