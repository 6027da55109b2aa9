/* A text file's documents, streamed: the buffer holds the document under way and what was read beyond it. */
#include "base/num.h"
#include "base/os.h"
#include "data/data_int.h"
#include "data/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20 };
enum { AT_TOKEN, AT_LINE, AT_BLANK, AT_EACH };

struct text {
    struct stream *in;
    const char *path;
    int mode, invalid;
    char mark[TEXT_MARK_MAX]; /* AT_TOKEN: the token, "" for none; AT_LINE: the line */
    int64_t mark_bytes;
    char *buf;
    int64_t room, begin, end; /* what is read and not given out lies in [begin, end) */
    int64_t at, line;         /* of buf[begin]: byte of the file, line from 1 */
    int64_t given;            /* bytes from begin on that go with the next call */
    bool over;                /* there is nothing more to read */
    bool parted, inside;      /* an end of a document has been seen; part of the document in hand has been given out */
    bool done;
    char *fixed; /* a piece with its invalid parts replaced */
    int64_t fixed_room;
    char where[OS_PATH_MAX + 32];
};

err_t text_end_check(const char *end) {
    static const char *const words[] = {"token", "file", "line", "blank"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(end, words[i]) == 0) return OK;
    if (strncmp(end, "line:", 5) == 0 && end[5] && strlen(end + 5) < TEXT_MARK_MAX && !strchr(end, '\n')) return OK;
    return FAIL(ERR_USAGE,
                "data.document_end=%.80s is not known; give token, file, line (each line is a document), blank (an empty line ends one), or "
                "line:TEXT (a line that is TEXT does)",
                end);
}

static void set_mode(struct text *t, const struct corpus_how *how) {
    const char *end = how->text.document_end, *mark = "";
    t->mode = AT_TOKEN;
    if (strcmp(end, "line") == 0) t->mode = AT_EACH;
    else if (strcmp(end, "blank") == 0) t->mode = AT_BLANK;
    else if (strncmp(end, "line:", 5) == 0) t->mode = AT_LINE;
    if (t->mode == AT_LINE) mark = end + 5;
    if (strcmp(end, "token") == 0 && how->end_token) mark = how->end_token;
    (void)snprintf(t->mark, sizeof t->mark, "%s", mark);
    t->mark_bytes = (int64_t)strlen(t->mark);
}

err_t text_open(struct stream *in, const char *path, const struct corpus_how *how, struct text **out) {
    TRY(text_end_check(how->text.document_end));
    struct text *t = calloc(1, sizeof *t);
    if (!t) return FAIL(ERR_NOMEM, "out of memory while opening %s", path);
    *t = (struct text){.in = in, .path = path, .invalid = how->text.invalid_utf8, .line = 1};
    set_mode(t, how);
    *out = t;
    return OK;
}

void text_close(struct text *t) {
    if (!t) return;
    free(t->buf);
    free(t->fixed);
    free(t);
}

const char *text_where(const struct text *t) { return *t->where ? t->where : t->path; }

static err_t read_more(struct text *t) {
    if (t->begin > 0) {
        memmove(t->buf, t->buf + t->begin, (size_t)(t->end - t->begin));
        t->end -= t->begin;
        t->begin = 0;
    }
    if (t->end == t->room) {
        const int64_t room = i64_max(CHUNK, 2 * t->room);
        char *more = realloc(t->buf, (size_t)room);
        if (!more)
            return FAIL(ERR_NOMEM, "a document of %s is longer than %lld bytes, and memory is out; part it (data.document_end)", t->path,
                        (long long)t->room);
        t->buf = more;
        t->room = room;
    }
    int64_t n;
    TRY(stream_read(t->in, t->buf + t->end, t->room - t->end, &n));
    t->end += n;
    t->over = n == 0;
    return OK;
}

/* ---- where a document ends ---- */

struct cut {
    int64_t text, all; /* bytes from begin on: of the document, and with what ends it */
};

static bool is_blank(const char *text, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n') return false;
    return true;
}

/* The token and the line break behind it, looked for from begin + *seen on. */
static bool find_token(const struct text *t, int64_t *seen, struct cut *cut) {
    if (!t->mark_bytes || !t->buf) { /* no buffer: nothing has been read yet */
        *seen = t->end - t->begin;
        return false;
    }
    const char *base = t->buf + t->begin, *found = memmem(base + *seen, (size_t)(t->end - t->begin - *seen), t->mark, (size_t)t->mark_bytes);
    *seen = found ? found - base : i64_max(*seen, t->end - t->begin - t->mark_bytes + 1);
    if (!found) return false;
    const char *behind = found + t->mark_bytes;
    const int64_t left = t->buf + t->end - behind;
    if (left < 2 && !t->over) return false;
    const int64_t line = left >= 1 && behind[0] == '\n' ? 1 : left >= 2 && memcmp(behind, "\r\n", 2) == 0 ? 2 : 0;
    *cut = (struct cut){*seen, *seen + t->mark_bytes + line};
    return true;
}

