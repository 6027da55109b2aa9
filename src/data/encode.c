/* Documents are gathered into batches, encoded by all threads and given out in order; a document larger than a batch is
 * encoded where the corpus holds it. */
#include "data/encode.h"

#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 4 << 20, BATCH_DOCS = 4096 };

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
    if (err == OK && eos >= 0) err = encoded_push(&out->ids, eos);
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
        if (err == OK && got) err = add_doc(&e, &doc, corpus_where(in->corpus));
    }
    if (err == OK) err = flush(&e);
    encoder_fini(&e);
    return err;
}
