/* Ids back to text. The decoder is a list of steps, each of which turns a list of tokens into another; at the end they are joined. That is what
 * decode_chain does, and what defines the result. A decoder that is ByteLevel alone needs no lists: `raw` holds what each token stands for.
 * A stream does the same for tokens that come one by one, where no step looks ahead; where one does, all is decoded again. */
#include "data/tokenizer_int.h"
#include "data/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

/* ---- one token ---- */

static bool is_plain_bytes(const struct tokenizer *t) { return t->spaced || (t->dec_count == 1 && t->decs[0].kind == DEC_BYTES); }

/* The byte of a token like <0x0A>, or -1: six bytes, of which Rust's from_str_radix takes the two in the middle. */
static int byte_of(const char *text, int64_t bytes) {
    if (bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int byte = 0;
    for (int i = text[3] == '+' ? 4 : 3; i < 5; i++) {
        const char c = (char)(text[i] | 32);
        const int digit = text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return -1;
        byte = byte * 16 + digit;
    }
    return byte;
}

static bool begins(const char *text, int64_t bytes, const char *with, int64_t n) { return n <= bytes && memcmp(text, with, (size_t)n) == 0; }

static err_t replace(struct tok_scratch *s, const struct dec_step *d, const char *text, int64_t bytes, struct tok_buffer *to) {
    struct tok_match m = {.last_end = -1};
    int64_t done = 0;
    while (bytes > 0) {
        TRY(tok_match_next(s, d->regex, d->find, text, bytes, &m));
        TRY(tok_buffer_add(to, text + done, (m.start < 0 ? bytes : m.start) - done));
        if (m.start < 0) break;
        TRY(tok_buffer_add(to, s->t->pool.text + d->put.at, d->put.bytes));
        done = m.end;
    }
    return OK;
}

/* How many bytes up to `most` characters c take at the front. */
static int64_t run_of(const char *text, int64_t bytes, int32_t c, int64_t most) {
    int64_t n = 0;
    for (int len; most > 0 && n < bytes && unicode_get(text + n, bytes - n, &len) == c; most--) n += len;
    return n;
}

static int64_t run_behind(const char *text, int64_t bytes, int32_t c, int64_t most) {
    char one[4];
    const int len = unicode_put(c, one);
    int64_t n = bytes;
    for (; most > 0 && n >= len && memcmp(text + n - len, one, (size_t)len) == 0; most--) n -= len;
    return bytes - n;
}

/* WordPiece's clean-up of English. */
static err_t clean_up(const char *text, int64_t bytes, struct tok_buffer *to) {
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
                                           {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    struct tok_buffer from = {0}, out = {0};
    err_t err;
    TRY_OR(tok_buffer_add(&from, text, bytes), done);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const size_t n = strlen(pairs[i][0]);
        out.bytes = 0;
        for (int64_t at = 0; at < from.bytes;) {
            const bool here = begins(from.text + at, from.bytes - at, pairs[i][0], (int64_t)n);
            TRY_OR(here ? tok_buffer_add(&out, pairs[i][1], (int64_t)strlen(pairs[i][1])) : tok_buffer_add(&out, from.text + at, 1), done);
            at += here ? (int64_t)n : 1;
        }
        const struct tok_buffer swap = from;
        from = out;
        out = swap;
    }
    err = tok_buffer_add(to, from.text, from.bytes);
done:
    free(from.text);
    free(out.text);
    return err;
}

/* One token of a step that looks at each by itself; first and last: of the list. */
static err_t one_token(struct tok_scratch *s, const struct dec_step *d, bool first, bool last, const char *text, int64_t bytes,
                       struct tok_buffer *to) {
    const struct tokenizer *t = s->t;
    const char *find = t->pool.text + d->find.at;
    switch (d->kind) {
    case DEC_REPLACE: return replace(s, d, text, bytes, to);
    case DEC_STRIP: {
        const int64_t front = run_of(text, bytes, d->c, d->start), back = run_behind(text, bytes, d->c, d->stop);
        return front + back >= bytes ? OK : tok_buffer_add(to, text + front, bytes - front - back);
    }
    case DEC_META:
        for (int64_t i = 0; i < bytes;) {
            int len;
            if (unicode_get(text + i, bytes - i, &len) != d->c) TRY(tok_buffer_add(to, text + i, len));
            else if (!first || d->keep_first) TRY(tok_buffer_add(to, " ", 1));
            i += len;
        }
        return OK;
    case DEC_WORDPIECE: {
        const int64_t start = to->bytes;
        const bool inside = !first && begins(text, bytes, find, d->find.bytes);
        if (!first && !inside) TRY(tok_buffer_add(to, " ", 1));
        TRY(tok_buffer_add(to, text + (inside ? d->find.bytes : 0), bytes - (inside ? d->find.bytes : 0)));
        if (!d->cleanup) return OK;
        const int64_t end = to->bytes;
        char *copy = malloc((size_t)(end - start) + 1);
        if (!copy) return FAIL(ERR_NOMEM, "no memory for a token of %lld bytes; free some", (long long)(end - start));
        memcpy(copy, to->text + start, (size_t)(end - start));
        to->bytes = start;
        err_t err = clean_up(copy, end - start, to);
        free(copy);
        return err;
    }
    case DEC_SUFFIX:
        for (int64_t i = 0; i < bytes;) {
            const bool here = d->find.bytes && begins(text + i, bytes - i, find, d->find.bytes);
            if (here && !last) TRY(tok_buffer_add(to, " ", 1));
            if (!here) TRY(tok_buffer_add(to, text + i, 1));
            i += here ? d->find.bytes : 1;
        }
        return OK;
    default: return FAIL(ERR_BUG, "decoder step %d does not look at single tokens", (int)d->kind);
    }
}

/* ---- lists of tokens ---- */

struct list {
    struct tok_buffer text;
    int64_t *ends; /* where each token ends in text */
    int64_t count, room;
};

static err_t end_token(struct list *l) {
    TRY(tok_grow((void **)&l->ends, &l->room, l->count + 1, sizeof *l->ends));
    l->ends[l->count++] = l->text.bytes;
    return OK;
}

static void list_free(struct list *l) {
    free(l->text.text);
    free(l->ends);
}

/* What a run of byte tokens stands for: their text, or as many U+FFFD where it is none. */
static err_t end_bytes(struct tok_buffer *run, struct list *out) {
    const bool valid = utf8_valid(run->text, run->bytes) == run->bytes;
    for (int64_t i = 0; i < run->bytes && !valid; i++) {
        TRY(tok_buffer_add(&out->text, REPLACEMENT, 3));
        TRY(end_token(out));
    }
    if (run->bytes && valid) {
        TRY(tok_buffer_add(&out->text, run->text, run->bytes));
        TRY(end_token(out));
    }
    run->bytes = 0;
    return OK;
}

/* Replace what is not UTF-8, in place. */
static err_t make_valid(struct tok_buffer *b) {
    if (b->bytes == 0) return OK;
    const int64_t bytes = b->bytes, room = utf8_replaced_bytes(b->text, bytes);
    if (room == bytes && utf8_valid(b->text, bytes) == bytes) return OK;
    TRY(tok_grow((void **)&b->text, &b->room, room, 1));
    memmove(b->text + (room - bytes), b->text, (size_t)bytes);
    utf8_replace(b->text, room, bytes);
    b->bytes = room;
    return OK;
}

static err_t apply(struct tok_scratch *s, const struct dec_step *d, const struct list *in, struct tok_buffer *run, struct list *out) {
    out->text.bytes = out->count = run->bytes = 0;
    for (int64_t i = 0; i < in->count; i++) {
        const int64_t start = i ? in->ends[i - 1] : 0, bytes = in->ends[i] - start;
        const char *text = in->text.text ? in->text.text + start : "";
        if (d->kind == DEC_FUSE) {
            TRY(tok_buffer_add(&out->text, text, bytes));
        } else if (d->kind == DEC_BYTES) {
            TRY(tok_grow((void **)&out->text.text, &out->text.room, out->text.bytes + bytes, 1));
            const int64_t n = byte_chars_decode(&s->t->chars, text, bytes, out->text.text + out->text.bytes);
            if (n < 0) TRY(tok_buffer_add(&out->text, text, bytes)); /* has characters that stand for no byte: its own text */
            else out->text.bytes += n;
        } else if (d->kind == DEC_BYTE_FALLBACK) {
            const int byte = byte_of(text, bytes);
            const char one = (char)byte;
            if (byte >= 0) {
                TRY(tok_buffer_add(run, &one, 1));
                continue;
            }
            TRY(end_bytes(run, out));
            TRY(tok_buffer_add(&out->text, text, bytes));
            TRY(end_token(out));
        } else {
            TRY(one_token(s, d, i == 0, i + 1 == in->count, text, bytes, &out->text));
            TRY(end_token(out));
        }
    }
    if (d->kind == DEC_BYTE_FALLBACK) return end_bytes(run, out);
    if (d->kind == DEC_BYTES) TRY(make_valid(&out->text));
    return d->kind == DEC_FUSE || d->kind == DEC_BYTES ? end_token(out) : OK;
}

/* What a decoder's regular expressions need. */
static err_t matcher_init(const struct tokenizer *t, struct tok_scratch *s) {
    *s = (struct tok_scratch){.t = t, .match = pcre2_match_data_create(1, NULL), .context = pcre2_match_context_create(NULL)};
    if (s->match && s->context) return OK;
    tok_scratch_fini(s);
    return FAIL(ERR_NOMEM, "no memory to decode with a tokenizer; free some");
}

static err_t decode_chain(struct tok_scratch *s, const int32_t *ids, int64_t count, struct tok_buffer *to) {
    const struct tokenizer *t = s->t;
    struct list a = {0}, b = {0};
    struct tok_buffer run = {0};
    err_t err = OK;
    for (int64_t i = 0; i < count; i++) {
        const struct tok_str token = t->shown[ids[i]];
        TRY_OR(tok_buffer_add(&a.text, t->pool.text + token.at, token.bytes), done);
        TRY_OR(end_token(&a), done);
    }
    for (int i = 0; i < t->dec_count; i++) {
        TRY_OR(apply(s, &t->decs[i], &a, &run, &b), done);
        const struct list swap = a;
        a = b;
        b = swap;
    }
    err = tok_buffer_add(to, a.text.text, a.text.bytes);
done:
    list_free(&a);
    list_free(&b);
    free(run.text);
    return err;
}

static err_t check_id(const struct tokenizer *t, int32_t id) {
    if (id >= 0 && id < t->vocab && t->raw[id].bytes >= 0) return OK;
    return FAIL(ERR_FAILED, "id %d is not in the tokenizer, whose ids are below %lld; check that the ids are this tokenizer's", (int)id,
                (long long)t->vocab);
}

err_t tokenizer_bytes(const struct tokenizer *t, int32_t id, const char **text, int64_t *bytes) {
    TRY(check_id(t, id));
    *text = t->pool.text + t->raw[id].at;
    *bytes = t->raw[id].bytes;
    return OK;
}

static err_t decode_raw(const struct tokenizer *t, const int32_t *ids, int64_t count, struct tok_buffer *to) {
    for (int64_t i = 0; i < count; i++) {
        const struct tok_str raw = t->raw[ids[i]];
        if (t->spaced && i > 0) TRY(tok_buffer_add(to, " ", 1));
        TRY(tok_buffer_add(to, t->pool.text + raw.at, raw.bytes));
    }
    return make_valid(to);
}

err_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, char **text, int64_t *bytes) {
    struct tok_buffer out = {0};
    struct tok_scratch s = {0};
    err_t err = OK;
    for (int64_t i = 0; i < count; i++) TRY(check_id(t, ids[i]));
    if (is_plain_bytes(t)) {
        err = decode_raw(t, ids, count, &out);
    } else {
        TRY(matcher_init(t, &s));
        err = decode_chain(&s, ids, count, &out);
        tok_scratch_fini(&s);
    }
    if (err == OK) err = tok_buffer_add(&out, "", 1);
    if (err != OK) {
        free(out.text);
        return err;
    }
    *text = out.text;
    *bytes = out.bytes - 1;
    return OK;
}

