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

/* Text up to the next stage: cut out the tokens of the trie; the second stage normalises first. */
static err_t cut(struct tok_scratch *s, bool second, const char *text, int64_t bytes);
static err_t between(struct tok_scratch *s, bool second, const char *text, int64_t bytes) {
    if (bytes == 0) return OK;
    if (second) return tok_split(s, 0, text, bytes);
    if (s->t->nfc) TRY(nfc_text(&s->nfc, text, bytes, &text, &bytes));
    return cut(s, true, text, bytes);
}

static err_t cut(struct tok_scratch *s, bool second, const char *text, int64_t bytes) {
    const struct tokenizer *t = s->t;
    const struct trie *trie = second ? &t->normalized : &t->plain;
    if (trie->count == 0) return between(s, second, text, bytes);
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
        if (t->added[a].lstrip)
            while (start > done && unicode_is_space(char_before(text, start, &len))) start -= len;
        if (t->added[a].rstrip)
            while (stop < bytes && unicode_is_space(unicode_get(text + stop, bytes - stop, &len))) stop += len;
        if (start > done) TRY(between(s, second, text + done, start - done));
        if (s->out) TRY(tok_ids_push(s->out, t->added[a].id));
        done = stop;
    }
    return between(s, second, text + done, bytes - done);
}

err_t tok_walk(struct tok_scratch *s, const char *text, int64_t bytes) { return cut(s, false, text, bytes); }

/* Pieces of a split on their way to the next step: what is pending may still be joined with what follows. */
struct pieces {
    struct tok_scratch *s;
    const char *text;
    int step;
    enum split_behavior behavior;
    int64_t start, end; /* pending; start -1: nothing is */
    bool match;         /* the last piece was one */
};

static err_t flush(struct pieces *p) {
    int64_t start = p->start;
    p->start = -1;
    return start < 0 || start == p->end ? OK : tok_split(p->s, p->step + 1, p->text + start, p->end - start);
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
                    "the pre-tokenizer's regular expression gives up: %s; at byte %lld of a piece of %lld bytes; cut the text there or use another "
                    "tokenizer",
                    why, (long long)from, (long long)bytes);
    }
    const size_t *v = pcre2_get_ovector_pointer(s->match);
    *start = (int64_t)v[0];
    *end = (int64_t)v[1];
    return OK;
}

static err_t split(struct tok_scratch *s, int step, const char *text, int64_t bytes) {
    const struct tok_step *k = &s->t->steps[step];
    struct pieces p = {.s = s, .text = text, .step = step, .behavior = k->behavior, .start = -1};
    int64_t done = 0, from = 0, last_end = -1;
    while (from <= bytes) {
        int64_t start, end;
        TRY(find(s, k->regex, text, bytes, from, &start, &end));
        if (start < 0) break;
        if (start == end && end == last_end) { /* an empty match right behind the last does not count; one character on */
            int len = 1;
            if (from < bytes) (void)unicode_get(text + from, bytes - from, &len);
            from += len;
            continue;
        }
        from = last_end = end;
        if (done != start) TRY(piece(&p, done, start, k->invert));
        TRY(piece(&p, start, end, !k->invert));
        done = end;
    }
    if (done != bytes) TRY(piece(&p, done, bytes, k->invert));
    return flush(&p);
}

/* The characters of a word back to its bytes. */
static err_t word_of_chars(struct tok_scratch *s, const char *text, int64_t bytes) {
    char *to = s->step[TOK_STEPS - 1].text;
    TRY(tok_grow((void **)&to, &s->step[TOK_STEPS - 1].room, bytes, 1));
    s->step[TOK_STEPS - 1].text = to;
    int64_t n = byte_chars_decode(&s->t->chars, text, bytes, to);
    ENSURE(n >= 0);
    return word_done(s, to, n);
}

err_t tok_split(struct tok_scratch *s, int step, const char *text, int64_t bytes) {
    const struct tokenizer *t = s->t;
    if (step == t->step_count) return t->bytes_in_steps ? word_of_chars(s, text, bytes) : word_done(s, text, bytes);
    enum step_kind kind = t->steps[step].kind;
    if (kind == STEP_SPLIT) return split(s, step, text, bytes);
    if (kind == STEP_PREFIX && text[0] == ' ') return tok_split(s, step + 1, text, bytes);
    char *to = s->step[step].text;
    int64_t n = 0;
    err_t err = tok_grow((void **)&to, &s->step[step].room, 2 * bytes + 1, 1);
    s->step[step].text = to;
    TRY(err);
    if (kind == STEP_PREFIX) {
        to[0] = ' ';
        memcpy(to + 1, text, (size_t)bytes);
        n = bytes + 1;
    } else {
        for (int64_t i = 0; i < bytes; i++) n += byte_char_put(&t->chars, (unsigned char)text[i], to + n);
    }
    return tok_split(s, step + 1, to, n);
}
