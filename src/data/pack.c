/* Documents of a split laid into sequences: first an index of where each begins, then any of them on demand. Both walk
 * the documents with the same cursor, so what is counted is what is given out. */
#include "base/log.h"
#include "base/num.h"
#include "base/rng.h"
#include "data/data_int.h"

#include <stdlib.h>

/* A place in the stream of the split's documents. */
struct cursor {
    int64_t file, doc; /* doc runs on over the files */
    const int32_t *ids;
    const uint8_t *mask; /* NULL: all count */
    int64_t count, at;   /* of this document: tokens, and the next one to take */
};

static bool in_split(const struct pack *p, int64_t doc) {
    if (p->side == PACK_ALL) return true;
    bool held_out = rng_unit(p->seed, rng_stream("data.valid_fraction"), (uint64_t)doc) < p->fraction;
    return held_out == (p->side == PACK_HELD_OUT);
}

static void enter(const struct pack *p, struct cursor *c) {
    const struct tok_file *f = p->files[c->file];
    c->ids = tok_doc(f, c->doc - p->first_doc[c->file], &c->count);
    c->mask = tok_mask(f, c->doc - p->first_doc[c->file]);
    c->at = 0;
}

/* On to the split's next document that has tokens; from doc -1 to the first. False at the end. */
static bool next_doc(const struct pack *p, struct cursor *c) {
    int64_t docs = p->first_doc[p->file_count];
    for (c->doc++; c->doc < docs; c->doc++) {
        while (c->doc >= p->first_doc[c->file + 1]) c->file++;
        if (!in_split(p, c->doc)) continue;
        enter(p, c);
        if (c->count > 0) return true;
    }
    return false;
}

static struct cursor cursor_at(const struct pack *p, const struct row *row) {
    struct cursor c = {.doc = row->doc};
    int64_t lo = 0, hi = p->file_count; /* first_doc[lo] <= doc < first_doc[hi] */
    while (hi - lo > 1) {
        int64_t mid = (lo + hi) / 2;
        if (p->first_doc[mid] <= row->doc) lo = mid;
        else hi = mid;
    }
    c.file = lo;
    enter(p, &c);
    c.at = row->offset;
    return c;
}

/* ---- index ---- */

/* The row is complete. One without targets teaches nothing and is left out (data I4). */
static err_t keep_row(struct pack *p, const struct row *row) {
    if (row->targets == 0) return OK;
    if (p->row_count == p->row_room) {
        int64_t room = p->row_room ? 2 * p->row_room : 256;
        struct row *more = realloc(p->rows, (size_t)room * sizeof *more);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for an index of %lld sequences; use a larger data.seq", (long long)room);
        p->rows = more;
        p->row_room = room;
    }
    p->rows[p->row_count++] = *row;
    p->targets += row->targets;
    return OK;
}

static err_t index_stream(struct pack *p) {
    struct cursor c = {.doc = -1};
    struct row row = {0};
    int64_t col = 0;
    bool more = next_doc(p, &c);
    while (more) {
        if (col == 0) row = (struct row){.doc = c.doc, .offset = c.at};
        int64_t take = i64_min(p->seq - col, c.count - c.at);
        c.at += take;
        col += take;
        row.targets += take;
        p->tokens += take;
        if (c.at == c.count) {
            more = next_doc(p, &c);
            if (!p->across || !more) row.targets--; /* the last token of a document, or of the stream */
        }
        if (col < p->seq && more) continue;
        TRY(keep_row(p, &row));
        col = 0;
    }
    return OK;
}

static err_t index_samples(struct pack *p, int long_samples) {
    struct cursor c = {.doc = -1};
    struct row row = {0};
    int64_t col = 0, truncated = 0;
    while (next_doc(p, &c)) {
        if (c.count > p->seq && long_samples == DATA_LONG_ERROR)
            return FAIL(ERR_FORMAT,
                        "sample %lld of %s has %lld tokens, more than data.seq=%lld; raise data.seq, or set data.long=truncate to cut such samples",
                        (long long)(c.doc - p->first_doc[c.file]), tok_path(p->files[c.file]), (long long)c.count, (long long)p->seq);
        int64_t take = i64_min(c.count, p->seq);
        truncated += take < c.count;
        if (col + take > p->seq) {
            TRY(keep_row(p, &row));
            col = 0;
        }
        if (col == 0) row = (struct row){.doc = c.doc};
        for (int64_t i = 1; i < i64_min(c.count, take + 1); i++) row.targets += c.mask[i] != 0;
        col += take;
        p->tokens += take;
    }
    if (truncated)
        log_line(LOG_WARN, "%lld samples are longer than data.seq=%lld and are cut there (data.long=truncate)", (long long)truncated,
                 (long long)p->seq);
    return keep_row(p, &row);
}

err_t pack_index(struct pack *p, int long_samples) {
    p->row_count = p->tokens = p->targets = 0;
    return p->samples ? index_samples(p, long_samples) : index_stream(p);
}

/* ---- one row ---- */

static err_t bad_id(const struct pack *p, const struct cursor *c, int64_t at) {
    return FAIL(ERR_FORMAT, "the id %d in document %lld of %s is not below the model's vocabulary of %lld; tokenise with the model's tokenizer",
                (int)c->ids[at], (long long)(c->doc - p->first_doc[c->file]), tok_path(p->files[c->file]), (long long)p->vocab);
}

/* A piece of the cursor's document goes to columns [col, col + take). */
static err_t fill_piece(const struct pack *p, const struct cursor *c, int64_t col, int64_t take, const struct batch *to) {
    for (int64_t i = 0; i < take; i++) {
        int64_t at = c->at + i;
        bool has_next = at + 1 < c->count;
        if ((uint64_t)(uint32_t)c->ids[at] >= (uint64_t)p->vocab) return bad_id(p, c, at);
        if (has_next && (uint64_t)(uint32_t)c->ids[at + 1] >= (uint64_t)p->vocab) return bad_id(p, c, at + 1);
        to->ids[col + i] = c->ids[at];
        to->targets[col + i] = has_next && (!c->mask || c->mask[at + 1]) ? c->ids[at + 1] : DATA_NO_TARGET;
        to->positions[col + i] = (int32_t)(p->across ? col + i : i);
        to->doc_start[col + i] = (int32_t)(p->across ? 0 : col);
    }
    return OK;
}

static void pad_from(int64_t col, int64_t seq, const struct batch *to) {
    for (; col < seq; col++) {
        to->ids[col] = to->positions[col] = 0;
        to->targets[col] = DATA_NO_TARGET;
        to->doc_start[col] = -1;
    }
}

void pack_pad(int64_t seq, const struct batch *to) { pad_from(0, seq, to); }

err_t pack_fill(const struct pack *p, int64_t row, const struct batch *to) {
    struct cursor c = cursor_at(p, &p->rows[row]);
    int64_t col = 0;
    for (;;) {
        int64_t take = i64_min(p->seq - col, c.count - c.at);
        TRY(fill_piece(p, &c, col, take, to));
        col += take;
        c.at += take;
        if (c.at < c.count || !next_doc(p, &c)) break;
        if (p->across) { /* the stream goes on, in this row or in the next */
            if ((uint64_t)(uint32_t)c.ids[0] >= (uint64_t)p->vocab) return bad_id(p, &c, 0);
            to->targets[col - 1] = c.ids[0];
        }
        if (col == p->seq || (p->samples && col + i64_min(c.count, p->seq) > p->seq)) break;
    }
    pad_from(col, p->seq, to);
    return OK;
}
