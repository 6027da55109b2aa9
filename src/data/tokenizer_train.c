/* Training of a byte-level BPE: words are counted first; then, again and again, the most frequent pair of neighbours becomes
 * a token. Counts of pairs are kept up to date by going through the words that hold the merged pair only; a heap gives the
 * next pair, its entries checked against the counts when they come up. */
#include "data/tokenizer_train.h"

#include "base/log.h"
#include "base/num.h"
#include "base/os.h"
#include "data/tokenizer_int.h"
#include "data/utf8.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MIN_COUNT = 2 };
#define PROGRESS_NS INT64_C(1000000000)

struct word {
    struct tok_str text;
    int64_t count;
    int64_t at;
    int32_t length;
}; /* its symbols are symbols[at, at+length) */
struct pair {
    uint64_t key;
    int64_t count;
    int32_t words, mark;
}; /* key UINT64_MAX: empty; words: a list of posts */
struct post {
    int32_t word, next;
}; /* next -1: the end */
struct best {
    int64_t count;
    uint64_t key;
};

struct trainer {
    const struct tokenizer_train_args *args;
    struct tokenizer base; /* the file to be with no merges: cuts text into words */
    struct tok_pool pool;
    struct word *words;
    int64_t word_count, word_room;
    int32_t *slots; /* word number + 1 */
    int64_t slot_count;
    int32_t *symbols;

    struct pair *pairs;
    int64_t pair_slots, pair_count;
    struct post *posts;
    int64_t post_count, post_room;
    int32_t free_post;
    struct best *heap;
    int64_t heap_count, heap_room;
    uint64_t *risen; /* pairs whose count a merge has raised */
    int64_t risen_count, risen_room;

    struct tok_str *tokens; /* as the file writes them; ids to texts in pool */
    int64_t token_count, token_room;
    struct tok_map map;
    int32_t *merges; /* left and right of each rule */
    int64_t merge_count, merge_room;
    char *joined;
    int64_t joined_room;
    int64_t told_ns;
};

/* ---- words ---- */

static err_t grow_slots(struct trainer *r) {
    int64_t n = r->slot_count ? 2 * r->slot_count : 1 << 16;
    int32_t *slots = calloc((size_t)n, sizeof *slots);
    if (!slots) return FAIL(ERR_NOMEM, "no memory for a table of %lld words; free some or train on less text", (long long)n);
    for (int64_t w = 0; w < r->word_count; w++) {
        uint64_t at = XXH3_64bits(r->pool.text + r->words[w].text.at, (size_t)r->words[w].text.bytes);
        while (slots[at & (uint64_t)(n - 1)]) at++;
        slots[at & (uint64_t)(n - 1)] = (int32_t)w + 1;
    }
    free(r->slots);
    r->slots = slots;
    r->slot_count = n;
    return OK;
}

static err_t count_word(void *ctx, const char *text, int64_t bytes) {
    struct trainer *r = ctx;
    if (2 * r->word_count >= r->slot_count) TRY(grow_slots(r));
    uint64_t at = XXH3_64bits(text, (size_t)bytes);
    int32_t w;
    for (; (w = r->slots[at & (uint64_t)(r->slot_count - 1)]) != 0; at++) {
        struct word *known = &r->words[w - 1];
        if (known->text.bytes == bytes && memcmp(r->pool.text + known->text.at, text, (size_t)bytes) == 0) {
            known->count++;
            return OK;
        }
    }
    TRY(tok_grow((void **)&r->words, &r->word_room, r->word_count + 1, sizeof *r->words));
    struct word *new = &r->words[r->word_count];
    *new = (struct word){.count = 1};
    TRY(tok_pool_add(&r->pool, text, bytes, &new->text));
    r->slots[at & (uint64_t)(r->slot_count - 1)] = (int32_t)++r->word_count;
    return OK;
}

static bool time_to_tell(struct trainer *r) {
    int64_t now = os_now_ns();
    if (now - r->told_ns < PROGRESS_NS) return false;
    r->told_ns = now;
    return true;
}

