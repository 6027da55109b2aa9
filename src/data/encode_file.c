/* A corpus into a token file, with what its user sees of it. */
#include "base/log.h"
#include "base/os.h"
#include "data/encode.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES_SHOWN = 2, SAMPLE_BYTES = 1500, PROGRESS_NS = 500000000 };

struct job {
    const struct tokenizer *tokenizer;
    struct corpus *corpus;
    struct tok_writer *writer;
    int64_t tokens, documents, samples, begun_ns, shown_ns;
};

/* A run of a sample's tokens as text, shortened at a character. */
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

static void show_sample(struct job *j, const struct encoded *d) {
    if (!d->mask || j->samples++ >= SAMPLES_SHOWN || log_level() < LOG_RUN) return;
    log_line(LOG_RUN, "sample %lld, the loss counts what stands between \xc2\xab and \xc2\xbb:", (long long)j->samples);
    for (int64_t at = 0, end; at < d->ids.count; at = end) {
        for (end = at + 1; end < d->ids.count && d->mask[end] == d->mask[at];) end++;
        show_part(j->tokenizer, d->ids.ids + at, end - at, d->mask[at] ? "\xc2\xab" : "", d->mask[at] ? "\xc2\xbb" : "");
    }
    (void)fputs("\n", stderr);
}

/* "1.0 of 2.0 MB, 3.0 MB/s" */
static void describe_progress(const struct job *j, int64_t now, char *to, size_t room) {
    double mb = (double)corpus_bytes_read(j->corpus) / 1e6, all = (double)corpus_bytes_total(j->corpus) / 1e6;
    double seconds = (double)(now - j->begun_ns) / 1e9, speed = seconds > 0 ? mb / seconds : 0;
    if (all > 0) (void)snprintf(to, room, "%.1f of %.1f MB, %.1f MB/s", mb, all, speed);
    else (void)snprintf(to, room, "%.1f MB, %.1f MB/s", mb, speed);
}

static void show_progress(struct job *j) {
    const int64_t now = os_now_ns();
    if (now - j->shown_ns < PROGRESS_NS) return;
    j->shown_ns = now;
    char text[128];
    describe_progress(j, now, text, sizeof text);
    log_progress("%s, %lld documents, %lld tokens", text, (long long)j->documents, (long long)j->tokens);
}

static err_t each(void *ctx, const struct encoded *d) {
    struct job *j = ctx;
    TRY(d->more ? tok_write_part(j->writer, d->ids.ids, d->ids.count) : tok_write_doc(j->writer, d->ids.ids, d->mask, d->ids.count));
    j->tokens += d->ids.count;
    j->documents += !d->more;
    show_sample(j, d);
    show_progress(j);
    return OK;
}

err_t encode_file(const struct tokenizer *t, struct corpus *c, const char *name, int threads, int32_t eos, const char *path) {
    const int64_t now = os_now_ns();
    struct job j = {.tokenizer = t, .corpus = c, .begun_ns = now, .shown_ns = now};
    TRY(tok_write_open(path, tokenizer_vocab(t), tokenizer_fingerprint(t), &j.writer));
    const struct encode_in in = {.tokenizer = t, .corpus = c, .threads = threads, .eos = eos, .each = each, .ctx = &j};
    err_t err = encode_corpus(&in);
    if (err == OK && j.tokens == 0) err = FAIL(ERR_FORMAT, "%s holds no text; nothing was written", name);
    if (err != OK) {
        tok_write_abort(j.writer);
        return err;
    }
    TRY(tok_write_commit(j.writer));
    char text[128];
    describe_progress(&j, os_now_ns(), text, sizeof text);
    log_line(LOG_RUN, "%s: %lld tokens in %lld documents, vocabulary %lld; %s", path, (long long)j.tokens, (long long)j.documents,
             (long long)tokenizer_vocab(t), text);
    return OK;
}
