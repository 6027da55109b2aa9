/* The normalizer: a list of steps, each from one buffer of the scratch into the other. `origin` goes along with the text: how many of its first
 * bytes come from the first character of the text that is encoded, by the rules that Hugging Face's tokenizers align with. */
#include "data/tokenizer_int.h"

#include <string.h>

err_t tok_buffer_add(struct tok_buffer *b, const char *text, int64_t bytes) {
    TRY(tok_grow((void **)&b->text, &b->room, b->bytes + bytes, 1));
    if (text && bytes) memcpy(b->text + b->bytes, text, (size_t)bytes);
    b->bytes += bytes;
    return OK;
}

/* What Nmt makes of a character: 0 takes it out. (No NUL comes here: it stays.) */
static int32_t nmt(int32_t c) {
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) return 0;
    if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
        c == 0xfeff || c == 0xfffd)
        return ' ';
    return c;
}

/* Steps that look at one character at a time: `out` of at most 8 bytes for it, how many. */
static int one(const struct tokenizer *t, const struct norm_step *n, int32_t c, const char *text, int len, char out[8]) {
    int32_t lower[2];
    int bytes = 0;
    switch (n->kind) {
    case NORM_LOWERCASE:
        for (int i = 0, k = unicode_lower(c, lower); i < k; i++) bytes += unicode_put(lower[i], out + bytes);
        return bytes;
    case NORM_STRIP_ACCENTS: return unicode_is_mark(c) ? 0 : unicode_put(c, out);
    case NORM_NMT: return c && !nmt(c) ? 0 : unicode_put(nmt(c), out);
    default: /* NORM_BYTES */
        for (int i = 0; i < len; i++) bytes += byte_char_put(&t->chars, (unsigned char)text[i], out + bytes);
        return bytes;
    }
}

static err_t each_char(const struct tokenizer *t, const struct norm_step *n, struct tok_piece in, struct tok_buffer *to, int64_t *origin) {
    for (int64_t i = 0; i < in.bytes;) {
        int len;
        const int32_t c = unicode_get(in.text + i, in.bytes - i, &len);
        TRY(tok_grow((void **)&to->text, &to->room, to->bytes + 8, 1));
        to->bytes += one(t, n, c, in.text + i, len, to->text + to->bytes);
        i += len;
        if (i <= in.origin) *origin = to->bytes;
    }
    return OK;
}

static err_t replace(struct tok_scratch *s, const struct norm_step *n, struct tok_piece in, struct tok_buffer *to, int64_t *origin) {
    struct tok_match m = {.last_end = -1};
    const char *put = s->t->pool.text + n->put.at;
    int64_t done = 0;
    for (;;) {
        TRY(tok_match_next(s, n->regex, n->find, in.text, in.bytes, &m));
        const int64_t stop = m.start < 0 ? in.bytes : m.start;
        if (done < in.origin) *origin = to->bytes + (stop < in.origin ? stop : in.origin) - done;
        TRY(tok_buffer_add(to, in.text + done, stop - done));
        if (m.start < 0) return OK;
        TRY(tok_buffer_add(to, put, n->put.bytes));
        if (in.origin && m.end <= in.origin) *origin = to->bytes; /* what is put there lies where the match ends */
        done = m.end;
    }
}

static int64_t blank_front(struct tok_piece p) {
    int64_t n = 0;
    for (int len; n < p.bytes && unicode_is_space(unicode_get(p.text + n, p.bytes - n, &len)); n += len) continue;
    return n;
}

static int64_t blank_back(struct tok_piece p) {
    int64_t n = p.bytes;
    while (n > 0) {
        int len;
        int64_t at = n - 1;
        while (at > 0 && ((unsigned char)p.text[at] & 0xc0) == 0x80) at--;
        if (!unicode_is_space(unicode_get(p.text + at, n - at, &len))) break;
        n = at;
    }
    return p.bytes - n;
}

static void cut_front(struct tok_piece *p, int64_t bytes) {
    p->text += bytes;
    p->bytes -= bytes;
    p->origin = p->origin > bytes ? p->origin - bytes : 0;
}

/* *p becomes its normalised self in `to`, or stays where it is. */
static err_t step(struct tok_scratch *s, const struct norm_step *n, struct tok_piece *p, struct tok_buffer *to) {
    struct tok_piece in = *p;
    int64_t origin = 0;
    to->bytes = 0;
    switch (n->kind) {
    case NORM_STRIP:
        if (n->left) cut_front(p, blank_front(*p));
        if (n->right) p->bytes -= blank_back(*p);
        if (p->origin > p->bytes) p->origin = p->bytes;
        return OK;
    case NORM_FORM:
        if (form_is_plain(n, in.text, in.bytes)) return OK;
        TRY(form_text(&s->form, n, in, to, &origin));
        break;
    case NORM_PREPEND:
        if (in.bytes == 0) return OK;
        TRY(tok_buffer_add(to, s->t->pool.text + n->put.at, n->put.bytes));
        TRY(tok_buffer_add(to, in.text, in.bytes));
        if (in.origin) origin = n->put.bytes + in.origin;
        break;
    case NORM_REPLACE:
        if (in.bytes == 0) return OK;
        TRY(replace(s, n, in, to, &origin));
        break;
    case NORM_LOWERCASE:
    case NORM_STRIP_ACCENTS:
    case NORM_NMT:
    case NORM_BYTES: TRY(each_char(s->t, n, in, to, &origin)); break;
    }
    *p = (struct tok_piece){to->text, to->bytes, origin};
    return OK;
}

err_t tok_normalize(struct tok_scratch *s, struct tok_piece in, struct tok_piece *out) {
    int next = 0; /* the buffer that does not hold the piece */
    for (int i = 0; i < s->t->norm_count; i++) {
        TRY(step(s, &s->t->norms[i], &in, &s->norm[next]));
        const char *held = s->norm[next].text;
        if (held && in.text >= held && in.text < held + s->norm[next].room) next = 1 - next;
    }
    *out = in;
    return OK;
}
