#include "base/num.h"
#include "vocab/vocab_int.h"

const struct opt vocab_opt_list[] = {
    {.key = "vocab.strategy",
     .type = OPT_CHOICE,
     .offset = offsetof(struct vocab_opts, strategy),
     .def = "ring",
     .choices = "ring|dtp|dense_logits",
     .resume = OPT_ROUNDS,
     .help = "how ranks share the head and the loss: shards of columns that meet each rank's tokens in turn, tokens gathered tile by tile to every "
             "shard, or the whole head on every rank"},
    {.key = "vocab.travel",
     .type = OPT_CHOICE,
     .offset = offsetof(struct vocab_opts, travel),
     .def = "auto",
     .choices = "auto|weights|activations",
     .resume = OPT_ROUNDS,
     .help = "what goes round in vocab.strategy=ring; auto: the weights where a rank has more tokens than its shard has columns"},
    {.key = NULL},
};

int64_t vocab_tile_rows(const struct shape *h, int64_t cols) {
    const int64_t most = h->split.ranks > 1 ? VOCAB_TILE_ROWS : VOCAB_TILE_ROWS_ALONE;
    const int64_t fit = VOCAB_STRIP_BYTES / (4 * cols) / 16 * 16;
    return i64_min(i64_min(i64_max(fit, 16), most), h->tokens_most);
}

/* Rows of a strip, its columns. */
struct strip {
    int64_t rows, cols;
};

static int64_t run_rows(const struct shape *h) { return shard_vocab_rows(h->spec, h->split.ranks) * (h->split.ranks / h->split.vocab); }

/* Tokens of each rank in a tile of dtp. */
static int64_t dtp_rows(const struct shape *h) { return i64_max(1, vocab_tile_rows(h, run_rows(h)) / h->split.vocab); }

static struct strip strip_of(const struct shape *h, const struct vocab_opts *o) {
    if (h->split.ranks == 1) return (struct strip){vocab_tile_rows(h, h->spec->vocab), h->spec->vocab};
    if (o->strategy == VOCAB_DENSE_LOGITS) return (struct strip){h->tokens_most, h->spec->vocab};
    if (o->strategy == VOCAB_DTP) return (struct strip){dtp_rows(h) * h->split.vocab, run_rows(h)};
    const int64_t cols = i64_min(run_rows(h), VOCAB_STRIP_COLS);
    return (struct strip){vocab_tile_rows(h, cols), cols};
}

/* The ring's rule: the smaller of the two goes round (mop.md 3.6). */
static bool weights_travel(const struct shape *h, const struct vocab_opts *o) {
    return o->travel == TRAVEL_AUTO ? h->tokens_most > run_rows(h) : o->travel == TRAVEL_WEIGHTS;
}

/* Is the gradient of the rank's run summed where the run is? */
static bool gradient_stays(const struct shape *h, const struct vocab_opts *o) {
    return h->backward && (o->strategy != VOCAB_RING || !weights_travel(h, o));
}

/* Is all of the head gathered on every rank? */
static bool whole(const struct vocab_opts *o) { return o->strategy == VOCAB_DENSE_LOGITS; }

/* Numbers (m, z, y_t) that are kept beside a tile's. */
static int64_t numbers(const struct shape *h, const struct strip *s) { return h->split.ranks > 1 ? h->tokens_most : s->rows; }

static err_t ranks_bytes(const struct shape *h, const struct vocab_opts *o, struct ledger *out) {
    const int64_t b = dtype_bytes(h->act), width = h->spec->hidden, a = run_rows(h) * width, n = h->tokens_most, p = h->split.vocab;
    const int64_t tile = dtp_rows(h) * p;
    const bool train = h->backward;
    TRY(ledger_predict(out, "vocab", "counts", TIER_HOST, LIFE_RUN, arena_bytes(32 * p + 8 * h->split.ranks)));
    TRY(unit_runs_bytes(h->spec, &h->split, h->act, UNIT_HEAD, whole(o), gradient_stays(h, o), out));
    if (whole(o)) return OK;
    int64_t bytes = arena_bytes(a * b);
    if (o->strategy == VOCAB_DTP)
        bytes += arena_bytes(tile * width * b) + arena_bytes(4 * tile) + arena_bytes(12 * tile) + arena_bytes(12 * tile * p) +
                 (train ? arena_bytes(4 * tile * width) : 0);
    else if (weights_travel(h, o))
        bytes += arena_bytes(a * b) + (train ? 2 * arena_bytes(4 * a) + (h->act == DT_BF16 ? arena_bytes(4 * n * width) : 0) : 0);
    else bytes += 2 * (arena_bytes(n * width * b) + arena_bytes(4 * n) + arena_bytes(12 * n) + (train ? arena_bytes(4 * n * width) : 0));
    return ledger_predict(out, "vocab", "on the way", TIER_DEVICE, LIFE_SCRATCH, bytes);
}

