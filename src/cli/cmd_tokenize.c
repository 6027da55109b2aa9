/* mop tokenize: text to ids or to a token file, ids to text. Documents are gathered into batches, encoded by all threads
 * and given out in order; a document larger than a batch is encoded where the corpus holds it. */
#include "base/log.h"
#include "base/os.h"
#include "base/pool.h"
#include "cli/cli.h"
#include "data/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 4 << 20, BATCH_DOCS = 4096, SAMPLES_SHOWN = 2, SAMPLE_BYTES = 1500, PROGRESS_NS = 500000000 };

struct tokenize_opts {
    const char *tokenizer, *in, *out, *ids, *decode, *text;
    int invalid_utf8;
    int64_t threads;
    bool eos;
};

const struct opt tokenize_opt_list[] = {
    {"tokenizer", OPT_TEXT, offsetof(struct tokenize_opts, tokenizer), NULL, NULL, 0, 0, "tokenizer.json, or a folder that holds one"},
    {"in", OPT_TEXT, offsetof(struct tokenize_opts, in), NULL, NULL, 0, 0, "text files, folders of them and *.jsonl, comma-separated"},
    {"out", OPT_TEXT, offsetof(struct tokenize_opts, out), NULL, NULL, 0, 0, "token file to write"},
    {"ids", OPT_TEXT, offsetof(struct tokenize_opts, ids), NULL, NULL, 0, 0, "file for one JSON array of ids a document; -: standard output"},
    {"decode", OPT_TEXT, offsetof(struct tokenize_opts, decode), NULL, NULL, 0, 0, "JSON lines with {\"ids\": [...]} to turn into text"},
    {"text", OPT_TEXT, offsetof(struct tokenize_opts, text), NULL, NULL, 0, 0, "file for one JSON string a record of decode; -: standard output"},
    {"data.invalid_utf8", OPT_CHOICE, offsetof(struct tokenize_opts, invalid_utf8), "error", "error|replace", 0, 0,
     "invalid UTF-8 is an error, or U+FFFD takes its place"},
    {"eos", OPT_BOOL, offsetof(struct tokenize_opts, eos), "true", NULL, 0, 0,
     "end each document of a token file with the tokenizer's end-of-document token"},
    {"threads", OPT_INT, offsetof(struct tokenize_opts, threads), "0", NULL, 0, 1024, "threads; 0: one per CPU; the result does not depend on it"},
    {0},
};

/* ---- where lines go: standard output or a file that appears whole ---- */

struct lines {
    struct os_writer os;
    bool to_stdout;
};

static err_t lines_open(struct lines *l, const char *path) {
    l->to_stdout = strcmp(path, "-") == 0;
    return l->to_stdout ? OK : os_write_open(&l->os, path);
}

static err_t lines_write(struct lines *l, const char *text, size_t bytes) {
    if (!l->to_stdout) return os_write(&l->os, text, (int64_t)bytes);
    if (fwrite(text, 1, bytes, stdout) != bytes) return FAIL(ERR_IO, "cannot write standard output: %s; the result is not complete", strerror(errno));
    return OK;
}

static err_t lines_close(struct lines *l, err_t err) {
    if (l->to_stdout) return err;
    if (err == OK) return os_write_commit(&l->os);
    os_write_abort(&l->os);
    return err;
}

/* ---- encoding ---- */

struct doc {
    const char *text, *completion, *where; /* completion NULL: plain text */
    int64_t bytes, completion_bytes;
    struct tok_ids ids;
    int64_t prompt_count; /* of the ids: they are no targets */
    err_t err;
    char *message; /* of the thread that met the error */
};

struct encoder {
    const struct tokenizer *tokenizer;
    struct pool *pool;
    struct tok_scratch **scratch; /* one a thread */
    struct doc *docs;             /* [BATCH_DOCS] */
    int64_t count;
    char *buffer; /* [BATCH_BYTES]: texts of the batch */
    int64_t used;
    int32_t eos;               /* -1: none */
    struct lines *lines;       /* ids go here, */
    struct tok_writer *writer; /* or here */
    int64_t tokens, documents, samples, begun_ns, shown_ns;
};

