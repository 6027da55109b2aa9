/* A tokenizer.json that is malformed, or asks for what is not had, is ERR_FORMAT with file and field named; no damage to a
 * file, wherever it is, does more than that. */
#include "base/log.h"
#include "base/rng.h"
#include "data/tokenizer.h"
#include "test.h"

#include <jansson.h>

static char path[512];

static err_t open_text(const char *text, size_t bytes, struct tokenizer **t) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, bytes, f) != bytes || fclose(f) != 0) exit(2);
    *t = NULL;
    return tokenizer_open(path, t);
}

/* The value at a path such as "model.vocab" or "added_tokens.0.id". */
static json_t *walk(json_t *j, const char *where, const char **last) {
    for (;;) {
        const char *dot = strchr(where, '.');
        if (!dot) break;
        char key[64];
        (void)snprintf(key, sizeof key, "%.*s", (int)(dot - where), where);
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
        where = dot + 1;
    }
    *last = where;
    return j;
}

static const struct {
    const char *where, *value, *message;
} cases[] = {
    {"version", "\"2.0\"", "version"},
    {"version", "1", "version"},
    {"extra", "1", "\"extra\" is not supported"},
    {"truncation", "3", "truncation"},
    {"model", "null", "model"},
    {"model", "[]", "model"},
    {"model.type", "\"Unigram\"", "\"Unigram\" is not supported"},
    {"model.type", "\"WordPiece\"", "only BPE"},
    {"model.type", "7", "model.type"},
    {"model.extra", "true", "\"extra\" is not supported"},
    {"model.dropout", "0.1", "model.dropout"},
    {"model.dropout", "\"0\"", "model.dropout"},
    {"model.continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix"},
    {"model.end_of_word_suffix", "0", "model.end_of_word_suffix"},
    {"model.byte_fallback", "null", "byte_fallback"},
    {"model.ignore_merges", "\"yes\"", "ignore_merges"},
    {"model.fuse_unk", "1", "fuse_unk"},
    {"model.unk_token", "3", "model.unk_token"},
    {"model.vocab", "[]", "model.vocab"},
    {"model.vocab", "null", "model.vocab"},
    {"model.vocab.x", "\"3\"", "model.vocab: the id of \"x\""},
    {"model.vocab.x", "3", "same id 3"},
    {"model.vocab.x", "3.5", "not an integer"},
    {"model.vocab.x", "-1", "outside 0 to"},
    {"model.vocab.new", "4194304", "outside 0 to"},
    {"model.vocab.new", "9223372036854775807", "outside 0 to"},
    {"model.merges", "{}", "model.merges"},
    {"model.merges", "null", "model.merges"},
    {"model.merges.1", "\"a\"", "model.merges[1]: \"a\" is not two tokens"},
    {"model.merges.1", "\"a b c\"", "model.merges[1]"},
    {"model.merges.1", "\"\"", "model.merges[1]"},
    {"model.merges.1", "[\"a\"]", "model.merges[1]"},
    {"model.merges.1", "[\"a\", 3]", "model.merges[1]"},
    {"model.merges.1", "[\"a\", \"b\", \"c\"]", "model.merges[1]"},
    {"model.merges.1", "5", "model.merges[1]"},
    {"model.merges.1", "\"nothing a\"", "names \"nothing\""},
    {"model.merges.1", "[\"a\", \"nothing\"]", "names \"nothing\""},
    {"model.merges.1", "\"Q Z\"", "names \"QZ\""},
    {"model.merges.1", "\" a\"", "names \"\""},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"\"}", "normalizer: \"Precompiled\" is not supported"},
    {"normalizer", "{\"type\": \"BertNormalizer\"}", "normalizer: \"BertNormalizer\" is not supported"},
    {"normalizer", "{\"type\": \"Strip\", \"strip_left\": true}", "normalizer: strip_right"},
    {"normalizer", "{\"type\": \"Prepend\"}", "normalizer: prepend"},
    {"normalizer", "{\"type\": \"Prepend\", \"prepend\": 3}", "normalizer: prepend"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}}", "normalizer: content"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"\"}", "normalizer"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": \" \", \"content\": \"\"}", "normalizer"},
    {"normalizer", "{\"type\": \"NFKC\", \"extra\": 1}", "\"extra\" is not supported"},
    {"normalizer", "{\"type\": 3}", "normalizer"},
    {"normalizer", "\"NFC\"", "normalizer"},
    {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": {}}", "normalizer"},
    {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"NFX\"}]}",
     "normalizer.normalizers[1]: \"NFX\" is not supported"},
    {"pre_tokenizer", "{}", "pre_tokenizer"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\"}", "pre_tokenizer: replacement"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"__\"}", "pre_tokenizer: replacement"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"last\"}", "prepend_scheme \"last\""},
    {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"add_prefix_space\": false}", "add_prefix_space is false"},
    {"pre_tokenizer", "{\"type\": \"Digits\"}", "individual_digits"},
    {"pre_tokenizer", "{\"type\": \"Punctuation\", \"behavior\": \"Cut\"}", "\"Cut\""},
    {"pre_tokenizer", "{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"\"}", "delimiter"},
    {"pre_tokenizer", "{\"type\": \"FixedLength\", \"length\": 0}", "length"},
    {"pre_tokenizer", "{\"type\": \"UnicodeScripts\"}", "\"UnicodeScripts\" is not supported"},
    {"pre_tokenizer.add_prefix_space", "3", "add_prefix_space"},
    {"pre_tokenizer.use_regex", "null", "use_regex"},
    {"pre_tokenizer", "{\"type\": \"Sequence\"}", "pretokenizers"},
    {"pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": [3]}", "pre_tokenizer.pretokenizers[0]"},
    {"pre_tokenizer",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", \"add_prefix_space\": false}, {\"type\": \"Mystery\"}]}",
     "pre_tokenizer.pretokenizers[1]: \"Mystery\" is not supported"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Cut\", \"invert\": false}", "\"Cut\""},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Isolated\"}", "invert"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": \"a\", \"behavior\": \"Isolated\", \"invert\": false}", "pre_tokenizer"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": 3}, \"behavior\": \"Isolated\", \"invert\": false}", "pattern"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Glob\": \"a\"}, \"behavior\": \"Isolated\", \"invert\": false}", "\"Glob\""},
    {"post_processor", "{\"type\": \"Mystery\"}", "post_processor"},
    {"post_processor", "3", "post_processor"},
    {"post_processor", "{\"type\": \"TemplateProcessing\"}", "post_processor: single"},
    {"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"Sequence\": {\"id\": \"A\"}}]}",
     "text twice"},
    {"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}]}", "no ids for \"a\""},
    {"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": []}", "no text"},
    {"post_processor",
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}, {\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": "
     "{\"a\": {\"ids\": [99999]}}}",
     "puts the id 99999"},
    {"post_processor", "{\"type\": \"BertProcessing\", \"cls\": [\"a\", 0]}", "post_processor"},
    {"decoder", "{\"type\": \"WordPiece\"}", "decoder: prefix"},
    {"decoder", "{\"type\": \"CTC\"}", "decoder: \"CTC\" is not supported"},
    {"decoder", "{\"type\": \"Strip\", \"content\": \" \", \"start\": -1, \"stop\": 0}", "decoder: start"},
    {"decoder", "{\"type\": \"Strip\", \"content\": \" \", \"start\": \"1\", \"stop\": 0}", "decoder: start"},
    {"decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": \"Mystery\"}]}", "decoder.decoders[1]: \"Mystery\""},
    {"added_tokens", "{}", "added_tokens"},
    {"added_tokens.0", "3", "added_tokens"},
    {"added_tokens.0.id", "\"3\"", "added_tokens"},
    {"added_tokens.0.id", "5", "says id 5"},
    {"added_tokens.0.id", "100000", "says id 100000"},
    {"added_tokens.0.id", "4194304", "outside 0 to"},
    {"added_tokens.0.id", "-5", "outside 0 to"},
    {"added_tokens.0.content", "\"\"", "content"},
    {"added_tokens.0.content", "null", "content"},
    {"added_tokens.0.special", "null", "special"},
    {"added_tokens.0.lstrip", "0", "lstrip"},
    {"added_tokens.0.extra", "0", "\"extra\" is not supported"},
};

