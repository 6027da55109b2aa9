/* Data-tensor-parallel: tokens are gathered tile by tile, each rank forms the strip of its own columns, the numbers of a token are put together in
 * rank order, and its gradient is summed in rank order where the token is at home. A strip serves both passes. */
#include "base/num.h"
#include "vocab/vocab_int.h"

/* A tile: T rows of each rank of the block, one rank behind the other. */
struct tile {
    int64_t first, rows, own; /* first row on each rank; T; how many of them this rank has */
    struct vocab_tokens t;    /* (P*T) */
};

static err_t gather_tokens(struct vocab *v, const void *h, const int32_t *targets, struct tile *k) {
    const int me = v->mesh->vocab.rank;
    const int64_t row = v->shape.spec->hidden * dtype_bytes(v->shape.act);
    char *x = (char *)v->x_ring[0] + me * k->rows * row;
    int32_t *t = v->t_ring[0] + me * k->rows;
    struct stream *q = v->ex->s;
    STREAM_COPY(q, x, (const char *)h + k->first * row, k->own * row);
    STREAM_FILL(q, x + k->own * row, 0, (k->rows - k->own) * row);
    STREAM_COPY(q, t, targets + k->first, 4 * k->own);
    STREAM_FILL(q, t + k->own, 0xff, 4 * (k->rows - k->own)); /* -1: no target */
    TRY(COMM_ON(q, &v->mesh->vocab, comm_call_all_gather(x, v->x_ring[0], k->rows * row)));
    return COMM_ON(q, &v->mesh->vocab, comm_call_all_gather(t, v->t_ring[0], 4 * k->rows));
}

/* All ranks' (m, z, y_t) of all rows of the tile, into those in hand. */
static err_t join_numbers(struct vocab *v, const struct tile *k) {
    TRY(COMM_ON(v->ex->s, &v->mesh->vocab, comm_call_all_gather(k->t.m, v->n_ring[1], 12 * k->t.n)));
    RUN(v->ex, fold_join, fold_join_args, .rows = k->t.n, .parts = v->mesh->vocab.size, .from = v->n_ring[1], .m = k->t.m, .z = k->t.z,
        .yt = k->t.yt);
    return OK;
}

static err_t tile_backward(struct vocab *v, const struct vocab_run *r, const struct tile *k, float scale, void *dh) {
    const int64_t width = v->shape.spec->hidden;
    if (r->cols > 0) vocab_tile_gradients(v, r, &k->t, 0, k->t.n, scale, k->t.dx, DT_F32, false);
    else STREAM_FILL(v->ex->s, k->t.dx, 0, 4 * k->t.n * width);
    float *own = k->t.dx + v->mesh->vocab.rank * k->rows * width;
    TRY(COMM_ON(v->ex->s, &v->mesh->vocab, comm_call_reduce_scatter(k->t.dx, own, k->rows * width, DT_F32)));
    vocab_round(v, own, (char *)dh + k->first * width * dtype_bytes(v->shape.act), k->own);
    return OK;
}

err_t vocab_loss_dtp(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    const int p = v->mesh->vocab.size;
    const int64_t rows = v->tile_rows / p, all = v->tile_rows;
    float *numbers = v->n_ring[0];
    struct vocab_run r;
    TRY(vocab_run_open(v, dh != NULL, &r));
    for (int64_t first = 0; first < v->shape.tokens_most; first += rows) {
        struct tile k = {.first = i64_min(first, v->shape.tokens), .rows = rows};
        k.own = i64_min(rows, v->shape.tokens - k.first);
        k.t = (struct vocab_tokens){v->x_ring[0], v->t_ring[0], numbers, numbers + all, numbers + 2 * all, v->dx_ring[0], all};
        TRY(gather_tokens(v, h, targets, &k));
        vocab_fresh(v, &k.t);
        vocab_fold(v, &r, &k.t);
        TRY(join_numbers(v, &k));
        const int64_t at = v->mesh->vocab.rank * rows;
        const struct vocab_tokens own = {NULL, k.t.targets + at, k.t.m + at, k.t.z + at, k.t.yt + at, NULL, k.own};
        vocab_sum_losses(v, &own);
        if (dh) TRY(tile_backward(v, &r, &k, scale, dh));
    }
    return vocab_run_close(v, dh != NULL);
}
