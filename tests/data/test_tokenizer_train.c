/* The trainer against a slow one that counts every pair anew for every merge; its files against Hugging Face's reader is what
 * tests/data/test_tokenizer.c holds the loader to. */
#include "base/fault.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/tokenizer.h"
#include "data/tokenizer_train.h"
#include "test.h"

#include <jansson.h>

static char path[512];

/* ---- texts ---- */
struct texts {
    const char *const *list;
    int64_t count, at;
    const int64_t *bytes;
    err_t fail;
};
static err_t next_text(void *ctx, const char **text, int64_t *bytes, bool *got) {
    struct texts *x = ctx;
    *got = x->at < x->count;
    if (!*got) return x->fail == OK ? OK : FAIL(x->fail, "the source of the texts gave up; try again");
    *text = x->list[x->at];
    *bytes = x->bytes ? x->bytes[x->at] : (int64_t)strlen(x->list[x->at]);
    x->at++;
    return OK;
}

static const char *const no_specials[] = {NULL};
static err_t train(const char *const *texts, int64_t count, int64_t vocab, enum tok_pattern pattern, const char *const *specials,
                   int64_t special_count) {
    struct texts x = {.list = texts, .count = count};
    return tokenizer_train(&(struct tokenizer_train_args){
        .next = next_text, .ctx = &x, .vocab = vocab, .specials = specials, .special_count = special_count, .pattern = pattern, .path = path});
}

/* ---- the slow trainer: words are runs of a..e with the space before them, which every pattern cuts so ---- */
enum { WORDS = 4096, LONG = 24, IDS = 600 };
struct slow {
    int word[WORDS][LONG], length[WORDS], words, left[IDS], right[IDS], merges, tokens;
    char name[IDS][64];
};

static int slow_first(const json_t *vocab, unsigned char byte) {
    char key[4] = {(char)byte, 0};
    return (int)json_integer_value(json_object_get(vocab, byte == ' ' ? "\xc4\xa0" : key));
}

static void slow_train(struct slow *s, int tokens) {
    static int64_t count[IDS][IDS];
    while (s->tokens < tokens) {
        memset(count, 0, sizeof count);
        for (int w = 0; w < s->words; w++)
            for (int i = 0; i + 1 < s->length[w]; i++) count[s->word[w][i]][s->word[w][i + 1]]++;
        int a = -1, b = -1;
        for (int i = 0; i < s->tokens; i++)
            for (int k = 0; k < s->tokens; k++)
                if (count[i][k] >= 2 && (a < 0 || count[i][k] > count[a][b])) {
                    a = i;
                    b = k;
                }
        if (a < 0) break;
        char joined[64];
        (void)snprintf(joined, sizeof joined, "%.30s%.30s", s->name[a], s->name[b]);
        memcpy(s->name[s->tokens], joined, sizeof joined);
        int id = 0;
        while (strcmp(s->name[id], s->name[s->tokens]) != 0) id++;
        if (id == s->tokens) s->tokens++;
        s->left[s->merges] = a;
        s->right[s->merges++] = b;
        for (int w = 0; w < s->words; w++) {
            int to = 0;
            for (int i = 0; i < s->length[w];) {
                bool here = i + 1 < s->length[w] && s->word[w][i] == a && s->word[w][i + 1] == b;
                s->word[w][to++] = here ? id : s->word[w][i];
                i += here ? 2 : 1;
            }
            s->length[w] = to;
        }
    }
}

