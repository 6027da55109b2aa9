/* Documents out of text files, folders and JSON lines, one at a time. */
#include "base/log.h"
#include "base/os.h"
#include "data/data_int.h"
#include "data/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 }; /* folders in folders: more is a link that leads back */

struct corpus {
    char **files;
    int64_t count, room, next; /* next: index of the file to open */
    int64_t total, done;       /* bytes of all files, and of those that are finished */
    int64_t skipped;           /* files in folders with other endings */
    char skipped_name[OS_PATH_MAX];
    int invalid;
    struct jsonl *jsonl; /* the file under way, if it is of JSON lines */
    char *text;          /* the document under way, if it is a text file */
    const char *where;
    struct corpus_span spans[2]; /* of the document just given */
};

static bool ends_with(const char *path, const char *const *endings) {
    size_t n = strlen(path);
    for (; *endings; endings++) {
        size_t e = strlen(*endings);
        if (n > e && strcmp(path + n - e, *endings) == 0) return true;
    }
    return false;
}

static const char *const JSON_LINES[] = {".jsonl", NULL};
static const char *const TEXTS[] = {".txt", ".text", ".md", ".rst", ".pod", NULL};
static const char *const PACKED[] = {".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".7z", ".tar", ".tgz", NULL};
static const char *const OTHERS[] = {".json", ".parquet", ".arrow", ".tok", NULL};

static err_t add_file(struct corpus *c, const char *path) {
    int fd;
    int64_t bytes;
    TRY(os_open_read(path, &fd, &bytes));
    os_close(fd);
    if (c->count == c->room) {
        int64_t room = c->room ? 2 * c->room : 16;
        char **more = realloc(c->files, (size_t)room * sizeof *more);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the names of %lld files", (long long)room);
        c->files = more;
        c->room = room;
    }
    c->files[c->count] = strdup(path);
    if (!c->files[c->count]) return FAIL(ERR_NOMEM, "out of memory for the name %s", path);
    c->count++;
    c->total += bytes;
    return OK;
}

static err_t refuse_packed(const char *path) {
    if (!ends_with(path, PACKED)) return OK;
    return FAIL(ERR_FORMAT, "%s is a compressed file or an archive, which is not read; unpack it first", path);
}

static err_t add_folder(struct corpus *c, const char *dir, int depth);

static err_t add_entry(struct corpus *c, const char *dir, const char *name, int depth) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, dir, name));
    if (name[0] == '.') return OK; /* hidden: .git and the like */
    if (os_is_dir(path)) return add_folder(c, path, depth + 1);
    TRY(refuse_packed(path));
    if (ends_with(path, TEXTS) || ends_with(path, JSON_LINES)) return add_file(c, path);
    if (c->skipped++ == 0) memcpy(c->skipped_name, path, sizeof path);
    return OK;
}

static err_t add_folder(struct corpus *c, const char *dir, int depth) { // NOLINT(misc-no-recursion): bounded by DEPTH
    if (depth > DEPTH) return FAIL(ERR_FORMAT, "%s lies more than %d folders deep; is there a link that leads back?", dir, DEPTH);
    char **names;
    int64_t n;
    TRY(os_list(dir, &names, &n));
    err_t err = OK;
    for (int64_t i = 0; i < n && err == OK; i++) err = add_entry(c, dir, names[i], depth);
    os_free_list(names, n);
    return err;
}

static err_t add_path(struct corpus *c, const char *path) {
    if (os_is_dir(path)) {
        int64_t before = c->count;
        TRY(add_folder(c, path, 0));
        if (c->count == before)
            return FAIL(ERR_FORMAT, "the folder %s holds no *.txt, *.text, *.md, *.rst, *.pod or *.jsonl; name other files one by one", path);
        return OK;
    }
    TRY(refuse_packed(path));
    if (ends_with(path, OTHERS))
        return FAIL(ERR_FORMAT,
                    "%s is not text or JSON lines, going by its name; give a text file, or one JSON object a line in a file named *.jsonl", path);
    return add_file(c, path);
}

