/* The head on many ranks: runs of columns, from where they rest and back; what is asked of all columns. */
#include "base/num.h"
#include "vocab/vocab_int.h"

#include <string.h>

void vocab_run_at(const struct vocab *v, int place, struct vocab_run *out) {
    const int64_t all = v->shape.spec->vocab, from = i64_min(all, place * v->run_rows);
    *out = (struct vocab_run){.col0 = from, .cols = i64_min(v->run_rows, all - from)};
}

static int64_t run_bytes(const struct vocab *v) { return v->run_rows * v->shape.spec->hidden * dtype_bytes(v->shape.act); }

err_t vocab_run_open(struct vocab *v, bool backward, struct vocab_run *out) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    const struct held *u = &v->store->unit[p->unit_at];
    const int64_t b = dtype_bytes(v->shape.act);
    const void *rest = (const char *)v->store->w + u->at * b;
    vocab_run_at(v, v->mesh->vocab.rank, out);
    if (v->shape.split.vocab == v->shape.split.ranks) {
        out->w = rest;
        out->dw_acc = backward ? v->store->grad_acc + u->at : NULL;
        return OK;
    }
    TRY(COMM(&v->mesh->vocab_shard, all_gather, rest, v->run, u->shard.length * b));
    out->w = v->run;
    if (backward) {
        memset(v->drun, 0, sizeof *v->drun * (size_t)(v->run_rows * v->shape.spec->hidden));
        out->dw_acc = v->drun;
    }
    return OK;
}

err_t vocab_rest(struct vocab *v, float *dw) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    const struct held *u = &v->store->unit[p->unit_at];
    float *to = v->store->grad_acc + u->at, *own = dw + v->mesh->vocab_shard.rank * u->shard.length;
    if (v->mesh->vocab_shard.size > 1) TRY(COMM(&v->mesh->vocab_shard, reduce_scatter, dw, own, u->shard.length, DT_F32));
    for (int64_t i = 0; i < u->shard.own; i++) to[i] += own[i];
    return OK;
}

err_t vocab_run_close(struct vocab *v, const struct vocab_run *r) {
    if (!r->dw_acc || v->shape.split.vocab == v->shape.split.ranks) return OK;
    return vocab_rest(v, v->drun);
}

err_t vocab_gather_whole(struct vocab *v) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    const struct held *u = &v->store->unit[p->unit_at];
    char *own = (char *)v->whole + v->mesh->vocab.rank * run_bytes(v);
    TRY(COMM(&v->mesh->vocab_shard, all_gather, (const char *)v->store->w + u->at * dtype_bytes(v->shape.act), own,
             u->shard.length * dtype_bytes(v->shape.act)));
    return COMM(&v->mesh->vocab, all_gather, own, v->whole, run_bytes(v));
}

err_t vocab_count_tokens(struct vocab *v) { return COMM(&v->mesh->vocab, all_gather, &v->shape.tokens, v->counts, sizeof v->shape.tokens); }

/* Every run in turn on every rank of the block: the rank that has it gives it to all. f is called with each. */
typedef void (*visit)(struct vocab *v, const struct vocab_run *r, void *ctx);
static err_t each_run(struct vocab *v, visit f, void *ctx) {
    const int ranks = v->mesh->vocab.size, me = v->mesh->vocab.rank;
    struct vocab_run own = {0};
    if (v->opts.strategy == VOCAB_DENSE_LOGITS) {
        TRY(vocab_gather_whole(v));
        own = (struct vocab_run){.w = v->whole, .cols = v->shape.spec->vocab};
        f(v, &own, ctx);
        return OK;
    }
    TRY(vocab_run_open(v, false, &own));
    for (int s = 0; s < ranks; s++) {
        int64_t *send = v->counts + ranks, *recv = send + ranks, *zero = recv + ranks;
        for (int r = 0; r < ranks; r++) {
            send[r] = me == s ? run_bytes(v) : 0;
            recv[r] = r == s ? run_bytes(v) : 0;
            zero[r] = 0;
        }
        TRY(COMM(&v->mesh->vocab, all_to_allv, own.w, send, zero, v->ring[0], recv, zero));
        struct vocab_run r = {0};
        vocab_run_at(v, s, &r);
        r.w = v->ring[0];
        f(v, &r, ctx);
    }
    return OK;
}

