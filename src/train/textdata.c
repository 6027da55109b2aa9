#include "train/textdata.h"

#include "base/json.h"
#include "base/log.h"
#include "data/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[2] = {"train", "valid"};
enum { WHY_MAX = 2 * OS_PATH_MAX, RECORD_MAX = 256 << 20, RECORD_VERSION = 1 };

static const char *source_of(const struct data_opts *d, int which) { return which ? d->valid : d->train; }

static err_t path_of(const char *out, int which, const char *ending, char path[OS_PATH_MAX]) {
    if (snprintf(path, OS_PATH_MAX, "%s/data/%s%s", out, NAMES[which], ending) >= OS_PATH_MAX)
        return FAIL(ERR_USAGE, "the path out=%.60s... is too long; use a shorter one", out);
    return OK;
}

/* ---- what is text ---- */

static err_t look(struct textdata *t, const struct job *job) {
    for (int i = 0; i < 2; i++) {
        enum data_kind kind = DATA_TOKENS;
        if (source_of(job->data, i)) TRY(data_kind(source_of(job->data, i), &kind));
        t->is_text[i] = kind != DATA_TOKENS;
    }
    return OK;
}

static err_t find_tokenizer(struct textdata *t, const struct job *job) {
    const char *init = job->model->init, *dir = job->tokenizer ? job->tokenizer : init && strcmp(init, "random") != 0 ? init : NULL;
    t->tokenizer[0] = 0;
    if (dir && os_is_dir(dir)) TRY(os_join(t->tokenizer, dir, "tokenizer.json"));
    else if (dir && snprintf(t->tokenizer, OS_PATH_MAX, "%s", dir) >= OS_PATH_MAX)
        return FAIL(ERR_USAGE, "the path %.60s... is too long; use a shorter one", dir);
    if (job->tokenizer || (t->tokenizer[0] && os_exists(t->tokenizer))) return OK;
    return FAIL(ERR_USAGE, "data.%s=%.200s is text, and there is no tokenizer to read it with%s%s; give tokenizer=FILE", NAMES[!t->is_text[0]],
                source_of(job->data, !t->is_text[0]), dir ? " in " : "", dir ? dir : "");
}

err_t textdata_look(struct textdata *t, const struct job *job, struct data_opts *data, struct comm *world) {
    if (world->rank == 0) TRY(look(t, job));
    int64_t text[2] = {world->rank == 0 && t->is_text[0], world->rank == 0 && t->is_text[1]};
    TRY(COMM(world, all_reduce, text, 2, DT_I64));
    for (int i = 0; i < 2; i++) {
        t->is_text[i] = text[i] != 0;
        if (!t->is_text[i]) continue;
        TRY(path_of(job->out, i, ".tok", t->tokens[i]));
        if (i) data->valid = t->tokens[i];
        else data->train = t->tokens[i];
    }
    return t->is_text[0] || t->is_text[1] ? find_tokenizer(t, job) : OK;
}

/* ---- what the tokens were made of ---- */

static json_t *hex(uint64_t x) {
    char text[24];
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)x);
    return json_string(text);
}

static json_t *describe(const struct text_opts *how, uint64_t tokenizer, const struct corpus *c) {
    const struct corpus_file *f;
    const int64_t n = corpus_files(c, &f);
    json_t *files = json_array();
    for (int64_t i = 0; i < n; i++)
        (void)json_array_append_new(files, json_pack("{s:s, s:I, s:I, s:o}", "path", f[i].path, "bytes", (json_int_t)f[i].bytes, "changed_ns",
                                                     (json_int_t)f[i].changed_ns, "xxh3", hex(f[i].sum)));
    return json_pack("{s:i, s:o, s:{s:i, s:i, s:s}, s:o}", "version", RECORD_VERSION, "tokenizer", hex(tokenizer), "read", "invalid_utf8",
                     how->invalid_utf8, "format", how->format, "document_end", how->document_end, "files", files);
}

