/* The tokenizer's own: what its files share. tokenizer_json.c fills a struct tokenizer, which is constant from then on;
 * encoding walks text -> added tokens -> NFC -> added tokens again -> steps of the pre-tokenizer -> words -> BPE. */
#ifndef MOP_DATA_TOKENIZER_INT_H
#define MOP_DATA_TOKENIZER_INT_H

#define PCRE2_CODE_UNIT_WIDTH 8

#include "data/tokenizer.h"

#include <pcre2.h>

enum {
    TOK_MAX_ID = (1 << 22) - 1, /* tables are as long as the largest id */
    TOK_STEPS = 32,             /* of a pre-tokenizer, one more than it may have */
    TOK_CACHE = 1 << 15,        /* words a scratch remembers */
    TOK_CACHE_WORD = 30,        /* bytes, and */
    TOK_CACHE_IDS = 8           /* ids of a word that is remembered: an entry fills a cache line */
};
#define TOK_MAX_TEXT (INT64_C(1) << 30) /* bytes of one text: positions in words are 32-bit */

/* ---- memory: *p holds room elements of `size` bytes; make it at least `need`. ---- */
MUST err_t tok_grow(void **p, int64_t *room, int64_t need, size_t size);

/* ---- strings to ids: open addressing, a fixed number of keys ---- */
struct tok_str {
    uint32_t at;
    int32_t bytes;
}; /* in a pool; bytes -1: there is none */
struct tok_map {
    int32_t *slot;
    int64_t slots;
}; /* id + 1, or 0 */
struct tok_pool {
    char *text;
    int64_t bytes, room;
};
MUST err_t tok_pool_add(struct tok_pool *p, const char *text, int64_t bytes, struct tok_str *out);
MUST err_t tok_map_new(struct tok_map *m, int64_t keys);
/* The id of a string among those whose text is strings[id], or -1. */
int32_t tok_map_find(const struct tok_map *m, const struct tok_pool *p, const struct tok_str *strings, const char *text, int64_t bytes);
/* id's string is in place; it is not in the map yet. */
void tok_map_add(struct tok_map *m, const struct tok_pool *p, const struct tok_str *strings, int32_t id);

/* ---- bytes and the characters that stand for them in the file ---- */
struct byte_chars {
    int32_t of_byte[256];
    int16_t of_char[0x144]; /* -1: stands for no byte */
};
void byte_chars_init(struct byte_chars *b);
int byte_char_put(const struct byte_chars *b, unsigned char byte, char *to); /* 1 or 2 bytes of UTF-8 */
/* Bytes of a token as the file writes it; -1 if a character stands for none. `to` has room for `bytes`. */
int64_t byte_chars_decode(const struct byte_chars *b, const char *text, int64_t bytes, char *to);

/* ---- merges: a pair of ids to the rank of its rule and the id it makes ---- */
struct tok_merge {
    uint64_t pair;
    uint32_t rank;
    int32_t id;
}; /* pair UINT64_MAX: empty */
struct tok_merges {
    struct tok_merge *slot;
    int64_t slots;
};
MUST err_t tok_merges_new(struct tok_merges *m, int64_t rules);
void tok_merges_add(struct tok_merges *m, int32_t a, int32_t b, uint32_t rank, int32_t id); /* a later rule for a pair replaces the earlier */
const struct tok_merge *tok_merges_find(const struct tok_merges *m, int32_t a, int32_t b);

/* ---- added tokens: a byte trie; matches are leftmost, then longest ---- */
struct tok_added {
    struct tok_str content;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};
struct trie_node {
    int32_t child, sibling, added;
    unsigned char byte;
}; /* 0: none; added -1: no token ends here */
struct trie {
    struct trie_node *nodes;
    int64_t count, room;
    int32_t root[256];
};
MUST err_t trie_add(struct trie *t, const char *text, int64_t bytes, int32_t added); /* ERR_FORMAT if the text is there */
/* The longest token that begins at `text`, or -1. */
int32_t trie_longest(const struct trie *t, const char *text, int64_t bytes, int64_t *matched);

/* ---- steps of the pre-tokenizer ---- */
enum step_kind { STEP_SPLIT, STEP_PREFIX, STEP_BYTES };
enum split_behavior { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS };
struct tok_step {
    enum step_kind kind; /* PREFIX: put a space before; BYTES: write bytes as characters, where steps follow that see them so */
    pcre2_code *regex;   /* SPLIT */
    enum split_behavior behavior;
    bool invert;
};
#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Compile a pattern written for Oniguruma's Ruby syntax (what Hugging Face runs) so that PCRE2 finds the same; ERR_FORMAT
 * names what cannot be had. literal: the text itself. */
