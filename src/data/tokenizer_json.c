/* Reads a Hugging Face tokenizer.json. Everything in it is either understood or refused with file and field named: a
 * tokenizer that is nearly right gives a model other ids than it was trained on. docs/formats/tokenizer.md says what is had. */
#include "data/tokenizer_int.h"

#include "base/json.h"
#include "base/log.h"
#include "data/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct load {
    struct tokenizer *t;
    const char *path;
};

/* The value stands in the macro so that an analyser of this file alone sees that it is an error. */
#define BAD(l, field, ...) (bad((l), (field), __VA_ARGS__), ERR_FORMAT)
static void bad(const struct load *l, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void bad(const struct load *l, const char *field, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)FAIL(ERR_FORMAT, "%s: %s: %s", l->path, field, text);
}

static const char *kind_of(const json_t *j) {
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a number", "true", "false", "null"};
    return j ? names[json_typeof(j)] : "missing";
}

/* Every key of the object is among `keys` (space-separated) or null. */
static err_t only(const struct load *l, const char *field, json_t *object, const char *keys) {
    if (!json_is_object(object)) return BAD(l, field, "is %s, not an object; correct the file", kind_of(object));
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        size_t n = strlen(key);
        bool known = false;
        for (const char *k = keys; *k && !known; k += strcspn(k, " "), k += *k == ' ') known = strcspn(k, " ") == n && memcmp(k, key, n) == 0;
        if (!known && !json_is_null(value)) return BAD(l, field, "\"%.60s\" is not supported; remove it if nothing depends on it", key);
    }
    return OK;
}

static err_t get_bool(const struct load *l, const char *field, const json_t *object, const char *key, int missing, bool *out) {
    const json_t *j = json_object_get(object, key);
    if (!j && missing >= 0) {
        *out = missing;
        return OK;
    }
    if (!json_is_boolean(j)) return BAD(l, field, "%s is %s, not true or false; correct the file", key, kind_of(j));
    *out = json_is_true(j);
    return OK;
}

static err_t get_type(const struct load *l, const char *field, const json_t *object, const char **out) {
    if (!json_is_object(object)) return BAD(l, field, "is %s, not an object; correct the file", kind_of(object));
    const json_t *j = json_object_get(object, "type");
    if (!json_is_string(j)) return BAD(l, field, "type is %s, not a string; correct the file", kind_of(j));
    *out = json_string_value(j);
    return OK;
}
static bool is(const char *type, const char *name) { return strcmp(type, name) == 0; }

static err_t get_id(const struct load *l, const char *field, const char *token, const json_t *j, int32_t *out) {
    if (!json_is_integer(j)) return BAD(l, field, "the id of \"%.60s\" is %s, not an integer; correct the file", token, kind_of(j));
    json_int_t v = json_integer_value(j);
    if (v < 0 || v > TOK_MAX_ID)
        return BAD(l, field, "the id of \"%.60s\" is %lld, outside 0 to %d; correct the file", token, (long long)v, TOK_MAX_ID);
    *out = (int32_t)v;
    return OK;
}

/* Ids of tokens are found: room for their strings. */
static err_t make_tables(struct load *l, const json_t *vocab, const json_t *added) {
    struct tokenizer *t = l->t;
    int32_t id, most = -1;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)vocab, key, value) {
        TRY(get_id(l, "model.vocab", key, value, &id));
        if (id > most) most = id;
    }
    size_t i;
    json_array_foreach(added, i, value) {
        TRY(get_id(l, "added_tokens", "an added token", json_object_get(value, "id"), &id));
        if (id > most) most = id;
    }
    t->vocab = (int64_t)most + 1;
    t->tokens = malloc((size_t)(t->vocab + 1) * sizeof *t->tokens);
    t->raw = malloc((size_t)(t->vocab + 1) * sizeof *t->raw);
    t->added = calloc(json_array_size(added) + 1, sizeof *t->added);
    if (!t->tokens || !t->raw || !t->added) return FAIL(ERR_NOMEM, "%s: no memory for %lld tokens; free some", l->path, (long long)t->vocab);
    for (int64_t k = 0; k < t->vocab; k++) t->tokens[k] = t->raw[k] = (struct tok_str){.bytes = -1};
    return OK;
}