static err_t write_record(const char *path, const struct text_opts *how, uint64_t tokenizer, const struct corpus *c) {
    json_t *record = describe(how, tokenizer, c);
    char *text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
    json_decref(record);
    if (!text) return FAIL(ERR_NOMEM, "out of memory for %s", path);
    err_t err = os_write_all(path, text, (int64_t)strlen(text));
    free(text);
    return err;
}

/* NULL where there is none, or none that can be understood. */
static json_t *read_record(const char *path) {
    char *text;
    int64_t bytes;
    json_error_t ignored;
    if (!os_exists(path) || os_read_all(path, RECORD_MAX, &text, &bytes) != OK) return NULL;
    json_t *record = json_read(text, bytes, 0, &ignored);
    free(text);
    const bool good = json_is_object(record) && json_integer_value(json_object_get(record, "version")) == RECORD_VERSION;
    if (good) return record;
    json_decref(record);
    return NULL;
}

/* A file that is as large as it was and has not been written since is the same; else its bytes say. */
static err_t file_changed(const json_t *was, const struct corpus_file *now, char why[WHY_MAX]) {
    const int64_t bytes = json_integer_value(json_object_get(was, "bytes")), changed = json_integer_value(json_object_get(was, "changed_ns"));
    why[0] = 0;
    if (now->bytes >= 0 && bytes == now->bytes && changed == now->changed_ns) return OK;
    bool same = false;
    if (now->bytes >= 0 && bytes == now->bytes) {
        uint64_t sum;
        TRY(corpus_file_sum(now->path, &sum));
        json_t *text = hex(sum);
        same = json_equal(text, json_object_get(was, "xxh3"));
        json_decref(text);
    }
    if (!same) (void)snprintf(why, WHY_MAX, now->bytes < 0 ? "%s is a pipe, of which nothing is known" : "%s has changed", now->path);
    return OK;
}

static err_t files_changed(const json_t *was, const struct corpus *now, char why[WHY_MAX]) {
    const struct corpus_file *f;
    const int64_t n = corpus_files(now, &f), had = (int64_t)json_array_size(was);
    why[0] = 0;
    for (int64_t i = 0; i < n || i < had; i++) {
        const json_t *old = i < had ? json_array_get(was, (size_t)i) : NULL;
        const char *path = json_string_value(json_object_get(old, "path"));
        if (i < n && path && strcmp(path, f[i].path) == 0) TRY(file_changed(old, &f[i], why));
        else (void)snprintf(why, WHY_MAX, "the list of files has changed at %s", i < n ? f[i].path : path ? path : "its end");
        if (why[0]) return OK;
    }
    return OK;
}

/* why: what is not as the record has it; "" if nothing. */
static err_t changed(const json_t *record, const struct text_opts *how, uint64_t tokenizer, const struct corpus *now, char why[WHY_MAX]) {
    json_t *made = hex(tokenizer),
           *read = json_pack("{s:i, s:i, s:s}", "invalid_utf8", how->invalid_utf8, "format", how->format, "document_end", how->document_end);
    const bool same_tokenizer = json_equal(made, json_object_get(record, "tokenizer")), same_read = json_equal(read, json_object_get(record, "read"));
    json_decref(made);
    json_decref(read);
    why[0] = 0;
    if (!same_tokenizer) (void)snprintf(why, WHY_MAX, "the tokenizer has changed");
    else if (!same_read) (void)snprintf(why, WHY_MAX, "how text is read has changed (data.document_end, data.format, data.invalid_utf8)");
    return why[0] ? OK : files_changed(json_object_get(record, "files"), now, why);
}

/* ---- making them ---- */

struct source {
    bool may_change;                              /* train.resume_changes allows it */
    const char *name;                             /* "data.train" */
    const char *paths, *folder, *tokens, *record; /* what is named; what is made of it */
    const struct text_opts *how;
    uint64_t fingerprint;
};