static void against_slow(uint64_t seed, enum tok_pattern pattern, int letters) {
    static char text[WORDS * LONG];
    static struct slow s;
    memset(&s, 0, sizeof s);
    size_t n = 0;
    int words = 300 + (int)rng_below(seed, 1, 0, 2500);
    for (int w = 0; w < words; w++) {
        int length = 1 + (int)rng_below(seed, 2, (uint64_t)w, 9);
        if (w) text[n++] = ' ';
        for (int i = 0; i < length; i++) text[n++] = (char)('a' + rng_below(seed, 3, (uint64_t)w * 64 + (uint64_t)i, letters));
    }
    text[n] = 0;
    const char *list[] = {text};
    int vocab = 330;
    if (!CASE(train(list, 1, vocab, pattern, no_specials, 0) == OK, "training: %s", err_message())) return;

    json_t *d = json_load_file(path, 0, NULL), *model = json_object_get(d, "model");
    const json_t *ids = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)ids, key, value) if (json_integer_value(value) < 256)(void)
        snprintf(s.name[json_integer_value(value)], sizeof s.name[0], "%s", key);
    s.tokens = 256;
    for (size_t i = 0; i < n;) { /* a word ends before a space */
        int *y = s.word[s.words], k = 0;
        do y[k++] = slow_first(ids, (unsigned char)text[i++]);
        while (i < n && text[i] != ' ');
        s.length[s.words++] = k;
    }
    slow_train(&s, vocab);
    bool same = (int)json_array_size(merges) == s.merges && (int)json_object_size(ids) == s.tokens;
    int first = 0;
    for (; same && first < s.merges; first++) {
        char rule[140];
        (void)snprintf(rule, sizeof rule, "%s %s", s.name[s.left[first]], s.name[s.right[first]]);
        same = strcmp(rule, json_string_value(json_array_get(merges, (size_t)first))) == 0;
    }
    CASE(same, "seed %d: %zu merges, %d expected, the first %d equal", (int)seed, json_array_size(merges), s.merges, first);
    json_decref(d);
}

/* ---- a file that was made is one that is read, and means what was asked for ---- */
static void round_trip(enum tok_pattern pattern) {
    static const char *const texts[] = {"The cat's hat isn't the other one's; 12345 cats\r\n\r\n  and hats\n",
                                        "<|endoftext|>caf\xc3\xa9 cafe\xcc\x81 na\xc3\xafve \xe4\xb8\xad\xe6\x96\x87",
                                        "the cat and the other cat's hat, the hat\n\tthe end", ""};
    static const char *const specials[] = {"<|endoftext|>", "<|im_end|>", "<\xc3\xa9>"};
    struct tokenizer *t;
    struct tok_scratch *s;
    char *first, *again;
    NEED(train(texts, 4, 270, pattern, specials, 3));
    json_t *d = json_load_file(path, 0, NULL);
    first = json_dumps(d, JSON_INDENT(2));
    json_decref(d);
    NEED(train(texts, 4, 270, pattern, specials, 3));
    d = json_load_file(path, 0, NULL);
    again = json_dumps(d, JSON_INDENT(2));
    CASE(strcmp(first, again) == 0, "the same texts make the same file");
    const json_t *ids = json_object_get(json_object_get(d, "model"), "vocab");
    const char *key;
    json_t *value;
    bool whole = true;
    json_object_foreach((json_t *)ids, key, value) whole = whole && !strstr(key, "<|") && !strstr(key, "|>");
    CASE(whole, "special tokens in the text are not learnt from");
    json_decref(d);
    free(first);
    free(again);

    NEED(tokenizer_open(path, &t));
    NEED(tok_scratch_new(t, &s));
    CASE(tokenizer_vocab(t) == 270, "270 tokens, not %lld", (long long)tokenizer_vocab(t));
    CASE(tokenizer_id(t, "<|endoftext|>") == 267 && tokenizer_id(t, specials[2]) == 269 && tokenizer_eos(t) == 267, "special tokens come last");
    for (int i = 0; i < 4; i++) {
        struct tok_ids out = {0};
        char *back = NULL;
        int64_t bytes = 0, n = (int64_t)strlen(texts[i]);
        CASE_OK(tokenizer_encode(t, s, texts[i], n, &out));
        CASE_OK(tokenizer_decode(t, out.ids, out.count, &back, &bytes));
        bool composed = pattern == TOK_PATTERN_QWEN && i == 1;
        CASE(composed ? bytes < n : bytes == n && memcmp(back, texts[i], (size_t)n) == 0, "text %d comes back: \"%s\"", i, back);
        CASE(n == 0 ? out.count == 0 : out.count < n, "%lld ids for %lld bytes", (long long)out.count, (long long)n);
        free(back);
        free(out.ids);
    }
    tok_scratch_free(s);
    tokenizer_close(t);
}

