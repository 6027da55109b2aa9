/* What src/data/encode.h promises: spans encoded by themselves and their mask; a corpus by any number of threads is its documents one by
 * one, in order. */
#include "data/encode.h"
#include "test.h"

#include <jansson.h>

#define TOKENIZER "tests/golden/tokenizers/gpt2/tokenizer.json"

static struct tokenizer *tokenizer;
static struct tok_scratch *scratch;

static char path_buffer[512];
static const char *in_dir(const char *name) {
    (void)snprintf(path_buffer, sizeof path_buffer, "%s/%s", test_dir(), name);
    return path_buffer;
}

static bool same_ids(const struct tok_ids *a, const struct tok_ids *b) {
    return a->count == b->count && (a->count == 0 || memcmp(a->ids, b->ids, sizeof *a->ids * (size_t)a->count) == 0);
}

/* The mask of a document is its spans', whatever their number and order; the end counts. */
static void masks(void) {
    static const struct corpus_span spans[] = {
        {"the user asks", 13, false}, {"", 0, true}, {"and is answered", 15, true}, {" once", 5, true}, {"more", 4, false}};
    enum { COUNT = (int)(sizeof spans / sizeof spans[0]) };
    struct tok_ids want = {0};
    uint8_t mask[128];
    int64_t at = 0;
    for (int i = 0; i < COUNT; i++) {
        NEED(tokenizer_encode(tokenizer, scratch, spans[i].text, spans[i].bytes, &want));
        while (at < want.count) mask[at++] = spans[i].counts;
    }
    struct encoded e = {0};
    NEED(encode_doc(tokenizer, scratch, &(struct corpus_doc){.spans = spans, .count = COUNT, .masked = true}, -1, &e));
    CASE(same_ids(&e.ids, &want), "the ids are the spans' end to end");
    CASE(e.mask && memcmp(e.mask, mask, (size_t)want.count) == 0, "the mask is the spans'");
    NEED(encoded_push(&want, 77));
    NEED(encode_doc(tokenizer, scratch, &(struct corpus_doc){.spans = spans, .count = COUNT, .masked = true}, 77, &e));
    CASE(same_ids(&e.ids, &want), "with the end behind them");
    CASE(e.mask && e.mask[want.count - 1] == 1 && memcmp(e.mask, mask, (size_t)want.count - 1) == 0, "which counts");
    NEED(encode_doc(tokenizer, scratch, &(struct corpus_doc){.spans = spans, .count = COUNT, .masked = false}, 77, &e));
    CASE(same_ids(&e.ids, &want) && !e.mask, "a plain document has no mask");
    NEED(encode_doc(tokenizer, scratch, &(struct corpus_doc){.spans = spans, .count = 0, .masked = true}, -1, &e));
    CASE(e.ids.count == 0 && e.mask, "nothing is nothing");
    encoded_free(&e);
    free(want.ids);
}

/* ---- a corpus ---- */

struct seen {
    struct encoded *docs;
    int64_t count, room;
};

static err_t keep(void *ctx, const struct encoded *doc) {
    struct seen *s = ctx;
    if (s->count == s->room) return FAIL(ERR_BUG, "more documents than were written");
    struct encoded *to = &s->docs[s->count++];
    for (int64_t i = 0; i < doc->ids.count; i++) TRY(encoded_push(&to->ids, doc->ids.ids[i]));
    if (!doc->mask) return OK;
    to->mask = malloc((size_t)doc->ids.count + 1);
    memcpy(to->mask, doc->mask, (size_t)doc->ids.count);
    return OK;
}

