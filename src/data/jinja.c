/* A chat template from its text to a conversation's: compiling, what the template is given, rendering. */
#include "data/jinja_int.h"

#include "base/json.h"
#include "data/utf8.h"

#include <stdlib.h>
#include <string.h>

err_t jinja_compile(const char *name, const char *text, int64_t bytes, struct jinja **out) {
    if (bytes > JINJA_SOURCE)
        return FAIL(ERR_FORMAT, "%s: a chat template of %lld bytes; mop reads at most %d", name, (long long)bytes, JINJA_SOURCE);
    const int64_t good = utf8_valid(text, bytes);
    if (good < bytes)
        return FAIL(ERR_FORMAT, "%s is not UTF-8: byte 0x%02x at byte %lld (the first is 0); correct it", name, (unsigned)(unsigned char)text[good],
                    (long long)good);
    struct jinja *j = calloc(1, sizeof *j);
    char *own = strdup(name);
    if (!j || !own) {
        free(j);
        free(own);
        return FAIL(ERR_NOMEM, "out of memory for the chat template %s", name);
    }
    j->name = own;
    j->mem = (struct jmem){.name = own, .limit = JINJA_BYTES};
    struct jlex lex = {.name = own, .mem = &j->mem};
    struct jparse p = {.name = own, .mem = &j->mem};
    err_t err = jlex_all(&lex, text, bytes);
    p.tok = lex.tok;
    if (err == OK) err = jparse_template(&p, &j->body);
    j->marks = p.marks;
    if (err == OK) err = jscope_resolve(j);
    if (err != OK) {
        jinja_free(j);
        return err_frame(err, __func__);
    }
    *out = j;
    return OK;
}

void jinja_free(struct jinja *t) {
    if (!t) return;
    jmem_free(&t->mem);
    free((char *)t->name);
    free(t);
}

bool jinja_marks(const struct jinja *t) { return t->marks; }

/* ---- records as values ---- */

static err_t value_of(struct jrun *r, const json_t *j, struct jval *out);

static err_t string_of(struct jrun *r, const char *p, size_t bytes, struct jval *out) {
    const struct jstr *s;
    TRY(jstr_new(&r->mem, p, (int64_t)bytes, &s));
    *out = jv_str(s);
    return OK;
}

/* What jansson has no value for: numbers without bounds, and text that is none. */
static err_t number_of(struct jrun *r, const char *mark, struct jval *out) {
    if (mark[0] == '"') return FAIL(ERR_FORMAT, "a string has an escape for half of a surrogate pair, which is no character; correct it");
    if (!strpbrk(mark, ".eEIN")) return jbig_of_text(&r->mem, mark, out);
    *out = jv_float(strtod(mark, NULL)); /* NaN, Infinity and 1e999 among them */
    return OK;
}

static err_t object_of(struct jrun *r, const json_t *j, bool drop_null, struct jdict **out) { // NOLINT(misc-no-recursion): jansson bounds the depth
    const char *key;
    size_t bytes;
    json_t *v;
    TRY(jdict_new(r, (int64_t)json_object_size(j) + 2, out));
    json_object_keylen_foreach((json_t *)j, key, bytes, v) {
        struct jval k, value;
        if (drop_null && json_is_null(v)) continue;
        TRY(string_of(r, key, bytes, &k));
        TRY(value_of(r, v, &value));
        TRY(jdict_add(r, *out, k, value));
    }
    return OK;
}

static err_t value_of(struct jrun *r, const json_t *j, struct jval *out) { // NOLINT(misc-no-recursion): the same
    struct jlist *l;
    struct jdict *d;
    switch (json_typeof(j)) {
    case JSON_NULL: *out = jv_none(); return OK;
    case JSON_TRUE:
    case JSON_FALSE: *out = jv_bool(json_is_true(j)); return OK;
    case JSON_INTEGER: *out = jv_int(json_integer_value(j)); return OK;
    case JSON_REAL: *out = jv_float(json_real_value(j)); return OK;
    case JSON_STRING: return string_of(r, json_string_value(j), json_string_length(j), out);
    case JSON_ARRAY:
        TRY(jlist_new(r, (int64_t)json_array_size(j), &l));
        for (size_t i = 0; i < json_array_size(j); i++) {
            TRY(value_of(r, json_array_get(j, i), &l->v[i]));
            l->n++;
        }
        *out = jv_list(l);
        return OK;
    default:
        if (json_mark(j)) return number_of(r, json_mark(j), out);
        TRY(object_of(r, j, false, &d));
        *out = jv_dict(d);
        return OK;
    }
}

/* What a message thinks, under the names that templates read. */
static err_t alias_reasoning(struct jrun *r, struct jdict **message) {
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    struct jdict *d = *message, *with;
    struct jval key;
    int64_t at = -1;
    for (int i = 0; i < 3 && at < 0; i++) at = jdict_text(d, names[i]);
    if (at < 0) return OK;
    const struct jval thought = d->vals[at];
    TRY(jdict_new(r, d->n + 2, &with));
    TRY(jv_text(r, "thinking", &key));
    TRY(jdict_put(r, with, key, thought));
    for (int64_t i = 0; i < d->n; i++) TRY(jdict_put(r, with, d->keys[i], d->vals[i]));
    TRY(jv_text(r, "reasoning_content", &key));
    TRY(jdict_put(r, with, key, thought));
    *message = with;
    return OK;
}

