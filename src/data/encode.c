/* Documents are gathered into batches, encoded by all threads and given out in order; a document larger than a batch is
 * encoded where the corpus holds it. A plain document that comes in parts is put together only as far as its tokenizer needs. */
#include "data/encode.h"

#include "base/num.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 16 << 20, BATCH_DOCS = 4096 };

err_t encoded_push(struct tok_ids *ids, int32_t id) {
    if (ids->count == ids->room) {
        int64_t room = 2 * ids->room + 16;
        int32_t *more = realloc(ids->ids, (size_t)room * sizeof *more);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for %lld ids; give smaller documents", (long long)room);
        ids->ids = more;
        ids->room = room;
    }
    ids->ids[ids->count++] = id;
    return OK;
}

void encoded_free(struct encoded *e) {
    free(e->ids.ids);
    free(e->mask);
    *e = (struct encoded){0};
}

err_t encode_doc(const struct tokenizer *t, struct tok_scratch *s, const struct corpus_doc *doc, int32_t eos, struct encoded *out) {
    int64_t *end = calloc((size_t)doc->count + 1, sizeof *end); /* of each span's ids */
    if (!end) return FAIL(ERR_NOMEM, "out of memory for a document of %lld parts", (long long)doc->count);
    err_t err = OK;
    out->ids.count = 0;
    free(out->mask);
    out->mask = NULL;
    for (int64_t i = 0; i < doc->count && err == OK; i++) {
        err = tokenizer_encode(t, s, doc->spans[i].text, doc->spans[i].bytes, &out->ids);
        end[i] = out->ids.count;
    }
    if (err == OK && eos >= 0 && !doc->more) err = encoded_push(&out->ids, eos);
    out->more = doc->more;
    if (err == OK && doc->masked) {
        const int64_t n = out->ids.count;
        out->mask = malloc((size_t)n + 1);
        if (!out->mask) err = FAIL(ERR_NOMEM, "out of memory for the mask of %lld tokens", (long long)n);
        int64_t at = 0;
        for (int64_t i = 0; err == OK && i < doc->count; at = end[i++]) memset(out->mask + at, doc->spans[i].counts, (size_t)(end[i] - at));
        if (err == OK) memset(out->mask + at, 1, (size_t)(n - at));
    }
    free(end);
    return err;
}

void encode_end_text(const struct tokenizer *t, char out[ENCODE_END_MAX]) {
    const int32_t id = tokenizer_eos(t);
    const char *text;
    int64_t bytes;
    out[0] = 0;
    if (id < 0 || tokenizer_bytes(t, id, &text, &bytes) != OK || bytes >= ENCODE_END_MAX || memchr(text, 0, (size_t)bytes)) return;
    memcpy(out, text, (size_t)bytes);
    out[bytes] = 0;
}

/* ---- batches ---- */

struct task {
    struct corpus_doc doc;
    const char *where;
    struct encoded got;
    err_t err;
    char *message; /* of the thread that met the error */
};

struct encoder {
    const struct encode_in *in;
    struct pool *pool;
    struct tok_scratch **scratch; /* one a thread */
    struct task *tasks;           /* [BATCH_DOCS] */
    int64_t count;
    char *buffer; /* [BATCH_BYTES]: spans and texts of the batch */
    int64_t used;
    struct part { /* of a document under way, until it is seen what follows */
        char *text;
        int64_t bytes, room;
        bool held;
    } part;
    struct encoded window[3]; /* what separable() looks at */
};

static void encode_task(void *arg, int64_t i, int worker) {
    struct encoder *e = arg;
    struct task *k = &e->tasks[i];
    k->err = encode_doc(e->in->tokenizer, e->scratch[worker], &k->doc, e->in->eos, &k->got);
    if (k->err != OK) {
        (void)err_prefix(k->err, "%s", k->where);
        k->message = strdup(err_message());
    }
}

/* Encode what was gathered and give it out. */
static err_t flush(struct encoder *e) {
    pool_run(e->pool, e->count, encode_task, e);
    err_t err = OK;
    for (int64_t i = 0; i < e->count; i++) {
        struct task *k = &e->tasks[i];
        if (err == OK && k->err != OK) err = err_adopt(k->err, k->message ? k->message : "out of memory");
        if (err == OK) err = e->in->each(e->in->ctx, &k->got);
        encoded_free(&k->got);
        free(k->message);
    }
    e->count = e->used = 0;
    return err;
}

static void *keep(struct encoder *e, const void *from, int64_t bytes) {
    char *to = e->buffer + e->used;
    if (bytes) memcpy(to, from, (size_t)bytes);
    e->used += bytes;
    return to;
}

static int64_t aligned(int64_t bytes) { return (bytes + 15) & ~(int64_t)15; }

static err_t add_doc(struct encoder *e, const struct corpus_doc *doc, const char *where) {
    const int64_t where_bytes = (int64_t)strlen(where) + 1, span_bytes = doc->count * (int64_t)sizeof *doc->spans;
    int64_t need = where_bytes + span_bytes;
    for (int64_t i = 0; i < doc->count; i++) need += doc->spans[i].bytes;
    if (e->count == BATCH_DOCS || need > BATCH_BYTES - aligned(e->used)) TRY(flush(e));
    struct task k = {.doc = *doc, .where = where};
    if (need <= BATCH_BYTES) {
        e->used = aligned(e->used);
        struct corpus_span *spans = keep(e, doc->spans, span_bytes);
        for (int64_t i = 0; i < doc->count; i++) spans[i].text = keep(e, spans[i].text, spans[i].bytes);
        k.doc.spans = spans;
        k.where = keep(e, where, where_bytes);
    }
    e->tasks[e->count++] = k;
    return need <= BATCH_BYTES ? OK : flush(e);
}