/* ---- one by one ---- */

static bool decoder_streams(const struct tokenizer *t) {
    enum { TOKENS, BEHIND_BYTES, FUSED, STRIPPED } now = TOKENS;
    if (is_plain_bytes(t)) return true;
    for (int i = 0; i < t->dec_count; i++) {
        const struct dec_step *d = &t->decs[i];
        if (d->kind == DEC_FUSE && now < FUSED) now = FUSED;
        else if (d->kind == DEC_BYTE_FALLBACK && now == TOKENS) now = BEHIND_BYTES;
        else if (d->kind == DEC_STRIP && d->stop == 0 && now == FUSED) now = STRIPPED;
        else if (now > BEHIND_BYTES ||
                 (d->kind != DEC_REPLACE && d->kind != DEC_STRIP && (now != TOKENS || (d->kind != DEC_META && d->kind != DEC_WORDPIECE))))
            return false; /* meta and wordpiece ask which token is the first */
    }
    return true;
}

struct tok_stream {
    struct tok_scratch s;
    struct tok_buffer text;    /* so far */
    struct tok_buffer run;     /* bytes whose tokens are not over */
    struct tok_buffer hold[2]; /* a token on its way through the steps */
    struct tok_ids ids;        /* where the decoder does not stream */
    int64_t tokens, to_strip;
    bool ended;
};