/* Patterns that Oniguruma or PCRE2 would read otherwise than the other, or not at all. */
static const char *const patterns[] = {
    "(",           ")",           "a)",          "(?:a",     "[",         "[]",      "[]a]",      "[a",     "[^",    "[a[b]]",    "[a&&b]",
    "[[:alpha:]]", "[z-a]",       "[a-\\d]",     "[\\P{L}]", "[\\W]",     "\\",      "\\p",       "\\p{",   "\\p{}", "\\p{Nope}", "\\p{C}",
    "\\p{Cn}",     "\\1",         "(a)\\1",      "\\k<a>",   "\\g<a>",    "\\G",     "\\K",       "\\R",    "\\X",   "\\Q",       "\\N",
    "\\x{",        "\\x{110000}", "\\x{d800}",   "\\xff",    "\\x",       "\\u12",   "\\07",      "a**",    "*",     "+a",        "a{2}{3}",
    "a|*",         "(?<name>a)",  "(?P<name>a)", "(?#x)",    "(?x)a",     "(?x: a)", "(?s:a)",    "a(?i)b", "(?i",   "(?",        "(?i-i-i:a)",
    "a{3,2}",      "(?<=a+)b",    "(?1)",        "(?R)",     "(*ACCEPT)", "(?(1)a)", "a{100001}", "(?~a)",  "[\\b]", "^*"};

