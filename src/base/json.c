#include "base/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A mark is an object with this one key, which no program writes; under it what stood there. */
#define MARK_KEY "\001"
static const char mark_head[] = "{\"\\u0001\":\"", mark_tail[] = "\"}";

/* The text on its way to what jansson takes. */
struct rewrite {
    const char *in;
    int64_t bytes, at; /* read so far */
    char *out;
    int64_t count, room;
    int64_t wanted, found; /* where in `in` the byte out[wanted] comes from; found -1: not there yet */
    unsigned how;
    bool changed, failed;
};

static void put(struct rewrite *w, const char *text, int64_t bytes) {
    if (w->failed) return;
    if (!w->out || w->count + bytes + 1 > w->room) {
        const int64_t room = 2 * (w->count + bytes) + 64;
        char *more = realloc(w->out, (size_t)room);
        if (!more) {
            w->failed = true;
            return;
        }
        w->out = more;
        w->room = room;
    }
    memcpy(w->out + w->count, text, (size_t)bytes);
    w->count += bytes;
    w->out[w->count] = 0;
    if (w->found < 0 && w->count > w->wanted) w->found = w->at;
}

/* in[at, at + bytes) as a mark. */
static void put_mark(struct rewrite *w, int64_t bytes) {
    const char *text = w->in + w->at;
    put(w, mark_head, sizeof mark_head - 1);
    for (int64_t i = 0; i < bytes; i++) {
        if (text[i] == '"' || text[i] == '\\') put(w, "\\", 1);
        put(w, text + i, 1);
    }
    put(w, mark_tail, sizeof mark_tail - 1);
    w->changed = true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code unit of \uXXXX at p, or -1. */
static int unit_at(const char *p, const char *end) {
    int unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Length of the escape at p (p[0] is a backslash), and whether it is half of a pair or a NUL. */
static int64_t escape_at(const char *p, const char *end, bool *half, bool *nul) {
    const int unit = unit_at(p, end);
    *half = unit >= 0xd800 && unit <= 0xdfff;
    *nul = unit == 0;
    if (unit < 0) return end - p < 2 ? end - p : 2;
    if (unit < 0xd800 || unit > 0xdbff) return 6;
    const int low = unit_at(p + 6, end);
    *half = low < 0xdc00 || low > 0xdfff;
    return *half ? 6 : 12;
}

/* The string at `at`: as it stands, with U+FFFD for what cannot be held, or a mark. */
static void put_string(struct rewrite *w) {
    const char *start = w->in + w->at, *end = w->in + w->bytes, *p = start + 1;
    bool half, nul, halves = false, nuls = false;
    while (p < end && *p != '"' && (unsigned char)*p >= 0x20) {
        if (*p != '\\') {
            p++;
            continue;
        }
        p += escape_at(p, end, &half, &nul);
        halves |= half;
        nuls |= nul;
    }
    if (p == end || *p != '"') { /* no string: jansson says so */
        put(w, start, p - start);
        w->at = p - w->in;
        return;
    }
    const int64_t bytes = ++p - start;
    const char *next = p;
    while (next < end && strchr(" \t\r\n", *next) && *next) next++;
    const bool key = next < end && *next == ':';
    if (!key) nuls = nuls && !(w->how & JSON_NULS);
    if (!halves && !nuls) {
        put(w, start, bytes);
    } else if (!key && (nuls || !(w->how & JSON_REPLACE))) {
        put_mark(w, bytes);
    } else {
        int64_t n;
        for (p = start; p < start + bytes; p += n) {
            n = 1;
            half = nul = false;
            if (*p == '\\') n = escape_at(p, end, &half, &nul);
            if (half || (key && nul)) put(w, "\\ufffd", 6);
            else put(w, p, n);
        }
        w->changed = true;
    }
    w->at += bytes;
}

/* The length of the number at p as JSON has them, or 0; *real: with a fraction or an exponent. */
static int64_t number_length(const char *p, const char *end, bool *real) {
    const char *at = p;
    if (at < end && *at == '-') at++;
    const char *digits = at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    if (at == digits || (*digits == '0' && at > digits + 1)) return 0;
    *real = false;
    for (int part = 0; part < 2; part++) { /* .digits, then e+digits */
        if (at == end || (part == 0 ? *at != '.' : (*at | 32) != 'e')) continue;
        *real = true;
        at++;
        if (part == 1 && at < end && (*at == '+' || *at == '-')) at++;
        digits = at;
        while (at < end && *at >= '0' && *at <= '9') at++;
        if (at == digits) return 0;
    }
    return at - p;
}

static bool fits(const char *number, bool real) {
    errno = 0;
    if (!real) {
        (void)strtoll(number, NULL, 10);
        return errno == 0;
    }
    const double x = strtod(number, NULL);
    return x - x == 0; /* finite */
}

/* What stands at `at` and is neither a string nor blank: a number, a word, or one character. */
static void put_other(struct rewrite *w) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    const char *p = w->in + w->at, *end = w->in + w->bytes;
    for (int i = 0; i < 3; i++) {
        const int64_t n = (int64_t)strlen(words[i]);
        if (end - p < n || memcmp(p, words[i], (size_t)n) != 0) continue;
        put_mark(w, n);
        w->at += n;
        return;
    }
    bool real;
    const int64_t n = number_length(p, end, &real);
    if (n == 0) {
        put(w, p, 1);
        w->at++;
        return;
    }
    const int64_t before = w->count;
    put(w, p, n); /* it ends with a NUL there */
    if (!w->failed && !fits(w->out + before, real)) {
        w->count = before;
        put_mark(w, n);
    }
    w->at += n;
}

static void rewrite_all(struct rewrite *w) {
    w->found = -1;
    while (w->at < w->bytes && !w->failed) {
        const char c = w->in[w->at];
        if (c == '"') put_string(w);
        else put_other(w);
    }
    if (w->found < 0) w->found = w->bytes;
}

/* Say where in the text the byte at `position` is. */
static void place(const char *text, int64_t position, json_error_t *why) {
    why->position = (int)position;
    why->line = 1;
    why->column = 0;
    for (int64_t i = 0; i < position; i++) {
        if (text[i] == '\n') {
            why->line++;
            why->column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            why->column++;
        }
    }
}

static json_t *read_rewritten(const char *text, int64_t bytes, unsigned how, size_t flags, json_error_t *why) {
    struct rewrite w = {.in = text, .bytes = bytes, .wanted = INT64_MAX, .how = how};
    rewrite_all(&w);
    json_t *root = NULL;
    if (w.changed && !w.failed) {
        root = json_loadb(w.out, (size_t)w.count, flags, why);
        if (!root) {
            w = (struct rewrite){.in = text, .bytes = bytes, .wanted = why->position, .how = how, .out = w.out, .room = w.room};
            rewrite_all(&w);
            place(text, w.found, why);
        }
    }
    free(w.out);
    return root;
}

json_t *json_read(const char *text, int64_t bytes, unsigned how, json_error_t *why) {
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | (how & JSON_NULS ? JSON_ALLOW_NUL : 0);
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    json_t *root = json_loadb(text, (size_t)bytes, flags, why);
    if (!root && json_error_code(why) != json_error_out_of_memory) root = read_rewritten(text, bytes, how, flags, why);
    if (root) return root;
    for (char *p = why->text; *p; p++) /* it quotes the text, whatever that holds */
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    return NULL;
}

const char *json_mark(const json_t *value) { return json_object_size(value) == 1 ? json_string_value(json_object_get(value, MARK_KEY)) : NULL; }

/* Behind the mark whose dumped text begins at p, a brace; *string: behind the opening quote of what stood there. NULL: it is no mark. */
static const char *mark_end(const char *p, const char **string) {
    static const char key[] = "\"\\u0001\":";
    p++;
    p += strspn(p, " \n");
    if (strncmp(p, key, sizeof key - 1) != 0) return NULL;
    p += sizeof key - 1;
    p += *p == ' ';
    if (*p++ != '"') return NULL;
    *string = p;
    for (; *p && *p != '"'; p++)
        if (*p == '\\') p++;
    p += *p == '"';
    p += strspn(p, " \n");
    return *p == '}' ? p + 1 : NULL;
}

/* Marks in a dumped text become what stood there, in place: that is shorter. */
static void unmark(char *text) {
    const char *from = text;
    char *to = text;
    bool string = false;
    while (*from) {
        const char *p = NULL, *end = !string && *from == '{' ? mark_end(from, &p) : NULL;
        if (end) {
            for (; *p != '"'; p++) {
                if (*p == '\\' && (p[1] == '"' || p[1] == '\\')) p++;
                *to++ = *p;
            }
            from = end;
            continue;
        }
        if (*from == '"') string = !string;
        if (string && *from == '\\') *to++ = *from++;
        *to++ = *from++;
    }
    *to = 0;
}

char *json_write(const json_t *value, size_t flags) {
    char *text = json_dumps(value, flags);
    if (text) unmark(text);
    return text;
}

const char *json_show(const json_t *value, char *buf, size_t room) {
    char *text = json_write(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    const size_t n = text ? strlen(text) : 0;
    if (n < room) {
        memcpy(buf, text ? text : "", n + 1);
    } else {
        memcpy(buf, text, room - 4);
        memcpy(buf + room - 4, "...", 4);
    }
    free(text);
    return buf;
}
