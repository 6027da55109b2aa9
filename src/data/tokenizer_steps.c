/* The lists of steps of a tokenizer.json: normalizer, pre-tokenizer, decoder; and what the post-processor puts around a text. */
#include "data/tokenizer_load_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD = 400, DEEP = 300 };

static bool is(const char *type, const char *name) { return strcmp(type, name) == 0; }

/* What is done with one part of a list, which is a part by itself, or with the parts of a Sequence in their order. */
typedef err_t (*load_part)(struct load *l, const char *field, const json_t *part, const char *type);

static err_t each_part(struct load *l, const char *field, const json_t *part, const char *list_key, load_part load) {
    const char *type;
    TRY(get_type(l, field, part, &type));
    if (!is(type, "Sequence")) return load(l, field, part, type);
    char keys[64];
    (void)snprintf(keys, sizeof keys, "type %s", list_key);
    TRY(only(l, field, part, keys));
    const json_t *list = json_object_get(part, list_key);
    if (!json_is_array(list)) return BAD(l, field, "%s is %s, not an array; correct the file", list_key, kind_of(list));
    if (strlen(field) > DEEP) return BAD(l, field, "has sequences inside sequences too deep; write them as one");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char inner[FIELD];
        (void)snprintf(inner, sizeof inner, "%s.%s[%zu]", field, list_key, i);
        TRY(each_part(l, inner, json_array_get(list, i), list_key, load));
    }
    return OK;
}

static err_t full(const struct load *l, const char *field) { return BAD(l, field, "has more than %d steps; use another tokenizer", TOK_STEPS - 1); }

static err_t get_text(const struct load *l, const char *field, const json_t *object, const char *key, struct tok_str *out) {
    const json_t *j = json_object_get(object, key);
    if (!json_is_string(j)) return BAD(l, field, "%s is %s, not a string; correct the file", key, kind_of(j));
    return tok_pool_add(&l->t->pool, json_string_value(j), (int64_t)json_string_length(j), out);
}

static err_t get_char(const struct load *l, const char *field, const json_t *object, const char *key, int32_t *out) {
    const json_t *j = json_object_get(object, key);
    int len = 0;
    const int64_t bytes = (int64_t)json_string_length(j);
    if (bytes > 0) *out = unicode_get(json_string_value(j), bytes, &len);
    if (bytes == 0 || len != bytes) return BAD(l, field, "%s is %s, not one character; correct the file", key, kind_of(j));
    return OK;
}

static err_t get_count(const struct load *l, const char *field, const json_t *object, const char *key, int64_t least, int64_t missing, int64_t *out) {
    const json_t *j = json_object_get(object, key);
    *out = missing;
    if (!j && missing >= 0) return OK;
    if (!json_is_integer(j) || json_integer_value(j) < least)
        return BAD(l, field, "%s is %s; it must be a whole number from %lld; correct the file", key, kind_of(j), (long long)least);
    *out = json_integer_value(j);
    return OK;
}

/* {"Regex": text} or {"String": text}. literal: the text of the latter goes into *find where it can be sought as it is. */
static err_t get_pattern(const struct load *l, const char *field, const json_t *object, struct tok_str *find, pcre2_code **regex) {
    const json_t *pattern = json_object_get(object, "pattern");
    const json_t *re = json_object_get(pattern, "Regex"), *string = json_object_get(pattern, "String"), *text = re ? re : string;
    TRY(only(l, field, pattern, re ? "Regex" : "String"));
    if (!json_is_string(text)) return BAD(l, field, "pattern is neither {\"Regex\": text} nor {\"String\": text}; correct the file");
    if (find && text == string && json_string_length(text) > 0)
        return tok_pool_add(&l->t->pool, json_string_value(text), (int64_t)json_string_length(text), find);
    err_t err = tok_regex_compile(json_string_value(text), (int64_t)json_string_length(text), text == string, regex);
    return err == OK ? OK : err_frame(err_prefix(err, "%s: %s", l->path, field), __func__);
}