/* unk: the text of unk_token, or NULL. */
static err_t load_vocab(struct load *l, json_t *vocab, const char *unk) {
    struct tokenizer *t = l->t;
    TRY(tok_map_new(&t->map, (int64_t)json_object_size(vocab)));
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value) {
        int32_t id;
        TRY(get_id(l, "model.vocab", key, value, &id));
        if (t->tokens[id].bytes >= 0)
            return BAD(l, "model.vocab", "\"%.60s\" and \"%.*s\" have the same id %d; give one another", key,
                       t->tokens[id].bytes > 60 ? 60 : t->tokens[id].bytes, t->pool.text + t->tokens[id].at, (int)id);
        TRY(tok_pool_add(&t->pool, key, (int64_t)strlen(key), &t->tokens[id]));
        tok_map_add(&t->map, &t->pool, t->tokens, id);
    }
    int missing = 0;
    for (int b = 0; b < 256; b++) {
        char text[2];
        int n = byte_char_put(&t->chars, (unsigned char)b, text);
        t->byte_id[b] = tok_map_find(&t->map, &t->pool, t->tokens, text, n);
        missing += t->byte_id[b] < 0;
    }
    if (missing && unk && t->unk < 0) return BAD(l, "model.unk_token", "\"%.60s\" is not in model.vocab; correct the file", unk);
    if (missing && t->unk < 0)
        log_line(LOG_WARN, "%s: the vocabulary has no token for %d of the 256 bytes; text loses them, as it does in Hugging Face's tokenizers",
                 l->path, missing);
    return OK;
}

static int32_t find_token(const struct load *l, const char *text, size_t bytes) {
    return tok_map_find(&l->t->map, &l->t->pool, l->t->tokens, text, (int64_t)bytes);
}

static err_t load_merges(struct load *l, const json_t *merges) {
    if (!json_is_array(merges)) return BAD(l, "model.merges", "is %s, not an array; correct the file", kind_of(merges));
    size_t count = json_array_size(merges), room = 0;
    TRY(tok_merges_new(&l->t->merges, (int64_t)count));
    char *joined = NULL;
    int64_t joined_room = 0;
    err_t err = OK;
    uint32_t rank = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *m = json_array_get(merges, i);
        const char *a, *b;
        size_t na, nb;
        char field[64];
        (void)snprintf(field, sizeof field, "model.merges[%zu]", i);
        if (json_is_string(m)) {
            a = json_string_value(m);
            const char *space = memchr(a, ' ', json_string_length(m));
            if (i == 0 && strncmp(a, "#version", 8) == 0) continue; /* the first line of the merges.txt it was made from */
            na = space ? (size_t)(space - a) : 0;
            b = a + na + 1;
            nb = space ? json_string_length(m) - na - 1 : 0;
            if (!space || memchr(b, ' ', nb)) {
                err = BAD(l, field, "\"%.60s\" is not two tokens with a space between; correct the file", a);
                goto done;
            }
        } else if (json_is_array(m) && json_array_size(m) == 2 && json_is_string(json_array_get(m, 0)) && json_is_string(json_array_get(m, 1))) {
            a = json_string_value(json_array_get(m, 0));
            na = json_string_length(json_array_get(m, 0));
            b = json_string_value(json_array_get(m, 1));
            nb = json_string_length(json_array_get(m, 1));
        } else {
            err = BAD(l, field, "is neither \"A B\" nor [\"A\", \"B\"] but %s; correct the file", kind_of(m));
            goto done;
        }
        room = na + nb;
        TRY_OR(tok_grow((void **)&joined, &joined_room, (int64_t)room + 1, 1), done);
        memcpy(joined, a, na);
        memcpy(joined + na, b, nb);
        joined[room] = 0;
        int32_t left = find_token(l, a, na), right = find_token(l, b, nb), id = find_token(l, joined, room);
        if (left < 0 || right < 0 || id < 0) {
            const char *none = left < 0 ? a : right < 0 ? b : joined;
            size_t n = left < 0 ? na : right < 0 ? nb : room;
            err = BAD(l, field, "names \"%.*s\", which is not in model.vocab; correct the file", n > 60 ? 60 : (int)n, none);
            goto done;
        }
        tok_merges_add(&l->t->merges, left, right, rank++, id);
    }
