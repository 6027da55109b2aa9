/* JSON lines, streamed: the buffer holds the line under way and what was read beyond it. */
#include "base/json.h"
#include "base/os.h"
#include "data/data_int.h"
#include "data/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20, SHOWN = 60 };

struct jsonl {
    char *path;
    struct stream *in;
    bool own; /* it is closed with this */
    int invalid;
    int64_t at; /* bytes read so far, unpacked */
    bool over;  /* there are no more */
    char *buf;
    int64_t room, begin, end; /* what is read and not used lies in [begin, end) */
    char *fixed;              /* a line with its invalid parts replaced */
    int64_t fixed_room, line;
    json_t *record;
    char where[OS_PATH_MAX + 32];
};

err_t jsonl_of_stream(struct stream *in, const char *path, int invalid_utf8, struct jsonl **out) {
    struct jsonl *j = calloc(1, sizeof *j);
    if (j) {
        j->invalid = invalid_utf8;
        j->room = CHUNK;
        j->path = strdup(file_name(path));
        j->buf = malloc((size_t)j->room);
    }
    if (!j || !j->path || !j->buf) {
        jsonl_close(j);
        return FAIL(ERR_NOMEM, "out of memory while opening %s", path);
    }
    j->in = in;
    *out = j;
    return OK;
}

err_t jsonl_open(const char *path, int invalid_utf8, struct jsonl **out) {
    struct stream *in;
    TRY(stream_open(path, &in));
    const char *text;
    int64_t bytes;
    bool lines;
    err_t err = stream_peek(in, &text, &bytes);
    if (err == OK) err = file_check_text(path, FILE_JSONL, text, bytes, &lines);
    if (err == OK) err = jsonl_of_stream(in, path, invalid_utf8, out);
    if (err != OK) stream_close(in);
    else (*out)->own = true;
    return err;
}

void jsonl_close(struct jsonl *j) {
    if (!j) return;
    json_decref(j->record);
    if (j->own) stream_close(j->in);
    free(j->path);
    free(j->buf);
    free(j->fixed);
    free(j);
}

const char *jsonl_where(const struct jsonl *j) { return j->where; }

/* Read more behind `end`: first what is used up leaves the buffer, then it grows. */
static err_t read_more(struct jsonl *j) {
    if (j->begin > 0) {
        memmove(j->buf, j->buf + j->begin, (size_t)(j->end - j->begin));
        j->end -= j->begin;
        j->begin = 0;
    }
    if (j->end == j->room) {
        char *more = realloc(j->buf, (size_t)j->room * 2);
        if (!more)
            return FAIL(ERR_NOMEM, "%s:%lld is longer than %lld bytes, and memory is out; split the record", j->path, (long long)j->line,
                        (long long)j->room);
        j->buf = more;
        j->room *= 2;
    }
    int64_t n;
    TRY(stream_read(j->in, j->buf + j->end, j->room - j->end, &n));
    j->end += n;
    j->at += n;
    j->over = n == 0;
    return OK;
}

/* The next line without its newline; *line NULL at the end of the file. */
static err_t next_line(struct jsonl *j, char **line, int64_t *count) {
    int64_t seen = 0;
    j->line++;
    for (;;) {
        char *start = j->buf + j->begin, *end = j->end > j->begin + seen ? memchr(start + seen, '\n', (size_t)(j->end - j->begin - seen)) : NULL;
        if (end || j->over) {
            *count = end ? end - start : j->end - j->begin;
            *line = end || *count > 0 ? start : NULL;
            j->begin += *count + (end ? 1 : 0);
            return OK;
        }
        seen = j->end - j->begin;
        TRY(read_more(j));
    }
}

/* Make the line valid UTF-8, or say where it is not. */
static err_t clean_line(struct jsonl *j, char **line, int64_t *count) {
    int64_t good = utf8_valid(*line, *count);
    if (good == *count) return OK;
    if (j->invalid == CORPUS_UTF8_STRICT) {
        int64_t offset = j->at - (j->end - (*line - j->buf)) + good;
        return FAIL(ERR_FORMAT,
                    "%s:%lld is not UTF-8: byte 0x%02x at byte %lld of the file%s (the first is 0); correct it or set data.invalid_utf8=replace",
                    j->path, (long long)j->line, (unsigned)(unsigned char)(*line)[good], (long long)offset, stream_packed(j->in) ? ", unpacked" : "");
    }
    int64_t room = utf8_replaced_bytes(*line, *count);
    if (room > j->fixed_room) {
        char *more = realloc(j->fixed, (size_t)room);
        if (!more) return FAIL(ERR_NOMEM, "out of memory for the %lld bytes of %s:%lld", (long long)room, j->path, (long long)j->line);
        j->fixed = more;
        j->fixed_room = room;
    }
    memcpy(j->fixed + (room - *count), *line, (size_t)*count);
    utf8_replace(j->fixed, room, *count);
    *line = j->fixed;
    *count = room;
    return OK;
}

static bool blank(const char *line, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!strchr(" \t\r", line[i]) || !line[i]) return false;
    return true;
}

err_t jsonl_next(struct jsonl *j, const struct json_t **record, bool *got) {
    json_decref(j->record);
    j->record = NULL;
    char *line = NULL;
    int64_t count = 0;
    do {
        TRY(next_line(j, &line, &count));
        if (!line) {
            *got = false;
            return OK;
        }
        if (j->line == 1 && count >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) { /* a byte-order mark is no part of JSON */
            line += 3;
            count -= 3;
        }
    } while (blank(line, count));
    TRY(clean_line(j, &line, &count));
    json_error_t why;
    j->record = json_read(line, count, JSON_NULS | (j->invalid == CORPUS_UTF8_REPLACE ? JSON_REPLACE : 0), &why);
    if (!j->record) {
        if (json_error_code(&why) == json_error_out_of_memory)
            return FAIL(ERR_NOMEM, "out of memory for the %lld bytes of %s:%lld; split the record", (long long)count, j->path, (long long)j->line);
        return FAIL(ERR_FORMAT, "%s:%lld is not JSON: %s, column %d; every line must be one JSON object", j->path, (long long)j->line, why.text,
                    why.column);
    }
    if (!json_is_object(j->record))
        return FAIL(ERR_FORMAT, "%s:%lld is not a JSON object; every line must be one, {\"text\": ...} for example", j->path, (long long)j->line);
    (void)snprintf(j->where, sizeof j->where, "%s:%lld", j->path, (long long)j->line);
    *record = j->record;
    *got = true;
    return OK;
}

const struct json_t *jsonl_column(const struct json_t *record, const char *key) {
    const json_t *v = json_object_get(record, key);
    return json_is_null(v) ? NULL : v;
}

err_t jsonl_string(const struct json_t *record, const char *key, const char *where, const char **text, int64_t *bytes) {
    const json_t *v = jsonl_column(record, key);
    const char *mark = json_mark(v);
    if (mark && mark[0] == '"')
        return FAIL(ERR_FORMAT,
                    "%s: \"%s\" has an escape for half of a surrogate pair, which is no character; correct it or set "
                    "data.invalid_utf8=replace",
                    where, key);
    char shown[SHOWN];
    if (!json_is_string(v))
        return FAIL(ERR_FORMAT, "%s: \"%s\" is %s, not a string; write text in quotes", where, key,
                    v ? json_show(v, shown, sizeof shown) : "missing");
    *text = json_string_value(v);
    *bytes = (int64_t)json_string_length(v);
    return OK;
}