/* ---- normalizer ---- */

static err_t load_norm(struct load *l, const char *field, const json_t *j, const char *type) {
    static const struct {
        const char *type;
        struct norm_step step;
    } plain[] = {
        {"NFC", {.kind = NORM_FORM, .compose = true}},
        {"NFD", {.kind = NORM_FORM}},
        {"NFKC", {.kind = NORM_FORM, .compose = true, .compat = true}},
        {"NFKD", {.kind = NORM_FORM, .compat = true}},
        {"Lowercase", {.kind = NORM_LOWERCASE}},
        {"StripAccents", {.kind = NORM_STRIP_ACCENTS}},
        {"Nmt", {.kind = NORM_NMT}},
        {"ByteLevel", {.kind = NORM_BYTES}},
    };
    if (l->t->norm_count + 1 >= TOK_STEPS) return full(l, field);
    struct norm_step *n = &l->t->norms[l->t->norm_count++]; /* counted before it is complete: what it holds is freed with the tokenizer */
    *n = (struct norm_step){0};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (is(type, plain[i].type)) {
            *n = plain[i].step;
            return only(l, field, j, "type");
        }
    if (is(type, "Strip")) {
        n->kind = NORM_STRIP;
        TRY(only(l, field, j, "type strip_left strip_right"));
        TRY(get_bool(l, field, j, "strip_left", -1, &n->left));
        return get_bool(l, field, j, "strip_right", -1, &n->right);
    }
    if (is(type, "Prepend")) {
        n->kind = NORM_PREPEND;
        TRY(only(l, field, j, "type prepend"));
        return get_text(l, field, j, "prepend", &n->put);
    }
    if (!is(type, "Replace"))
        return BAD(
            l, field,
            "\"%.60s\" is not supported; NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Nmt, Replace, Prepend, ByteLevel and Sequence are; "
            "use another tokenizer",
            type);
    n->kind = NORM_REPLACE;
    TRY(only(l, field, j, "type pattern content"));
    TRY(get_text(l, field, j, "content", &n->put));
    return get_pattern(l, field, j, &n->find, &n->regex);
}

err_t load_normalizer(struct load *l, const json_t *normalizer) {
    if (!normalizer || json_is_null(normalizer)) return OK;
    return each_part(l, "normalizer", normalizer, "normalizers", load_norm);
}

/* ---- pre-tokenizer ---- */

static err_t add_step(struct load *l, const char *field, enum step_kind kind, struct tok_step **out) {
    if (l->t->step_count + 1 >= TOK_STEPS) return full(l, field);
    *out = &l->t->steps[l->t->step_count++];
    **out = (struct tok_step){.kind = kind};
    return OK;
}

static err_t add_chars(struct load *l, const char *field, bool (*is_one)(int32_t), int32_t c, enum split_behavior b) {
    struct tok_step *k;
    TRY(add_step(l, field, STEP_CHARS, &k));
    k->is = is_one;
    k->c = c;
    k->behavior = b;
    return OK;
}

/* missing: what an absent behavior means, or -1. */
static err_t get_behavior(const struct load *l, const char *field, const json_t *j, int missing, enum split_behavior *out) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const json_t *behavior = json_object_get(j, "behavior");
    int b = 0;
    while (b < 5 && !(json_is_string(behavior) && is(json_string_value(behavior), names[b]))) b++;
    if (!behavior && missing >= 0) b = missing;
    if (b == 5)
        return BAD(l, field, "behavior \"%.60s\" is not Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous; correct the file",
                   json_is_string(behavior) ? json_string_value(behavior) : kind_of(behavior));
    *out = (enum split_behavior)b;
    return OK;
}

