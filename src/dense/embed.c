/* The embedding. Borrowed: the batch, the keeper's rows at rest. Ids and counts are the host's; rows and their sums are the device's, in the room's
 * scratch, and go by index tables that are uploaded for each round. */
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
 * answers fits its buffers whatever is asked; how many rounds there are follows from the counts that all ranks know. Rows of a round lie one behind
 * the other: those asked for by part and id, those answered by rank. */

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
 * (backward) padding and the padding id have no row. Collective over mesh->control. */
static err_t want_rows(struct dense *d, const int32_t *ids, const int32_t *doc, int64_t *keys, int64_t *rounds) {
    struct dense_fetch *f = &d->fetch;
    const int ranks = d->shape.split.ranks;
    int64_t n = 0, distinct = 0, most = 0;
    for (int64_t i = 0; i < d->shape.tokens; i++)
        if (!doc || (doc[i] >= 0 && ids[i] != d->shape.spec->pad_id)) f->key[n++] = (uint64_t)(uint32_t)ids[i] << 32 | (uint64_t)i;
    sort_keys(f->key, n);
    memset(f->first, 0, sizeof *f->first * (size_t)(ranks + 1)); /* host */
    for (int64_t i = 0; i < n; i++) {
        const int32_t id = key_id(f->key[i]);
        if (i > 0 && id == key_id(f->key[i - 1])) continue;
        f->begin[distinct] = i;
        f->want[distinct++] = id;
        f->first[part_of(d, id) + 1] = distinct;
    }
    f->begin[distinct] = n;
    for (int p = 0; p < ranks; p++) f->first[p + 1] = i64_max(f->first[p + 1], f->first[p]);
    int64_t *mine = f->bytes;
    for (int p = 0; p < ranks; p++) mine[owner(d, p)] = f->first[p + 1] - f->first[p];
    TRY(COMM(&d->mesh->control, all_gather, mine, f->count, (int64_t)sizeof(int64_t) * ranks));
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

/* Of part p's distinct ids, the first of a round. */
static int64_t round_from(const struct dense *d, int p, int64_t round) {
    const struct dense_fetch *f = &d->fetch;
    return f->first[p] + i64_min(round * f->cap, f->first[p + 1] - f->first[p]);
}

/* Bytes and places of a round's rows, `each` bytes a row: asked for, by owner, and answered, by who asks. */
struct sides {
    int64_t *ask, *ask_at, *answer, *answer_at, asked, answered; /* the last two: rows in all */
};
static struct sides sides_of(struct dense *d, int64_t round, int64_t each) {
    const int ranks = d->shape.split.ranks, me = d->shape.split.rank;
    int64_t *at = d->fetch.bytes;
    struct sides s = {.ask = at, .ask_at = at + ranks, .answer = at + 2 * ranks, .answer_at = at + 3 * ranks};
    for (int p = 0; p < ranks; p++) {
        const int r = owner(d, p);
        s.ask[r] = each * in_round(d, me, r, round);
        s.ask_at[r] = each * s.asked;
        s.asked += in_round(d, me, r, round);
        s.answer[p] = each * in_round(d, p, me, round);
        s.answer_at[p] = each * s.answered;
        s.answered += in_round(d, p, me, round);
    }
    return s;
}

/* Row of an id of this rank's in its shard. */
static int64_t shard_row(const struct dense *d, int32_t id) {
    return id - (int64_t)shard_vocab_part(&d->shape.split, d->shape.spec->tied, d->shape.split.rank) *
                    shard_vocab_rows(d->shape.spec, d->shape.split.ranks);
}

/* Owners learn which ids are wanted of them in a round; their rows in the shard go to the device (f->rows). Collective over mesh->control. */
static err_t ask(struct dense *d, int64_t round) {
    struct dense_fetch *f = &d->fetch;
    const int ranks = d->shape.split.ranks;
    const struct sides s = sides_of(d, round, (int64_t)sizeof *f->asked);
    int32_t *wanted = f->table;
    for (int p = 0, n = 0; p < ranks; p++)
        for (int64_t i = 0; i < in_round(d, d->shape.split.rank, owner(d, p), round); i++) wanted[n++] = f->want[round_from(d, p, round) + i];
    TRY(COMM(&d->mesh->control, all_to_allv, wanted, s.ask, s.ask_at, f->asked, s.answer, s.answer_at));
    for (int64_t i = 0; i < s.answered; i++) f->asked[i] = (int32_t)shard_row(d, f->asked[i]);
    STREAM_UPLOAD(d->ex->s, f->rows, f->asked, (int64_t)sizeof *f->asked * s.answered);
    return OK;
}

err_t embed_forward(struct dense *d, const struct embed_batch *in, void *x) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    const int ranks = d->shape.split.ranks;
    if (ranks == 1) {
        forward_alone(d, w, in->ids, x);
        return OK;
    }
    struct dense_fetch *f = &d->fetch;
    struct stream *q = d->ex->s;
    const int64_t bytes = d->shape.spec->hidden * dtype_bytes(d->shape.act), tokens = d->shape.tokens;
    int64_t keys = 0, rounds = 0;
    TRY(want_rows(d, in->host_ids, NULL, &keys, &rounds));
    if (rounds > 1) STREAM_FILL(q, x, 0, tokens * bytes); /* a round writes some rows */
    for (int64_t round = 0; round < rounds; round++) {
        TRY(ask(d, round));
        const struct sides s = sides_of(d, round, bytes);
        RUN(d->ex, rows_put, rows_put_args, .rows = s.answered, .bytes = bytes, .from = f->rows,
            .x_rows = d->store->unit[w->unit_at].shard.length * dtype_bytes(d->shape.act) / bytes, .y_rows = s.answered,
            .x = unit_rest(d->store, w->unit_at), .y = f->mine);
        TRY(COMM_ON(q, &d->mesh->dense, comm_call_all_to_allv(f->mine, s.answer, s.answer_at, f->theirs, s.ask, s.ask_at)));
        int32_t *row_of = f->table, n = 0;
        for (int64_t t = 0; t < tokens; t++) row_of[t] = -1;
        for (int p = 0; p < ranks; p++) {
            const int64_t from = round_from(d, p, round), to = round_from(d, p, round + 1);
            for (int64_t i = from; i < to; i++, n++)
                for (int64_t k = f->begin[i]; k < f->begin[i + 1]; k++) row_of[key_token(f->key[k])] = n;
        }
        STREAM_UPLOAD(q, f->index, row_of, (int64_t)sizeof *row_of * tokens);
        RUN(d->ex, rows_put, rows_put_args, .rows = tokens, .bytes = bytes, .from = f->index, .x_rows = s.asked, .y_rows = tokens, .x = f->theirs,
            .y = x);
    }
    return OK;
}

