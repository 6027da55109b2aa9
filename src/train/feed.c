/* A rank's part of a batch. Owned: the host's batch, written here and by whoever makes up a batch of its own; the device's, written by the upload alone,
 * which waits for the work that reads the one before. */
#include "base/num.h"
#include "train/train.h"

#include <string.h>

static void pad(const struct batch *b, int64_t from, int64_t n) {
    for (int64_t i = from; i < from + n; i++) {
        b->ids[i] = b->positions[i] = 0;
        b->targets[i] = DATA_NO_TARGET;
        b->doc_start[i] = -1;
    }
}

/* This rank's tokens of the sequence whose first token is from[at], as the rank's sequence i; and where its documents begin for all ranks
 * that share it. */
static void cut(struct run *r, int64_t i, const struct batch *from, int64_t at) {
    const struct shape *h = &r->shape;
    const int64_t begin = h->split.rank % h->split.seq * h->seq, n = i64_max(0, i64_min(h->seq, r->all_seq - begin)), to = i * h->seq;
    const size_t bytes = sizeof(int32_t) * (size_t)n;
    memcpy(r->host.ids + to, from->ids + at + begin, bytes);
    memcpy(r->host.targets + to, from->targets + at + begin, bytes);
    memcpy(r->host.positions + to, from->positions + at + begin, bytes);
    memcpy(r->host.doc_start + to, from->doc_start + at + begin, bytes);
    pad(&r->host, to + n, h->seq - n);
    if (h->split.seq == 1) return;
    const int64_t whole = h->seq * h->split.seq;
    for (int64_t t = 0; t < whole; t++) {
        const int32_t start = t < r->all_seq ? from->doc_start[at + t] : -1;
        r->host_start_all[i * whole + t] = (int32_t)(start < 0 ? t : start);
    }
}

void run_cut(struct run *r, const struct batch *all) {
    for (int64_t i = 0; i < r->shape.rows; i++) cut(r, i, all, (r->first_row + i) * r->all_seq);
}

err_t run_take_step(struct run *r, const struct loader *l, int64_t step, int64_t batch, int64_t first) {
    first += r->first_row;
    if (r->shape.split.seq == 1) return loader_batch(l, step, batch, first, r->shape.rows, &r->host);
    for (int64_t i = 0; i < r->shape.rows; i++) {
        TRY(loader_batch(l, step, batch, first + i, 1, &r->whole));
        cut(r, i, &r->whole, 0);
    }
    return OK;
}

err_t run_take_rows(struct run *r, const struct loader *l, int64_t first) {
    first += r->first_row;
    if (r->shape.split.seq == 1) return loader_rows(l, first, r->shape.rows, &r->host);
    for (int64_t i = 0; i < r->shape.rows; i++) {
        TRY(loader_rows(l, first + i, 1, &r->whole));
        cut(r, i, &r->whole, 0);
    }
    return OK;
}

err_t run_upload(struct run *r) {
    struct stream *s = &r->device.copy_in;
    const int64_t t = r->shape.tokens, bytes = 4 * t;
    for (int64_t i = 0; i < t; i++) { /* index in the row to index in the micro-batch */
        const int64_t row = i / r->shape.seq * r->shape.seq;
        r->host_start[i] = (int32_t)(r->host.doc_start[i] < 0 ? i : row + r->host.doc_start[i]);
    }
    TRY(STREAM_AFTER(s, &r->device.compute));
    STREAM_UPLOAD(s, r->batch.ids, r->host.ids, bytes);
    STREAM_UPLOAD(s, r->batch.targets, r->host.targets, bytes);
    STREAM_UPLOAD(s, r->batch.positions, r->host.positions, bytes);
    STREAM_UPLOAD(s, r->batch.doc_start, r->host.doc_start, bytes);
    STREAM_UPLOAD(s, r->start, r->host_start, bytes);
    if (r->start_all) STREAM_UPLOAD(s, r->start_all, r->host_start_all, bytes * r->shape.split.seq);
    return STREAM_AFTER(&r->device.compute, s);
}
