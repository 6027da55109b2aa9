/* Reads a Hugging Face tokenizer.json: the model and the added tokens. Everything in it is either understood or refused with file and
 * field named: a tokenizer that is nearly right gives a model other ids than it was trained on. docs/formats/tokenizer.md says what is had. */
#include "data/tokenizer_load_int.h"

#include "base/log.h"
#include "data/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 };

void load_bad(const struct load *l, const char *field, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)FAIL(ERR_FORMAT, "%s: %s: %s", l->path, field, text);
}

const char *kind_of(const json_t *j) {
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a number", "true", "false", "null"};
    return j ? names[json_typeof(j)] : "missing";
}

err_t only(const struct load *l, const char *field, const json_t *object, const char *keys) {
    if (!json_is_object(object)) return BAD(l, field, "is %s, not an object; correct the file", kind_of(object));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        size_t n = strlen(key);
        bool known = false;
        for (const char *k = keys; *k && !known; k += strcspn(k, " "), k += *k == ' ') known = strcspn(k, " ") == n && memcmp(k, key, n) == 0;
        if (!known && !json_is_null(value)) return BAD(l, field, "\"%.60s\" is not supported; remove it if nothing depends on it", key);
    }
    return OK;
}

err_t get_bool(const struct load *l, const char *field, const json_t *object, const char *key, int missing, bool *out) {
    const json_t *j = json_object_get(object, key);
    if (!j && missing >= 0) {
        *out = missing;
        return OK;
    }
    if (!json_is_boolean(j)) return BAD(l, field, "%s is %s, not true or false; correct the file", key, kind_of(j));
    *out = json_is_true(j);
    return OK;
}

err_t get_type(const struct load *l, const char *field, const json_t *object, const char **out) {
    if (!json_is_object(object)) return BAD(l, field, "is %s, not an object; correct the file", kind_of(object));
    const json_t *j = json_object_get(object, "type");
    if (!json_is_string(j)) return BAD(l, field, "type is %s, not a string; correct the file", kind_of(j));
    *out = json_string_value(j);
    return OK;
}
static bool is(const char *type, const char *name) { return strcmp(type, name) == 0; }

err_t get_id(const struct load *l, const char *field, const char *token, const json_t *j, int32_t *out) {
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
    t->shown = malloc((size_t)(t->vocab + 1) * sizeof *t->shown);
    t->raw = malloc((size_t)(t->vocab + 1) * sizeof *t->raw);
    t->added = calloc(json_array_size(added) + 1, sizeof *t->added);
    if (!t->tokens || !t->shown || !t->raw || !t->added)
        return FAIL(ERR_NOMEM, "%s: no memory for %lld tokens; free some", l->path, (long long)t->vocab);
    for (int64_t k = 0; k < t->vocab; k++) t->tokens[k] = t->shown[k] = t->raw[k] = (struct tok_str){.bytes = -1};
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
    if (unk) t->unk = tok_map_find(&t->map, &t->pool, t->tokens, unk, (int64_t)strlen(unk));
    return OK;
}

static int32_t find_token(const struct load *l, const char *text, size_t bytes) {
    return tok_map_find(&l->t->map, &l->t->pool, l->t->tokens, text, (int64_t)bytes);
}

static err_t load_merges(struct load *l, const json_t *merges) {
    if (!json_is_array(merges)) return BAD(l, "model.merges", "is %s, not an array; correct the file", kind_of(merges));
    size_t count = json_array_size(merges), room = 0, skip = (size_t)l->t->prefix.bytes; /* of the right token, in what they make */
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
        if (nb < skip) {
            err = BAD(l, field, "\"%.60s\" is shorter than model.continuing_subword_prefix; correct the file", b);
            goto done;
        }
        room = na + nb - skip;
        TRY_OR(tok_grow((void **)&joined, &joined_room, (int64_t)room + 1, 1), done);
        memcpy(joined, a, na);
        memcpy(joined + na, b + skip, nb - skip);
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

/* What a word's symbols are written with; nothing where it is null or empty. */
static err_t get_affix(struct load *l, const char *field, const json_t *j, struct tok_str *out) {
    if (!j || json_is_null(j)) return OK;
    if (!json_is_string(j)) return BAD(l, field, "is %s, not a string; correct the file", kind_of(j));
    return tok_pool_add(&l->t->pool, json_string_value(j), (int64_t)json_string_length(j), out);
}

static err_t load_model(struct load *l, json_t *model, const json_t *added) {
    struct tokenizer *t = l->t;
    char shown[SHOWN];
    if (!json_is_object(model)) return BAD(l, "model", "is %s, not an object; correct the file", kind_of(model));
    const json_t *type = json_object_get(model, "type");
    if (type && (!json_is_string(type) || !is(json_string_value(type), "BPE")))
        return BAD(l, "model.type", "\"%.60s\" is not supported, only BPE is; use another tokenizer",
                   json_is_string(type) ? json_string_value(type) : kind_of(type));
    TRY(only(l, "model", model,
             "type dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback ignore_merges vocab merges"));
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) && (!json_is_number(dropout) || json_number_value(dropout) != 0))
        return BAD(l, "model.dropout", "is %s: encoding at random is not supported; make it null", json_show(dropout, shown, sizeof shown));
    TRY(get_affix(l, "model.continuing_subword_prefix", json_object_get(model, "continuing_subword_prefix"), &t->prefix));
    TRY(get_affix(l, "model.end_of_word_suffix", json_object_get(model, "end_of_word_suffix"), &t->suffix));
    TRY(get_bool(l, "model", model, "byte_fallback", false, &t->byte_fallback));
    TRY(get_bool(l, "model", model, "fuse_unk", false, &t->fuse_unk));
    TRY(get_bool(l, "model", model, "ignore_merges", false, &t->ignore_merges));
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) return BAD(l, "model.vocab", "is %s, not an object; correct the file", kind_of(vocab));
    TRY(make_tables(l, vocab, added));
    const json_t *unk = json_object_get(model, "unk_token");
    if (unk && !json_is_null(unk) && !json_is_string(unk)) return BAD(l, "model.unk_token", "is %s, not a string; correct the file", kind_of(unk));
    TRY(load_vocab(l, vocab, json_string_value(unk)));
    return load_merges(l, json_object_get(model, "merges"));
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
    struct tok_scratch s;
    TRY(tok_scratch_init(t, &s));
    err_t err = OK;
    for (int64_t i = 0; i < t->added_count; i++) {
        const struct tok_added *a = &t->added[i];
        struct tok_piece p = {t->pool.text + a->content.at, a->content.bytes, 0};
        const char *as_written = p.text;
        if (a->normalized) TRY_OR(tok_normalize(&s, p, &p), done);
        if (p.bytes == 0) { /* Hugging Face's search then cuts the text at every character */
            char field[64];
            (void)snprintf(field, sizeof field, "added_tokens[%lld]", (long long)i);
            err = BAD(l, field, "nothing is left of it once normalised, which is not supported; make it not normalized");
            break;
        }
        err = trie_add(a->normalized ? &t->normalized : &t->plain, p.text, p.bytes, (int32_t)i);
        if (err != OK) {
            err = err_prefix(err, "%s: added_tokens[%lld]", l->path, (long long)i);
            break;
        }
        if (p.text != as_written) TRY_OR(tok_pool_add(&t->pool, p.text, p.bytes, &t->shown[a->id]), done);
    }
    for (int64_t id = 0; id < t->vocab; id++)
        if (t->shown[id].bytes < 0) t->shown[id] = t->tokens[id];