static err_t append_id(struct tok_ids *ids, int32_t id) {
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

static err_t encode_doc(const struct encoder *e, struct tok_scratch *s, struct doc *d) {
    TRY(tokenizer_encode(e->tokenizer, s, d->text, d->bytes, &d->ids));
    d->prompt_count = d->ids.count;
    if (d->completion) TRY(tokenizer_encode(e->tokenizer, s, d->completion, d->completion_bytes, &d->ids));
    return e->eos >= 0 ? append_id(&d->ids, e->eos) : OK;
}

static void encode_task(void *arg, int64_t i, int worker) {
    struct encoder *e = arg;
    struct doc *d = &e->docs[i];
    d->err = encode_doc(e, e->scratch[worker], d);
    if (d->err != OK) {
        (void)err_prefix(d->err, "%s", d->where);
        d->message = strdup(err_message());
    }
}

/* Part of a sample as text, shortened at a character. */
static void show_part(const struct tokenizer *t, const int32_t *ids, int64_t count, const char *before, const char *after) {
    char *text;
    int64_t bytes;
    if (tokenizer_decode(t, ids, count, &text, &bytes) != OK) return;
    int64_t n = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
    while (n < bytes && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    (void)fputs(before, stderr);
    (void)fwrite(text, 1, (size_t)n, stderr);
    if (n < bytes) (void)fprintf(stderr, " ... (%lld bytes more)", (long long)(bytes - n));
    (void)fputs(after, stderr);
    free(text);
}

static err_t write_sample(struct encoder *e, const struct doc *d) {
    uint8_t *mask = malloc((size_t)d->ids.count + 1);
    if (!mask) return FAIL(ERR_NOMEM, "out of memory for the mask of %lld tokens", (long long)d->ids.count);
    for (int64_t i = 0; i < d->ids.count; i++) mask[i] = i >= d->prompt_count;
    err_t err = tok_write_doc(e->writer, d->ids.ids, mask, d->ids.count);
    free(mask);
    if (err != OK || e->samples++ >= SAMPLES_SHOWN || log_level() < LOG_RUN) return err;
    log_line(LOG_RUN, "sample %lld, the loss counts what stands between \xc2\xab and \xc2\xbb:", (long long)e->samples);
    show_part(e->tokenizer, d->ids.ids, d->prompt_count, "", "\xc2\xab");
    show_part(e->tokenizer, d->ids.ids + d->prompt_count, d->ids.count - d->prompt_count, "", "\xc2\xbb\n");
    return OK;
}

static err_t print_ids(struct lines *l, const struct tok_ids *ids) {
    char text[16];
    for (int64_t i = 0; i < ids->count; i++) {
        int n = snprintf(text, sizeof text, "%c%d", i ? ',' : '[', (int)ids->ids[i]);
        TRY(lines_write(l, text, (size_t)n));
    }
    return ids->count ? lines_write(l, "]\n", 2) : lines_write(l, "[]\n", 3);
}

static err_t give_out(struct encoder *e, const struct doc *d) {
    if (d->err != OK) return err_adopt(d->err, d->message ? d->message : "out of memory");
    e->tokens += d->ids.count;
    e->documents++;
    if (e->lines) return print_ids(e->lines, &d->ids);
    return d->completion ? write_sample(e, d) : tok_write_doc(e->writer, d->ids.ids, NULL, d->ids.count);
}

/* Encode what was gathered and give it out. */
static err_t flush(struct encoder *e) {
    pool_run(e->pool, e->count, encode_task, e);
    err_t err = OK;
    for (int64_t i = 0; i < e->count; i++) {
        struct doc *d = &e->docs[i];
        if (err == OK) err = give_out(e, d);
        free(d->ids.ids);
        free(d->message);
    }
    e->count = e->used = 0;
    return err;
}

static const char *keep(struct encoder *e, const char *text, int64_t bytes) {
    char *to = e->buffer + e->used;
    if (bytes) memcpy(to, text, (size_t)bytes);
    e->used += bytes;
    return to;
}

static err_t add_doc(struct encoder *e, const struct corpus_doc *c, const char *where) {
    int64_t where_bytes = (int64_t)strlen(where) + 1, need = c->bytes + c->completion_bytes + where_bytes;
    struct doc d = {.text = c->text, .bytes = c->bytes, .completion = c->completion, .completion_bytes = c->completion_bytes, .where = where};
    if (e->count == BATCH_DOCS || need > BATCH_BYTES - e->used) TRY(flush(e));
    if (need <= BATCH_BYTES) {
        d.text = keep(e, d.text, d.bytes);
        if (d.completion) d.completion = keep(e, d.completion, d.completion_bytes);
        d.where = keep(e, where, where_bytes);
    }
    e->docs[e->count++] = d;
    return need <= BATCH_BYTES ? OK : flush(e);
}

/* "1.0 of 2.0 MB, 3.0 MB/s" */
static void describe_progress(const struct encoder *e, const struct corpus *c, int64_t now, char *to, size_t room) {
    double mb = (double)corpus_bytes_read(c) / 1e6, seconds = (double)(now - e->begun_ns) / 1e9;
    (void)snprintf(to, room, "%.1f of %.1f MB, %.1f MB/s", mb, (double)corpus_bytes_total(c) / 1e6, seconds > 0 ? mb / seconds : 0);
}

static void show_progress(struct encoder *e, const struct corpus *c) {
    int64_t now = os_now_ns();
    if (now - e->shown_ns < PROGRESS_NS) return;
    e->shown_ns = now;
    char text[128];
    describe_progress(e, c, now, text, sizeof text);
    log_progress("%s, %lld documents, %lld tokens", text, (long long)e->documents, (long long)e->tokens);
}

static void show_result(const struct encoder *e, const struct corpus *c, const char *path) {
    char text[128];
    describe_progress(e, c, os_now_ns(), text, sizeof text);
    log_line(LOG_RUN, "%s: %lld tokens in %lld documents, vocabulary %lld; %s", path, (long long)e->tokens, (long long)e->documents,
             (long long)tokenizer_vocab(e->tokenizer), text);
}

static err_t encode_corpus(struct encoder *e, struct corpus *c) {
    for (;;) {
        struct corpus_doc d;
        bool got;
        TRY(corpus_next(c, &d, &got));
        if (!got) break;
        TRY(add_doc(e, &d, corpus_where(c)));
        if (e->writer && e->count <= 1) show_progress(e, c); /* a batch has just been written */
    }
    return flush(e);
}

static err_t encoder_init(struct encoder *e, const struct tokenizer *t, int64_t threads) {
    int n = threads ? (int)threads : os_cpus();
    e->tokenizer = t;
    e->begun_ns = e->shown_ns = os_now_ns();
    e->docs = malloc(BATCH_DOCS * sizeof *e->docs);
    e->buffer = malloc(BATCH_BYTES);
    e->scratch = calloc((size_t)n, sizeof(struct tok_scratch *));
    if (!e->docs || !e->buffer || !e->scratch) return FAIL(ERR_NOMEM, "out of memory for encoding with %d threads; set threads to fewer", n);
    TRY(pool_new(n, &e->pool));
    for (int i = 0; i < n; i++) TRY(tok_scratch_new(t, &e->scratch[i]));
    return OK;
}

static void encoder_fini(struct encoder *e) {
    for (int i = 0; e->pool && i < pool_threads(e->pool); i++)
        if (e->scratch[i]) tok_scratch_free(e->scratch[i]);
    pool_free(e->pool);
    free(e->scratch);
    free(e->buffer);
    free(e->docs);
}

static err_t encode_to_lines(struct encoder *e, struct corpus *c, const char *path) {
    struct lines lines = {0};
    TRY(lines_open(&lines, path));
    e->lines = &lines;
    err_t err = encode_corpus(e, c);
    e->lines = NULL;
    return lines_close(&lines, err);
}

/* The end-of-document id: an error if it was asked for and the tokenizer has none, a warning if it is only the default. */
static err_t find_eos(struct encoder *e, const struct tokenize_opts *o, bool asked) {
    if (!o->eos) return OK;
    e->eos = tokenizer_eos(e->tokenizer);
    if (e->eos >= 0) return OK;
    if (asked)
        return FAIL(ERR_FAILED, "%s has no end-of-document token; leave eos out, or name one as eos_token in tokenizer_config.json", o->tokenizer);
    log_line(LOG_WARN, "%s has no end-of-document token: documents end without one", o->tokenizer);
    return OK;
}

static err_t encode_to_file(struct encoder *e, struct corpus *c, const struct tokenize_opts *o, bool eos_asked) {
    TRY(find_eos(e, o, eos_asked));
    TRY(tok_write_open(o->out, tokenizer_vocab(e->tokenizer), tokenizer_fingerprint(e->tokenizer), &e->writer));
    err_t err = encode_corpus(e, c);
    if (err == OK && e->tokens == 0) err = FAIL(ERR_FORMAT, "%s holds no text; nothing was written", o->in);
    if (err != OK) {
        tok_write_abort(e->writer);
        return err;
    }
    TRY(tok_write_commit(e->writer));
    show_result(e, c, o->out);
    return OK;
}

static err_t encode(const struct tokenizer *t, const struct tokenize_opts *o, bool eos_asked) {
    struct corpus *c;
    TRY(corpus_open(o->in, o->invalid_utf8, &c));
    struct encoder e = {.eos = -1};
    err_t err = encoder_init(&e, t, o->threads);
    if (err == OK) err = o->ids ? encode_to_lines(&e, c, o->ids) : encode_to_file(&e, c, o, eos_asked);
    encoder_fini(&e);
    corpus_close(c);
    return err;
}

/* ---- decoding ---- */

static err_t ids_of_record(const json_t *record, const char *where, struct tok_ids *ids) {
    const json_t *list = json_object_get(record, "ids");
    if (!json_is_array(list)) return FAIL(ERR_FORMAT, "%s has no list \"ids\"; every line must be {\"ids\": [...]}", where);
    ids->count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id > INT32_MAX) return FAIL(ERR_FORMAT, "%s: entry %zu of \"ids\" is not an id; ids are whole numbers from 0", where, i);
        TRY(append_id(ids, (int32_t)id));
    }
    return OK;
}

