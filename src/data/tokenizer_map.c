/* Tables of a tokenizer: strings to ids, merges, bytes and their characters. */
#include "data/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

err_t tok_grow(void **p, int64_t *room, int64_t need, size_t size) {
    if (need <= *room) return OK;
    int64_t more = *room + *room / 2 + 64;
    if (more < need) more = need;
    void *q = realloc(*p, (size_t)more * size);
    if (!q) return FAIL(ERR_NOMEM, "no memory for %lld bytes of the tokenizer's; free some", (long long)more * (long long)size);
    *p = q;
    *room = more;
    return OK;
}

err_t tok_pool_add(struct tok_pool *p, const char *text, int64_t bytes, struct tok_str *out) {
    if (p->bytes + bytes > INT32_MAX)
        return FAIL(ERR_FAILED, "different words and tokens make more than 2 GiB; use less text or a smaller vocabulary");
    TRY(tok_grow((void **)&p->text, &p->room, p->bytes + bytes + 1, 1));
    memcpy(p->text + p->bytes, text, (size_t)bytes);
    *out = (struct tok_str){.at = (uint32_t)p->bytes, .bytes = (int32_t)bytes};
    p->bytes += bytes;
    return OK;
}

/* Slots for n keys: a power of two, at most half full. */
static int64_t slots_for(int64_t n) {
    int64_t s = 16;
    while (s < 2 * n) s *= 2;
    return s;
}

err_t tok_map_new(struct tok_map *m, int64_t keys) {
    m->slots = slots_for(keys);
    m->slot = calloc((size_t)m->slots, sizeof *m->slot);
    if (!m->slot) return FAIL(ERR_NOMEM, "no memory for a table of %lld tokens; free some", (long long)keys);
    return OK;
}

int32_t tok_map_find(const struct tok_map *m, const struct tok_pool *p, const struct tok_str *strings, const char *text, int64_t bytes) {
    if (!m->slot) return -1;
    uint64_t at = XXH3_64bits(text, (size_t)bytes);
    for (;; at++) {
        int32_t id = m->slot[at & (uint64_t)(m->slots - 1)] - 1;
        if (id < 0) return -1;
        if (strings[id].bytes == bytes && memcmp(p->text + strings[id].at, text, (size_t)bytes) == 0) return id;
    }
}

void tok_map_add(struct tok_map *m, const struct tok_pool *p, const struct tok_str *strings, int32_t id) {
    uint64_t at = XXH3_64bits(p->text + strings[id].at, (size_t)strings[id].bytes);
    while (m->slot[at & (uint64_t)(m->slots - 1)]) at++;
    m->slot[at & (uint64_t)(m->slots - 1)] = id + 1;
}

/* GPT-2's table: bytes that print stand for themselves, the others take U+0100 and on. */
void byte_chars_init(struct byte_chars *b) {
    memset(b->of_char, -1, sizeof b->of_char);
    int32_t next = 0x100;
    for (int i = 0; i < 256; i++) {
        bool prints = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        b->of_byte[i] = prints ? i : next++;
        b->of_char[b->of_byte[i]] = (int16_t)i;
    }
}

int byte_char_put(const struct byte_chars *b, unsigned char byte, char *to) {
    int32_t c = b->of_byte[byte];
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    to[0] = (char)(0xc0 | (c >> 6));
    to[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int64_t byte_chars_decode(const struct byte_chars *b, const char *text, int64_t bytes, char *to) {
    int64_t n = 0;
    for (int64_t i = 0; i < bytes;) {
        int len;
        int32_t c = unicode_get(text + i, bytes - i, &len);
        if (c < 0 || c >= (int32_t)(sizeof b->of_char / sizeof *b->of_char) || b->of_char[c] < 0) return -1;
        to[n++] = (char)b->of_char[c];
        i += len;
    }
    return n;
}

static uint64_t pair_of(int32_t a, int32_t b) { return (uint64_t)(uint32_t)a << 32 | (uint32_t)b; }
static uint64_t pair_hash(uint64_t pair) {
    pair *= UINT64_C(0x9e3779b97f4a7c15);
    return pair ^ pair >> 29;
}

err_t tok_merges_new(struct tok_merges *m, int64_t rules) {
    m->slots = slots_for(rules);
    m->slot = malloc((size_t)m->slots * sizeof *m->slot);
    if (!m->slot) return FAIL(ERR_NOMEM, "no memory for a table of %lld merges; free some", (long long)rules);
    for (int64_t i = 0; i < m->slots; i++) m->slot[i].pair = UINT64_MAX;
    return OK;
}

static struct tok_merge *merge_slot(const struct tok_merges *m, uint64_t pair) {
    for (uint64_t at = pair_hash(pair);; at++) {
        struct tok_merge *s = &m->slot[at & (uint64_t)(m->slots - 1)];
        if (s->pair == pair || s->pair == UINT64_MAX) return s;
    }
}

void tok_merges_add(struct tok_merges *m, int32_t a, int32_t b, uint32_t rank, int32_t id) {
    uint64_t pair = pair_of(a, b);
    *merge_slot(m, pair) = (struct tok_merge){.pair = pair, .rank = rank, .id = id};
}

const struct tok_merge *tok_merges_find(const struct tok_merges *m, int32_t a, int32_t b) {
    const struct tok_merge *s = merge_slot(m, pair_of(a, b));
    return s->pair == UINT64_MAX ? NULL : s;
}

err_t tok_ids_push(struct tok_ids *out, int32_t id) {
    TRY(tok_grow((void **)&out->ids, &out->room, out->count + 1, sizeof *out->ids));
    out->ids[out->count++] = id;
    return OK;
}
