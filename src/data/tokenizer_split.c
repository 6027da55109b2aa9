/* From a text to words and added tokens: the order of Hugging Face's `tokenizers`. Added tokens that are not normalised are
 * cut out of the text; what is between them is normalised, the others are cut out, and what is left goes through the
 * steps of the pre-tokenizer, each piece of a step on its own through the next. */
#include "data/tokenizer_int.h"

#include <string.h>

err_t trie_add(struct trie *t, const char *text, int64_t bytes, int32_t added) {
    if (t->count == 0) {
        TRY(tok_grow((void **)&t->nodes, &t->room, 1, sizeof *t->nodes));
        t->nodes[t->count++] = (struct trie_node){.added = -1}; /* node 0 is no node */
    }
    int32_t at = 0;
    for (int64_t i = 0; i < bytes; i++) {
        unsigned char b = (unsigned char)text[i];
        int32_t n = i == 0 ? t->root[b] : t->nodes[at].child;
        while (n && t->nodes[n].byte != b) n = t->nodes[n].sibling;
        if (!n) {
            TRY(tok_grow((void **)&t->nodes, &t->room, t->count + 1, sizeof *t->nodes));
            n = (int32_t)t->count++;
            t->nodes[n] = (struct trie_node){.byte = b, .added = -1, .sibling = i == 0 ? 0 : t->nodes[at].child};
            if (i == 0) t->root[b] = n;
            else t->nodes[at].child = n;
        }
        at = n;
    }
    if (t->nodes[at].added >= 0) return FAIL(ERR_FORMAT, "\"%.*s\" is there twice once normalised; remove one", bytes > 60 ? 60 : (int)bytes, text);
    t->nodes[at].added = added;
    return OK;
}

int32_t trie_longest(const struct trie *t, const char *text, int64_t bytes, int64_t *matched) {
    int32_t found = -1, n = bytes > 0 ? t->root[(unsigned char)text[0]] : 0;
    for (int64_t i = 0; n;) {
        if (t->nodes[n].added >= 0) {
            found = t->nodes[n].added;
            *matched = i + 1;
        }
        if (++i >= bytes) break;
        n = t->nodes[n].child;
        while (n && t->nodes[n].byte != (unsigned char)text[i]) n = t->nodes[n].sibling;
    }
    return found;
}

/* The character that ends before text[end]. */
static int32_t char_before(const char *text, int64_t end, int *length) {
    int64_t i = end - 1;
    while (i > 0 && ((unsigned char)text[i] & 0xc0) == 0x80) i--;
    return unicode_get(text + i, end - i, length);
}

static err_t word_done(struct tok_scratch *s, const char *word, int64_t bytes) {
    return s->count_word ? s->count_word(s->count_ctx, word, bytes) : bpe_word(s, word, bytes);
}

static struct tok_piece part(struct tok_piece p, int64_t start, int64_t end) {
    int64_t origin = p.origin > start ? p.origin - start : 0;
    if (origin > end - start) origin = end - start;
    return (struct tok_piece){p.text + start, end - start, origin};
}

/* Text up to the next stage: cut out the tokens of the trie; the second stage normalises first. */
static err_t cut(struct tok_scratch *s, bool second, struct tok_piece p);
static err_t between(struct tok_scratch *s, bool second, struct tok_piece p) {
    if (p.bytes == 0) return OK;
    if (second) return tok_split(s, 0, p);
    TRY(tok_normalize(s, p, &p));
    return cut(s, true, p);
}

static err_t cut(struct tok_scratch *s, bool second, struct tok_piece p) {
    const struct tokenizer *t = s->t;
    const struct trie *trie = second ? &t->normalized : &t->plain;
    if (trie->count == 0) return between(s, second, p);
    const char *text = p.text;
    const int64_t bytes = p.bytes;
    int64_t done = 0; /* what is before it has gone on */
    for (int64_t i = 0; i < bytes;) {
        int64_t matched = 0;
        int32_t a = trie->root[(unsigned char)text[i]] ? trie_longest(trie, text + i, bytes - i, &matched) : -1;
        if (a < 0) {
            i++;
            continue;
        }
        int64_t start = i, stop = i + matched;
        i = stop; /* also where the token turns out not to count, as in Hugging Face's search */
        int len;
        if (t->added[a].single_word && ((start > 0 && unicode_is_word(char_before(text, start, &len))) ||
                                        (stop < bytes && unicode_is_word(unicode_get(text + stop, bytes - stop, &len)))))
            continue;
        if (t->added[a].lstrip) {
            while (start > done && unicode_is_space(char_before(text, start, &len))) start -= len;
            if (start < done) start = done; /* the token before has taken the space already, */
        }
        if (t->added[a].rstrip)
            while (stop < bytes && unicode_is_space(unicode_get(text + stop, bytes - stop, &len))) stop += len;
        if (start >= stop) continue; /* perhaps all of this one */
        if (start > done) TRY(between(s, second, part(p, done, start)));
        if (s->out) TRY(tok_ids_push(s->out, t->added[a].id));
        done = stop;
    }
    return between(s, second, part(p, done, bytes));
}

