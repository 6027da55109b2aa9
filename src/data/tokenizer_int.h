/* The tokenizer's own: what its files share. tokenizer_json.c and tokenizer_steps.c fill a struct tokenizer, which is constant from then
 * on. Encoding walks text -> added tokens -> normalizer -> added tokens again -> steps of the pre-tokenizer -> words -> BPE; decoding
 * walks tokens -> steps of the decoder -> text. Each of the three is a list of steps, in the file's order. */
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

/* Compile a pattern written for Oniguruma's Ruby syntax (what Hugging Face runs) so that PCRE2 finds the same; ERR_FORMAT
 * names what cannot be had. literal: the text itself. */
MUST err_t tok_regex_compile(const char *pattern, int64_t bytes, bool literal, pcre2_code **out);

/* ---- a text on its way to words ---- */
struct tok_piece {
    const char *text;
    int64_t bytes;
    int64_t origin; /* so many of its first bytes come from the first character of the whole text; Metaspace's "first" asks for it */
};

/* ---- steps of the normalizer ---- */
enum norm_kind { NORM_FORM, NORM_LOWERCASE, NORM_STRIP, NORM_STRIP_ACCENTS, NORM_NMT, NORM_REPLACE, NORM_PREPEND, NORM_BYTES };
struct norm_step {
    enum norm_kind kind;
    bool compose, compat; /* FORM */
    bool left, right;     /* STRIP */
    pcre2_code *regex;    /* REPLACE; NULL: the text `find` */
    struct tok_str find;  /* REPLACE */
    struct tok_str put;   /* REPLACE, PREPEND */
};

/* ---- steps of the pre-tokenizer ---- */
enum step_kind { STEP_SPLIT, STEP_CHARS, STEP_WORDS, STEP_LENGTH, STEP_PREFIX, STEP_META, STEP_BYTES };
enum split_behavior { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS };
enum meta_prepend { META_ALWAYS, META_FIRST, META_NEVER };
struct tok_step {
    enum step_kind kind;          /* PREFIX: put a space before; BYTES: write bytes as characters, where steps follow that see them so */
    pcre2_code *regex;            /* SPLIT */
    bool (*is)(int32_t c);        /* CHARS; NULL: the character `c` */
    int32_t c;                    /* CHARS; META: what stands for a space */
    enum split_behavior behavior; /* SPLIT, CHARS */
    bool invert;                  /* SPLIT */
    enum meta_prepend prepend;    /* META */
    int64_t length;               /* LENGTH: characters of a piece */
};
#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- steps of the decoder: each turns a list of tokens into another ---- */
enum dec_kind { DEC_BYTES, DEC_REPLACE, DEC_BYTE_FALLBACK, DEC_FUSE, DEC_STRIP, DEC_META, DEC_WORDPIECE, DEC_SUFFIX };
struct dec_step {
    enum dec_kind kind;
    pcre2_code *regex;        /* REPLACE; NULL: the text `find` */
    struct tok_str find, put; /* REPLACE; WORDPIECE's prefix and SUFFIX's suffix are in `find` */
    int32_t c;                /* STRIP, META */
    int64_t start, stop;      /* STRIP: characters at most */
    bool keep_first;          /* META: a space of the first token stays */
    bool cleanup;             /* WORDPIECE */
};