static json_t *base_file(void) {
    json_t *all = json_load_file("tests/golden/tokenizers/variants.json", JSON_ALLOW_NUL, NULL);
    json_t *base = json_deep_copy(json_object_get(all, "base"));
    json_decref(all);
    return base;
}

static void one_by_one(const json_t *base) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *d = json_deep_copy(base), *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        const char *key;
        json_t *at = walk(d, cases[i].where, &key);
        int rc = json_is_array(at) ? json_array_set_new(at, (size_t)atoi(key), value) : json_object_set_new(at, key, value);
        char *text = json_dumps(d, 0);
        struct tokenizer *t;
        err_clear();
        err_t err = open_text(text, strlen(text), &t);
        CASE(rc == 0 && err == ERR_FORMAT && strstr(err_message(), cases[i].message) && strstr(err_message(), path),
             "%s = %s gave %d \"%s\", not \"%s\"", cases[i].where, cases[i].value, (int)err, err_message(), cases[i].message);
        if (err == OK) tokenizer_close(t);
        free(text);
        json_decref(d);
    }
}

/* The same file with a pattern put in. */
static err_t open_pattern(const json_t *base, const char *pattern, struct tokenizer **t) {
    json_t *d = json_deep_copy(base);
    (void)json_object_set_new(d, "pre_tokenizer",
                              json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b}]}", "type", "Sequence", "pretokenizers", "type", "Split",
                                        "pattern", "Regex", pattern, "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space",
                                        0));
    json_t *bytes = json_array_get(json_object_get(json_object_get(d, "pre_tokenizer"), "pretokenizers"), 1);
    (void)json_object_set_new(bytes, "use_regex", json_false());
    char *text = json_dumps(d, 0);
    err_t err = open_text(text, strlen(text), t);
    free(text);
    json_decref(d);
    return err;
}

static void regular_expressions(const json_t *base) {
    struct tokenizer *t;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        err_clear();
        err_t err = open_pattern(base, patterns[i], &t);
        CASE(err == ERR_FORMAT && strstr(err_message(), "pre_tokenizer.pretokenizers[0]: ") && strstr(err_message(), "regular expression"),
             "%s gave %d \"%s\"", patterns[i], (int)err, err_message());
        if (err == OK) tokenizer_close(t);
    }
    char deep[1200];
    memset(deep, '(', 300);
    memset(deep + 300, 'a', 1);
    memset(deep + 301, ')', 300);
    deep[601] = 0;
    CASE_ERR(open_pattern(base, deep, &t), ERR_FORMAT, "open groups");

    /* One whose search grows exponentially ends with an error. */
    NEED(open_pattern(base, "(?:a|a)*[bc]", &t));
    struct tok_scratch *s;
    NEED(tok_scratch_new(t, &s));
    char text[64];
    memset(text, 'a', sizeof text);
    struct tok_ids out = {0};
    CASE_ERR(tokenizer_encode(t, s, text, sizeof text, &out), ERR_FAILED, "match limit");
    free(out.ids);
    tok_scratch_free(s);
    tokenizer_close(t);
}