err_t tok_walk(struct tok_scratch *s, const char *text, int64_t bytes) {
    int first = 0;
    if (bytes > 0) (void)unicode_get(text, bytes, &first);
    return cut(s, false, (struct tok_piece){text, bytes, first});
}

/* Pieces of a split on their way to the next step: what is pending may still be joined with what follows. */
struct pieces {
    struct tok_scratch *s;
    struct tok_piece all;
    int step;
    enum split_behavior behavior;
    int64_t start, end; /* pending; start -1: nothing is */
    bool match;         /* the last piece was one */
};

static err_t flush(struct pieces *p) {
    int64_t start = p->start;
    p->start = -1;
    return start < 0 || start == p->end ? OK : tok_split(p->s, p->step + 1, part(p->all, start, p->end));
}

static err_t piece(struct pieces *p, int64_t start, int64_t end, bool match) {
    bool join = false;
    switch (p->behavior) {
    case SPLIT_REMOVED:
        if (match) return OK;
        break;
    case SPLIT_ISOLATED: break;
    case SPLIT_CONTIGUOUS: join = match == p->match; break;
    case SPLIT_MERGED_WITH_PREVIOUS: join = match && !p->match; break;
    case SPLIT_MERGED_WITH_NEXT: join = !match && p->match; break;
    }
    p->match = match;
    if (join && p->start >= 0) {
        p->end = end;
        return OK;
    }
    TRY(flush(p));
    p->start = start;
    p->end = end;
    return OK;
}

