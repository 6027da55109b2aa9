/* Ids and texts equal those of Hugging Face's tokenizers: the golden folders' cases, and many small tokenizers
 * (tools/golden/make_tokenizers.py) on odd texts. Then what the header promises beside: errors, long texts, threads' scratches. */
#include "base/rng.h"
#include "data/tokenizer_int.h"
#include "data/utf8.h"
#include "test.h"

#include <jansson.h>

static char path_buffer[512];
static const char *in_dir(const char *name) {
    (void)snprintf(path_buffer, sizeof path_buffer, "%s/%s", test_dir(), name);
    return path_buffer;
}
static void write_file(const char *path, const char *text, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, bytes, f) != bytes || fclose(f) != 0) exit(2);
}

/* Encode and decode one text and compare. */
static void check_text(const struct tokenizer *t, struct tok_scratch *s, const char *name, const json_t *text, const json_t *ids,
                       const json_t *decoded) {
    struct tok_ids out = {0};
    err_t err = tokenizer_encode(t, s, json_string_value(text), (int64_t)json_string_length(text), &out);
    bool same = err == OK && out.count == (int64_t)json_array_size(ids);
    for (int64_t i = 0; same && i < out.count; i++) same = out.ids[i] == json_integer_value(json_array_get(ids, (size_t)i));
    char *shown = json_dumps(text, JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    CASE(same, "%s: ids of %s (%s)", name, shown, err == OK ? "" : err_message());

    const json_t *want = json_is_null(decoded) ? text : decoded;
    char *back = NULL;
    int64_t bytes = 0;
    err = err == OK ? tokenizer_decode(t, out.ids, out.count, &back, &bytes) : err;
    same = err == OK && bytes == (int64_t)json_string_length(want) && memcmp(back, json_string_value(want), (size_t)bytes) == 0;
    CASE(same, "%s: text of the ids of %s (%s)", name, shown, err == OK ? "" : err_message());
    free(shown);
    free(back);
    free(out.ids);
}

static void golden(const char *name) {
    char path[256], line[1 << 16];
    (void)snprintf(path, sizeof path, "tests/golden/tokenizers/%s/tokenizer.json", name);
    struct tokenizer *t;
    struct tok_scratch *s;
    NEED(tokenizer_open(path, &t));
    NEED(tok_scratch_new(t, &s));
    (void)snprintf(path, sizeof path, "tests/golden/tokenizers/%s/cases.jsonl", name);
    FILE *f = fopen(path, "rb");
    int lines = 0;
    while (f && fgets(line, sizeof line, f)) {
        json_t *j = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (!CASE(j != NULL, "%s: line %d is JSON", path, ++lines)) break;
        check_text(t, s, name, json_object_get(j, "text"), json_object_get(j, "ids"), json_object_get(j, "decoded"));
        json_decref(j);
    }
    CASE(lines == 44, "%s has 44 cases, not %d", path, lines);
    if (f) (void)fclose(f);
    tok_scratch_free(s);
    tokenizer_close(t);
}

static void same_around(const char *name, const char *what, const json_t *want, const int32_t *ids, int64_t count) {
    bool same = count == (int64_t)json_array_size(want);
    for (int64_t i = 0; same && i < count; i++) same = ids[i] == json_integer_value(json_array_get(want, (size_t)i));
    CASE(same, "%s: what is put %s a text", name, what);
}

/* Ids that no text gives, one by one too: at every step the sure part is the begin of the whole, at the end all of it. */
static void check_list(const struct tokenizer *t, const char *name, size_t number, const json_t *list, const json_t *want) {
    int32_t ids[64];
    const int64_t count = (int64_t)json_array_size(list), want_bytes = (int64_t)json_string_length(want);
    for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    char *text = NULL;
    int64_t bytes = 0, streamed, sure;
    err_t err = tokenizer_decode(t, ids, count, &text, &bytes);
    CASE(err == OK && bytes == want_bytes && memcmp(text, json_string_value(want), (size_t)bytes) == 0, "%s: text of list %zu: %s", name, number,
         err == OK ? text : err_message());
    struct tok_stream *x;
    NEED(tok_stream_new(t, &x));
    bool begins = true;
    for (int64_t i = 0; i < count; i++) {
        NEED(tok_stream_push(x, ids[i]));
        const char *part = tok_stream_text(x, &streamed, &sure);
        begins = begins && sure <= streamed;
        /* a byte-level tokenizer's text may end inside a character, which is U+FFFD in the whole */
        if (utf8_valid(part, sure) == sure && utf8_valid(text, bytes) == bytes && !strstr(text, "\xef\xbf\xbd"))
            begins = begins && sure <= bytes && (sure == 0 || memcmp(part, text, (size_t)sure) == 0);
    }
    NEED(tok_stream_end(x));
    const char *all = tok_stream_text(x, &streamed, &sure);
    char *valid = malloc((size_t)utf8_replaced_bytes(all ? all : "", streamed) + 1);
    if (!valid) exit(2);
    const int64_t room = utf8_replaced_bytes(all ? all : "", streamed);
    if (streamed) memcpy(valid + (room - streamed), all, (size_t)streamed);
    utf8_replace(valid, room, streamed);
    CASE(begins && sure == streamed && room == bytes && memcmp(valid, text, (size_t)bytes) == 0, "%s: list %zu one by one", name, number);
    free(valid);
    tok_stream_free(x);
    free(text);
}

static void variants(const char *file) {
    json_t *all = json_load_file(file, JSON_ALLOW_NUL, NULL);
    if (!CASE(all != NULL, "%s is there", file)) return;
    const json_t *texts = json_object_get(all, "texts");
    json_t *variant, *value;
    size_t v;
    json_array_foreach(json_object_get(all, "variants"), v, variant) {
        const char *name = json_string_value(json_object_get(variant, "name")), *key;
        json_t *d = json_deep_copy(json_object_get(all, "base"));
        json_object_foreach(json_object_get(variant, "set"), key, value) {
            bool model = strncmp(key, "model.", 6) == 0;
            (void)json_object_set(model ? json_object_get(d, "model") : d, model ? key + 6 : key, value);
        }
        char *text = json_dumps(d, 0);
        write_file(in_dir("tokenizer.json"), text, strlen(text));
        free(text);
        json_decref(d);
        struct tokenizer *t;
        struct tok_scratch *s;
        err_t err = tokenizer_open(in_dir("tokenizer.json"), &t);
        if (!CASE(err == OK, "%s: %s", name, err_message())) continue;
        NEED(tok_scratch_new(t, &s));
        for (size_t i = 0; i < json_array_size(texts); i++)
            check_text(t, s, name, json_array_get(texts, i), json_array_get(json_object_get(variant, "ids"), i),
                       json_array_get(json_object_get(variant, "decoded"), i));
        const json_t *before = json_object_get(variant, "before"), *lists = json_object_get(all, "lists");
        int64_t count = 0;
        const int32_t *ids = tokenizer_before(t, &count);
        if (before) same_around(name, "before", before, ids, count);
        ids = tokenizer_after(t, &count);
        if (before) same_around(name, "behind", json_object_get(variant, "after"), ids, count);
        for (size_t i = 0; i < json_array_size(lists); i++)
            check_list(t, name, i, json_array_get(lists, i), json_array_get(json_object_get(variant, "texts_of_lists"), i));
        for (size_t i = 0; i < json_array_size(texts); i++) { /* what texts gave, one by one */
            const json_t *shown = json_array_get(json_object_get(variant, "decoded"), i);
            if (lists && json_array_size(json_array_get(json_object_get(variant, "ids"), i)) <= 64)
                check_list(t, name, i, json_array_get(json_object_get(variant, "ids"), i), json_is_null(shown) ? json_array_get(texts, i) : shown);
        }
        tok_scratch_free(s);
        tokenizer_close(t);
    }
    CASE(v > 60, "%s: %zu variants", file, v);
    json_decref(all);
}

/* A word of text is cut before U+2581 where no merge reaches over it; uncut, it gives the same ids. */
static void cut_words(void) {
    json_t *all = json_load_file("tests/golden/tokenizers/text.json", JSON_ALLOW_NUL, NULL), *d = json_object_get(all, "base");
    static const char normalizer[] = "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}";
    (void)json_object_set_new(d, "normalizer", json_loads(normalizer, 0, NULL));
    for (int crossing = 0; crossing < 2; crossing++) {
        json_t *merges = json_object_get(json_object_get(d, "model"), "merges"), *vocab = json_object_get(json_object_get(d, "model"), "vocab");
        for (size_t i = 0; !crossing && i < json_array_size(merges);) { /* such merges go */
            const char *left = json_string_value(json_array_get(json_array_get(merges, i), 0)),
                       *right = json_string_value(json_array_get(json_array_get(merges, i), 1));
            const size_t n = strlen(left);
            const bool over = strncmp(right, "\u2581", 3) == 0 && !(n >= 3 && strcmp(left + n - 3, "\u2581") == 0);
            if (over) (void)json_array_remove(merges, i);
            else i++;
        }
        if (crossing) {
            (void)json_object_set(vocab, "b\u2581", json_object_get(vocab, "7"));
            (void)json_object_del(vocab, "7");
            (void)json_array_insert_new(merges, 0, json_pack("[ss]", "b", "\u2581"));
        }
        char *text = json_dumps(d, 0);
        write_file(in_dir("tokenizer.json"), text, strlen(text));
        free(text);
        struct tokenizer *t;
        struct tok_scratch *s;
        NEED(tokenizer_open(in_dir("tokenizer.json"), &t));
        CASE(t->cut_meta == !crossing, "words are cut where no merge reaches over it");
        struct tok_ids cut = {0}, whole = {0};
        int different = 0;
        for (uint64_t round = 0; round < 300; round++) {
            static const char *const units[] = {" ", "\u2581", "a", "b", "c", "ab", "\u4e2d", "\xf0\x9f\x98\x80", "  ", "1", "s", "\u00e9"};
            char line[2048];
            int64_t n = 0;
            for (uint64_t i = 0; i < 40 + round; i++) n += sprintf(line + n, "%s", units[rng_below(3, round, i, 12)]);
            for (int pass = 0; pass < 2; pass++) {
                const bool was = t->cut_meta;
                struct tok_ids *out = pass ? &whole : &cut;
                t->cut_meta = !pass && was;
                NEED(tok_scratch_new(t, &s)); /* words it remembers are not those of the other pass */
                out->count = 0;
                NEED(tokenizer_encode(t, s, line, n, out));
                tok_scratch_free(s);
                t->cut_meta = was;
            }
            different += cut.count != whole.count || (cut.count && memcmp(cut.ids, whole.ids, (size_t)cut.count * sizeof *cut.ids) != 0);
        }
        CASE(different == 0, "%d of 300 texts give other ids when words are not cut", different);
        free(cut.ids);
        free(whole.ids);
        tokenizer_close(t);
    }
    json_decref(all);
}

/* A megabyte of one kind: neither the time nor the memory of the regular expressions and the merges may run away. */
static void long_texts(void) {
    static const char *const units[] = {" ", "a", "x ", "\n ", "!?", "\u4e2d", "a\u0301", "\u0301\u0316", "\U0001f600", "<|im_start|>", "<|", "\0"};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES + 16);
    if (!text) exit(2);
    static const char *const names[] = {"gpt2", "olmoe", "qwen"};
    for (int k = 0; k < 3; k++) {
        char path[256];
        (void)snprintf(path, sizeof path, "tests/golden/tokenizers/%s/tokenizer.json", names[k]);
        struct tokenizer *t;
        struct tok_scratch *s;
        NEED(tokenizer_open(path, &t));
        NEED(tok_scratch_new(t, &s));
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t n = units[u][0] ? strlen(units[u]) : 1, bytes = 0;
            while (bytes + n <= BYTES) {
                memcpy(text + bytes, units[u], n);
                bytes += n;
            }
            struct tok_ids out = {0};
            err_t err = tokenizer_encode(t, s, text, (int64_t)bytes, &out);
            CASE(err == OK && out.count > 0, "%s: a megabyte of \"%s\": %s", names[k], units[u], err_message());
            char *back = NULL;
            int64_t length = 0;
            err = tokenizer_decode(t, out.ids, out.count, &back, &length);
            bool composes = k > 0 && strstr(units[u], "\u0301"); /* NFC changes the text */
            CASE(err == OK && (composes || (length == (int64_t)bytes && memcmp(back, text, bytes) == 0)), "%s: and back", names[k]);
            free(back);
            free(out.ids);
        }
        tok_scratch_free(s);
        tokenizer_close(t);
    }
    free(text);
}

