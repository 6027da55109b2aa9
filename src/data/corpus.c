/* Documents out of text files, folders and JSON lines, one at a time. */
#include "base/log.h"
#include "base/os.h"
#include "data/data_int.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const struct corpus_how corpus_defaults = {{CORPUS_UTF8_STRICT, CORPUS_AUTO, "token"}, NULL};

struct corpus {
    struct paths files;
    struct corpus_file *read; /* [files.count] */
    int64_t next;             /* index of the file to open */
    int64_t total, done;      /* bytes of all files, and of those that are finished */
    bool endless;             /* a pipe is among them: total is not known */
    int64_t skipped;          /* files in folders that are neither text nor JSON lines */
    char skipped_name[OS_PATH_MAX];
    struct corpus_how how;
    struct stream *in; /* of the file under way */
    struct jsonl *jsonl;
    struct text *text;
    const char *where;
    struct corpus_span spans[2]; /* of the document just given */
};

static const char FOLDER_TAKES[] = "*.txt, *.text, *.md, *.rst, *.pod, *.jsonl and *.ndjson";

static err_t add_file(struct corpus *c, const char *path) {
    TRY(paths_add(&c->files, path));
    if (strcmp(path, "-") == 0)
        for (int64_t i = 0; i + 1 < c->files.count; i++)
            if (strcmp(c->files.list[i], path) == 0) return FAIL(ERR_USAGE, "standard input is named twice; it can be read once");
    if (!os_is_file(path) && (strcmp(path, "-") == 0 || os_exists(path))) { /* a pipe is not opened before it is read */
        c->endless = true;
        return OK;
    }
    int fd;
    int64_t bytes;
    TRY(os_open_read(path, &fd, &bytes));
    os_close(fd);
    c->total += bytes;
    return OK;
}

static err_t in_folder(void *ctx, const char *path) {
    struct corpus *c = ctx;
    const enum file_kind kind = file_kind(path);
    if (kind == FILE_TEXT || kind == FILE_JSONL) return add_file(c, path);
    if (c->skipped++ == 0) memcpy(c->skipped_name, path, strlen(path) + 1);
    return OK;
}

static err_t add_path(struct corpus *c, const char *path) {
    if (!os_is_dir(path)) {
        if (c->how.text.format == CORPUS_AUTO) TRY(file_check_name(path));
        return add_file(c, path);
    }
    const int64_t before = c->files.count;
    TRY(paths_walk(path, 0, in_folder, c));
    if (c->files.count > before) return OK;
    if (c->skipped_name[0]) TRY(file_check_name(c->skipped_name));
    return FAIL(ERR_FORMAT, "the folder %s holds no %s; name other files one by one", path, FOLDER_TAKES);
}

static err_t list_files(struct corpus *c) {
    c->read = calloc((size_t)c->files.count + 1, sizeof *c->read);
    if (!c->read) return FAIL(ERR_NOMEM, "out of memory for a list of %lld files", (long long)c->files.count);
    for (int64_t i = 0; i < c->files.count; i++) {
        c->read[i] = (struct corpus_file){.path = c->files.list[i], .bytes = -1};
        if (os_is_file(c->files.list[i])) TRY(os_file_age(c->files.list[i], &c->read[i].bytes, &c->read[i].changed_ns));
    }
    return OK;
}

err_t corpus_open(const char *paths, const struct corpus_how *how, struct corpus **out) {
    TRY(text_end_check(how->text.document_end));
    struct paths names;
    TRY(paths_expand(paths, &names));
    struct corpus *c = calloc(1, sizeof *c);
    err_t err = c ? OK : FAIL(ERR_NOMEM, "out of memory while opening %s", paths);
    if (c) {
        c->how = *how;
        c->where = "";
    }
    for (int64_t i = 0; err == OK && i < names.count; i++) err = add_path(c, names.list[i]);
    paths_free(&names);
    if (err == OK) err = list_files(c);
    if (err != OK) {
        corpus_close(c);
        return err_frame(err, __func__);
    }
    if (c->skipped)
        log_line(LOG_WARN, "%lld files were passed over, %s for one: in folders only %s are read", (long long)c->skipped, c->skipped_name,
                 FOLDER_TAKES);
    *out = c;
    return OK;
}

