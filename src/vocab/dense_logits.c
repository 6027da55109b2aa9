#include "vocab/vocab.h"

#include <math.h>

const struct opt vocab_opt_list[] = {
    {.key = "vocab.strategy",
     .type = OPT_CHOICE,
     .offset = offsetof(struct vocab_opts, strategy),
     .def = "ring",
     .choices = "ring|dtp|dense_logits",
     .help = "how ranks share the head and the loss: shards of columns that meet each rank's tokens in turn, tokens gathered tile by tile to every "
             "shard, or the whole head on every rank"},
    {.key = "vocab.travel",
     .type = OPT_CHOICE,
     .offset = offsetof(struct vocab_opts, travel),
     .def = "auto",
     .choices = "auto|weights|activations",
     .help = "what goes round in vocab.strategy=ring; auto: the weights where a rank has more tokens than its shard has columns"},
    {.key = NULL},
};

int64_t vocab_tile_rows(const struct shape *h) {
    int64_t fit = VOCAB_STRIP_BYTES / (4 * h->spec->vocab) / 16 * 16;
    if (fit < 16) fit = 16;
    if (fit > VOCAB_TILE_ROWS) fit = VOCAB_TILE_ROWS;
    return fit < h->tokens ? fit : h->tokens;
}

err_t vocab_bytes(const struct shape *h, const struct vocab_opts *o, struct ledger *out) {
    (void)o;
    const int64_t rt = vocab_tile_rows(h), v = h->spec->vocab;
    const int64_t dstrip = h->backward && h->act == DT_BF16 ? arena_bytes(2 * rt * v) : 0;
    return ledger_predict(out, "vocab", "strip", TIER_DEVICE, LIFE_SCRATCH, arena_bytes(4 * rt * v) + dstrip + 3 * arena_bytes(4 * rt));
}

err_t vocab_layout(struct vocab *v, const struct exec *ex, struct store *store, struct mesh *mesh, const struct vocab_opts *o, const struct shape *h,
                   struct arenas *m) {
    *v = (struct vocab){.ex = ex, .store = store, .mesh = mesh, .opts = *o, .shape = *h, .tile_rows = vocab_tile_rows(h)};
    const int64_t n = v->tile_rows * h->spec->vocab;
    TRY(ARENA(&m->scratch, "vocab", "strip", n, &v->strip));
    if (h->backward && h->act == DT_BF16) TRY(arena_push(&m->scratch, "vocab", "strip", 2 * n, &v->dstrip));
    else v->dstrip = v->strip;
    TRY(ARENA(&m->scratch, "vocab", "strip", v->tile_rows, &v->m));
    TRY(ARENA(&m->scratch, "vocab", "strip", v->tile_rows, &v->z));
    TRY(ARENA(&m->scratch, "vocab", "strip", v->tile_rows, &v->yt));
    return OK;
}

/* The head's tensor: its own, or the embedding where they are tied. */
static err_t head(const struct vocab *v, const struct param **out) {
    return store_find(v->store, v->shape.spec->tied ? PARAM_EMBED : PARAM_HEAD, -1, -1, out);
}

static const void *row_at(const struct vocab *v, const void *h, int64_t row) {
    return (const char *)h + row * v->shape.spec->hidden * dtype_bytes(v->shape.act);
}

err_t vocab_logits(struct vocab *v, const void *h, int64_t first, int64_t rows, float *logits) {
    const struct spec *s = v->shape.spec;
    const struct param *w;
    TRY(head(v, &w));
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_NT, .groups = 1, .rows = rows, .n = s->vocab, .k = s->hidden, .a = row_at(v, h, first),
        .lda = s->hidden, .b = store_weight(v->store, w), .ldb = s->hidden, .c = logits, .ldc = s->vocab, .a_dtype = v->shape.act,
        .b_dtype = v->shape.act, .c_dtype = DT_F32);
    return OK;
}

/* The strip of rows [r, r + n) and its fold: m, z and the target's logit of each. */
static err_t fold_rows(struct vocab *v, const void *h, const int32_t *targets, int64_t r, int64_t n, struct fold_args *f) {
    TRY(vocab_logits(v, h, r, n, v->strip));
    for (int64_t i = 0; i < n; i++) {
        v->m[i] = -INFINITY;
        v->z[i] = v->yt[i] = 0;
    }
    *f = (struct fold_args){.rows = n,
                            .cols = v->shape.spec->vocab,
                            .ld = v->shape.spec->vocab,
                            .y = v->strip,
                            .targets = targets + r,
                            .m = v->m,
                            .z = v->z,
                            .yt = v->yt};
    RUN_ARGS(v->ex, fold_forward, fold_args, f);
    return OK;
}

static double token_loss(const struct vocab *v, int64_t i) { return (double)v->m[i] + log((double)v->z[i]) - (double)v->yt[i]; }

/* dh rows and dW of one tile, whose strip is in hand. */
static err_t tile_backward(struct vocab *v, const void *h, const struct fold_args *f, int64_t r, float scale, void *dh) {
    const struct spec *s = v->shape.spec;
    const enum dtype act = v->shape.act;
    const struct param *w;
    TRY(head(v, &w));
    RUN(v->ex, fold_backward, fold_backward_args, .fwd = *f, .scale = scale, .act = act, .dy = v->dstrip, .dy_ld = s->vocab);
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = 1, .rows = f->rows, .m = s->vocab, .n = s->hidden, .a = v->dstrip, .lda = s->vocab,
        .b = row_at(v, h, r), .ldb = s->hidden, .c = store_grad(v->store, w), .ldc = s->hidden, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32,
        .accumulate = true);
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_NN, .groups = 1, .rows = f->rows, .n = s->hidden, .k = s->vocab, .a = v->dstrip, .lda = s->vocab,
        .b = store_weight(v->store, w), .ldb = s->hidden, .c = (void *)(uintptr_t)row_at(v, dh, r), .ldc = s->hidden, .a_dtype = act, .b_dtype = act,
        .c_dtype = act);
    return OK;
}

err_t vocab_loss(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh, double *loss_sum, int64_t *count) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t r = 0; r < v->shape.tokens; r += v->tile_rows) {
        const int64_t rows = v->shape.tokens - r < v->tile_rows ? v->shape.tokens - r : v->tile_rows;
        struct fold_args f;
        TRY(fold_rows(v, h, targets, r, rows, &f));
        for (int64_t i = 0; i < rows; i++)
            if (targets[r + i] >= 0) {
                sum += token_loss(v, i);
                n++;
            }
        if (dh) TRY(tile_backward(v, h, &f, r, scale, dh));
    }
    *loss_sum = sum;
    *count = n;
    return OK;
}

err_t vocab_token_losses(struct vocab *v, const void *h, const int32_t *targets, float *each) {
    for (int64_t r = 0; r < v->shape.tokens; r += v->tile_rows) {
        const int64_t rows = v->shape.tokens - r < v->tile_rows ? v->shape.tokens - r : v->tile_rows;
        struct fold_args f;
        TRY(fold_rows(v, h, targets, r, rows, &f));
        for (int64_t i = 0; i < rows; i++) each[r + i] = targets[r + i] >= 0 ? (float)token_loss(v, i) : 0.0f;
    }
    return OK;
}
