/* What data.train and data.valid name: token files, or text to make some of. */
#include "base/os.h"
#include "data/data_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* By its name, else by its first bytes: older token files may be called anything. */
static err_t is_tokens(const char *path, bool *is) {
    *is = file_kind(path) == FILE_TOKENS;
    if (*is || !os_is_file(path)) return OK;
    int fd;
    int64_t bytes;
    char begin[TOK_MAGIC_BYTES] = {0};
    TRY(os_open_read(path, &fd, &bytes));
    err_t err = bytes < (int64_t)sizeof begin ? OK : os_read_at(fd, path, begin, sizeof begin, 0);
    os_close(fd);
    *is = memcmp(begin, TOK_MAGIC, sizeof begin) == 0;
    return err;
}

struct seen {
    struct paths *found; /* NULL: only count; */
    bool tokens;         /* which are looked for */
    int64_t count[DATA_KINDS];
};

static err_t look_at(struct seen *s, const char *path, bool in_folder) {
    const enum file_kind kind = file_kind(path);
    bool tokens;
    TRY(is_tokens(path, &tokens));
    if (!tokens && in_folder && kind != FILE_TEXT && kind != FILE_JSONL) return OK;
    s->count[tokens ? DATA_TOKENS : kind == FILE_TEXT ? DATA_TEXT : DATA_JSONL]++;
    return s->found && (s->tokens == tokens || !in_folder) ? paths_add(s->found, path) : OK; /* whoever opens it says what it is not */
}

static err_t look_in_folder(void *ctx, const char *path) { return look_at(ctx, path, true); }

static err_t look(const char *paths, struct seen *s) {
    struct paths names;
    TRY(paths_expand(paths, &names));
    err_t err = OK;
    for (int64_t i = 0; i < names.count && err == OK; i++)
        err = os_is_dir(names.list[i]) ? paths_walk(names.list[i], 0, look_in_folder, s) : look_at(s, names.list[i], false);
    paths_free(&names);
    return err;
}

err_t data_kind(const char *paths, enum data_kind *kind) {
    struct seen s = {0};
    TRY(look(paths, &s));
    const int64_t text = s.count[DATA_TEXT] + s.count[DATA_JSONL];
    if (s.count[DATA_TOKENS] && text)
        return FAIL(ERR_USAGE, "%.200s names %lld token files and %lld files of text; give one kind, and mop tokenize makes the one of the other",
                    paths, (long long)s.count[DATA_TOKENS], (long long)text);
    *kind = s.count[DATA_TOKENS] ? DATA_TOKENS : s.count[DATA_TEXT] || !text ? DATA_TEXT : DATA_JSONL;
    return OK;
}

err_t data_list(const char *paths, enum data_kind kind, char ***files, int64_t *count) {
    struct paths found = {0};
    struct seen s = {.found = &found, .tokens = kind == DATA_TOKENS};
    err_t err = look(paths, &s);
    if (err == OK && found.count == 0)
        err = kind == DATA_TOKENS ? FAIL(ERR_FORMAT, "%.200s holds no token file (*.tok); make one with mop tokenize", paths)
                                  : FAIL(ERR_FORMAT, "%.200s holds no text and no JSON lines; name other files one by one", paths);
    if (err != OK) {
        paths_free(&found);
        return err;
    }
    *files = found.list;
    *count = found.count;
    return OK;
}

err_t tok_tokenizer_sum(const char *path, uint64_t *sum) {
    char file[OS_PATH_MAX], *text;
    int64_t bytes;
    if (os_is_dir(path)) TRY(os_join(file, path, "tokenizer.json"));
    TRY(os_read_all(os_is_dir(path) ? file : path, INT64_C(1) << 30, &text, &bytes));
    *sum = XXH3_64bits(text, (size_t)bytes);
    free(text);
    return OK;
}