/* The sums of a round's rows over the rank's tokens, by part and id, into f->mine. */
static void sum_rows(struct dense *d, int64_t round, int64_t rows, const void *dx) {
    struct dense_fetch *f = &d->fetch;
    int32_t *first = f->table, *token = first + rows + 1, n = 0, row = 0;
    for (int p = 0; p < d->shape.split.ranks; p++)
        for (int64_t i = round_from(d, p, round); i < round_from(d, p, round + 1); i++) {
            first[row++] = n;
            for (int64_t k = f->begin[i]; k < f->begin[i + 1]; k++) token[n++] = (int32_t)key_token(f->key[k]);
        }
    first[row] = n;
    STREAM_UPLOAD(d->ex->s, f->index, f->table, (int64_t)sizeof *f->table * (rows + 1 + n));
    RUN(d->ex, rows_sum, rows_sum_args, .act = d->shape.act, .rows = rows, .width = d->shape.spec->hidden, .tokens = n, .first = f->index,
        .token = f->index + rows + 1, .x_rows = d->shape.tokens, .x = dx, .y = f->mine);
}

err_t embed_backward(struct dense *d, const struct embed_batch *in, const void *dx) {
    const struct param *w;
    TRY(store_find(d->store, PARAM_EMBED, -1, -1, &w));
    const int ranks = d->shape.split.ranks;
    if (ranks == 1) {
        backward_alone(d, w, in->ids, in->doc, dx);
        return OK;
    }
    struct dense_fetch *f = &d->fetch;
    const int64_t width = d->shape.spec->hidden, shard_rows = d->store->unit[w->unit_at].shard.length / width;
    int64_t keys = 0, rounds = 0;
    TRY(want_rows(d, in->host_ids, in->host_doc, &keys, &rounds));
    for (int64_t round = 0; round < rounds; round++) {
        TRY(ask(d, round));
        const struct sides s = sides_of(d, round, 4 * width);
        sum_rows(d, round, s.asked, dx);
        TRY(COMM_ON(d->ex->s, &d->mesh->dense, comm_call_all_to_allv(f->mine, s.ask, s.ask_at, f->theirs, s.answer, s.answer_at)));
        for (int r = 0; r < ranks; r++) { /* in rank order */
            const int64_t at = s.answer_at[r] / (4 * width);
            RUN(d->ex, rows_accumulate, rows_accumulate_args, .rows = s.answer[r] / (4 * width), .width = width, .to = f->rows + at,
                .y_rows = shard_rows, .x = (const float *)f->theirs + at * width, .y_acc = unit_rest_grad(d->store, w->unit_at));
        }
    }
    return OK;
}
