#include "data/tokenizer_int.h"

#include "base/log.h"
#include "base/os.h"
#include "data/utf8.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { JIT_STACK_START = 32 << 10, JIT_STACK_MOST = 64 << 20 };
#define MAX_FILE (INT64_C(512) << 20)

void tokenizer_fini(struct tokenizer *t) {
    free(t->pool.text);
    free(t->tokens);
    free(t->shown);
    free(t->raw);
    free(t->char_id);
    free(t->before);
    free(t->after);
    free(t->map.slot);
    free(t->merges.slot);
    free(t->added);
    free(t->added_map.slot);
    free(t->plain.nodes);
    free(t->normalized.nodes);
    for (int i = 0; i < TOK_STEPS; i++) {
        pcre2_code_free(t->norms[i].regex);
        pcre2_code_free(t->steps[i].regex);
        pcre2_code_free(t->decs[i].regex);
    }
}

void tokenizer_close(struct tokenizer *t) {
    if (!t) return;
    tokenizer_fini(t);
    free(t);
}

err_t tokenizer_open(const char *path, struct tokenizer **out) {
    char inside[OS_PATH_MAX];
    if (os_is_dir(path)) {
        TRY(os_join(inside, path, "tokenizer.json"));
        path = inside;
    }
    char *text;
    int64_t bytes;
    TRY(os_read_all(path, MAX_FILE, &text, &bytes));
    struct tokenizer *t = calloc(1, sizeof *t);
    err_t err = t ? OK : FAIL(ERR_NOMEM, "no memory for a tokenizer; free some");
    if (err == OK) {
        t->fingerprint = XXH3_64bits(text, (size_t)bytes);
        err = tokenizer_load(t, path, text, bytes);
    }
    free(text);
    if (err == OK) err = tokenizer_find_eos(t, path);
    if (err != OK) {
        tokenizer_close(t);
        return err_frame(err, __func__);
    }
    *out = t;
    return OK;
}

err_t tokenizer_try(const char *path, bool needed, struct tokenizer **out) {
    *out = NULL;
    err_t err = tokenizer_open(path, out);
    if (err != ERR_FORMAT || needed) return err;
    log_line(LOG_WARN, "%s; what can do without a tokenizer goes on", err_message());
    err_clear();
    return OK;
}

err_t tok_scratch_init(const struct tokenizer *t, struct tok_scratch *s) {
    *s = (struct tok_scratch){.t = t};
    s->match = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->cache = calloc(TOK_CACHE, sizeof *s->cache);
    if (!s->match || !s->context || !s->cache) {
        tok_scratch_fini(s);
        return FAIL(ERR_NOMEM, "no memory to encode with a tokenizer; free some");
    }
    s->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MOST, NULL); /* NULL where there is no JIT */
    if (s->stack) pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return OK;
}

void tok_scratch_fini(struct tok_scratch *s) {
    pcre2_jit_stack_free(s->stack);
    pcre2_match_context_free(s->context);
    pcre2_match_data_free(s->match);
    for (int i = 0; i < TOK_STEPS; i++) free(s->step[i].text);
    free(s->norm[0].text);
    free(s->norm[1].text);
    free(s->form.chars);
    free(s->form.flat);
    free(s->word.text);
    free(s->symbols);
    free(s->heap);
    free(s->cache);
}

err_t tok_scratch_new(const struct tokenizer *t, struct tok_scratch **out) {
    struct tok_scratch *s = malloc(sizeof *s);
    if (!s) return FAIL(ERR_NOMEM, "no memory to encode with a tokenizer; free some");
    err_t err = tok_scratch_init(t, s);
    if (err != OK) {
        free(s);
        return err_frame(err, __func__);
    }
    *out = s;
    return OK;
}

void tok_scratch_free(struct tok_scratch *s) {
    if (!s) return;
    tok_scratch_fini(s);
    free(s);
}

err_t tokenizer_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, int64_t bytes, struct tok_ids *out) {
    ENSURE(s->t == t);
    if (bytes > TOK_MAX_TEXT)
        return FAIL(ERR_FORMAT, "a text of %lld bytes is longer than %lld; cut it into documents", (long long)bytes, (long long)TOK_MAX_TEXT);
    int64_t good = utf8_valid(text, bytes);
    if (good != bytes) return FAIL(ERR_FORMAT, "the text is not UTF-8 at byte %lld; correct it there", (long long)good);
    int64_t before = out->count;
    s->out = out;
    err_t err = tok_walk(s, text, bytes);
    s->out = NULL;
    if (err == OK) return OK;
    out->count = before;
    return err_frame(err, __func__);
}

int64_t tokenizer_vocab(const struct tokenizer *t) { return t->vocab; }

int32_t tokenizer_id(const struct tokenizer *t, const char *token) {
    int64_t bytes = (int64_t)strlen(token);
    int32_t id = tok_map_find(&t->added_map, &t->pool, t->tokens, token, bytes);
    return id >= 0 ? id : tok_map_find(&t->map, &t->pool, t->tokens, token, bytes);
}

int32_t tokenizer_eos(const struct tokenizer *t) { return t->eos; }
uint64_t tokenizer_fingerprint(const struct tokenizer *t) { return t->fingerprint; }

const int32_t *tokenizer_before(const struct tokenizer *t, int64_t *count) {
    *count = t->before_count;
    return t->before;
}

const int32_t *tokenizer_after(const struct tokenizer *t, int64_t *count) {
    *count = t->after_count;
    return t->after;
}