MUST err_t tok_regex_compile(const char *pattern, int64_t bytes, bool literal, pcre2_code **out);

struct tokenizer {
    struct tok_pool pool;
    struct tok_str *tokens; /* [vocab] as the file writes them, by id */
    struct tok_str *raw;    /* [vocab] what they decode to */
    int64_t vocab;
    struct tok_map map; /* model.vocab */
    struct tok_merges merges;
    struct byte_chars chars;
    int32_t byte_id[256]; /* -1: no token */
    int32_t unk;          /* -1: a byte without a token is dropped */
    bool fuse_unk, ignore_merges, nfc;
    bool bytes_in_steps; /* a step has written words as characters already */
    bool joined;         /* there is a decoder; without one, decoding puts spaces between tokens */
    struct tok_added *added;
    int64_t added_count;
    struct tok_map added_map;      /* their contents to ids */
    struct trie plain, normalized; /* added tokens sought before and after normalisation */
    struct tok_step steps[TOK_STEPS];
    int step_count;
    int32_t eos;
    uint64_t fingerprint;
};

/* Fill *t from the text of a tokenizer.json; `path` is for messages. What is there is freed by the caller also on error. */
MUST err_t tokenizer_load(struct tokenizer *t, const char *path, const char *json, int64_t bytes);
void tokenizer_fini(struct tokenizer *t); /* frees what it holds */
/* A scratch of a tokenizer whose steps and added tokens are set. */
MUST err_t tok_scratch_init(const struct tokenizer *t, struct tok_scratch *s);
void tok_scratch_fini(struct tok_scratch *s);

/* ---- Unicode ---- */
struct unicode_range {
    int32_t first, last;
    const char *name;
};
const struct unicode_range *unicode_newer(int *count);
bool unicode_is_space(int32_t c);
bool unicode_is_word(int32_t c);
int32_t unicode_get(const char *p, int64_t bytes, int *length); /* of valid UTF-8 */

struct nfc_char {
    int32_t c, ccc;
    int64_t at;
};
struct nfc { /* zero to begin with */
    char *text;
    int64_t bytes, text_room;
    struct nfc_char *chars;
    int64_t count, chars_room;
    int32_t *flat;
    int64_t flat_room;
};
/* NFC of valid UTF-8; *out is the text itself or n's, until the next call. */
MUST err_t nfc_text(struct nfc *n, const char *text, int64_t bytes, const char **out, int64_t *out_bytes);
void nfc_free(struct nfc *n);

/* ---- encoding ---- */
struct bpe_symbol {
    int32_t id, prev, next;
}; /* id -1: merged away */
struct bpe_merge {
    uint32_t rank;
    int32_t at, id;
};
struct cache_entry {
    uint8_t bytes, count;
    char word[TOK_CACHE_WORD];
    int32_t ids[TOK_CACHE_IDS];
};

struct tok_scratch {
    const struct tokenizer *t;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    struct {
        char *text;
        int64_t room;
    } step[TOK_STEPS]; /* what PREFIX and BYTES write */
    struct nfc nfc;
    char *word;
    int64_t word_room;
    struct bpe_symbol *symbols;
    int64_t symbols_room;
    struct bpe_merge *heap;
    int64_t heap_count, heap_room;
    struct cache_entry *cache; /* [TOK_CACHE] */
    /* Where words go: to `out` as ids, or, if set, to `count_word` (the trainer). */
    struct tok_ids *out;
    err_t (*count_word)(void *ctx, const char *word, int64_t bytes);
    void *count_ctx;
};

/* Text without added tokens, normalised, through the steps to words. */
MUST err_t tok_split(struct tok_scratch *s, int step, const char *text, int64_t bytes);
/* Text to words and added tokens; it is valid UTF-8. */
MUST err_t tok_walk(struct tok_scratch *s, const char *text, int64_t bytes);
/* A word's bytes to ids in s->out. */
MUST err_t bpe_word(struct tok_scratch *s, const char *word, int64_t bytes);
MUST err_t tok_ids_push(struct tok_ids *out, int32_t id);

#endif