static void close_file(struct corpus *c) {
    c->done = corpus_bytes_read(c);
    if (c->in) c->read[c->next - 1].sum = stream_sum(c->in);
    jsonl_close(c->jsonl);
    text_close(c->text);
    stream_close(c->in);
    c->jsonl = NULL;
    c->text = NULL;
    c->in = NULL;
}

void corpus_close(struct corpus *c) {
    if (!c) return;
    close_file(c);
    paths_free(&c->files);
    free(c->read);
    free(c);
}

int64_t corpus_bytes_total(const struct corpus *c) { return c->endless ? 0 : c->total; }
const char *corpus_where(const struct corpus *c) { return c->where; }
int64_t corpus_bytes_read(const struct corpus *c) { return c->done + (c->in ? stream_bytes_read(c->in) : 0); }

static err_t open_file(struct corpus *c, const char *path) {
    const int format = c->how.text.format;
    const char *text;
    int64_t bytes;
    bool lines;
    TRY(stream_open(path, &c->in));
    TRY(stream_peek(c->in, &text, &bytes));
    TRY(file_check_text(path, format == CORPUS_AUTO ? file_kind(path) : FILE_UNKNOWN, text, bytes, &lines));
    if (format != CORPUS_AUTO) lines = format == CORPUS_JSONL;
    if (!lines) return text_open(c->in, file_name(path), &c->how, &c->text);
    return jsonl_of_stream(c->in, path, c->how.text.invalid_utf8, &c->jsonl);
}

int64_t corpus_files(const struct corpus *c, const struct corpus_file **list) {
    *list = c->read;
    return c->files.count;
}

err_t corpus_file_sum(const char *path, uint64_t *sum) {
    struct stream *in;
    TRY(stream_open(path, &in));
    err_t err = stream_skip(in);
    if (err == OK) *sum = stream_sum(in);
    stream_close(in);
    return err;
}

/* ---- records ---- */

static err_t span_of(const json_t *record, const char *key, const char *where, bool counts, struct corpus_span *out) {
    *out = (struct corpus_span){.counts = counts};
    return jsonl_string(record, key, where, &out->text, &out->bytes);
}

static err_t doc_of_record(struct corpus *c, const json_t *record, struct corpus_doc *doc) {
    const char *where = c->where;
    const bool text = jsonl_column(record, "text"), prompt = jsonl_column(record, "prompt"), completion = jsonl_column(record, "completion");
    if (jsonl_column(record, "messages"))
        return FAIL(ERR_FORMAT,
                    "%s has \"messages\": chat records are not supported; write them as {\"prompt\": ..., \"completion\": ...}, the chat template "
                    "applied",
                    where);
    if (text == (prompt || completion) || prompt != completion)
        return FAIL(ERR_FORMAT, "%s has %s; every line must have either \"text\" or both \"prompt\" and \"completion\"", where,
                    text         ? "\"text\" and a prompt or completion"
                    : prompt     ? "\"prompt\" without \"completion\""
                    : completion ? "\"completion\" without \"prompt\""
                                 : "neither \"text\" nor \"prompt\"");
    TRY(span_of(record, text ? "text" : "prompt", where, text, &c->spans[0]));
    if (completion) TRY(span_of(record, "completion", where, true, &c->spans[1]));
    *doc = (struct corpus_doc){.spans = c->spans, .count = completion ? 2 : 1, .masked = completion};
    return OK;
}

/* ---- one after another ---- */

static err_t next_record(struct corpus *c, struct corpus_doc *doc, bool *got) {
    const json_t *record;
    TRY(jsonl_next(c->jsonl, &record, got));
    if (!*got) return OK;
    c->where = jsonl_where(c->jsonl);
    return doc_of_record(c, record, doc);
}

static err_t next_text(struct corpus *c, struct corpus_doc *doc, bool *got) {
    bool more;
    TRY(text_next(c->text, &c->spans[0], &more, got));
    if (!*got) return OK;
    c->where = text_where(c->text);
    *doc = (struct corpus_doc){.spans = c->spans, .count = 1, .more = more};
    return OK;
}

err_t corpus_next(struct corpus *c, struct corpus_doc *doc, bool *got) {
    *got = false;
    for (;;) {
        if (!c->jsonl && !c->text) {
            if (c->next == c->files.count) return OK;
            TRY(open_file(c, c->files.list[c->next++]));
        }
        TRY(c->jsonl ? next_record(c, doc, got) : next_text(c, doc, got));
        if (*got) return OK;
        close_file(c);
    }
}