static err_t count_words(struct trainer *r) {
    struct tok_scratch s;
    TRY(tok_scratch_init(&r->base, &s));
    s.count_word = count_word;
    s.count_ctx = r;
    err_t err = OK;
    int64_t texts = 0, read = 0;
    for (;;) {
        const char *text;
        int64_t bytes;
        bool got;
        TRY_OR(r->args->next(r->args->ctx, &text, &bytes, &got), done);
        if (!got) break;
        int64_t good = utf8_valid(text, bytes);
        if (good != bytes) {
            err = FAIL(ERR_FORMAT, "text %lld is not UTF-8 at byte %lld; correct it there", (long long)texts, (long long)good);
            goto done;
        }
        TRY_OR(tok_walk(&s, text, bytes), done);
        texts++;
        read += bytes;
        if (time_to_tell(r))
            log_progress("counting words: %.1f of %.1f MB, %lld different", (double)read / 1e6, (double)i64_max(read, r->args->text_bytes) / 1e6,
                         (long long)r->word_count);
    }
    log_line(LOG_RUN, "%lld texts, %.1f MB: %lld different words", (long long)texts, (double)read / 1e6, (long long)r->word_count);
done:
    tok_scratch_fini(&s);
    return err;
}

/* ---- pairs ---- */

static uint64_t key_of(int32_t a, int32_t b) { return (uint64_t)(uint32_t)a << 32 | (uint32_t)b; }

static struct pair *pair_slot(const struct trainer *r, uint64_t key) {
    uint64_t at = key * UINT64_C(0x9e3779b97f4a7c15);
    for (at ^= at >> 29;; at++) {
        struct pair *p = &r->pairs[at & (uint64_t)(r->pair_slots - 1)];
        if (p->key == key || p->key == UINT64_MAX) return p;
    }
}

static err_t grow_pairs(struct trainer *r) {
    struct pair *old = r->pairs;
    int64_t old_slots = r->pair_slots, n = old_slots ? 2 * old_slots : 1 << 16;
    r->pairs = malloc((size_t)n * sizeof *r->pairs);
    if (!r->pairs) {
        r->pairs = old;
        return FAIL(ERR_NOMEM, "no memory for a table of %lld pairs; free some or train on less text", (long long)n);
    }
    r->pair_slots = n;
    for (int64_t i = 0; i < n; i++) r->pairs[i].key = UINT64_MAX;
    for (int64_t i = 0; i < old_slots; i++)
        if (old[i].key != UINT64_MAX) *pair_slot(r, old[i].key) = old[i];
    free(old);
    return OK;
}

/* The pair stands `count` times more in `word`. */
static err_t pair_add(struct trainer *r, int32_t a, int32_t b, int64_t count, int32_t word, int32_t mark) {
    if (2 * r->pair_count >= r->pair_slots) TRY(grow_pairs(r));
    uint64_t key = key_of(a, b);
    struct pair *p = pair_slot(r, key);
    if (p->key == UINT64_MAX) {
        *p = (struct pair){.key = key, .words = -1, .mark = -1};
        r->pair_count++;
    }
    p->count += count;
    if (p->mark != mark) {
        p->mark = mark;
        TRY(tok_grow((void **)&r->risen, &r->risen_room, r->risen_count + 1, sizeof *r->risen));
        r->risen[r->risen_count++] = key;
    }
    if (p->words >= 0 && r->posts[p->words].word == word) return OK; /* words come one after another: it is in the list */
    int32_t at = r->free_post;
    if (at >= 0) {
        r->free_post = r->posts[at].next;
    } else {
        if (r->post_count == INT32_MAX) return FAIL(ERR_FAILED, "there are more than 2^31 pairs in different words; train on less text");
        TRY(tok_grow((void **)&r->posts, &r->post_room, r->post_count + 1, sizeof *r->posts));
        at = (int32_t)r->post_count++;
    }
    r->posts[at] = (struct post){.word = word, .next = p->words};
    p->words = at;
    return OK;
}