static err_t print_text(struct lines *l, const char *text, int64_t bytes) {
    json_t *string = json_stringn(text, (size_t)bytes);
    char *line = string ? json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    err_t err = line ? lines_write(l, line, strlen(line)) : FAIL(ERR_NOMEM, "out of memory for a text of %lld bytes", (long long)bytes);
    if (err == OK) err = lines_write(l, "\n", 1);
    free(line);
    json_decref(string);
    return err;
}

static err_t decode_records(const struct tokenizer *t, struct jsonl *in, struct lines *l, struct tok_ids *ids) {
    for (;;) {
        const json_t *record;
        bool got;
        TRY(jsonl_next(in, &record, &got));
        if (!got) return OK;
        TRY(ids_of_record(record, jsonl_where(in), ids));
        char *text;
        int64_t bytes;
        err_t err = tokenizer_decode(t, ids->ids, ids->count, &text, &bytes);
        if (err != OK) return err_prefix(err, "%s", jsonl_where(in));
        err = print_text(l, text, bytes);
        free(text);
        TRY(err);
    }
}

static err_t decode(const struct tokenizer *t, const struct tokenize_opts *o) {
    struct jsonl *in;
    TRY(jsonl_open(o->decode, o->invalid_utf8, &in));
    struct lines lines = {0};
    struct tok_ids ids = {0};
    err_t err = lines_open(&lines, o->text);
    if (err == OK) err = lines_close(&lines, decode_records(t, in, &lines, &ids));
    free(ids.ids);
    jsonl_close(in);
    return err;
}