/* What the pre-tokenizer and the decoder of this name share. */
static err_t get_metaspace(const struct load *l, const char *field, const json_t *j, int32_t *c, enum meta_prepend *prepend, bool *split) {
    static const char *const names[] = {"always", "first", "never"};
    bool prefix;
    TRY(only(l, field, j, "type replacement prepend_scheme split add_prefix_space str_rep"));
    TRY(get_char(l, field, j, "replacement", c));
    *split = true;
    if (!json_is_null(json_object_get(j, "split"))) TRY(get_bool(l, field, j, "split", true, split));
    const json_t *scheme = json_object_get(j, "prepend_scheme");
    int p = 0;
    while (scheme && p < 3 && !(json_is_string(scheme) && is(json_string_value(scheme), names[p]))) p++;
    if (p == 3)
        return BAD(l, field, "prepend_scheme \"%.60s\" is not always, first or never; correct the file",
                   json_is_string(scheme) ? json_string_value(scheme) : kind_of(scheme));
    *prepend = (enum meta_prepend)p;
    prefix = true;
    if (!json_is_null(json_object_get(j, "add_prefix_space"))) TRY(get_bool(l, field, j, "add_prefix_space", true, &prefix));
    if (!prefix && *prepend != META_NEVER)
        return BAD(l, field, "add_prefix_space is false and prepend_scheme is %s, which Hugging Face's tokenizers refuse; write never", names[p]);
    return OK;
}

static err_t load_metaspace(struct load *l, const char *field, const json_t *j) {
    struct tok_step *k;
    bool split;
    TRY(add_step(l, field, STEP_META, &k));
    TRY(get_metaspace(l, field, j, &k->c, &k->prepend, &split));
    return split ? add_chars(l, field, NULL, k->c, SPLIT_MERGED_WITH_NEXT) : OK;
}

static err_t load_split(struct load *l, const char *field, const json_t *j) {
    struct tok_step *k;
    TRY(add_step(l, field, STEP_SPLIT, &k));
    TRY(only(l, field, j, "type pattern behavior invert"));
    TRY(get_behavior(l, field, j, -1, &k->behavior));
    TRY(get_bool(l, field, j, "invert", -1, &k->invert));
    return get_pattern(l, field, j, NULL, &k->regex);
}

/* The words that leave it are characters that stand for bytes. That is written out where a step follows that sees them (STEP_BYTES). */
static err_t load_byte_level(struct load *l, const char *field, const json_t *j) {
    struct tok_step *k;
    bool prefix, regex, trim;
    TRY(only(l, field, j, "type add_prefix_space trim_offsets use_regex"));
    TRY(get_bool(l, field, j, "add_prefix_space", -1, &prefix));
    TRY(get_bool(l, field, j, "trim_offsets", true, &trim)); /* offsets are not given */
    TRY(get_bool(l, field, j, "use_regex", true, &regex));
    if (prefix) TRY(add_step(l, field, STEP_PREFIX, &k));
    l->t->bytes = true;
    if (!regex) return OK;
    TRY(add_step(l, field, STEP_SPLIT, &k));
    k->behavior = SPLIT_ISOLATED;
    return tok_regex_compile(GPT2_PATTERN, sizeof GPT2_PATTERN - 1, false, &k->regex);
}