done:
    free(joined);
    return err;
}

/* null, or an empty string where that means the same. */
static err_t must_be_unset(const struct load *l, const char *field, const json_t *j, bool empty_is_none) {
    if (!j || json_is_null(j) || (empty_is_none && json_is_string(j) && json_string_length(j) == 0)) return OK;
    return BAD(l, field, "is not supported, only null is; use a byte-level BPE tokenizer that does without it");
}

static err_t load_model(struct load *l, json_t *model, const json_t *added) {
    struct tokenizer *t = l->t;
    if (!json_is_object(model)) return BAD(l, "model", "is %s, not an object; correct the file", kind_of(model));
    const json_t *type = json_object_get(model, "type");
    if (type && (!json_is_string(type) || !is(json_string_value(type), "BPE")))
        return BAD(l, "model.type", "\"%.60s\" is not supported, only BPE is; use a byte-level BPE tokenizer",
                   json_is_string(type) ? json_string_value(type) : kind_of(type));
    TRY(only(l, "model", model,
             "type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback ignore_merges vocab merges"));
    const json_t *dropout = json_object_get(model, "dropout");
    if (!json_is_number(dropout) || json_number_value(dropout) != 0) TRY(must_be_unset(l, "model.dropout", dropout, false));
    TRY(must_be_unset(l, "model.continuing_subword_prefix", json_object_get(model, "continuing_subword_prefix"), true));
    TRY(must_be_unset(l, "model.end_of_word_suffix", json_object_get(model, "end_of_word_suffix"), true));
    bool fallback;
    TRY(get_bool(l, "model", model, "byte_fallback", false, &fallback));
    if (fallback) return BAD(l, "model.byte_fallback", "true is not supported; use a byte-level BPE tokenizer, which has a token for every byte");
    TRY(get_bool(l, "model", model, "fuse_unk", false, &t->fuse_unk));
    TRY(get_bool(l, "model", model, "ignore_merges", false, &t->ignore_merges));
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) return BAD(l, "model.vocab", "is %s, not an object; correct the file", kind_of(vocab));
    TRY(make_tables(l, vocab, added));
    const json_t *unk = json_object_get(model, "unk_token");
    if (unk && !json_is_null(unk) && !json_is_string(unk)) return BAD(l, "model.unk_token", "is %s, not a string; correct the file", kind_of(unk));
    if (json_is_string(unk)) {
        const json_t *id = json_object_get(vocab, json_string_value(unk));
        /* With a token for every byte it is never used, and need not be there. */
        if (id) TRY(get_id(l, "model.vocab", json_string_value(unk), id, &t->unk));
    }
    TRY(load_vocab(l, vocab, json_string_value(unk)));
    return load_merges(l, json_object_get(model, "merges"));
}

static err_t load_normalizer(struct load *l, json_t *n, const char *field) {
    if (!n || json_is_null(n)) return OK;
    const char *type;
    TRY(get_type(l, field, n, &type));
    if (is(type, "NFC")) {
        l->t->nfc = true; /* twice is once */
        return only(l, field, n, "type");
    }
    if (!is(type, "Sequence") || !is(field, "normalizer"))
        return BAD(l, field, "\"%.60s\" is not supported, only NFC is; use another tokenizer", type);
    TRY(only(l, field, n, "type normalizers"));
    json_t *list = json_object_get(n, "normalizers"), *item;
    if (!json_is_array(list)) return BAD(l, field, "normalizers is %s, not an array; correct the file", kind_of(list));
    size_t i;
    json_array_foreach(list, i, item) TRY(load_normalizer(l, item, "normalizer.normalizers"));
    return OK;
}

static err_t add_step(struct load *l, const char *field, enum step_kind kind) {
    if (l->t->step_count + 1 >= TOK_STEPS) return BAD(l, field, "has more than %d steps; use another tokenizer", TOK_STEPS - 1);
    l->t->steps[l->t->step_count++] = (struct tok_step){.kind = kind};
    return OK;
}

static err_t add_split(struct load *l, const char *field, const char *pattern, size_t bytes, bool literal, enum split_behavior b, bool invert) {
    TRY(add_step(l, field, STEP_SPLIT));
    struct tok_step *k = &l->t->steps[l->t->step_count - 1];
    k->behavior = b;
    k->invert = invert;
    err_t err = tok_regex_compile(pattern, (int64_t)bytes, literal, &k->regex);
    return err == OK ? OK : err_frame(err_prefix(err, "%s: %s", l->path, field), __func__);
}