/* ---- the command ---- */

static err_t check(const struct tokenize_opts *o, bool eos_asked) {
    if (!o->tokenizer) return FAIL(ERR_USAGE, "tokenizer= is missing; give a tokenizer.json or a folder that holds one");
    int to = (o->out != NULL) + (o->ids != NULL) + (o->text != NULL);
    if (to != 1) return FAIL(ERR_USAGE, "give one of out=, ids= and text=, not %d; see `mop help tokenize`", to);
    if (!o->text != !o->decode || !o->text == !o->in)
        return FAIL(ERR_USAGE, "in= goes with out= or ids=, decode= with text=; see `mop help tokenize`");
    if (eos_asked && o->eos && !o->out) return FAIL(ERR_USAGE, "eos=true goes with out= only; leave it out");
    return OK;
}

static err_t run(const struct tokenize_opts *o, bool eos_asked) {
    TRY(check(o, eos_asked));
    char path[OS_PATH_MAX];
    if (os_is_dir(o->tokenizer)) TRY(os_join(path, o->tokenizer, "tokenizer.json"));
    struct tokenizer *t;
    TRY(tokenizer_open(os_is_dir(o->tokenizer) ? path : o->tokenizer, &t));
    err_t err = o->decode ? decode(t, o) : encode(t, o, eos_asked);
    tokenizer_close(t);
    return err;
}

err_t cmd_tokenize(int argc, char **argv) {
    struct tokenize_opts o = {0};
    const struct opt_table table = {"tokenize", tokenize_opt_list, &o};
    struct opt_set *set;
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) err = run(&o, opt_given(set, "eos"));
    opt_free(set);
    return err;
}
