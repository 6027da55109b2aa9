#include "base/num.h"
#include "dense/dense.h"

#include <string.h>

/* ---- one rank ---- */

static void forward_alone(struct dense *d, const struct param *w, const int32_t *ids, void *x) {
    RUN(d->ex, embed_forward, embed_args, .act = d->shape.act, .tokens = d->shape.tokens, .width = d->shape.spec->hidden, .ids = ids,
        .vocab = d->shape.spec->vocab, .w = store_weight(d->store, w), .y = x);
}

static void backward_alone(struct dense *d, const struct param *w, const int32_t *ids, const int32_t *doc, const void *dx) {
    RUN(d->ex, embed_backward, embed_args, .act = d->shape.act, .tokens = d->shape.tokens, .width = d->shape.spec->hidden, .ids = ids, .dy = dx,
        .start = doc, .vocab = d->shape.spec->vocab, .skip = (int32_t)d->shape.spec->pad_id, .dw_acc = store_grad(d->store, w));
}

/* ---- rows from their owners ----
 * A rank asks each owner once for each distinct id that its tokens have. Between two ranks at most C ids go in one round, so that what an owner
 * answers fits its buffers whatever is asked; how many rounds there are follows from the counts that all ranks know. */

static int part_of(const struct dense *d, int32_t id) { return (int)(id / shard_vocab_rows(d->shape.spec, d->shape.split.ranks)); }
static int owner(const struct dense *d, int part) { return shard_vocab_owner(&d->shape.split, d->shape.spec->tied, part); }

static void sift(uint64_t *key, int64_t root, int64_t n) {
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && key[child + 1] > key[child]) child++;
        if (key[root] >= key[child]) return;
        const uint64_t swap = key[root];
        key[root] = key[child];
        key[child] = swap;
    }
}

/* Ascending. Heap sort: nothing is allocated. */
static void sort_keys(uint64_t *key, int64_t n) {
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(key, i, n);
    for (int64_t i = n - 1; i > 0; i--) {
        const uint64_t top = key[0];
        key[0] = key[i];
        key[i] = top;
        sift(key, 0, i);
    }
}

static int32_t key_id(uint64_t key) { return (int32_t)(key >> 32); }
static int64_t key_token(uint64_t key) { return (int64_t)(key & 0xffffffffu); }

/* Tokens by id, the distinct ids of each part, and how many every rank wants of every other. *keys: tokens that count. With `doc`
 * (backward) padding and the padding id have no row. Collective over mesh->dense. */
static err_t want_rows(struct dense *d, const int32_t *ids, const int32_t *doc, int64_t *keys, int64_t *rounds) {
    struct dense_fetch *f = &d->fetch;
    const int ranks = d->shape.split.ranks;
    int64_t n = 0, distinct = 0, most = 0;
    for (int64_t i = 0; i < d->shape.tokens; i++)
        if (!doc || (doc[i] >= 0 && ids[i] != d->shape.spec->pad_id)) f->key[n++] = (uint64_t)(uint32_t)ids[i] << 32 | (uint64_t)i;
    sort_keys(f->key, n);
    memset(f->first, 0, sizeof *f->first * (size_t)(ranks + 1));
    for (int64_t i = 0; i < n; i++) {
        const int32_t id = key_id(f->key[i]);
        if (i > 0 && id == key_id(f->key[i - 1])) continue;
        f->want[distinct++] = id;
        f->first[part_of(d, id) + 1] = distinct;
    }
    for (int p = 0; p < ranks; p++) f->first[p + 1] = i64_max(f->first[p + 1], f->first[p]);
    int64_t *mine = f->bytes;
    for (int p = 0; p < ranks; p++) mine[owner(d, p)] = f->first[p + 1] - f->first[p];
    TRY(COMM(&d->mesh->dense, all_gather, mine, f->count, (int64_t)sizeof(int64_t) * ranks));
    for (int i = 0; i < ranks * ranks; i++) most = i64_max(most, f->count[i]);
    *keys = n;
    *rounds = i64_div_up(most, f->cap);
    return OK;
}

/* Rows that rank `from` wants of rank `of` in a round. */
static int64_t in_round(const struct dense *d, int from, int of, int64_t round) {
    const int64_t left = d->fetch.count[(int64_t)from * d->shape.split.ranks + of] - round * d->fetch.cap;
    return i64_max(0, i64_min(left, d->fetch.cap));
}

/* One exchange of a round, `each` bytes a row: ASK for rows by their ids in `want`, ANSWER with rows, GIVE sums. In a buffer rank r's rows
 * begin at r*C. */
enum direction { ASK, ANSWER, GIVE };
static err_t exchange(struct dense *d, enum direction how, int64_t round, int64_t each, const void *send, void *recv) {
    struct dense_fetch *f = &d->fetch;
    const int ranks = d->shape.split.ranks, me = d->shape.split.rank;
    int64_t *out = f->bytes, *out_at = out + ranks, *in = out_at + ranks, *in_at = in + ranks;
    for (int p = 0; p < ranks; p++) {
        const int r = owner(d, p);
        const int64_t want = each * in_round(d, me, r, round), asked = each * in_round(d, r, me, round), slot = each * r * f->cap;
        out[r] = how == ANSWER ? asked : want;
        in[r] = how == ANSWER ? want : asked;
        out_at[r] = how == ASK ? each * (f->first[p] + i64_min(round * f->cap, f->first[p + 1] - f->first[p])) : slot;
        in_at[r] = slot;
    }
    return COMM(&d->mesh->dense, all_to_allv, send, out, out_at, recv, in, in_at);
}