static err_t load_split(struct load *l, const char *field, json_t *p) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    TRY(only(l, field, p, "type pattern behavior invert"));
    json_t *pattern = json_object_get(p, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *string = json_object_get(pattern, "String"), *text = regex ? regex : string;
    TRY(only(l, field, pattern, regex ? "Regex" : "String"));
    if (!json_is_string(text)) return BAD(l, field, "pattern is neither {\"Regex\": text} nor {\"String\": text}; correct the file");
    const json_t *behavior = json_object_get(p, "behavior");
    int b = 0;
    while (b < 5 && !(json_is_string(behavior) && is(json_string_value(behavior), names[b]))) b++;
    if (b == 5)
        return BAD(l, field, "behavior \"%.60s\" is not Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous; correct the file",
                   json_is_string(behavior) ? json_string_value(behavior) : kind_of(behavior));
    bool invert;
    TRY(get_bool(l, field, p, "invert", -1, &invert));
    return add_split(l, field, json_string_value(text), json_string_length(text), text == string, (enum split_behavior)b, invert);
}

/* *bytes: a ByteLevel has been there; steps behind it see characters that stand for bytes. */
static err_t load_step(struct load *l, const char *field, json_t *p, bool *bytes) {
    const char *type;
    TRY(get_type(l, field, p, &type));
    if (*bytes && !l->t->bytes_in_steps) {
        TRY(add_step(l, field, STEP_BYTES));
        l->t->bytes_in_steps = true;
    }
    if (is(type, "Split")) return load_split(l, field, p);
    if (is(type, "Digits")) {
        bool each;
        TRY(only(l, field, p, "type individual_digits"));
        TRY(get_bool(l, field, p, "individual_digits", -1, &each));
        return add_split(l, field, "\\p{N}", 5, false, each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false);
    }
    if (is(type, "ByteLevel")) {
        bool prefix, regex, trim;
        TRY(only(l, field, p, "type add_prefix_space trim_offsets use_regex"));
        TRY(get_bool(l, field, p, "add_prefix_space", -1, &prefix));
        TRY(get_bool(l, field, p, "trim_offsets", true, &trim)); /* offsets are not given */
        TRY(get_bool(l, field, p, "use_regex", true, &regex));
        if (*bytes) return BAD(l, field, "has ByteLevel twice, which is not supported; use another tokenizer");
        *bytes = true;
        if (prefix) TRY(add_step(l, field, STEP_PREFIX));
        return regex ? add_split(l, field, GPT2_PATTERN, sizeof GPT2_PATTERN - 1, false, SPLIT_ISOLATED, false) : OK;
    }
    if (!is(type, "Sequence"))
        return BAD(l, field, "\"%.60s\" is not supported, only ByteLevel, Split, Digits and Sequence are; use another tokenizer", type);
    TRY(only(l, field, p, "type pretokenizers"));
    json_t *list = json_object_get(p, "pretokenizers"), *item;
    if (!json_is_array(list)) return BAD(l, field, "pretokenizers is %s, not an array; correct the file", kind_of(list));
    if (strlen(field) > 300) return BAD(l, field, "has sequences inside sequences too deep; write them as one");
    size_t i;
    json_array_foreach(list, i, item) {
        char inner[400];
        (void)snprintf(inner, sizeof inner, "%s.pretokenizers[%zu]", field, i);
        TRY(load_step(l, inner, item, bytes));
    }
    return OK;
}

/* *found: ByteLevel decoders so far. */
static err_t load_decoder(struct load *l, const char *field, json_t *d, int *found) {
    const char *type;
    TRY(get_type(l, field, d, &type));
    if (is(type, "ByteLevel")) {
        if (++*found > 1) return BAD(l, field, "has ByteLevel twice, which is not supported; use another tokenizer");
        return only(l, field, d, "type add_prefix_space trim_offsets use_regex");
    }
    if (!is(type, "Sequence") || !is(field, "decoder"))
        return BAD(l, field, "\"%.60s\" is not supported, only ByteLevel is; use another tokenizer", type);
    TRY(only(l, field, d, "type decoders"));
    json_t *list = json_object_get(d, "decoders"), *item;
    if (!json_is_array(list) || json_array_size(list) == 0) return BAD(l, field, "decoders is no list of decoders; correct the file");
    size_t i;
    json_array_foreach(list, i, item) TRY(load_decoder(l, "decoder.decoders", item, found));
    return OK;
}