static void pair_take(struct trainer *r, int32_t a, int32_t b, int64_t count) {
    struct pair *p = pair_slot(r, key_of(a, b));
    if (p->key != UINT64_MAX) p->count -= count;
}

/* More often, then lower ids. */
static bool better(struct best a, struct best b) { return a.count != b.count ? a.count > b.count : a.key < b.key; }

static err_t heap_push(struct trainer *r, struct best b) {
    if (b.count < MIN_COUNT) return OK;
    TRY(tok_grow((void **)&r->heap, &r->heap_room, r->heap_count + 1, sizeof *r->heap));
    int64_t i = r->heap_count++;
    for (; i > 0 && better(b, r->heap[(i - 1) / 2]); i = (i - 1) / 2) r->heap[i] = r->heap[(i - 1) / 2];
    r->heap[i] = b;
    return OK;
}

static struct best heap_pop(struct trainer *r) {
    struct best *h = r->heap, top = h[0], last = h[--r->heap_count];
    int64_t i = 0;
    for (;;) {
        int64_t c = 2 * i + 1;
        if (c >= r->heap_count) break;
        if (c + 1 < r->heap_count && better(h[c + 1], h[c])) c++;
        if (!better(h[c], last)) break;
        h[i] = h[c];
        i = c;
    }
    h[i] = last;
    return top;
}

static err_t push_risen(struct trainer *r) {
    for (int64_t i = 0; i < r->risen_count; i++) TRY(heap_push(r, (struct best){.count = pair_slot(r, r->risen[i])->count, .key = r->risen[i]}));
    r->risen_count = 0;
    return OK;
}

static err_t first_pairs(struct trainer *r) {
    r->free_post = -1;
    TRY(grow_pairs(r));
    r->symbols = malloc((size_t)r->pool.bytes * sizeof *r->symbols + 1);
    if (!r->symbols)
        return FAIL(ERR_NOMEM, "no memory for the symbols of %lld bytes of words; free some or train on less text", (long long)r->pool.bytes);
    int64_t at = 0;
    for (int64_t w = 0; w < r->word_count; w++) {
        struct word *word = &r->words[w];
        word->at = at;
        word->length = word->text.bytes;
        for (int32_t i = 0; i < word->length; i++) r->symbols[at++] = r->base.byte_id[(unsigned char)r->pool.text[word->text.at + (uint32_t)i]];
        for (int32_t i = 0; i + 1 < word->length; i++)
            TRY(pair_add(r, r->symbols[word->at + i], r->symbols[word->at + i + 1], word->count, (int32_t)w, 0));
    }
    return push_risen(r);
}

static err_t merge_in_word(struct trainer *r, int32_t w, int32_t a, int32_t b, int32_t id, int32_t mark) {
    struct word *word = &r->words[w];
    int32_t *y = r->symbols + word->at, n = word->length, to = 0;
    for (int32_t i = 0; i < n;) {
        if (y[i] != a || i + 1 >= n || y[i + 1] != b) {
            y[to++] = y[i++];
            continue;
        }
        if (to > 0) {
            pair_take(r, y[to - 1], a, word->count);
            TRY(pair_add(r, y[to - 1], id, word->count, w, mark));
        }
        if (i + 2 < n) {
            pair_take(r, b, y[i + 2], word->count);
            TRY(pair_add(r, id, y[i + 2], word->count, w, mark));
        }
        y[to++] = id;
        i += 2;
    }
    word->length = to;
    return OK;
}

static err_t add_token(struct trainer *r, const char *text, int64_t bytes, int32_t *id) {
    TRY(tok_grow((void **)&r->tokens, &r->token_room, r->token_count + 1, sizeof *r->tokens));
    TRY(tok_pool_add(&r->pool, text, bytes, &r->tokens[r->token_count]));
    *id = (int32_t)r->token_count++;
    tok_map_add(&r->map, &r->pool, r->tokens, *id);
    return OK;
}