/* Many small records, some of them samples, and two that are larger than a batch. */
static int64_t write_corpus(const char *path) {
    enum { RECORDS = 9000, LARGE = 5 << 20 };
    FILE *f = fopen(path, "wb");
    if (!f) exit(2);
    for (int i = 0; i < RECORDS; i++) {
        if (i % 3 == 0) (void)fprintf(f, "{\"prompt\": \"%d plus %d is\", \"completion\": \" %d\"}\n", i, i, 2 * i);
        else if (i % 4001 == 4000) {
            (void)fprintf(f, "{\"text\": \"");
            for (int k = 0; k < LARGE / 8; k++) (void)fprintf(f, "word%03d ", (k + i) % 1000);
            (void)fprintf(f, "\"}\n");
        } else (void)fprintf(f, "{\"text\": \"record %d%s\"}\n", i, i % 7 ? "" : ", which is longer than its neighbours are");
    }
    if (fclose(f) != 0) exit(2);
    return RECORDS;
}

static void any_threads(void) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s", in_dir("many.jsonl"));
    const int64_t n = write_corpus(path);
    struct seen got = {calloc((size_t)n, sizeof *got.docs), 0, n};
    for (int threads = 1; threads <= 3; threads += 2) {
        struct corpus *c;
        NEED(corpus_open(path, &corpus_defaults, &c));
        got.count = 0;
        NEED(encode_corpus(&(struct encode_in){tokenizer, c, threads, 5, keep, &got}));
        corpus_close(c);
        CASE(got.count == n, "%lld documents by %d threads", (long long)got.count, threads);
        NEED(corpus_open(path, &corpus_defaults, &c));
        struct encoded one = {0};
        int64_t bad = 0;
        for (int64_t i = 0; i < got.count; i++) {
            struct corpus_doc doc;
            bool more;
            if (corpus_next(c, &doc, &more) != OK || encode_doc(tokenizer, scratch, &doc, 5, &one) != OK) exit(2);
            struct encoded *d = &got.docs[i];
            bad += !same_ids(&d->ids, &one.ids) || !d->mask != !one.mask || (d->mask && memcmp(d->mask, one.mask, (size_t)one.ids.count) != 0);
            encoded_free(d);
        }
        CASE(bad == 0, "%lld documents by %d threads are not what they are alone", (long long)bad, threads);
        encoded_free(&one);
        corpus_close(c);
    }
    free(got.docs);
}

/* ---- documents in parts ---- */

struct whole {
    struct tok_ids ids;
    int64_t documents, parts;
};

static err_t join(void *ctx, const struct encoded *doc) {
    struct whole *w = ctx;
    for (int64_t i = 0; i < doc->ids.count; i++) TRY(encoded_push(&w->ids, doc->ids.ids[i]));
    w->parts += doc->more;
    w->documents += !doc->more;
    return OK;
}

/* The ids of a document that a corpus gives in parts are those of the whole; `most`: parts that a tokenizer cuts between are encoded apart. */
static void check_parts(const char *name, const struct tokenizer *t, const char *path, const char *text, int64_t bytes, bool most) {
    struct tok_scratch *s;
    struct tok_ids want = {0};
    struct corpus *c;
    struct whole got = {0};
    NEED(tok_scratch_new(t, &s));
    NEED(tokenizer_encode(t, s, text, bytes, &want));
    NEED(encoded_push(&want, 5));
    NEED(corpus_open(path, &corpus_defaults, &c));
    err_t err = encode_corpus(&(struct encode_in){t, c, 2, 5, join, &got});
    CASE(err == OK && got.documents == 1, "%s: %lld documents, %s", name, (long long)got.documents, err_message());
    CASE(same_ids(&got.ids, &want), "%s: %lld ids in %lld parts, %lld as a whole", name, (long long)got.ids.count, (long long)got.parts + 1,
         (long long)want.count);
    if (most) CASE(got.parts >= 2, "%s: %lld parts only", name, (long long)got.parts + 1);
    corpus_close(c);
    free(got.ids.ids);
    free(want.ids);
    tok_scratch_free(s);
}