static err_t load_step(struct load *l, const char *field, const json_t *j, const char *type) {
    struct tok_step *k;
    enum split_behavior behavior;
    if (l->t->bytes) {
        TRY(add_step(l, field, STEP_BYTES, &k));
        l->t->bytes = false;
    }
    if (is(type, "ByteLevel")) return load_byte_level(l, field, j);
    if (is(type, "Split")) return load_split(l, field, j);
    if (is(type, "Metaspace")) return load_metaspace(l, field, j);
    if (is(type, "Digits")) {
        bool each;
        TRY(only(l, field, j, "type individual_digits"));
        TRY(get_bool(l, field, j, "individual_digits", -1, &each));
        return add_chars(l, field, unicode_is_number, 0, each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS);
    }
    if (is(type, "Punctuation")) {
        TRY(only(l, field, j, "type behavior"));
        TRY(get_behavior(l, field, j, SPLIT_ISOLATED, &behavior));
        return add_chars(l, field, unicode_is_punctuation, 0, behavior);
    }
    if (is(type, "Whitespace")) {
        TRY(only(l, field, j, "type"));
        return add_step(l, field, STEP_WORDS, &k);
    }
    if (is(type, "WhitespaceSplit") || is(type, "BertPreTokenizer")) {
        TRY(only(l, field, j, "type"));
        TRY(add_chars(l, field, unicode_is_space, 0, SPLIT_REMOVED));
        return is(type, "BertPreTokenizer") ? add_chars(l, field, unicode_is_punctuation, 0, SPLIT_ISOLATED) : OK;
    }
    if (is(type, "CharDelimiterSplit")) {
        int32_t c;
        TRY(only(l, field, j, "type delimiter"));
        TRY(get_char(l, field, j, "delimiter", &c));
        return add_chars(l, field, NULL, c, SPLIT_REMOVED);
    }
    if (is(type, "FixedLength")) {
        TRY(only(l, field, j, "type length"));
        TRY(add_step(l, field, STEP_LENGTH, &k));
        return get_count(l, field, j, "length", 1, 5, &k->length);
    }
    return BAD(l, field,
               "\"%.60s\" is not supported; ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, "
               "BertPreTokenizer, FixedLength and Sequence are; use another tokenizer",
               type);
}

err_t load_pre_tokenizer(struct load *l, const json_t *pre_tokenizer) {
    struct tokenizer *t = l->t;
    struct tok_step *k;
    if (pre_tokenizer && !json_is_null(pre_tokenizer)) TRY(each_part(l, "pre_tokenizer", pre_tokenizer, "pretokenizers", load_step));
    /* A byte as a symbol has no affix, and cannot be written out as bytes. */
    if (!t->bytes || !(t->byte_fallback || t->prefix.bytes || t->suffix.bytes)) return OK;
    t->bytes = false;
    return add_step(l, "pre_tokenizer", STEP_BYTES, &k);
}

/* ---- post-processor ---- */

static err_t grow_ids(int32_t **ids, int64_t count, int64_t more) {
    int32_t *p = realloc(*ids, sizeof *p * (size_t)(count + more));
    if (!p) return FAIL(ERR_NOMEM, "no memory for %lld ids of a post-processor; free some", (long long)(count + more));
    *ids = p;
    return OK;
}

/* Around what is there already: `id` becomes the first in front of it, or the last behind it. */
static err_t put_around(struct tokenizer *t, bool front, int64_t at, int32_t id) {
    if (!front) {
        TRY(grow_ids(&t->after, t->after_count, 1));
        t->after[t->after_count++] = id;
        return OK;
    }
    TRY(grow_ids(&t->before, t->before_count, 1));
    memmove(t->before + at + 1, t->before + at, sizeof *t->before * (size_t)(t->before_count - at));
    t->before[at] = id;
    t->before_count++;
    return OK;
}

static err_t put_id(struct load *l, const char *field, const json_t *j, bool front, int64_t at) {
    int32_t id;
    TRY(get_id(l, field, "a special token", j, &id));
    return put_around(l->t, front, at, id);
}

static err_t load_template(struct load *l, const char *field, const json_t *j) {
    const json_t *single = json_object_get(j, "single"), *specials = json_object_get(j, "special_tokens");
    if (!json_is_array(single)) return BAD(l, field, "single is %s, not an array; correct the file", kind_of(single));
    bool front = true;
    int64_t at = 0;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i), *special = json_object_get(item, "SpecialToken"), *text = json_object_get(item, "Sequence");
        const char *id = json_string_value(json_object_get(special ? special : text, "id"));
        if (!id) return BAD(l, field, "single[%zu] is neither a SpecialToken nor a Sequence with an id; correct the file", i);
        if (!special && (!front || !is(id, "A"))) return BAD(l, field, "single has the text twice, or another one, which is not supported");
        if (!special) {
            front = false;
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(specials, id), "ids");
        if (!json_is_array(ids)) return BAD(l, field, "special_tokens has no ids for \"%.60s\"; correct the file", id);
        for (size_t k = 0; k < json_array_size(ids); k++) TRY(put_id(l, field, json_array_get(ids, k), front, at++));
    }
    if (front) return BAD(l, field, "single has no text, which is not supported");
    return OK;
}