/* The next match at or after `from`; *start is -1 where there is none. */
static err_t find(struct tok_scratch *s, const pcre2_code *re, const char *text, int64_t bytes, int64_t from, int64_t *start, int64_t *end) {
    /* Backtracking over a long run of spaces is honest work; what grows faster than the text is not. */
    (void)pcre2_set_match_limit(s->context, (uint32_t)(10000000 + (bytes < 100000000 ? 30 * bytes : 3000000000)));
    int rc = pcre2_match(re, (PCRE2_SPTR)text, (size_t)bytes, (size_t)from, PCRE2_NO_UTF_CHECK, s->match, s->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(re, (PCRE2_SPTR)text, (size_t)bytes, (size_t)from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, s->context);
    *start = -1;
    if (rc == PCRE2_ERROR_NOMATCH) return OK;
    if (rc < 0) {
        char why[128] = "";
        (void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        return FAIL(rc == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_FAILED,
                    "the tokenizer's regular expression gives up: %s; at byte %lld of a piece of %lld bytes; cut the text there or use another "
                    "tokenizer",
                    why, (long long)from, (long long)bytes);
    }
    const size_t *v = pcre2_get_ovector_pointer(s->match);
    *start = (int64_t)v[0];
    *end = (int64_t)v[1];
    return OK;
}

err_t tok_match_next(struct tok_scratch *s, const pcre2_code *regex, struct tok_str text_sought, const char *text, int64_t bytes,
                     struct tok_match *m) {
    if (!regex) {
        const char *sought = s->t->pool.text + text_sought.at;
        const char *p = m->from < bytes ? memmem(text + m->from, (size_t)(bytes - m->from), sought, (size_t)text_sought.bytes) : NULL;
        m->start = p ? p - text : -1;
        m->from = m->end = p ? m->start + text_sought.bytes : bytes;
        return OK;
    }
    while (m->from <= bytes) {
        TRY(find(s, regex, text, bytes, m->from, &m->start, &m->end));
        if (m->start < 0) return OK;
        if (m->start == m->end && m->end == m->last_end) { /* an empty match right behind the last does not count; one character on */
            int len = 1;
            if (m->from < bytes) (void)unicode_get(text + m->from, bytes - m->from, &len);
            m->from += len;
            continue;
        }
        m->from = m->last_end = m->end;
        return OK;
    }
    m->start = -1;
    return OK;
}

static err_t split(struct tok_scratch *s, int step, struct tok_piece all) {
    const struct tok_step *k = &s->t->steps[step];
    struct pieces p = {.s = s, .all = all, .step = step, .behavior = k->behavior, .start = -1};
    struct tok_match m = {.last_end = -1};
    int64_t done = 0;
    for (;;) {
        TRY(tok_match_next(s, k->regex, (struct tok_str){0}, all.text, all.bytes, &m));
        if (m.start < 0) break;
        if (done != m.start) TRY(piece(&p, done, m.start, k->invert));
        TRY(piece(&p, m.start, m.end, !k->invert));
        done = m.end;
    }
    if (done != all.bytes) TRY(piece(&p, done, all.bytes, k->invert));
    return flush(&p);
}

/* At every character of a kind: each is a match by itself. */
static err_t split_chars(struct tok_scratch *s, int step, struct tok_piece all) {
    const struct tok_step *k = &s->t->steps[step];
    struct pieces p = {.s = s, .all = all, .step = step, .behavior = k->behavior, .start = -1};
    int64_t done = 0;
    for (int64_t i = 0; i < all.bytes;) {
        int len;
        const int32_t c = unicode_get(all.text + i, all.bytes - i, &len);
        if (k->is ? k->is(c) : c == k->c) {
            if (done != i) TRY(piece(&p, done, i, false));
            TRY(piece(&p, i, i + len, true));
            done = i + len;
        }
        i += len;
    }
    if (done != all.bytes) TRY(piece(&p, done, all.bytes, false));
    return flush(&p);
}

/* Runs of \w, and runs of what is neither that nor white space. */
static err_t split_words(struct tok_scratch *s, int step, struct tok_piece all) {
    int before = 0; /* 0 white space, 1 \w, 2 other */
    int64_t start = 0;
    for (int64_t i = 0; i < all.bytes;) {
        int len;
        const int32_t c = unicode_get(all.text + i, all.bytes - i, &len);
        const int now = unicode_is_space(c) ? 0 : unicode_is_word(c) ? 1 : 2;
        if (now != before) {
            if (before) TRY(tok_split(s, step + 1, part(all, start, i)));
            start = i;
            before = now;
        }
        i += len;
    }
    return before ? tok_split(s, step + 1, part(all, start, all.bytes)) : OK;
}

static err_t split_length(struct tok_scratch *s, int step, struct tok_piece all) {
    int64_t start = 0, count = 0;
    for (int64_t i = 0; i < all.bytes;) {
        int len;
        (void)unicode_get(all.text + i, all.bytes - i, &len);
        i += len;
        if (++count < s->t->steps[step].length && i < all.bytes) continue;
        TRY(tok_split(s, step + 1, part(all, start, i)));
        start = i;
        count = 0;
    }
    return OK;
}

/* The piece with something in front, where PREFIX and META want it there; META also writes `c` for every space. */
static err_t rewrite(struct tok_scratch *s, int step, struct tok_piece in) {
    const struct tokenizer *t = s->t;
    const struct tok_step *k = &t->steps[step];
    struct tok_buffer *to = &s->step[step];
    int64_t origin = 0;
    int len = 1;
    char mark[4] = " ";
    to->bytes = 0;
    if (k->kind == STEP_BYTES) {
        TRY(tok_grow((void **)&to->text, &to->room, 2 * in.bytes, 1));
        for (int64_t i = 0; i < in.bytes; i++) {
            to->bytes += byte_char_put(&t->chars, (unsigned char)in.text[i], to->text + to->bytes);
            if (i < in.origin) origin = to->bytes;
        }
        return tok_split(s, step + 1, (struct tok_piece){to->text, to->bytes, origin});
    }
    bool there = in.text[0] == ' ', wanted = k->kind == STEP_PREFIX || k->prepend == META_ALWAYS || (k->prepend == META_FIRST && in.origin > 0);
    if (k->kind == STEP_META) {
        int first;
        len = unicode_put(k->c, mark);
        there = there || unicode_get(in.text, in.bytes, &first) == k->c;
    }
    if (wanted && !there) {
        TRY(tok_buffer_add(to, mark, len));
        if (in.origin) origin = len;
    }
    if (k->kind == STEP_PREFIX) {
        TRY(tok_buffer_add(to, in.text, in.bytes));
        origin += in.origin;
        return tok_split(s, step + 1, (struct tok_piece){to->text, to->bytes, origin});
    }
    TRY(tok_grow((void **)&to->text, &to->room, to->bytes + 4 * in.bytes, 1));
    for (int64_t i = 0; i < in.bytes; i++) {
        if (in.text[i] == ' ') {
            memcpy(to->text + to->bytes, mark, (size_t)len);
            to->bytes += len;
        } else {
            to->text[to->bytes++] = in.text[i];
        }
        if (i < in.origin) origin = to->bytes;
    }
    return tok_split(s, step + 1, (struct tok_piece){to->text, to->bytes, origin});
}

err_t tok_split(struct tok_scratch *s, int step, struct tok_piece p) {
    const struct tokenizer *t = s->t;
    if (step == t->step_count) return word_done(s, p.text, p.bytes);
    switch (t->steps[step].kind) {
    case STEP_SPLIT: return split(s, step, p);
    case STEP_CHARS: return split_chars(s, step, p);
    case STEP_WORDS: return split_words(s, step, p);
    case STEP_LENGTH: return split_length(s, step, p);
    case STEP_PREFIX:
        if (p.text[0] == ' ') return tok_split(s, step + 1, p);
        break;
    case STEP_META:
    case STEP_BYTES: break;
    }
    return rewrite(s, step, p);
}
