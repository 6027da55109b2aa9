/* The room's entries, and the head on one rank. Borrowed: the hidden states, the targets, the keeper's runs of columns, which are entered and left here
 * and in the strategies. Owned: the sum of losses, cleared by each entry that sums. */
#include "base/num.h"
#include "vocab/vocab_int.h"

void vocab_run_at(const struct vocab *v, int place, struct vocab_run *out) {
    const int64_t all = v->shape.spec->vocab, from = i64_min(all, place * v->run_rows);
    *out = (struct vocab_run){.col0 = from, .cols = i64_min(v->run_rows, all - from)};
}

static int64_t run_bytes(const struct vocab *v) { return v->run_rows * v->shape.spec->hidden * dtype_bytes(v->shape.act); }

err_t vocab_run_open(struct vocab *v, bool backward, struct vocab_run *out) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    TRY(unit_enter(v->store, p->unit_at, -1, backward));
    const struct held *u = &v->store->unit[p->unit_at];
    if (v->store->head.whole || v->shape.split.ranks == 1) *out = (struct vocab_run){.cols = v->shape.spec->vocab};
    else vocab_run_at(v, v->mesh->vocab.rank, out);
    out->w = u->w;
    out->dw_acc = backward ? u->grad_acc : NULL;
    return OK;
}

err_t vocab_run_close(struct vocab *v, bool backward) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    return unit_leave(v->store, p->unit_at, backward);
}

err_t vocab_give(struct vocab *v, float *dw) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    return unit_give(v->store, p->unit_at, dw);
}

/* Every run in turn on every rank of the block: the rank that has it gives it to all. f is called with each. */
typedef err_t (*visit)(struct vocab *v, const struct vocab_run *r, void *ctx);
static err_t each_run(struct vocab *v, visit f, void *ctx) {
    const int ranks = v->mesh->vocab.size, me = v->mesh->vocab.rank;
    struct vocab_run own = {0};
    TRY(vocab_run_open(v, false, &own));
    for (int s = 0; !v->store->head.whole && v->shape.split.ranks > 1 && s < ranks; s++) {
        int64_t *send = v->counts + ranks, *recv = send + ranks, *zero = recv + ranks;
        for (int r = 0; r < ranks; r++) {
            send[r] = me == s ? run_bytes(v) : 0;
            recv[r] = r == s ? run_bytes(v) : 0;
            zero[r] = 0;
        }
        TRY(COMM_ON(v->ex->s, &v->mesh->vocab, comm_call_all_to_allv(own.w, send, zero, v->ring[0], recv, zero)));
        struct vocab_run r = {0};
        vocab_run_at(v, s, &r);
        r.w = v->ring[0];
        TRY(f(v, &r, ctx));
    }
    if (v->store->head.whole || v->shape.split.ranks == 1) TRY(f(v, &own, ctx));
    return vocab_run_close(v, false);
}

struct logits {
    const void *h;
    int64_t first, rows;
    float *out;
};

/* A strip at a time by way of the device's. */
static err_t fetch_logits(struct vocab *v, const struct vocab_run *r, void *ctx) {
    const struct logits *l = ctx;
    const int64_t row = v->shape.spec->hidden * dtype_bytes(v->shape.act), all = v->shape.spec->vocab;
    for (int64_t c = 0; c < r->cols; c += v->cols) {
        const struct vocab_run part = {(const char *)r->w + c * row, NULL, r->col0 + c, i64_min(v->cols, r->cols - c)};
        for (int64_t i = 0; i < l->rows; i += v->tile_rows) {
            const int64_t n = i64_min(v->tile_rows, l->rows - i);
            float *to = l->out + i * all + part.col0;
            vocab_strip(v, &part, (const char *)l->h + (l->first + i) * row, n, v->strip, v->cols);
            if (part.cols == all) TRY(STREAM_FETCH(v->ex->s, to, v->strip, 4 * n * all));
            for (int64_t k = 0; part.cols < all && k < n; k++) TRY(STREAM_FETCH(v->ex->s, to + k * all, v->strip + k * v->cols, 4 * part.cols));
        }
    }
    return OK;
}

static err_t fold_run(struct vocab *v, const struct vocab_run *r, void *ctx) {
    vocab_fold(v, r, ctx);
    return OK;
}

err_t vocab_logits(struct vocab *v, const void *h, int64_t first, int64_t rows, float *logits) {
    struct logits l = {h, first, rows, logits};
    return each_run(v, fetch_logits, &l);
}

static struct vocab_tokens tile_of(const struct vocab *v, const void *h, const int32_t *targets, int64_t first) {
    const int64_t row = v->shape.spec->hidden * dtype_bytes(v->shape.act);
    return (struct vocab_tokens){
        (const char *)h + first * row, targets + first, v->m, v->z, v->yt, NULL, i64_min(v->tile_rows, v->shape.tokens - first)};
}

/* One rank, one tile at a time. */
static err_t loss_alone(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    const int64_t row = v->shape.spec->hidden * dtype_bytes(v->shape.act);
    struct vocab_run r = {0};
    TRY(vocab_run_open(v, dh != NULL, &r));
    for (int64_t i = 0; i < v->shape.tokens; i += v->tile_rows) {
        const struct vocab_tokens t = tile_of(v, h, targets, i);
        vocab_fresh(v, &t);
        vocab_fold(v, &r, &t);
        vocab_sum_losses(v, &t);
        if (dh) vocab_tile_gradients(v, &r, &t, 0, t.n, scale, (char *)dh + i * row, v->shape.act, false);
    }
    return vocab_run_close(v, dh != NULL);
}

static void losses_of(struct vocab *v, const struct vocab_tokens *t, float *each) {
    if (t->n) RUN(v->ex, token_losses, token_losses_args, .rows = t->n, .m = t->m, .z = t->z, .yt = t->yt, .targets = t->targets, .each = each);
}

err_t vocab_token_losses(struct vocab *v, const void *h, const int32_t *targets, float *each) {
    struct vocab_run r = {0};
    ENSURE(v->each != NULL);
    if (v->shape.split.ranks == 1) {
        TRY(vocab_run_open(v, false, &r));
        for (int64_t i = 0; i < v->shape.tokens; i += v->tile_rows) {
            const struct vocab_tokens t = tile_of(v, h, targets, i);
            vocab_fresh(v, &t);
            vocab_fold(v, &r, &t);
            losses_of(v, &t, v->each + i);
        }
    } else {
        struct vocab_tokens t = {h, targets, v->m, v->z, v->yt, NULL, v->shape.tokens};
        vocab_fresh(v, &t);
        TRY(each_run(v, fold_run, &t));
        losses_of(v, &t, v->each);
    }
    return STREAM_FETCH(v->ex->s, each, v->each, 4 * v->shape.tokens);
}

err_t vocab_loss(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    STREAM_FILL(v->ex->s, v->loss, 0, (int64_t)sizeof *v->loss);
    if (v->shape.split.ranks == 1) return loss_alone(v, h, targets, scale, dh);
    if (v->opts.strategy == VOCAB_DENSE_LOGITS) return vocab_loss_dense(v, h, targets, scale, dh);
    if (v->opts.strategy == VOCAB_DTP) return vocab_loss_dtp(v, h, targets, scale, dh);
    return vocab_loss_ring(v, h, targets, scale, dh);
}