done:
    tok_scratch_fini(&s);
    return err;
}

/* Words are bytes: the token of each. */
static err_t index_bytes(const struct load *l, const char *unk) {
    struct tokenizer *t = l->t;
    int missing = 0;
    for (int b = 0; b < 256; b++) {
        char text[2];
        const int n = byte_char_put(&t->chars, (unsigned char)b, text);
        t->byte_id[b] = find_token(l, text, (size_t)n);
        missing += t->byte_id[b] < 0;
    }
    if (missing && unk && t->unk < 0) return BAD(l, "model.unk_token", "\"%.60s\" is not in model.vocab; correct the file", unk);
    if (missing && t->unk < 0)
        log_line(LOG_WARN, "%s: the vocabulary has no token for %d of the 256 bytes; text loses them, as it does in Hugging Face's tokenizers",
                 l->path, missing);
    return OK;
}

/* Whether a token's text ends in U+2581, or begins with it. */
static bool meta_at(const struct tokenizer *t, int32_t id, bool end) {
    const struct tok_str s = t->tokens[id];
    return s.bytes >= 3 && memcmp(t->pool.text + s.at + (end ? s.bytes - 3 : 0), "\xe2\x96\x81", 3) == 0;
}

/* Words are text: the token of each character, and of each byte that is written out. */
static err_t index_chars(const struct load *l, const char *unk) {
    struct tokenizer *t = l->t;
    t->char_id = malloc(CHAR_IDS * sizeof *t->char_id);
    if (!t->char_id) return FAIL(ERR_NOMEM, "%s: no memory for the tokens of characters; free some", l->path);
    for (int32_t c = 0; c < CHAR_IDS; c++) {
        char text[4];
        t->char_id[c] = find_token(l, text, (size_t)unicode_put(c, text));
    }
    int missing = 0;
    for (int b = 0; b < 256; b++) {
        char text[8];
        const int n = snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        t->fallback[b] = find_token(l, text, (size_t)n);
        missing += t->fallback[b] < 0;
    }
    if (unk && t->unk < 0) t->unk = UNK_MISSING; /* an error only where it is needed, as in Hugging Face's tokenizers */
    if (!unk && (missing || !t->byte_fallback))
        log_line(LOG_WARN, "%s: there is no unk_token; text loses characters without a token, as it does in Hugging Face's tokenizers", l->path);
    t->affixes = t->prefix.bytes || t->suffix.bytes;
    t->cut_meta = !t->affixes && !t->ignore_merges && t->char_id[0x2581] >= 0 && (t->unk < 0 || !meta_at(t, t->unk, true));
    for (int64_t i = 0; t->cut_meta && i < t->merges.slots; i++) {
        const uint64_t pair = t->merges.slot[i].pair;
        if (pair != UINT64_MAX && !meta_at(t, (int32_t)(pair >> 32), true) && meta_at(t, (int32_t)(uint32_t)pair, false)) t->cut_meta = false;
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
    TRY(load_normalizer(l, json_object_get(root, "normalizer")));
    TRY(load_pre_tokenizer(l, json_object_get(root, "pre_tokenizer")));
    TRY(load_post_processor(l, json_object_get(root, "post_processor")));
    TRY(load_decoder(l, json_object_get(root, "decoder")));
    for (int64_t i = 0; i < t->before_count + t->after_count; i++) {
        const int32_t id = i < t->before_count ? t->before[i] : t->after[i - t->before_count];
        if (id >= t->vocab) return BAD(l, "post_processor", "puts the id %d, which no token has; correct the file", (int)id);
    }
    const char *unk = json_string_value(json_object_get(json_object_get(root, "model"), "unk_token"));
    TRY(t->bytes ? index_bytes(l, unk) : index_chars(l, unk));
    TRY(load_added(l, added));
    TRY(index_added(l));
    return decoder_index(t);
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