err_t vocab_bytes(const struct shape *h, const struct vocab_opts *o, struct ledger *out) {
    const struct strip s = strip_of(h, o);
    const int64_t dstrip = h->backward && h->act == DT_BF16 ? arena_bytes(2 * s.rows * s.cols) : 0;
    TRY(ledger_predict(out, "vocab", "strip", TIER_DEVICE, LIFE_SCRATCH,
                       arena_bytes(4 * s.rows * s.cols) + dstrip + arena_bytes(12 * numbers(h, &s)) +
                           (h->backward ? 0 : arena_bytes(4 * h->tokens))));
    TRY(ledger_predict(out, "vocab", "loss", TIER_DEVICE, LIFE_RUN, arena_bytes((int64_t)sizeof(struct vocab_sum))));
    return h->split.ranks > 1 ? ranks_bytes(h, o, out) : OK;
}

static err_t ranks_layout(struct vocab *v, struct arenas *arenas) {
    const struct shape *h = &v->shape;
    struct arena *m = &arenas->scratch;
    const int64_t b = dtype_bytes(h->act), width = h->spec->hidden, a = run_rows(h) * width, n = h->tokens_most, p = h->split.vocab;
    const int64_t tile = dtp_rows(h) * p;
    const bool train = h->backward;
    TRY(ARENA(&arenas->host, "vocab", "counts", 4 * p + h->split.ranks, &v->counts));
    TRY(unit_runs_layout(v->store, UNIT_HEAD, whole(&v->opts), gradient_stays(h, &v->opts), m));
    if (whole(&v->opts)) return OK;
    TRY(arena_push(m, "vocab", "on the way", a * b, &v->ring[0]));
    if (v->opts.strategy == VOCAB_DTP) {
        TRY(arena_push(m, "vocab", "on the way", tile * width * b, &v->x_ring[0]));
        TRY(ARENA(m, "vocab", "on the way", tile, &v->t_ring[0]));
        TRY(ARENA(m, "vocab", "on the way", 3 * tile, &v->n_ring[0]));
        TRY(ARENA(m, "vocab", "on the way", 3 * tile * p, &v->n_ring[1]));
        if (train) TRY(ARENA(m, "vocab", "on the way", tile * width, &v->dx_ring[0]));
        return OK;
    }
    if (v->weights_travel) {
        TRY(arena_push(m, "vocab", "on the way", a * b, &v->ring[1]));
        for (int i = 0; i < 2 && train; i++) TRY(ARENA(m, "vocab", "on the way", a, &v->dring[i]));
        if (train && h->act == DT_BF16) TRY(ARENA(m, "vocab", "on the way", n * width, &v->dx32));
        return OK;
    }
    for (int i = 0; i < 2; i++) {
        TRY(arena_push(m, "vocab", "on the way", n * width * b, &v->x_ring[i]));
        TRY(ARENA(m, "vocab", "on the way", n, &v->t_ring[i]));
        TRY(ARENA(m, "vocab", "on the way", 3 * n, &v->n_ring[i]));
        if (train) TRY(ARENA(m, "vocab", "on the way", n * width, &v->dx_ring[i]));
    }
    return OK;
}

err_t vocab_layout(struct vocab *v, const struct exec *ex, struct store *store, struct mesh *mesh, const struct vocab_opts *o, const struct shape *h,
                   struct arenas *m) {
    const struct strip s = strip_of(h, o);
    *v = (struct vocab){.ex = ex, .store = store, .mesh = mesh, .opts = *o, .shape = *h, .tile_rows = s.rows, .cols = s.cols};
    v->run_rows = run_rows(h);
    v->weights_travel = weights_travel(h, o);
    TRY(ARENA(&m->scratch, "vocab", "strip", s.rows * s.cols, &v->strip));
    if (h->backward && h->act == DT_BF16) TRY(arena_push(&m->scratch, "vocab", "strip", 2 * s.rows * s.cols, &v->dstrip));
    else v->dstrip = v->strip;
    TRY(ARENA(&m->scratch, "vocab", "strip", 3 * numbers(h, &s), &v->m));
    if (v->m) {
        v->z = v->m + numbers(h, &s);
        v->yt = v->z + numbers(h, &s);
    }
    if (!h->backward) TRY(ARENA(&m->scratch, "vocab", "strip", h->tokens, &v->each));
    TRY(ARENA(&m->run, "vocab", "loss", 1, &v->loss));
    return h->split.ranks > 1 ? ranks_layout(v, m) : OK;
}

err_t vocab_open(struct vocab *v) {
    if (v->shape.split.ranks == 1) return OK;
    const int block = v->mesh->vocab.size, first = v->shape.split.rank / block * block;
    int64_t *all = v->counts + 4 * block;
    TRY(COMM(&v->mesh->control, all_gather, &v->shape.tokens, all, sizeof v->shape.tokens));
    for (int p = 0; p < block; p++) v->counts[p] = all[first + p];
    return OK;
}
