/* Byte-pair merging: a linked list of symbols and a heap of the merges that can be done, O(n log n) in the length of a word. */
#include "data/tokenizer_int.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* By rank, then from left to right. */
static bool merge_before(struct bpe_merge a, struct bpe_merge b) { return a.rank != b.rank ? a.rank < b.rank : a.at < b.at; }

static err_t heap_push(struct tok_scratch *s, struct bpe_merge m) {
    TRY(tok_grow((void **)&s->heap, &s->heap_room, s->heap_count + 1, sizeof *s->heap));
    int64_t i = s->heap_count++;
    for (; i > 0 && merge_before(m, s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = m;
    return OK;
}

static struct bpe_merge heap_pop(struct tok_scratch *s) {
    struct bpe_merge *h = s->heap, top = h[0], last = h[--s->heap_count];
    int64_t i = 0;
    for (;;) {
        int64_t c = 2 * i + 1;
        if (c >= s->heap_count) break;
        if (c + 1 < s->heap_count && merge_before(h[c + 1], h[c])) c++;
        if (!merge_before(h[c], last)) break;
        h[i] = h[c];
        i = c;
    }
    h[i] = last;
    return top;
}

static err_t push_pair(struct tok_scratch *s, int32_t at) {
    int32_t next = s->symbols[at].next;
    if (next < 0) return OK;
    const struct tok_merge *m = tok_merges_find(&s->t->merges, s->symbols[at].id, s->symbols[next].id);
    return m ? heap_push(s, (struct bpe_merge){.rank = m->rank, .at = at, .id = m->id}) : OK;
}

static void add_symbol(struct tok_scratch *s, int32_t *n, int32_t id) {
    s->symbols[*n] = (struct bpe_symbol){.id = id, .prev = *n - 1, .next = *n + 1};
    ++*n;
}

/* The first symbols of a word of bytes: one each. A byte without a token is the unknown token where there is one (neighbours
 * fused if the file says so), else it is dropped and its neighbours meet: what Hugging Face does. */
static void byte_symbols(struct tok_scratch *s, const char *word, int64_t bytes, int32_t *n) {
    const struct tokenizer *t = s->t;
    bool unknown_before = false;
    for (int64_t i = 0; i < bytes; i++) {
        const int32_t id = t->byte_id[(unsigned char)word[i]];
        const bool unknown = id < 0;
        if (unknown && (t->unk < 0 || (unknown_before && t->fuse_unk))) continue;
        add_symbol(s, n, unknown ? t->unk : id);
        unknown_before = unknown;
    }
}

/* The token of one character, written with what its place in the word adds. */
static err_t char_token(struct tok_scratch *s, const char *text, int len, bool first, bool last, int32_t *id) {
    const struct tokenizer *t = s->t;
    if (!t->affixes) {
        const int32_t c = unicode_get(text, len, &len);
        *id = c < CHAR_IDS ? t->char_id[c] : tok_map_find(&t->map, &t->pool, t->tokens, text, len);
        return OK;
    }
    const struct tok_str before = first ? (struct tok_str){0} : t->prefix, after = last ? t->suffix : (struct tok_str){0};
    s->word.bytes = 0;
    TRY(tok_buffer_add(&s->word, t->pool.text + before.at, before.bytes));
    TRY(tok_buffer_add(&s->word, text, len));
    TRY(tok_buffer_add(&s->word, t->pool.text + after.at, after.bytes));
    *id = tok_map_find(&t->map, &t->pool, t->tokens, s->word.text, s->word.bytes);
    return OK;
}

/* The tokens that write the bytes of a character out; false if one of them is missing. The affixes are written out with it. */
static bool write_out(struct tok_scratch *s, const char *text, int64_t bytes, int32_t *n) {
    for (int64_t i = 0; i < bytes; i++)
        if (s->t->fallback[(unsigned char)text[i]] < 0) return false;
    for (int64_t i = 0; i < bytes; i++) add_symbol(s, n, s->t->fallback[(unsigned char)text[i]]);
    return true;
}

/* The first symbols of a word of text: one a character. What has no token is written out as bytes, else is the unknown token. That one waits
 * until a character with a token follows (or another unknown one that is not fused with it, or the end), so that written-out bytes
 * overtake it: the order of Hugging Face. */
static err_t char_symbols(struct tok_scratch *s, const char *word, int64_t bytes, int32_t *n) {
    const struct tokenizer *t = s->t;
    bool waiting = false;
    for (int64_t i = 0, next; i < bytes; i = next) {
        int len;
        int32_t id = -1;
        (void)unicode_get(word + i, bytes - i, &len);
        next = i + len;
        TRY(char_token(s, word + i, len, i == 0, next == bytes, &id));
        if (id >= 0) {
            if (waiting) add_symbol(s, n, t->unk);
            waiting = false;
            add_symbol(s, n, id);
            continue;
        }
        if (t->byte_fallback && (t->affixes ? write_out(s, s->word.text, s->word.bytes, n) : write_out(s, word + i, len, n))) continue;
        if (t->unk == UNK_MISSING)
            return FAIL(ERR_FORMAT,
                        "the character at byte %lld of a word has no token, and model.unk_token of the tokenizer is none of its tokens; correct the "
                        "tokenizer",
                        (long long)i);
        if (t->unk < 0) continue;
        if (waiting && !t->fuse_unk) add_symbol(s, n, t->unk);
        waiting = true;
    }
    if (waiting) add_symbol(s, n, t->unk);
    return OK;
}

static err_t first_symbols(struct tok_scratch *s, const char *word, int64_t bytes, int32_t *count) {
    const struct tokenizer *t = s->t;
    const int64_t most = t->affixes ? bytes * (1 + t->prefix.bytes) + t->suffix.bytes : bytes;
    TRY(tok_grow((void **)&s->symbols, &s->symbols_room, most, sizeof *s->symbols));
    *count = 0;
    if (t->bytes) byte_symbols(s, word, bytes, count);
    else TRY(char_symbols(s, word, bytes, count));
    if (*count) s->symbols[*count - 1].next = -1;
    return OK;
}

static err_t merge_symbols(struct tok_scratch *s, int32_t count) {
    struct bpe_symbol *y = s->symbols;
    s->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; i++) TRY(push_pair(s, i));
    while (s->heap_count) {
        struct bpe_merge m = heap_pop(s);
        if (y[m.at].id < 0 || y[m.at].next < 0) continue;
        int32_t right = y[m.at].next;
        /* An entry whose pair has changed is out of date, unless the pair there now makes the same token: Hugging Face
         * then merges at the old entry's turn, and so must we. */
        const struct tok_merge *now = tok_merges_find(&s->t->merges, y[m.at].id, y[right].id);
        if (!now || now->id != m.id) continue;
        y[m.at].id = m.id;
        y[m.at].next = y[right].next;
        y[right].id = -1;
        if (y[right].next >= 0) y[y[right].next].prev = m.at;
        if (y[m.at].prev >= 0) TRY(push_pair(s, y[m.at].prev));
        TRY(push_pair(s, m.at));
    }
    return OK;
}

/* The whole word's id if it is a token by itself; -1. */
static err_t whole_word(struct tok_scratch *s, const char *word, int64_t bytes, int32_t *id) {
    const struct tokenizer *t = s->t;
    if (t->bytes) {
        TRY(tok_grow((void **)&s->word.text, &s->word.room, 2 * bytes, 1));
        int64_t n = 0;
        for (int64_t i = 0; i < bytes; i++) n += byte_char_put(&t->chars, (unsigned char)word[i], s->word.text + n);
        word = s->word.text;
        bytes = n;
    }
    *id = tok_map_find(&t->map, &t->pool, t->tokens, word, bytes);
    return OK;
}

static err_t uncut_word(struct tok_scratch *s, const char *word, int64_t bytes) {
    struct cache_entry *e = NULL;
    if (bytes <= TOK_CACHE_WORD) {
        e = &s->cache[XXH3_64bits(word, (size_t)bytes) % TOK_CACHE];
        if (e->bytes == bytes && memcmp(e->word, word, (size_t)bytes) == 0) {
            TRY(tok_grow((void **)&s->out->ids, &s->out->room, s->out->count + TOK_CACHE_IDS, sizeof *s->out->ids));
            memcpy(s->out->ids + s->out->count, e->ids, sizeof e->ids);
            s->out->count += e->count;
            return OK;
        }
    }
    int64_t first = s->out->count;
    int32_t whole = -1, count = 0;
    if (s->t->ignore_merges) TRY(whole_word(s, word, bytes, &whole));
    if (whole >= 0) {
        TRY(tok_ids_push(s->out, whole));
    } else {
        TRY(first_symbols(s, word, bytes, &count));
        TRY(merge_symbols(s, count));
        for (int32_t i = 0; i >= 0 && count > 0; i = s->symbols[i].next) TRY(tok_ids_push(s->out, s->symbols[i].id));
    }
    int64_t made = s->out->count - first;
    if (e && made <= TOK_CACHE_IDS) {
        e->bytes = (uint8_t)bytes;
        e->count = (uint8_t)made;
        memcpy(e->word, word, (size_t)bytes);
        for (int64_t i = 0; i < made; i++) e->ids[i] = s->out->ids[first + i];
    }
    return OK;
}

err_t bpe_word(struct tok_scratch *s, const char *word, int64_t bytes) {
    static const char meta[] = "\xe2\x96\x81"; /* U+2581 */
    if (!s->t->cut_meta || bytes <= TOK_CACHE_WORD) return uncut_word(s, word, bytes);
    int64_t start = 0, i = 0;
    while (i < bytes) { /* runs of the mark, then what is not the mark, up to the next run */
        while (bytes - i >= 3 && memcmp(word + i, meta, 3) == 0) i += 3;
        const char *next = memmem(word + i, (size_t)(bytes - i), meta, 3);
        i = next ? next - word : bytes;
        TRY(uncut_word(s, word + start, i - start));
        start = i;
    }
    return OK;
}