/* The id of the two tokens' joined text: a new one, unless another rule has made that text before. */
static err_t join(struct trainer *r, int32_t a, int32_t b, int32_t *id) {
    struct tok_str x = r->tokens[a], y = r->tokens[b];
    int64_t bytes = (int64_t)x.bytes + y.bytes;
    TRY(tok_grow((void **)&r->joined, &r->joined_room, bytes, 1));
    memcpy(r->joined, r->pool.text + x.at, (size_t)x.bytes);
    memcpy(r->joined + x.bytes, r->pool.text + y.at, (size_t)y.bytes);
    *id = tok_map_find(&r->map, &r->pool, r->tokens, r->joined, bytes);
    return *id >= 0 ? OK : add_token(r, r->joined, bytes, id);
}

static err_t merge_pairs(struct trainer *r, int64_t tokens) {
    for (int32_t mark = 1; r->token_count < tokens && r->heap_count;) {
        struct best b = heap_pop(r);
        struct pair *p = pair_slot(r, b.key);
        if (p->count != b.count) {
            TRY(heap_push(r, (struct best){.count = p->count, .key = b.key}));
            continue;
        }
        int32_t left = (int32_t)(b.key >> 32), right = (int32_t)(uint32_t)b.key, id, list = p->words;
        p->count = 0; /* it stands nowhere any more */
        p->words = -1;
        TRY(join(r, left, right, &id));
        TRY(tok_grow((void **)&r->merges, &r->merge_room, 2 * r->merge_count + 2, sizeof *r->merges));
        r->merges[2 * r->merge_count] = left;
        r->merges[2 * r->merge_count + 1] = right;
        r->merge_count++;
        while (list >= 0) {
            struct post post = r->posts[list];
            TRY(merge_in_word(r, post.word, left, right, id, mark));
            r->posts[list].next = r->free_post;
            r->free_post = list;
            list = post.next;
        }
        pair_slot(r, b.key)->count = 0; /* a run like "aaa" holds it twice and loses it once */
        TRY(push_risen(r));
        mark++;
        if (time_to_tell(r))
            log_progress("merging: %lld of %lld tokens, last one seen %lld times", (long long)r->token_count, (long long)tokens, (long long)b.count);
    }
    return OK;
}

/* ---- the file ---- */

/* Everything but merges, their tokens and the special tokens' ids, which count on from `first_special`. */
static json_t *describe(const struct trainer *r, int64_t first_special) {
    static const char *const split[] = {
        [TOK_PATTERN_QWEN] =
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        [TOK_PATTERN_LLAMA3] =
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
    enum tok_pattern pattern = r->args->pattern;
    json_t *added = json_array();
    json_int_t id = first_special;
    for (int64_t i = 0; i < r->args->special_count; i++, id++)
        (void)json_array_append_new(added, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", r->args->specials[i], "single_word",
                                                     0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
    json_t *pre =
        json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", pattern == TOK_PATTERN_GPT2);
    if (pattern != TOK_PATTERN_GPT2)
        pre = json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                        split[pattern], "behavior", "Isolated", "invert", 0, pre);
    json_t *normalizer = pattern == TOK_PATTERN_QWEN ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *decoder = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1);
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:{}, s:[]}", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                  "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", "merges");
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                     normalizer, "pre_tokenizer", pre, "post_processor", "decoder", decoder, "model", model);
}

/* The tokens and merges found so far into a description; NULL where memory ends. */
static json_t *describe_all(const struct trainer *r) {
    json_t *root = describe(r, r->token_count), *model = json_object_get(root, "model");
    json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
    bool ok = root != NULL;
    for (int64_t i = 0; ok && i < r->token_count; i++) {
        struct tok_str s = r->tokens[i];
        ok = json_object_setn_new_nocheck(vocab, r->pool.text + s.at, (size_t)s.bytes, json_integer(i)) == 0;
    }
    for (int64_t i = 0; ok && i < r->merge_count; i++) {
        struct tok_str a = r->tokens[r->merges[2 * i]], b = r->tokens[r->merges[2 * i + 1]];
        ok = json_array_append_new(merges, json_pack("s%++%", r->pool.text + a.at, (size_t)a.bytes, " ", r->pool.text + b.at, (size_t)b.bytes)) == 0;
    }
    if (ok) return root;
    json_decref(root);
    return NULL;
}