static err_t load_post(struct load *l, const char *field, const json_t *j, const char *type) {
    if (is(type, "ByteLevel")) return OK; /* it moves offsets, which are not given */
    if (is(type, "TemplateProcessing")) return load_template(l, field, j);
    if (!is(type, "BertProcessing") && !is(type, "RobertaProcessing")) return BAD(l, field, "\"%.60s\" is not known; use another tokenizer", type);
    TRY(put_id(l, field, json_array_get(json_object_get(j, "cls"), 1), true, 0));
    return put_id(l, field, json_array_get(json_object_get(j, "sep"), 1), false, 0);
}

err_t load_post_processor(struct load *l, const json_t *post_processor) {
    if (!post_processor || json_is_null(post_processor)) return OK;
    return each_part(l, "post_processor", post_processor, "processors", load_post);
}

/* ---- decoder ---- */

static err_t load_dec(struct load *l, const char *field, const json_t *j, const char *type) {
    if (l->t->dec_count + 1 >= TOK_STEPS) return full(l, field);
    struct dec_step *d = &l->t->decs[l->t->dec_count++];
    *d = (struct dec_step){0};
    if (is(type, "ByteLevel")) {
        d->kind = DEC_BYTES;
        return only(l, field, j, "type add_prefix_space trim_offsets use_regex");
    }
    if (is(type, "ByteFallback") || is(type, "Fuse")) {
        d->kind = is(type, "Fuse") ? DEC_FUSE : DEC_BYTE_FALLBACK;
        return only(l, field, j, "type");
    }
    if (is(type, "Replace")) {
        d->kind = DEC_REPLACE;
        TRY(only(l, field, j, "type pattern content"));
        TRY(get_text(l, field, j, "content", &d->put));
        return get_pattern(l, field, j, &d->find, &d->regex);
    }
    if (is(type, "Strip")) {
        d->kind = DEC_STRIP;
        TRY(only(l, field, j, "type content start stop"));
        TRY(get_char(l, field, j, "content", &d->c));
        TRY(get_count(l, field, j, "start", 0, -1, &d->start));
        return get_count(l, field, j, "stop", 0, -1, &d->stop);
    }
    if (is(type, "Metaspace")) {
        enum meta_prepend prepend;
        bool split;
        d->kind = DEC_META;
        TRY(get_metaspace(l, field, j, &d->c, &prepend, &split));
        d->keep_first = prepend == META_NEVER;
        return OK;
    }
    if (is(type, "WordPiece")) {
        d->kind = DEC_WORDPIECE;
        TRY(only(l, field, j, "type prefix cleanup"));
        TRY(get_text(l, field, j, "prefix", &d->find));
        return get_bool(l, field, j, "cleanup", -1, &d->cleanup);
    }
    if (!is(type, "BPEDecoder"))
        return BAD(l, field,
                   "\"%.60s\" is not supported; ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, WordPiece, BPEDecoder and Sequence are; "
                   "use another "
                   "tokenizer",
                   type);
    d->kind = DEC_SUFFIX;
    TRY(only(l, field, j, "type suffix"));
    return get_text(l, field, j, "suffix", &d->find);
}

err_t load_decoder(struct load *l, const json_t *decoder) {
    l->t->spaced = !decoder || json_is_null(decoder);
    return l->t->spaced ? OK : each_part(l, "decoder", decoder, "decoders", load_dec);
}