static void refusals(void) {
    struct tokenizer *t;
    struct tok_scratch *s, *other;
    NEED(tokenizer_open("tests/golden/tokenizers/qwen", &t)); /* a folder */
    NEED(tok_scratch_new(t, &s));
    NEED(tok_scratch_new(t, &other));
    struct tok_ids a = {0}, b = {0};
    CASE_OK(tokenizer_encode(t, s, "Hello", 5, &a));
    int64_t kept = a.count;
    CASE_ERR(tokenizer_encode(t, s,
                              "ab\xff"
                              "cd",
                              5, &a),
             ERR_FORMAT, "byte 2");
    CASE_ERR(tokenizer_encode(t, s, "ab\xed\xa0\x80", 5, &a), ERR_FORMAT, "byte 2");
    CASE_ERR(tokenizer_encode(t, s, "abc\xe4\xb8", 5, &a), ERR_FORMAT, "byte 3");
    CASE(a.count == kept, "a refused text adds no ids");
    CASE_OK(tokenizer_encode(t, s, " world", 6, &a));
    CASE_OK(tokenizer_encode(t, other, "Hello", 5, &b));
    CASE_OK(tokenizer_encode(t, other, " world", 6, &b));
    CASE(a.count == b.count && memcmp(a.ids, b.ids, (size_t)a.count * sizeof *a.ids) == 0, "ids are appended, and every scratch gives the same");
    CASE_OK(tokenizer_encode(t, s, "", 0, &a));
    CASE(a.count == b.count, "no text, no ids");

    char *text;
    int64_t bytes;
    CASE_OK(tokenizer_decode(t, a.ids, 0, &text, &bytes));
    CASE(bytes == 0 && text[0] == 0, "no ids, no text");
    free(text);
    int32_t bad = -1;
    CASE_ERR(tokenizer_decode(t, &bad, 1, &text, &bytes), ERR_FAILED, "id -1");
    bad = (int32_t)tokenizer_vocab(t);
    CASE_ERR(tokenizer_decode(t, &bad, 1, &text, &bytes), ERR_FAILED, "not in the tokenizer");
    CASE(tokenizer_vocab(t) == 3004, "ids end at 3003, not %lld", (long long)tokenizer_vocab(t) - 1);
    CASE(tokenizer_id(t, "<|im_end|>") == 3002 && tokenizer_id(t, "\u0120the") >= 0 && tokenizer_id(t, "no such token") == -1, "ids by name");
    CASE(tokenizer_eos(t) == 3000, "<|endoftext|> ends a document, not %d", (int)tokenizer_eos(t));
    const char *raw;
    CASE_OK(tokenizer_bytes(t, 220, &raw, &bytes));
    CASE(bytes == 1 && raw[0] == ' ', "token 220 is a space");
    CASE_ERR(tokenizer_open("tests/golden/tokenizers/none.json", &t), ERR_IO, "none.json");
    free(a.ids);
    free(b.ids);
    tok_scratch_free(s);
    tok_scratch_free(other);
    tokenizer_close(t);
}