/* Row of an id of this rank's in its shard. */
static int64_t shard_row(const struct dense *d, int32_t id) {
    return id - (int64_t)shard_vocab_part(&d->shape.split, d->shape.spec->tied, d->shape.split.rank) *
                    shard_vocab_rows(d->shape.spec, d->shape.split.ranks);
}

/* Call f(ctx, slot row, token) for every token whose row is exchanged in this round, ascending by token for a row. */
static void each_token(const struct dense *d, int64_t keys, int64_t round, void (*f)(const struct dense *, void *, int64_t, int64_t), void *ctx) {
    const struct dense_fetch *t = &d->fetch;
    int64_t distinct = -1;
    for (int64_t i = 0; i < keys; i++) {
        const int32_t id = key_id(t->key[i]);
        if (i == 0 || id != key_id(t->key[i - 1])) distinct++;
        const int p = part_of(d, id);
        const int64_t at = distinct - t->first[p] - round * t->cap;
        if (at >= 0 && at < t->cap) f(d, ctx, owner(d, p) * t->cap + at, key_token(t->key[i]));
    }
}

static void take_row(const struct dense *d, void *x, int64_t row, int64_t token) {
    const int64_t bytes = d->shape.spec->hidden * dtype_bytes(d->shape.act);
    memcpy((char *)x + token * bytes, (const char *)d->fetch.theirs + row * bytes, (size_t)bytes);
}

err_t embed_forward(struct dense *d, const int32_t *ids, void *x) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    const int ranks = d->shape.split.ranks;
    if (ranks == 1) {
        forward_alone(d, w, ids, x);
        return OK;
    }
    struct dense_fetch *f = &d->fetch;
    const int64_t bytes = d->shape.spec->hidden * dtype_bytes(d->shape.act);
    const char *shard = (const char *)d->store->w + d->store->unit[w->unit_at].at * dtype_bytes(d->shape.act);
    int64_t keys = 0, rounds = 0;
    TRY(want_rows(d, ids, NULL, &keys, &rounds));
    for (int64_t round = 0; round < rounds; round++) {
        TRY(exchange(d, ASK, round, (int64_t)sizeof *f->asked, f->want, f->asked));
        for (int r = 0; r < ranks; r++) {
            const int64_t n = in_round(d, r, d->shape.split.rank, round);
            for (int64_t i = r * f->cap; i < r * f->cap + n; i++)
                memcpy((char *)f->mine + i * bytes, shard + shard_row(d, f->asked[i]) * bytes, (size_t)bytes);
        }
        TRY(exchange(d, ANSWER, round, bytes, f->mine, f->theirs));
        each_token(d, keys, round, take_row, x);
    }
    return OK;
}

struct summed {
    const void *dx;
    int64_t row; /* the row that is being summed; -1: none yet */
};

static void add_row(const struct dense *d, void *ctx, int64_t row, int64_t token) {
    struct summed *s = ctx;
    const int64_t width = d->shape.spec->hidden, at = token * width;
    float *sum = (float *)d->fetch.mine + row * width;
    if (row != s->row) memset(sum, 0, sizeof *sum * (size_t)width);
    s->row = row;
    if (d->shape.act == DT_F32)
        for (int64_t c = 0; c < width; c++) sum[c] += ((const float *)s->dx)[at + c];
    else
        for (int64_t c = 0; c < width; c++) sum[c] += bf16_to_f32(((const uint16_t *)s->dx)[at + c]);
}

err_t embed_backward(struct dense *d, const int32_t *ids, const int32_t *doc, const void *dx) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    const int ranks = d->shape.split.ranks;
    if (ranks == 1) {
        backward_alone(d, w, ids, doc, dx);
        return OK;
    }
    struct dense_fetch *f = &d->fetch;
    const int64_t width = d->shape.spec->hidden;
    float *shard = d->store->grad_acc + d->store->unit[w->unit_at].at;
    int64_t keys = 0, rounds = 0;
    TRY(want_rows(d, ids, doc, &keys, &rounds));
    for (int64_t round = 0; round < rounds; round++) {
        TRY(exchange(d, ASK, round, (int64_t)sizeof *f->asked, f->want, f->asked));
        each_token(d, keys, round, add_row, &(struct summed){dx, -1});
        TRY(exchange(d, GIVE, round, 4 * width, f->mine, f->theirs));
        for (int r = 0; r < ranks; r++) { /* in rank order */
            const int64_t n = in_round(d, r, d->shape.split.rank, round);
            for (int64_t i = r * f->cap; i < r * f->cap + n; i++) {
                const float *sum = (const float *)f->theirs + i * width;
                float *to = shard + shard_row(d, f->asked[i]) * width;
                for (int64_t c = 0; c < width; c++) to[c] += sum[c];
            }
        }
    }
    return OK;
}