/* It adds special tokens and cuts offsets, and encoding here does neither. */
static err_t check_post_processor(const struct load *l, const json_t *p) {
    if (!p || json_is_null(p)) return OK;
    const char *type;
    TRY(get_type(l, "post_processor", p, &type));
    static const char *const names[] = {"ByteLevel", "TemplateProcessing", "Sequence", "BertProcessing", "RobertaProcessing"};
    for (int i = 0; i < 5; i++)
        if (is(type, names[i])) return OK;
    return BAD(l, "post_processor", "\"%.60s\" is not known; use another tokenizer", type);
}

/* Hugging Face gives an added token the id it has in the vocabulary, else the next after the others, whatever the file says:
 * where the file says something else, one of the two is wrong. */
static err_t load_added(struct load *l, json_t *list) {
    struct tokenizer *t = l->t;
    int64_t vocab_size = 0, last = -1;
    for (int64_t i = 0; i < t->vocab; i++) vocab_size += t->tokens[i].bytes >= 0;
    TRY(tok_map_new(&t->added_map, (int64_t)json_array_size(list)));
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        char field[64];
        (void)snprintf(field, sizeof field, "added_tokens[%zu]", i);
        struct tok_added *a = &t->added[i];
        TRY(only(l, field, item, "id content single_word lstrip rstrip normalized special"));
        const json_t *content = json_object_get(item, "content");
        if (!json_is_string(content) || json_string_length(content) == 0) return BAD(l, field, "content is no text; correct the file");
        const char *text = json_string_value(content);
        int64_t bytes = (int64_t)json_string_length(content);
        TRY(get_id(l, field, text, json_object_get(item, "id"), &a->id));
        TRY(get_bool(l, field, item, "single_word", -1, &a->single_word));
        TRY(get_bool(l, field, item, "lstrip", -1, &a->lstrip));
        TRY(get_bool(l, field, item, "rstrip", -1, &a->rstrip));
        TRY(get_bool(l, field, item, "normalized", -1, &a->normalized));
        TRY(get_bool(l, field, item, "special", -1, &a->special));
        if (tok_map_find(&t->added_map, &t->pool, t->tokens, text, bytes) >= 0) return BAD(l, field, "\"%.60s\" is there twice; remove one", text);
        int32_t in_vocab = tok_map_find(&t->map, &t->pool, t->tokens, text, bytes);
        int64_t id = in_vocab >= 0 ? in_vocab : last >= vocab_size ? last + 1 : vocab_size;
        if (a->id != id)
            return BAD(l, field, "\"%.60s\" says id %d, but Hugging Face's tokenizers give it %lld; write that", text, (int)a->id, (long long)id);
        if (in_vocab < 0 && t->tokens[id].bytes >= 0)
            return BAD(l, field, "\"%.60s\" has the id %d of another token; give it one of its own", text, (int)a->id);
        TRY(tok_pool_add(&t->pool, text, bytes, &a->content));
        t->tokens[a->id] = a->content;
        tok_map_add(&t->added_map, &t->pool, t->tokens, a->id);
        if (id > last) last = id;
        t->added_count = (int64_t)i + 1;
    }
    return OK;
}

/* Added tokens into the tries; those that are normalised also decode to their normalised text. */
static err_t index_added(const struct load *l) {
    struct tokenizer *t = l->t;
    struct nfc nfc = {0};
    err_t err = OK;
    for (int64_t i = 0; i < t->added_count; i++) {
        const struct tok_added *a = &t->added[i];
        const char *text = t->pool.text + a->content.at;
        int64_t bytes = a->content.bytes;
        if (a->normalized && t->nfc) TRY_OR(nfc_text(&nfc, text, bytes, &text, &bytes), done);
        err = trie_add(a->normalized ? &t->normalized : &t->plain, text, bytes, (int32_t)i);
        if (err != OK) {
            err = err_prefix(err, "%s: added_tokens[%lld]", l->path, (long long)i);
            break;
        }
        if (text == nfc.text) TRY_OR(tok_pool_add(&t->pool, text, bytes, &t->raw[a->id]), done);
    }
done:
    nfc_free(&nfc);
    return err;
}