/* The token that ends a document is tokenizer_config.json's. */
static void end_of_document(void) {
    static const struct {
        const char *config;
        int32_t eos;
        err_t err;
    } cases[] = {
        {"{\"eos_token\": \"<|im_end|>\"}", 3002, OK},
        {"{\"eos_token\": {\"content\": \"<|im_end|>\", \"lstrip\": false}}", 3002, OK},
        {"{\"eos_token\": null}", 3000, OK},
        {"{}", 3000, OK},
        {"{\"model_max_length\": 1000000000000000019884624838656, \"x\": [NaN, \"\\ud800\"], \"eos_token\": \"<|im_end|>\"}", 3002, OK},
        {"{\"eos_token\": NaN}", 0, ERR_FORMAT},
        {"{\"eos_token\": \"<none>\"}", -1, OK},
        {"{\"eos_token\": 3}", 0, ERR_FORMAT},
        {"[]", 0, ERR_FORMAT},
        {"{\"eos_token\"", 0, ERR_FORMAT},
    };
    FILE *f = fopen("tests/golden/tokenizers/qwen/tokenizer.json", "rb");
    static char text[1 << 20];
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    if (f) (void)fclose(f);
    write_file(in_dir("tokenizer.json"), text, n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(in_dir("tokenizer_config.json"), cases[i].config, strlen(cases[i].config));
        struct tokenizer *t = NULL;
        err_t err = tokenizer_open(in_dir("tokenizer.json"), &t);
        CASE(err == cases[i].err && (err != OK || tokenizer_eos(t) == cases[i].eos), "%s: %s", cases[i].config, err_message());
        if (err != OK) CASE(strstr(err_message(), "tokenizer_config.json"), "\"%s\" names the file", err_message());
        if (err == OK) tokenizer_close(t);
    }
    /* the files beside it, as transformers goes through them; what they do not say the model's say */
    static const struct {
        const char *config, *map, *generation, *model; /* NULL: no such file */
        int32_t eos;
        const char *says;
    } files[] = {
        {"{}", "{\"eos_token\": \"<|im_end|>\"}", NULL, NULL, 3002, NULL},
        {NULL, "{\"eos_token\": {\"content\": \"<|im_end|>\", \"lstrip\": false}}", NULL, NULL, 3002, NULL},
        {"{\"eos_token\": \"<|im_start|>\"}", "{\"eos_token\": \"<|im_end|>\"}", NULL, NULL, 3002, NULL},
        {"{\"eos_token\": \"<|im_start|>\", \"added_tokens_decoder\": {}}", "{\"eos_token\": \"<|im_end|>\"}", NULL, NULL, 3001, NULL},
        {"{\"added_tokens_decoder\": {}}", "{\"eos_token\": \"<|im_end|>\"}", NULL, NULL, 3002, NULL},
        {"{\"eos_token\": \"<|im_start|>\"}", "{\"eos_token\": null, \"n\": 1e999}", "{\"eos_token_id\": 3002}", NULL, 3001, NULL},
        {"{}", "{}", "{\"eos_token_id\": [3002, 5]}", "{\"eos_token_id\": 3001}", 3002, NULL},
        {NULL, NULL, "{\"eos_token_id\": null, \"x\": NaN}", "{\"eos_token_id\": 3001}", 3001, NULL},
        {NULL, NULL, NULL, "{\"eos_token_id\": 9999}", 3000, NULL},
        {NULL, "{\"eos_token\": NaN}", NULL, NULL, 0, "special_tokens_map.json: eos_token is NaN"},
        {NULL, "[1]", NULL, NULL, 0, "special_tokens_map.json: is not an object"},
        {NULL, NULL, "{\"eos_token_id\": 1e999}", NULL, 0, "generation_config.json: key eos_token_id is 1e999"},
    };
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *const texts[] = {files[i].config, files[i].map, files[i].generation, files[i].model};
        for (int k = 0; k < 4; k++) {
            (void)remove(in_dir(names[k]));
            if (texts[k]) write_file(in_dir(names[k]), texts[k], strlen(texts[k]));
        }
        struct tokenizer *t = NULL;
        err_clear();
        err_t err = tokenizer_open(in_dir("tokenizer.json"), &t);
        if (files[i].says) CASE(err == ERR_FORMAT && strstr(err_message(), files[i].says), "\"%s\", not \"%s\"", err_message(), files[i].says);
        else
            CASE(err == OK && tokenizer_eos(t) == files[i].eos, "files %zu: the end is %d, not %d", i, t ? (int)tokenizer_eos(t) : 0,
                 (int)files[i].eos);
        if (err == OK) tokenizer_close(t);
    }
    for (int k = 0; k < 4; k++) (void)remove(in_dir(names[k]));
}

int main(void) {
    golden("gpt2");
    golden("olmoe");
    golden("qwen");
    variants("tests/golden/tokenizers/variants.json");
    variants("tests/golden/tokenizers/text.json");
    cut_words();
    long_texts();
    refusals();
    end_of_document();
    (void)remove(in_dir("tokenizer.json"));
    (void)remove(test_dir());
    return test_end();
}