err_t tok_stream_new(const struct tokenizer *t, struct tok_stream **out) {
    struct tok_stream *x = calloc(1, sizeof *x);
    if (!x) return FAIL(ERR_NOMEM, "no memory to decode with a tokenizer; free some");
    err_t err = matcher_init(t, &x->s);
    if (err != OK) {
        free(x);
        return err;
    }
    for (int i = 0; i < t->dec_count; i++)
        if (t->decs[i].kind == DEC_STRIP) x->to_strip = t->decs[i].start; /* the one behind Fuse is the last */
    *out = x;
    return OK;
}

void tok_stream_free(struct tok_stream *x) {
    if (!x) return;
    tok_scratch_fini(&x->s);
    free(x->text.text);
    free(x->run.text);
    free(x->hold[0].text);
    free(x->hold[1].text);
    free(x->ids.ids);
    free(x);
}

/* A token, text, through the steps from `step` on and behind the text so far. */
static err_t stream_token(struct tok_stream *x, int step, const char *text, int64_t bytes);

static err_t stream_run(struct tok_stream *x, int step) {
    struct list out = {0};
    err_t err = end_bytes(&x->run, &out);
    for (int64_t i = 0, start = 0; err == OK && i < out.count; start = out.ends[i++])
        err = stream_token(x, step, out.text.text + start, out.ends[i] - start);
    list_free(&out);
    return err;
}