struct logits {
    const void *h;
    int64_t first, rows;
    float *out;
};

static void fill_logits(struct vocab *v, const struct vocab_run *r, void *ctx) {
    const struct logits *l = ctx;
    const char *x = (const char *)l->h + l->first * v->shape.spec->hidden * dtype_bytes(v->shape.act);
    vocab_strip(v, r, x, l->rows, l->out + r->col0, v->shape.spec->vocab);
}

static void fold_run(struct vocab *v, const struct vocab_run *r, void *ctx) { vocab_fold(v, r, ctx); }

/* On one rank the head is where it is used. */
static err_t alone(struct vocab *v, struct vocab_run *out) {
    const struct param *p;
    TRY(vocab_head(v, &p));
    *out = (struct vocab_run){.w = store_weight(v->store, p), .dw_acc = store_grad(v->store, p), .cols = v->shape.spec->vocab};
    return OK;
}

err_t vocab_logits(struct vocab *v, const void *h, int64_t first, int64_t rows, float *logits) {
    struct logits l = {h, first, rows, logits};
    if (v->shape.split.ranks > 1) return each_run(v, fill_logits, &l);
    struct vocab_run r = {0};
    TRY(alone(v, &r));
    fill_logits(v, &r, &l);
    return OK;
}

/* One rank, one tile at a time. */
static err_t loss_alone(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh, float *each, double *loss_sum,
                        int64_t *count) {
    const int64_t width = v->shape.spec->hidden, b = dtype_bytes(v->shape.act);
    struct vocab_run r = {0};
    TRY(alone(v, &r));
    for (int64_t i = 0; i < v->shape.tokens; i += v->tile_rows) {
        const struct vocab_tokens t = {(const char *)h + i * width * b,           targets + i, v->m, v->z, v->yt, NULL,
                                       i64_min(v->tile_rows, v->shape.tokens - i)};
        vocab_fresh(v->m, v->z, v->yt, t.n);
        vocab_fold(v, &r, &t);
        if (each)
            for (int64_t k = 0; k < t.n; k++) each[i + k] = t.targets[k] >= 0 ? (float)vocab_token_loss(&t, k) : 0.0f;
        else vocab_sum_losses(&t, loss_sum, count);
        if (dh) vocab_tile_gradients(v, &r, &t, 0, t.n, scale, (char *)dh + i * width * b, v->shape.act, false);
    }
    return OK;
}

err_t vocab_token_losses(struct vocab *v, const void *h, const int32_t *targets, float *each) {
    if (v->shape.split.ranks == 1) return loss_alone(v, h, targets, 0, NULL, each, NULL, NULL);
    struct vocab_tokens t = {h, targets, v->m, v->z, v->yt, NULL, v->shape.tokens};
    vocab_fresh(t.m, t.z, t.yt, t.n);
    TRY(each_run(v, fold_run, &t));
    for (int64_t k = 0; k < t.n; k++) each[k] = targets[k] >= 0 ? (float)vocab_token_loss(&t, k) : 0.0f;
    return OK;
}

err_t vocab_loss(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh, double *loss_sum, int64_t *count) {
    double sum = 0;
    int64_t n = 0;
    if (v->shape.split.ranks == 1) TRY(loss_alone(v, h, targets, scale, dh, NULL, &sum, &n));
    else if (v->opts.strategy == VOCAB_DENSE_LOGITS) TRY(vocab_loss_dense(v, h, targets, scale, dh, &sum, &n));
    else if (v->opts.strategy == VOCAB_DTP) TRY(vocab_loss_dtp(v, h, targets, scale, dh, &sum, &n));
    else TRY(vocab_loss_ring(v, h, targets, scale, dh, &sum, &n));
    *loss_sum = sum;
    *count = n;
    return OK;
}