/* Lines of all kinds, one of them a seam now and then. */
static int64_t write_text(const char *path, char *text, int64_t room) {
    static const char *const lines[] = {"It's the first of many lines, isn't it?\n",
                                        "\n",
                                        "   indented\tand  spaced  \n",
                                        "caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\n",
                                        "e\xcc\x81\n",
                                        "12345 67,890.00\r\n",
                                        "x\n\n\n",
                                        "http://a.b/c?d=e&f\n",
                                        "\xcc\x81 begins with a mark\n",
                                        "ends with a word\n",
                                        "Then A Title\n",
                                        "don't\n",
                                        "'s own line\n",
                                        "(a)\n",
                                        "b.\n",
                                        "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\n"};
    int64_t n = 0;
    for (uint64_t k = 1; n < room - 64; k = k * 6364136223846793005u + 1442695040888963407u) n += sprintf(text + n, "%s", lines[k >> 60]);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, (size_t)n, f) != (size_t)n || fclose(f) != 0) exit(2);
    return n;
}

static void parts(void) {
    enum { BYTES = 2 << 20, SHORT = 3 << 18 };
    char path[512], file[512], name[64];
    (void)snprintf(path, sizeof path, "%s", in_dir("parts.txt"));
    (void)snprintf(file, sizeof file, "%s", in_dir("tokenizer.json"));
    char *text = malloc(BYTES);
    if (!text) exit(2);
    int64_t n = write_text(path, text, BYTES);
    static const char *const names[] = {"gpt2", "olmoe", "qwen"};
    for (int i = 0; i < 3; i++) {
        struct tokenizer *t;
        (void)snprintf(name, sizeof name, "tests/golden/tokenizers/%s/tokenizer.json", names[i]);
        NEED(tokenizer_open(name, &t));
        check_parts(names[i], t, path, text, n, true);
        tokenizer_close(t);
    }
    n = write_text(path, text, SHORT);
    json_t *all = json_load_file("tests/golden/tokenizers/variants.json", JSON_ALLOW_NUL, NULL), *variant, *value;
    if (!CASE(all != NULL, "variants.json is there")) return;
    size_t v;
    const char *key;
    json_array_foreach(json_object_get(all, "variants"), v, variant) {
        json_t *d = json_deep_copy(json_object_get(all, "base"));
        json_object_foreach(json_object_get(variant, "set"), key, value) {
            const bool model = strncmp(key, "model.", 6) == 0;
            (void)json_object_set(model ? json_object_get(d, "model") : d, model ? key + 6 : key, value);
        }
        if (json_dump_file(d, file, 0) != 0) exit(2);
        json_decref(d);
        struct tokenizer *t;
        NEED(tokenizer_open(file, &t));
        check_parts(json_string_value(json_object_get(variant, "name")), t, path, text, n, false);
        tokenizer_close(t);
    }
    json_decref(all);
    free(text);
}

static err_t refuse(void *ctx, const struct encoded *doc) {
    int64_t *left = ctx;
    (void)doc;
    return (*left)-- > 0 ? OK : FAIL(ERR_IO, "the disk is full");
}

static void errors(void) {
    struct corpus *c;
    int64_t left = 100;
    NEED(corpus_open(in_dir("many.jsonl"), &corpus_defaults, &c));
    CASE_ERR(encode_corpus(&(struct encode_in){tokenizer, c, 2, -1, refuse, &left}), ERR_IO, "the disk is full");
    CASE(left == -1, "nothing is given out behind an error");
    corpus_close(c);
    FILE *f = fopen(in_dir("empty.txt"), "wb");
    if (!f || fclose(f) != 0) exit(2);
    NEED(corpus_open(in_dir("empty.txt"), &corpus_defaults, &c));
    char out[512];
    (void)snprintf(out, sizeof out, "%s", in_dir("empty.tok"));
    CASE_ERR(encode_file(tokenizer, c, "empty.txt", 1, -1, out), ERR_FORMAT, "empty.txt holds no text");
    CASE(!fopen(out, "rb"), "and no file is there");
    corpus_close(c);
}

int main(void) {
    NEED(tokenizer_open(TOKENIZER, &tokenizer));
    NEED(tok_scratch_new(tokenizer, &scratch));
    masks();
    any_threads();
    parts();
    errors();
    tok_scratch_free(scratch);
    tokenizer_close(tokenizer);
    return test_end();
}