/* What each id decodes to. */
static err_t decode_tokens(struct tokenizer *t) {
    for (int64_t id = 0; id < t->vocab; id++) {
        struct tok_str s = t->raw[id].bytes >= 0 ? t->raw[id] : t->tokens[id];
        if (s.bytes < 0) continue;
        TRY(tok_grow((void **)&t->pool.text, &t->pool.room, t->pool.bytes + s.bytes + 1, 1));
        char *to = t->pool.text + t->pool.bytes;
        int64_t n = t->joined ? byte_chars_decode(&t->chars, t->pool.text + s.at, s.bytes, to) : -1;
        t->raw[id] = s;
        if (n < 0) continue; /* has characters that stand for no byte: decodes to its own text */
        ENSURE(t->pool.bytes + n <= INT32_MAX);
        t->raw[id] = (struct tok_str){.at = (uint32_t)t->pool.bytes, .bytes = (int32_t)n};
        t->pool.bytes += n;
    }
    return OK;
}

static err_t load_root(struct load *l, json_t *root) {
    struct tokenizer *t = l->t;
    TRY(only(l, "the file", root, "version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model"));
    const json_t *version = json_object_get(root, "version");
    if (version && (!json_is_string(version) || !is(json_string_value(version), "1.0")))
        return BAD(l, "version", "is not \"1.0\"; use a tokenizer.json of version 1.0");
    static const char *const per_call[] = {"truncation", "padding"};
    for (int i = 0; i < 2; i++) {
        const json_t *j = json_object_get(root, per_call[i]);
        if (!j || json_is_null(j)) continue;
        if (!json_is_object(j)) return BAD(l, per_call[i], "is %s, not an object or null; correct the file", kind_of(j));
        log_line(LOG_WARN, "%s: %s is not applied: texts are encoded whole, as transformers does unless asked", l->path, per_call[i]);
    }
    json_t *added = json_object_get(root, "added_tokens");
    if (added && !json_is_array(added) && !json_is_null(added))
        return BAD(l, "added_tokens", "is %s, not an array; correct the file", kind_of(added));
    TRY(load_model(l, json_object_get(root, "model"), added));
    TRY(load_normalizer(l, json_object_get(root, "normalizer"), "normalizer"));
    json_t *pre = json_object_get(root, "pre_tokenizer");
    if (!pre || json_is_null(pre))
        return BAD(l, "pre_tokenizer", "null is not supported; use a byte-level BPE tokenizer (ByteLevel, or Split and ByteLevel)");
    bool bytes = false;
    TRY(load_step(l, "pre_tokenizer", pre, &bytes));
    if (!bytes) return BAD(l, "pre_tokenizer", "has no ByteLevel; use a byte-level BPE tokenizer");
    TRY(check_post_processor(l, json_object_get(root, "post_processor")));
    json_t *decoder = json_object_get(root, "decoder");
    int found = 0;
    if (decoder && !json_is_null(decoder)) TRY(load_decoder(l, "decoder", decoder, &found));
    t->joined = found > 0;
    TRY(load_added(l, added));
    TRY(index_added(l));
    return decode_tokens(t);
}

err_t tokenizer_load(struct tokenizer *t, const char *path, const char *json, int64_t bytes) {
    struct load l = {.t = t, .path = path};
    json_error_t e;
    json_t *root = json_read(json, bytes, JSON_NULS, &e);
    if (!root) {
        if (json_error_code(&e) == json_error_out_of_memory)
            return FAIL(ERR_NOMEM, "%s: no memory to read %lld bytes of JSON; free some", path, (long long)bytes);
        return FAIL(ERR_FORMAT, "%s: the file is not JSON as it must be: %s at line %d, column %d; correct the file", path, e.text, e.line, e.column);
    }
    byte_chars_init(&t->chars);
    t->unk = -1;
    err_t err = load_root(&l, root);
    json_decref(root);
    return err == OK ? OK : err_frame(err, __func__);
}