/* ---- documents in parts ---- */

/* Some characters before the seam, from a line's begin if there is one near: where every tokenizer's words begin. */
static const char *window_before(const char *text, int64_t bytes) {
    enum { NEAR = 64, FAR = 1024 };
    const char *end = text + bytes, *p = end - i64_min(bytes, NEAR);
    while (p > text && p > end - i64_min(bytes, FAR) && p[-1] != '\n') p--;
    while (p < end && ((unsigned char)*p & 0xc0) == 0x80) p++;
    return p;
}

/* Are the ids around a seam between `a` and what follows it the same if both sides are encoded by themselves? */
static err_t separable(struct encoder *e, const struct part *a, const struct corpus_span *b, bool *is) {
    enum { BEHIND = 256, AHEAD = 4096 };
    const char *from = window_before(a->text, a->bytes);
    int64_t before = a->text + a->bytes - from, behind = i64_min(b->bytes, BEHIND);
    while (behind < b->bytes && ((unsigned char)b->text[behind] & 0xc0) == 0x80) behind++;
    char joined[AHEAD];
    ENSURE(before + behind <= AHEAD);
    memcpy(joined, from, (size_t)before);
    memcpy(joined + before, b->text, (size_t)behind);
    const struct corpus_span spans[3] = {{joined, before + behind, true}, {joined, before, true}, {joined + before, behind, true}};
    struct encoded *w = e->window;
    for (int i = 0; i < 3; i++) TRY(encode_doc(e->in->tokenizer, e->scratch[0], &(struct corpus_doc){.spans = &spans[i], .count = 1}, -1, &w[i]));
    *is = w[0].ids.count == w[1].ids.count + w[2].ids.count && w[1].ids.count > 0 && w[2].ids.count > 0 &&
          memcmp(w[0].ids.ids, w[1].ids.ids, sizeof(int32_t) * (size_t)w[1].ids.count) == 0 &&
          memcmp(w[0].ids.ids + w[1].ids.count, w[2].ids.ids, sizeof(int32_t) * (size_t)w[2].ids.count) == 0;
    return OK;
}

static err_t hold(struct part *p, const struct corpus_span *s, const char *where) {
    if (p->bytes + s->bytes > p->room) {
        const int64_t room = p->bytes + s->bytes + p->bytes / 2;
        char *more = realloc(p->text, (size_t)room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for a document of %lld bytes, %s; part it (data.document_end)", (long long)room, where);
        p->text = more;
        p->room = room;
    }
    if (s->bytes) memcpy(p->text + p->bytes, s->text, (size_t)s->bytes);
    p->bytes += s->bytes;
    p->held = true;
    return OK;
}

static err_t add_part(struct encoder *e, bool more, const char *where) {
    const struct corpus_span span = {e->part.text, e->part.bytes, true};
    TRY(add_doc(e, &(struct corpus_doc){.spans = &span, .count = 1, .more = more}, where));
    e->part.bytes = 0;
    e->part.held = false;
    return OK;
}

static err_t add(struct encoder *e, const struct corpus_doc *doc, const char *where) {
    if (!doc->more && !e->part.held) return add_doc(e, doc, where);
    bool apart = false;
    if (e->part.held) TRY(separable(e, &e->part, doc->spans, &apart));
    if (apart) TRY(add_part(e, true, where));
    TRY(hold(&e->part, doc->spans, where));
    return doc->more ? OK : add_part(e, false, where);
}

static err_t encoder_init(struct encoder *e) {
    const int n = e->in->threads;
    e->tasks = malloc(BATCH_DOCS * sizeof *e->tasks);
    e->buffer = malloc(BATCH_BYTES);
    e->scratch = calloc((size_t)n, sizeof(struct tok_scratch *));
    if (!e->tasks || !e->buffer || !e->scratch) return FAIL(ERR_NOMEM, "out of memory for encoding with %d threads; set threads to fewer", n);
    TRY(pool_new(n, &e->pool));
    for (int i = 0; i < n; i++) TRY(tok_scratch_new(e->in->tokenizer, &e->scratch[i]));
    return OK;
}

static void encoder_fini(struct encoder *e) {
    for (int i = 0; e->scratch && i < e->in->threads; i++)
        if (e->scratch[i]) tok_scratch_free(e->scratch[i]);
    for (int i = 0; i < 3; i++) encoded_free(&e->window[i]);
    free(e->part.text);
    pool_free(e->pool);
    free(e->scratch);
    free(e->buffer);
    free(e->tasks);
}

err_t encode_corpus(const struct encode_in *in) {
    struct encoder e = {.in = in};
    err_t err = encoder_init(&e);
    for (bool got = true; err == OK && got;) {
        struct corpus_doc doc;
        err = corpus_next(in->corpus, &doc, &got);
        if (err == OK && got) err = add(&e, &doc, corpus_where(in->corpus));
    }
    if (err == OK) err = flush(&e);
    encoder_fini(&e);
    return err;
}