/* *use: what is there will do. `now` may be NULL where the text cannot be opened: `reason` says why. */
static err_t may_use(const struct source *s, const struct corpus *now, const char *reason, int64_t step, bool *use) {
    char why[WHY_MAX] = "";
    json_t *record = os_exists(s->tokens) ? read_record(s->record) : NULL;
    *use = false;
    if (!record) return OK;
    err_t err = now ? changed(record, s->how, s->fingerprint, now, why) : OK;
    json_decref(record);
    TRY(err);
    *use = !why[0];
    const bool pipe = strstr(why, "is a pipe");
    if (step >= 0 && why[0] && !pipe && !s->may_change)
        return FAIL(ERR_USAGE,
                    "%s, of which this run made %s: a run that goes on needs the data that it began with; put it back, choose another out, or go on "
                    "with train.resume_changes=%s",
                    why, s->tokens, s->name);
    if (step >= 0 && (pipe || !now)) {
        *use = true;
        log_line(LOG_WARN, "%s; the run goes on with the tokens in %s", now ? why : reason, s->tokens);
    } else if (*use) log_line(LOG_RUN, "%.200s: its tokens are in %s already", s->paths, s->tokens);
    else if (why[0]) log_line(LOG_RUN, "%s: %s is made anew", why, s->tokens);
    return OK;
}

static err_t encode(const struct source *s, const struct tokenizer *t, struct corpus *c, int threads) {
    const int32_t eos = tokenizer_eos(t);
    if (eos < 0) log_line(LOG_WARN, "the tokenizer has no end-of-document token: documents end without one");
    TRY(os_mkdirs(s->folder));
    TRY(os_remove_tree(s->record)); /* it is of other tokens from here on */
    TRY(encode_file(t, c, s->paths, threads, eos, s->tokens));
    return write_record(s->record, s->how, s->fingerprint, c);
}

static err_t make(const struct source *s, const struct tokenizer *t, int64_t step, int threads) {
    char end[ENCODE_END_MAX], reason[1024] = "";
    encode_end_text(t, end);
    const struct corpus_how how = {*s->how, end};
    struct corpus *c = NULL;
    err_t err = corpus_open(s->paths, &how, &c);
    if (err != OK && step >= 0) (void)snprintf(reason, sizeof reason, "%s", err_message());
    else TRY(err);
    bool use;
    err_t looked = may_use(s, c, reason, step, &use);
    if (looked == OK && !use) looked = c ? encode(s, t, c, threads) : err;
    corpus_close(c);
    return looked;
}

static err_t allowed(const char *changes, const char *name, bool *may) {
    char **names;
    int64_t count;
    *may = false;
    if (!changes) return OK;
    TRY(opt_split(changes, &names, &count));
    for (int64_t i = 0; i < count; i++) *may = *may || strcmp(names[i], name) == 0;
    os_free_list(names, count);
    return OK;
}

static err_t make_all(const struct textdata *t, const struct job *job, const struct data_opts *data, int64_t step) {
    char record[OS_PATH_MAX], folder[OS_PATH_MAX];
    struct source s = {.how = &data->text, .folder = folder, .record = record};
    TRY(tok_tokenizer_sum(t->tokenizer, &s.fingerprint));
    TRY(os_join(folder, job->out, "data"));
    struct tokenizer *tokenizer;
    TRY(tokenizer_open(t->tokenizer, &tokenizer));
    err_t err = OK;
    for (int i = 0; i < 2 && err == OK; i++) {
        if (!t->is_text[i]) continue;
        s.name = i ? "data.valid" : "data.train";
        TRY_OR(allowed(job->train->resume_changes, s.name, &s.may_change), done);
        s.paths = source_of(data, i);
        s.tokens = t->tokens[i];
        err = path_of(job->out, i, ".json", record);
        if (err == OK) err = make(&s, tokenizer, step, job->threads ? (int)job->threads : os_cpus());
    }
done:
    tokenizer_close(tokenizer);
    return err;
}

err_t textdata_make(const struct textdata *t, const struct job *job, const struct data_opts *data, int64_t step, struct comm *world) {
    if (!t->is_text[0] && !t->is_text[1]) return OK;
    if (world->rank == 0) TRY(make_all(t, job, data, step));
    int64_t done = 0;
    return COMM(world, all_reduce, &done, 1, DT_I64);
}