/* Too many steps, sequences in sequences, deep JSON. */
static void nesting(const json_t *base) {
    char *deep = malloc(1 << 20);
    struct tokenizer *t;
    for (int n = 10; n <= 100000; n *= 100) {
        size_t at = 0;
        for (int i = 0; i < n; i++) deep[at++] = '[';
        for (int i = 0; i < n; i++) deep[at++] = ']';
        CASE_ERR(open_text(deep, at, &t), ERR_FORMAT, path);
    }
    free(deep);
    for (int kind = 0; kind < 2; kind++) {
        json_t *pre = json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", 0), *list = json_array();
        for (int i = 0; i < 100; i++)
            if (kind == 0) pre = json_pack("{s:s, s:[o]}", "type", "Sequence", "pretokenizers", pre);
            else (void)json_array_append_new(list, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1));
        if (kind == 1) {
            (void)json_array_append_new(list, pre);
            pre = json_pack("{s:s, s:O}", "type", "Sequence", "pretokenizers", list);
        }
        json_decref(list);
        json_t *d = json_deep_copy(base);
        (void)json_object_set_new(d, "pre_tokenizer", pre);
        char *text = json_dumps(d, 0);
        CASE_ERR(open_text(text, strlen(text), &t), ERR_FORMAT, kind == 0 ? "too deep" : "more than");
        free(text);
        json_decref(d);
    }
}

/* Cut anywhere, or with bytes changed anywhere: opened or ERR_FORMAT. What still opens also encodes and decodes. */
static void damage(const json_t *base) {
    char *text = json_dumps(base, JSON_COMPACT);
    size_t n = strlen(text);
    char *bent = malloc(n);
    int64_t cut = 0, cut_failed = 0, bent_good = 0, bent_failed = 0, rounds = 1500;
    struct tokenizer *t;
    for (size_t keep = 0; keep < n; keep += keep < 200 || keep + 400 > n ? 1 : 37) {
        err_t err = open_text(text, keep, &t);
        cut++;
        cut_failed += err == ERR_FORMAT && strstr(err_message(), path) != NULL;
        if (err == OK) tokenizer_close(t);
    }
    CASE(cut == cut_failed, "%lld of %lld truncated files are ERR_FORMAT", (long long)cut_failed, (long long)cut);
    for (int64_t i = 0; i < rounds; i++) {
        for (size_t k = 0; k < n; k++) bent[k] = text[k];
        for (int64_t k = 0; k <= rng_below(5, 1, i, 3); k++) {
            size_t at = (size_t)rng_below(5, 2, 4 * i + k, (int64_t)n);
            if (rng_below(5, 3, 4 * i + k, 2)) at %= 700; /* the head has the structure, the rest is vocabulary */
            bent[at] = "\"{}[]:,0123456789-eatrufnls\\ \n\x80\xff\x01"[rng_below(5, 4, 4 * i + k, 32)];
        }
        err_t err = open_text(bent, n, &t);
        if (err == OK) {
            struct tok_scratch *s;
            struct tok_ids out = {0};
            char *back = NULL;
            int64_t bytes;
            NEED(tok_scratch_new(t, &s));
            err = tokenizer_encode(t, s, "the cat's\r\n hat <|endoftext|> \xe4\xb8\xad 12", 36, &out);
            if (err == OK) err = tokenizer_decode(t, out.ids, out.count, &back, &bytes);
            bent_good += err == OK;
            free(back);
            free(out.ids);
            tok_scratch_free(s);
            tokenizer_close(t);
        } else {
            bent_failed += err == ERR_FORMAT && strstr(err_message(), path) != NULL;
        }
    }
    CASE(bent_good + bent_failed == rounds && bent_good > 0 && bent_failed > rounds / 2,
         "%lld of %lld damaged files open and work, %lld are ERR_FORMAT", (long long)bent_good, (long long)rounds, (long long)bent_failed);
    free(bent);
    free(text);
}

int main(void) {
    log_set_level(LOG_ERROR); /* bytes without a token are told of each time */
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", test_dir());
    json_t *base = base_file();
    one_by_one(base);
    regular_expressions(base);
    nesting(base);
    damage(base);
    json_decref(base);
    (void)remove(path);
    (void)remove(test_dir());
    return test_end();
}