static err_t messages_of(struct jrun *r, const json_t *j, struct jval *out) {
    struct jlist *l;
    if (!json_is_array(j) || json_array_size(j) == 0)
        return FAIL(ERR_FORMAT, "\"messages\" is not a list with at least one message; write [{\"role\": ..., \"content\": ...}]");
    TRY(jlist_new(r, (int64_t)json_array_size(j), &l));
    for (size_t i = 0; i < json_array_size(j); i++) {
        const json_t *m = json_array_get(j, i);
        struct jdict *d;
        if (!json_is_object(m))
            return FAIL(ERR_FORMAT, "message %zu of \"messages\" is not an object; write {\"role\": ..., \"content\": ...}", i + 1);
        TRY(object_of(r, m, true, &d));
        TRY(alias_reasoning(r, &d));
        TRY(jlist_add(r, l, jv_dict(d)));
    }
    *out = jv_list(l);
    return OK;
}

static err_t objects_of(struct jrun *r, const json_t *j, const char *what, struct jval *out) {
    *out = jv_none();
    if (!j || json_is_null(j)) return OK;
    if (!json_is_array(j)) return FAIL(ERR_FORMAT, "\"%s\" is not a list; write a list of objects, or null", what);
    for (size_t i = 0; i < json_array_size(j); i++)
        if (!json_is_object(json_array_get(j, i))) return FAIL(ERR_FORMAT, "entry %zu of \"%s\" is not an object", i + 1, what);
    return value_of(r, j, out);
}

static err_t put_var(struct jrun *r, const char *name, struct jval v) {
    struct jval key;
    TRY(jv_text(r, name, &key));
    return jdict_put(r, r->vars, key, v);
}

static err_t put_vars(struct jrun *r, const json_t *vars) {
    static const char *const taken[] = {"messages", "tools", "add_generation_prompt", "conversation", "chat_template", "continue_final_message",
                                        "tokenize"};
    struct jdict *d;
    if (!vars || json_is_null(vars)) return OK;
    if (!json_is_object(vars)) return FAIL(ERR_FORMAT, "the template's variables are not an object; write {\"NAME\": value}");
    TRY(object_of(r, vars, false, &d));
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (jdict_text(d, taken[i]) >= 0) return FAIL(ERR_FORMAT, "\"%s\" is no variable of the template's own; take it out of them", taken[i]);
    for (int64_t i = 0; i < d->n; i++) TRY(jdict_put(r, r->vars, d->keys[i], d->vals[i]));
    return OK;
}

static err_t prepare(struct jrun *r, const struct jinja_chat *chat) {
    struct jval v;
    TRY(jdict_new(r, 16, &r->vars));
    TRY(messages_of(r, chat->messages, &v));
    TRY(put_var(r, "messages", v));
    TRY(objects_of(r, chat->tools, "tools", &v));
    TRY(put_var(r, "tools", v));
    const json_t *own = chat->documents ? chat->documents : json_object_get(chat->vars, "documents");
    TRY(objects_of(r, own, "documents", &v));
    TRY(put_vars(r, chat->special));
    TRY(put_vars(r, chat->vars));
    TRY(put_var(r, "documents", v));
    return put_var(r, "add_generation_prompt", jv_bool(chat->add_generation_prompt));
}

/* ---- rendering ---- */

static err_t render(struct jrun *r, struct jinja_text *out) {
    struct jact root = {0};
    enum jflow flow = JF_ON;
    TRY(JNEW(&r->mem, r->t->slots + 1, &root.slots));
    jscope_enter(r, &root, &r->t->scope);
    TRY(jexec(r, &root, r->t->body, &r->out, &flow));
    out->text = malloc((size_t)r->out.n + 1);
    out->spans = malloc((size_t)(r->span_count + 1) * sizeof *out->spans);
    if (!out->text || !out->spans) return FAIL(ERR_NOMEM, "out of memory for a text of %lld bytes", (long long)r->out.n);
    if (r->out.n) memcpy(out->text, r->out.p, (size_t)r->out.n);
    if (r->span_count) memcpy(out->spans, r->spans, (size_t)r->span_count * sizeof *out->spans);
    out->text[r->out.n] = 0;
    out->bytes = r->out.n;
    out->span_count = r->span_count;
    out->spans_exact = !r->t->in_function_marks;
    return OK;
}

err_t jinja_render(const struct jinja *t, const struct jinja_chat *chat, struct jinja_text *out) {
    struct jrun r = {.t = t, .mem = {.name = t->name, .limit = JINJA_BYTES}, .now = chat->now};
    memset(out, 0, sizeof *out);
    err_t err = prepare(&r, chat);
    if (err == OK) err = render(&r, out);
    jmem_free(&r.mem);
    return err;
}

void jinja_text_free(struct jinja_text *x) {
    free(x->text);
    free(x->spans);
    memset(x, 0, sizeof *x);
}