static err_t stream_token(struct tok_stream *x, int step, const char *text, int64_t bytes) { // NOLINT(misc-no-recursion): once, over a run of bytes
    const struct tokenizer *t = x->s.t;
    bool fused = false;
    for (int i = step; i < t->dec_count; i++) {
        const struct dec_step *d = &t->decs[i];
        if (d->kind == DEC_BYTE_FALLBACK) {
            const int byte = byte_of(text, bytes);
            const char one = (char)byte;
            if (byte >= 0) return tok_buffer_add(&x->run, &one, 1);
            /* what is in hand stays where it is: the steps behind write to the other buffer */
            struct tok_buffer kept = {0};
            TRY(tok_buffer_add(&kept, text, bytes));
            err_t err = stream_run(x, i + 1);
            if (err == OK) err = stream_token(x, i + 1, kept.text ? kept.text : "", bytes);
            free(kept.text);
            return err;
        }
        if (d->kind == DEC_FUSE) {
            fused = true;
        } else if (fused) {
            const int64_t front = x->text.bytes ? 0 : run_of(text, bytes, d->c, x->to_strip);
            x->to_strip -= front / (d->c < 0x80 ? 1 : d->c < 0x800 ? 2 : d->c < 0x10000 ? 3 : 4);
            text += front;
            bytes -= front;
            if (bytes) x->to_strip = 0;
        } else {
            struct tok_buffer *to = text == x->hold[0].text ? &x->hold[1] : &x->hold[0];
            to->bytes = 0;
            TRY(one_token(&x->s, d, x->tokens == 0, false, text, bytes, to));
            text = to->text ? to->text : "";
            bytes = to->bytes;
        }
    }
    return tok_buffer_add(&x->text, text, bytes);
}