struct tokenizer {
    struct tok_pool pool;
    struct tok_str *tokens; /* [vocab] as the file writes them, by id */
    struct tok_str *shown;  /* [vocab] what decoding begins with: normalised where an added token is sought so */
    struct tok_str *raw;    /* [vocab] what they decode to inside a text */
    int64_t vocab;
    struct tok_map map; /* model.vocab */
    struct tok_merges merges;
    struct byte_chars chars;
    /* Words are bytes, one symbol each, or text, one symbol a character. */
    bool bytes;
    int32_t byte_id[256];                  /* bytes: -1 no token */
    int32_t *char_id;                      /* text: [CHAR_IDS] of characters below, -1: no token */
    int32_t fallback[256];                 /* text: the token of a byte that is written out, -1: none */
    struct tok_str prefix, suffix;         /* of a word's symbols but the first, of its last; bytes 0: none */
    bool byte_fallback, affixes, cut_meta; /* cut_meta: no merge joins what stands before U+2581 with it: words may be cut there */
    int32_t unk;                           /* -1: what has no token is dropped; UNK_MISSING: it is an error */
    bool fuse_unk, ignore_merges;
    struct norm_step norms[TOK_STEPS];
    int norm_count;
    struct tok_step steps[TOK_STEPS];
    int step_count;
    struct dec_step decs[TOK_STEPS];
    int dec_count;
    bool spaced;  /* there is no decoder: decoding puts spaces between tokens */
    bool streams; /* the decoder's text can be told as tokens come (tokenizer_decode.c) */
    struct tok_added *added;
    int64_t added_count;
    struct tok_map added_map;      /* their contents to ids */
    struct trie plain, normalized; /* added tokens sought before and after normalisation */
    int32_t *before, *after;       /* what the post-processor puts around a text */
    int64_t before_count, after_count;
    int32_t eos;
    uint64_t fingerprint;
};
enum { CHAR_IDS = 0x10000, UNK_MISSING = -2 };

/* Fill *t from the text of a tokenizer.json; `path` is for messages. What is there is freed by the caller also on error. */
MUST err_t tokenizer_load(struct tokenizer *t, const char *path, const char *json, int64_t bytes);
void tokenizer_fini(struct tokenizer *t); /* frees what it holds */
/* t->eos, from the files beside the tokenizer's (tokenizer_ends.c). */
MUST err_t tokenizer_find_eos(struct tokenizer *t, const char *path);
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

bool unicode_is_mark(int32_t c);        /* as Unicode 9 has them */
bool unicode_is_punctuation(int32_t c); /* ASCII's, and P as Unicode 8 has them */
bool unicode_is_number(int32_t c);
int unicode_lower(int32_t c, int32_t lower[2]); /* how many: 1 or 2 */
int unicode_put(int32_t c, char *to);           /* 1 to 4 bytes of UTF-8 */

struct form_char {
    int32_t c, ccc;
    int64_t at;
};
struct form { /* zero to begin with */
    struct form_char *chars;
    int64_t count, chars_room;
    int32_t *flat;
    int64_t flat_room;
};

/* ---- normalizing ---- */
struct tok_buffer {
    char *text;
    int64_t bytes, room;
};
MUST err_t tok_buffer_add(struct tok_buffer *b, const char *text, int64_t bytes);
/* A normalization form of valid UTF-8 behind what is in *to. first: so many of the text's bytes are the first character's, *first_out: of the result's. */
MUST err_t form_text(struct form *f, const struct norm_step *how, struct tok_piece in, struct tok_buffer *to, int64_t *origin);
/* Whether the text is in every form that it could be brought to: a quick look, not always right when it says no. */
bool form_is_plain(const struct norm_step *how, const char *text, int64_t bytes);

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
    struct tok_buffer step[TOK_STEPS]; /* what PREFIX, META and BYTES write */
    struct tok_buffer norm[2];         /* a normalizer's steps read one and write the other */
    struct form form;
    struct tok_buffer word;
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

/* Through the normalizer; the result is the scratch's until the next call, or the piece itself. */
MUST err_t tok_normalize(struct tok_scratch *s, struct tok_piece in, struct tok_piece *out);
/* Text without added tokens, normalised, through the steps to words. */
MUST err_t tok_split(struct tok_scratch *s, int step, struct tok_piece p);
/* The next match of a pattern (regex NULL: of the text `find`) at or behind m->from; m->start is -1 where there is none. */
struct tok_match {
    int64_t from, start, end, last_end; /* from 0, last_end -1 to begin with */
};
MUST err_t tok_match_next(struct tok_scratch *s, const pcre2_code *regex, struct tok_str find, const char *text, int64_t bytes, struct tok_match *m);
/* Text to words and added tokens; it is valid UTF-8. */
MUST err_t tok_walk(struct tok_scratch *s, const char *text, int64_t bytes);
/* ---- decoding: `shown` and the steps are set ---- */
MUST err_t decoder_index(struct tokenizer *t);

/* A word's bytes to ids in s->out. */
MUST err_t bpe_word(struct tok_scratch *s, const char *word, int64_t bytes);
MUST err_t tok_ids_push(struct tok_ids *out, int32_t id);

#endif