err_t corpus_open(const char *paths, int invalid_utf8, struct corpus **out) {
    struct corpus *c = calloc(1, sizeof *c);
    char *list = strdup(paths), *rest = list;
    if (!c || !list) {
        free(c);
        free(list);
        return FAIL(ERR_NOMEM, "out of memory while opening %s", paths);
    }
    c->invalid = invalid_utf8;
    c->where = "";
    err_t err = OK;
    for (char *path; err == OK && (path = strsep(&rest, ",")) != NULL;) {
        if (*path) err = add_path(c, path);
        else err = FAIL(ERR_USAGE, "an empty name in the list of files \"%s\"; separate them by single commas", paths);
    }
    free(list);
    if (err != OK) {
        corpus_close(c);
        return err_frame(err, __func__);
    }
    if (c->skipped)
        log_line(LOG_WARN, "%lld files were passed over, %s for one: in folders only *.txt, *.text, *.md, *.rst, *.pod and *.jsonl are read",
                 (long long)c->skipped, c->skipped_name);
    *out = c;
    return OK;
}

void corpus_close(struct corpus *c) {
    if (!c) return;
    os_free_list(c->files, c->count);
    jsonl_close(c->jsonl);
    free(c->text);
    free(c);
}

int64_t corpus_bytes_total(const struct corpus *c) { return c->total; }
int64_t corpus_bytes_read(const struct corpus *c) { return c->done + (c->jsonl ? jsonl_bytes_read(c->jsonl) : 0); }
const char *corpus_where(const struct corpus *c) { return c->where; }

/* A text file is read once and, if need be, made valid in the same memory. */
static err_t next_text(struct corpus *c, const char *path, struct corpus_doc *doc) {
    int64_t bytes;
    free(c->text);
    c->text = NULL;
    TRY(os_read_all(path, INT64_MAX - 1, &c->text, &bytes));
    c->done += bytes;
    int64_t good = utf8_valid(c->text, bytes);
    if (good < bytes && c->invalid == CORPUS_UTF8_STRICT)
        return FAIL(ERR_FORMAT, "%s is not UTF-8: byte 0x%02x at byte %lld of the file (the first is 0); correct it or set data.invalid_utf8=replace",
                    path, (unsigned)(unsigned char)c->text[good], (long long)good);
    if (good < bytes) {
        int64_t room = utf8_replaced_bytes(c->text, bytes);
        char *more = realloc(c->text, (size_t)room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the %lld bytes of %s; split it", (long long)room, path);
        c->text = more;
        memmove(c->text + (room - bytes), c->text, (size_t)bytes);
        utf8_replace(c->text, room, bytes);
        bytes = room;
    }
    c->spans[0] = (struct corpus_span){c->text, bytes, true};
    *doc = (struct corpus_doc){c->spans, 1, false};
    return OK;
}

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
    *doc = (struct corpus_doc){c->spans, completion ? 2 : 1, completion};
    return OK;
}

err_t corpus_next(struct corpus *c, struct corpus_doc *doc, bool *got) {
    *got = false;
    while (c->jsonl || c->next < c->count) {
        if (c->jsonl) {
            const json_t *record;
            TRY(jsonl_next(c->jsonl, &record, got));
            if (*got) {
                c->where = jsonl_where(c->jsonl);
                return doc_of_record(c, record, doc);
            }
            c->done += jsonl_bytes_read(c->jsonl);
            jsonl_close(c->jsonl);
            c->jsonl = NULL;
            continue;
        }
        const char *path = c->files[c->next++];
        c->where = path;
        if (ends_with(path, JSON_LINES)) {
            TRY(jsonl_open(path, c->invalid, &c->jsonl));
            continue;
        }
        TRY(next_text(c, path, doc));
        *got = true;
        return OK;
    }
    return OK;
}