err_t tok_stream_push(struct tok_stream *x, int32_t id) {
    const struct tokenizer *t = x->s.t;
    if (id < 0 || id >= t->vocab || t->raw[id].bytes < 0) return OK;
    err_t err;
    if (is_plain_bytes(t)) {
        err = t->spaced && x->tokens ? tok_buffer_add(&x->text, " ", 1) : OK;
        if (err == OK) err = tok_buffer_add(&x->text, t->pool.text + t->raw[id].at, t->raw[id].bytes);
    } else if (t->streams) {
        err = stream_token(x, 0, t->pool.text + t->shown[id].at, t->shown[id].bytes);
    } else {
        x->text.bytes = 0;
        TRY(tok_ids_push(&x->ids, id));
        err = decode_chain(&x->s, x->ids.ids, x->ids.count, &x->text);
    }
    x->tokens++;
    return err;
}

err_t tok_stream_end(struct tok_stream *x) {
    x->ended = true;
    for (int i = 0; i < x->s.t->dec_count; i++)
        if (x->s.t->decs[i].kind == DEC_BYTE_FALLBACK && x->s.t->streams) return stream_run(x, i + 1);
    return OK;
}

const char *tok_stream_text(const struct tok_stream *x, int64_t *bytes, int64_t *sure) {
    *bytes = x->text.bytes;
    *sure = x->s.t->streams || x->ended ? x->text.bytes : 0;
    return x->text.text;
}

/* ---- what each id decodes to inside a text ---- */

static err_t raw_of(struct tok_scratch *s, int32_t id, struct tok_buffer hold[2]) {
    struct tokenizer *t = (struct tokenizer *)s->t;
    const struct tok_str token = t->shown[id];
    struct tok_buffer *last = &hold[0];
    last->bytes = 0;
    if (is_plain_bytes(t)) {
        TRY(tok_grow((void **)&last->text, &last->room, token.bytes, 1));
        last->bytes = t->spaced ? -1 : byte_chars_decode(&t->chars, t->pool.text + token.at, token.bytes, last->text);
        if (last->bytes >= 0) return tok_pool_add(&t->pool, last->text, last->bytes, &t->raw[id]);
        t->raw[id] = token;
        return OK;
    }
    if (!t->streams) {
        TRY(decode_chain(s, &id, 1, last));
        return tok_pool_add(&t->pool, last->text ? last->text : "", last->bytes, &t->raw[id]);
    }
    TRY(tok_buffer_add(last, t->pool.text + token.at, token.bytes));
    for (int i = 0; i < t->dec_count && t->decs[i].kind != DEC_FUSE; i++) {
        const int byte = t->decs[i].kind == DEC_BYTE_FALLBACK ? byte_of(last->text, last->bytes) : -1;
        if (byte >= 0) {
            last->bytes = 1;
            last->text[0] = (char)byte;
            break;
        }
        if (t->decs[i].kind == DEC_BYTE_FALLBACK) continue;
        struct tok_buffer *to = last == &hold[0] ? &hold[1] : &hold[0];
        to->bytes = 0;
        TRY(one_token(s, &t->decs[i], false, false, last->text ? last->text : "", last->bytes, to));
        last = to;
    }
    return tok_pool_add(&t->pool, last->text ? last->text : "", last->bytes, &t->raw[id]);
}

err_t decoder_index(struct tokenizer *t) {
    struct tok_scratch s;
    struct tok_buffer hold[2] = {{0}};
    t->streams = decoder_streams(t);
    TRY(matcher_init(t, &s));
    err_t err = OK;
    for (int32_t id = 0; id < t->vocab && err == OK; id++)
        if (t->shown[id].bytes >= 0) err = raw_of(&s, id, hold);
    free(hold[0].text);
    free(hold[1].text);
    tok_scratch_fini(&s);
    return err;
}