static void refusals(void) {
    static const char *const texts[] = {"some text"}, *const twice[] = {"<a>", "<a>"}, *const empty[] = {""}, *const byte[] = {"a"},
                             *const broken[] = {"\xff"};
    static const char *const bad[] = {"good", "ba\xe4\xb8 d"};
    (void)remove(path);
    CASE_ERR(train(texts, 1, 255, TOK_PATTERN_GPT2, no_specials, 0), ERR_USAGE, "255");
    CASE_ERR(train(texts, 1, 257, TOK_PATTERN_GPT2, twice, 2), ERR_USAGE, "257");
    CASE_ERR(train(texts, 1, INT64_MAX, TOK_PATTERN_GPT2, no_specials, 0), ERR_USAGE, "outside");
    CASE_ERR(train(texts, 1, 300, TOK_PATTERN_GPT2, twice, 2), ERR_USAGE, "twice");
    CASE_ERR(train(texts, 1, 300, TOK_PATTERN_GPT2, empty, 1), ERR_USAGE, "empty");
    CASE_ERR(train(texts, 1, 300, TOK_PATTERN_GPT2, broken, 1), ERR_USAGE, "UTF-8");
    CASE_ERR(train(texts, 1, 300, TOK_PATTERN_GPT2, byte, 1), ERR_USAGE, "\"a\" is a token");
    CASE_ERR(train(bad, 2, 300, TOK_PATTERN_GPT2, no_specials, 0), ERR_FORMAT, "text 1 is not UTF-8 at byte 2");
    struct texts x = {.list = texts, .count = 1, .fail = ERR_IO};
    CASE_ERR(tokenizer_train(&(struct tokenizer_train_args){.next = next_text, .ctx = &x, .vocab = 300, .pattern = TOK_PATTERN_GPT2, .path = path}),
             ERR_IO, "gave up");
    CASE(fopen(path, "rb") == NULL, "nothing is written on an error");

    /* No texts: the bytes and the special tokens. */
    struct tokenizer *t;
    CASE_OK(train(texts, 0, 300, TOK_PATTERN_LLAMA3, twice, 1));
    CASE_OK(tokenizer_open(path, &t));
    CASE(tokenizer_vocab(t) == 257, "257 tokens, not %lld", (long long)tokenizer_vocab(t));
    tokenizer_close(t);

    /* A disk that refuses leaves the file that was there. */
    static const enum fault kinds[] = {FAULT_OPEN, FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        fault_arm(kinds[k], 1);
        CASE_ERR(train(texts, 1, 300, TOK_PATTERN_GPT2, no_specials, 0), ERR_IO, "tokenizer.json");
        fault_arm(kinds[k], 0);
        CASE_OK(tokenizer_open(path, &t));
        CASE(tokenizer_vocab(t) == 257, "the old file is there after a failed %s", fault_name(kinds[k]));
        tokenizer_close(t);
    }
    fault_arm(FAULT_READ, 1);
    CASE_ERR(tokenizer_open(path, &t), ERR_IO, "tokenizer.json");
    fault_arm(FAULT_READ, 0);
}

int main(void) {
    log_set_level(LOG_ERROR);
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", test_dir());
    for (uint64_t seed = 0; seed < 24; seed++) against_slow(seed, (enum tok_pattern)(seed % 3), seed % 4 == 0 ? 1 : 2 + (int)(seed % 4));
    for (int p = TOK_PATTERN_GPT2; p <= TOK_PATTERN_LLAMA3; p++) round_trip((enum tok_pattern)p);
    refusals();
    (void)remove(path);
    (void)remove(test_dir());
    return test_end();
}