/* A line that ends a document; every line does in mode AT_EACH. */
static bool find_line(const struct text *t, int64_t *seen, struct cut *cut) {
    for (;;) {
        const char *line = t->buf + t->begin + *seen;
        const int64_t left = t->end - t->begin - *seen;
        const char *nl = left ? memchr(line, '\n', (size_t)left) : NULL;
        if (!nl && (!t->over || left == 0)) return false;
        const int64_t all = nl ? nl - line + 1 : left, n = nl ? nl - line : left, bare = n > 0 && line[n - 1] == '\r' ? n - 1 : n;
        if (t->mode == AT_EACH) *cut = (struct cut){*seen + bare, *seen + all};
        else if (t->mode == AT_BLANK ? is_blank(line, n) : bare == t->mark_bytes && memcmp(line, t->mark, (size_t)bare) == 0)
            *cut = (struct cut){*seen, *seen + all};
        *seen += all;
        if (cut->all) return true;
    }
}

/* A place in front of begin + limit where a long document may be given out in parts: behind a line's end that stands between a
 * printable character of ASCII and a letter (encode.c looks whether the tokenizer cuts there too). 0: none. */
static int64_t find_seam(const struct text *t, int64_t limit) {
    const char *p = t->buf + t->begin;
    for (int64_t i = limit - 1; i >= 2 && i > limit - CHUNK; i--)
        if (p[i - 1] == '\n' && p[i - 2] > ' ' && p[i - 2] < 0x7f && ((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z'))) return i;
    return 0;
}

/* The next document, or *more: the part of a long one. */
static err_t find_cut(struct text *t, struct cut *cut, bool *more) {
    int64_t seen = 0;
    for (;;) {
        *more = false;
        *cut = (struct cut){0};
        if (t->mode == AT_TOKEN ? find_token(t, &seen, cut) : find_line(t, &seen, cut)) {
            t->parted = true;
            return OK;
        }
        if (t->over) {
            cut->text = cut->all = t->end - t->begin;
            t->done = true;
            return OK;
        }
        if (t->mode != AT_EACH && seen > 2 * TEXT_PART) {
            cut->text = cut->all = find_seam(t, 2 * TEXT_PART);
            if (!cut->all) cut->text = cut->all = find_seam(t, seen);
            *more = cut->all > 0;
            if (*more) return OK;
        }
        TRY(read_more(t));
    }
}

/* ---- the documents ---- */

static err_t clean(struct text *t, struct corpus_span *s) {
    const int64_t good = utf8_valid(s->text, s->bytes);
    if (good == s->bytes) return OK;
    if (t->invalid == CORPUS_UTF8_STRICT)
        return FAIL(ERR_FORMAT,
                    "%s is not UTF-8: byte 0x%02x at byte %lld of the file%s (the first is 0); correct it or set data.invalid_utf8=replace", t->path,
                    (unsigned)(unsigned char)s->text[good], (long long)(t->at + good), stream_packed(t->in) ? ", unpacked" : "");
    const int64_t room = utf8_replaced_bytes(s->text, s->bytes);
    if (room > t->fixed_room) {
        char *more = realloc(t->fixed, (size_t)room);
        if (!more)
            return FAIL(ERR_NOMEM, "out of memory for the %lld bytes of a document of %s; part it (data.document_end)", (long long)room, t->path);
        t->fixed = more;
        t->fixed_room = room;
    }
    memcpy(t->fixed + (room - s->bytes), s->text, (size_t)s->bytes);
    utf8_replace(t->fixed, room, s->bytes);
    s->text = t->fixed;
    s->bytes = room;
    return OK;
}

/* What was given out is done with. */
static void pass(struct text *t) {
    const char *p = t->buf + t->begin, *end = p + t->given;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        t->line++;
        p++;
    }
    t->begin += t->given;
    t->at += t->given;
    t->given = 0;
}

/* Nothing, or blanks behind the last end, is a document only where it is all that the file holds. */
static bool is_document(const struct text *t, const struct cut *cut) {
    if (t->inside) return true;
    if (!t->parted) return true;
    if (t->done || t->mode == AT_EACH) return !is_blank(t->buf + t->begin, cut->text);
    return cut->text > 0;
}

err_t text_next(struct text *t, struct corpus_span *span, bool *more, bool *got) {
    *got = false;
    while (!t->done && !*got) {
        struct cut cut;
        pass(t);
        TRY(find_cut(t, &cut, more));
        t->given = cut.all;
        *got = is_document(t, &cut);
        if (!*got) continue;
        *span = (struct corpus_span){t->buf + t->begin, cut.text, true};
        if (!t->inside && t->line > 1) (void)snprintf(t->where, sizeof t->where, "%s:%lld", t->path, (long long)t->line);
        TRY(clean(t, span));
        t->inside = *more;
    }
    return OK;
}