static err_t dump(const struct trainer *r, char **text) {
    json_t *root = describe_all(r);
    *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!*text) return FAIL(ERR_NOMEM, "no memory for a tokenizer.json of %lld tokens; free some", (long long)r->token_count);
    return OK;
}

static err_t check(const struct tokenizer_train_args *a) {
    int64_t least = 256 + a->special_count;
    if (a->vocab < least || a->vocab > TOK_MAX_ID)
        return FAIL(ERR_USAGE, "a vocabulary of %lld tokens is outside %lld (256 bytes and the special tokens) to %d; choose another size",
                    (long long)a->vocab, (long long)least, TOK_MAX_ID);
    for (int64_t i = 0; i < a->special_count; i++) {
        const char *s = a->specials[i];
        int64_t bytes = (int64_t)strlen(s);
        if (bytes == 0 || utf8_valid(s, bytes) != bytes)
            return FAIL(ERR_USAGE, "special token %lld is empty or not UTF-8; give it a text", (long long)i);
        for (int64_t k = 0; k < i; k++)
            if (strcmp(s, a->specials[k]) == 0) return FAIL(ERR_USAGE, "the special token \"%.60s\" is there twice; remove one", s);
    }
    return OK;
}

/* The bytes' tokens, in the order of the characters that stand for them. */
static err_t first_tokens(struct trainer *r) {
    struct byte_chars chars;
    byte_chars_init(&chars);
    TRY(tok_map_new(&r->map, r->args->vocab));
    for (size_t c = 0; c < sizeof chars.of_char / sizeof *chars.of_char; c++) {
        char text[2];
        int32_t id;
        if (chars.of_char[c] >= 0) TRY(add_token(r, text, byte_char_put(&chars, (unsigned char)chars.of_char[c], text), &id));
    }
    return OK;
}

/* No special token is a token by itself: Hugging Face would give it that one's id. */
static err_t check_specials(const struct trainer *r) {
    for (int64_t i = 0; i < r->args->special_count; i++) {
        const char *s = r->args->specials[i];
        if (tok_map_find(&r->map, &r->pool, r->tokens, s, (int64_t)strlen(s)) >= 0)
            return FAIL(ERR_USAGE, "the special token \"%.60s\" is a token of the text too; choose another, such as <|%.50s|>", s, s);
    }
    return OK;
}

static err_t train(struct trainer *r) {
    const struct tokenizer_train_args *a = r->args;
    char *text = NULL;
    TRY(check(a));
    TRY(first_tokens(r));
    TRY(check_specials(r));
    TRY(dump(r, &text));
    err_t err = tokenizer_load(&r->base, a->path, text, (int64_t)strlen(text));
    free(text);
    TRY(err);
    TRY(count_words(r));
    TRY(first_pairs(r));
    TRY(merge_pairs(r, a->vocab - a->special_count));
    TRY(check_specials(r));
    long long made = r->token_count;
    made += a->special_count;
    if (made < a->vocab)
        log_line(LOG_WARN, "the text has pairs for %lld tokens only, not %lld; train on more text or ask for fewer", made, (long long)a->vocab);
    TRY(dump(r, &text));
    err = os_write_all(a->path, text, (int64_t)strlen(text));
    free(text);
    return err;
}

err_t tokenizer_train(const struct tokenizer_train_args *a) {
    struct trainer *r = calloc(1, sizeof *r);
    if (!r) return FAIL(ERR_NOMEM, "no memory to train a tokenizer; free some");
    r->args = a;
    err_t err = train(r);
    tokenizer_fini(&r->base);
    free(r->pool.text);
    free(r->words);
    free(r->slots);
    free(r->symbols);
    free(r->pairs);
    free(r->posts);
    free(r->heap);
    free(r->risen);
    free(r->tokens);
    free(r->map.slot);
    free(r->merges);
    free(r->joined);
    free(r);
    return err == OK ? OK : err_frame(err, __func__);
}
