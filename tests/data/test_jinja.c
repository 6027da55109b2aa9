/* Chat templates against what transformers renders (tests/golden/chat, tests/golden/jinja), and what must be refused. */
#include "base/os.h"
#include "data/data.h"
#include "data/jinja.h"
#include "test.h"

#include <jansson.h>

static const json_t *at(const json_t *o, const char *key) { return json_object_get(o, key); }

static bool same_spans(const struct jinja_text *x, const json_t *chars, const json_t *bytes) {
    if ((int64_t)json_array_size(chars) != x->span_count) return false;
    for (int64_t i = 0; i < x->span_count; i++) {
        const json_t *c = json_array_get(chars, (size_t)i), *b = json_array_get(bytes, (size_t)i);
        const struct jinja_span *s = &x->spans[i];
        if (json_integer_value(json_array_get(c, 0)) != s->begin_chars || json_integer_value(json_array_get(c, 1)) != s->end_chars) return false;
        if (json_integer_value(json_array_get(b, 0)) != s->begin || json_integer_value(json_array_get(b, 1)) != s->end) return false;
    }
    return true;
}

static void one_case(const struct jinja *t, const char *folder, const json_t *c) {
    const struct jinja_chat chat = {.messages = at(c, "messages"),
                                    .tools = at(c, "tools"),
                                    .vars = at(c, "kwargs"),
                                    .add_generation_prompt = json_is_true(at(c, "add_generation_prompt")),
                                    .now = json_string_value(at(c, "now"))};
    const char *name = json_string_value(at(c, "case")), *text = json_string_value(at(c, "text"));
    struct jinja_text x;
    const err_t err = jinja_render(t, &chat, &x);
    if (!text) {
        CASE(err == ERR_FORMAT && *err_message(), "%s/%s gave a text: %s", folder, name, x.text);
    } else if (err != OK && strcmp(folder, "rare") == 0) {
        CASE(err == ERR_FORMAT && strstr(err_message(), "mop's templates"), "%s/%s: %s", folder, name, err_message());
    } else {
        CASE(err == OK && strcmp(x.text, text) == 0, "%s/%s: %s\n-- wanted --\n%s\n-- got --\n%s\n--", folder, name, err ? err_message() : "differs",
             text, err ? "" : x.text);
        if (err == OK && at(c, "spans")) CASE(same_spans(&x, at(c, "spans"), at(c, "byte_spans")), "%s/%s: spans", folder, name);
    }
    jinja_text_free(&x);
}

static int golden(const char *dir, const char *folder) {
    char path[OS_PATH_MAX], *text;
    int64_t bytes;
    int cases = 0;
    struct jinja *t;
    struct jsonl *in;
    (void)snprintf(path, sizeof path, "%s/%s/template.jinja", dir, folder);
    NEED(os_read_all(path, 1 << 20, &text, &bytes));
    NEED(jinja_compile(path, text, bytes, &t));
    free(text);
    (void)snprintf(path, sizeof path, "%s/%s/conversations.jsonl", dir, folder);
    NEED(jsonl_open(path, CORPUS_UTF8_STRICT, &in));
    for (;; cases++) {
        const json_t *record;
        bool got;
        NEED(jsonl_next(in, &record, &got));
        if (!got) break;
        one_case(t, folder, record);
    }
    jsonl_close(in);
    jinja_free(t);
    return cases;
}

/* Small templates, each over the same record. One that Python renders may be refused, by name; it may not differ. */
static void drawn(void) {
    struct jsonl *in;
    const json_t *record;
    bool got;
    NEED(jsonl_open("tests/golden/jinja/record.json", CORPUS_UTF8_STRICT, &in));
    NEED(jsonl_next(in, &record, &got));
    json_t *r = json_deep_copy(record);
    jsonl_close(in);
    int cases = 0, refused = 0;
    NEED(jsonl_open("tests/golden/jinja/templates.jsonl", CORPUS_UTF8_STRICT, &in));
    for (;; cases++) {
        NEED(jsonl_next(in, &record, &got));
        if (!got) break;
        const char *template = json_string_value(at(record, "template")), *text = json_string_value(at(record, "text"));
        const struct jinja_chat chat = {.messages = at(r, "messages"),
                                        .tools = at(r, "tools"),
                                        .vars = at(r, "kwargs"),
                                        .add_generation_prompt = json_is_true(at(r, "add_generation_prompt")),
                                        .now = json_string_value(at(r, "now"))};
        struct jinja *t = NULL;
        struct jinja_text x = {0};
        err_t err = jinja_compile("drawn", template, (int64_t)strlen(template), &t);
        if (err == OK) err = jinja_render(t, &chat, &x);
        const bool by_name = err == ERR_FORMAT && strstr(err_message(), "mop's templates");
        refused += text && by_name;
        CASE(text ? by_name || (err == OK && strcmp(x.text, text) == 0) : err == ERR_FORMAT, "%s\n-- wanted --\n%s\n-- got --\n%s", template,
             text ? text : "(an error)", err ? err_message() : x.text);
        jinja_text_free(&x);
        jinja_free(t);
    }
    CASE(cases >= 600 && refused <= cases / 50, "%d templates, %d of them refused", cases, refused);
    jsonl_close(in);
    json_decref(r);
}

static err_t try(const char *template, const char *messages, struct jinja_text *x) {
    struct jinja *t;
    memset(x, 0, sizeof *x);
    TRY(jinja_compile("t.jinja", template, (int64_t)strlen(template), &t));
    json_t *m = json_loads(messages, 0, NULL);
    const err_t err = jinja_render(t, &(struct jinja_chat){.messages = m}, x);
    json_decref(m);
    jinja_free(t);
    return err;
}

static void gives(const char *template, const char *text) {
    struct jinja_text x;
    const err_t err = try(template, "[{\"role\": \"user\", \"content\": \"q\"}]", &x);
    CASE(err == OK && strcmp(x.text, text) == 0, "%s gave \"%s\", not \"%s\"", template, err ? err_message() : x.text, text);
    jinja_text_free(&x);
}

/* The message names the line and what is refused. */
static void refuses(const char *template, const char *part) {
    struct jinja_text x;
    CASE_ERR(try(template, "[{\"role\": \"user\", \"content\": \"q\"}]", &x), ERR_FORMAT, part);
    jinja_text_free(&x);
}

static void refusals(void) {
    refuses("a\n{% frobnicate %}", "t.jinja:2: the tag {% frobnicate %}");
    refuses("{{ 1 | sparkle }}", "t.jinja:1: there is no filter \"sparkle\"");
    refuses("\n\n{{ 1 is sparkly }}", "t.jinja:3: there is no test \"sparkly\"");
    gives("{% if false %}{{ 1 | sparkle }}{% endif %}x", "x"); /* as Jinja: in an if only where it is reached */
    refuses("{% if true %}\n{{ 1 | sparkle }}{% endif %}x", "t.jinja:2: there is no filter \"sparkle\"");
    refuses("{% for x in y %}", "{% endfor %}");
    refuses("{% endfor %}", "ends nothing");
    refuses("{{ messages[0].content.foo.bar }}", "\"foo\"");
    refuses("{{ nothing.bar }}", "\"nothing\" is undefined");
    refuses("{{ nothing() }}", "\"nothing\" is undefined");
    refuses("{{ raise_exception('no ' ~ 'way') }}", "no way");
    refuses("{% set x = [] %}{{ x.append(1) }}", "may not change a list");
    refuses("{{ ''.__class__.__mro__ }}", "Python's own");
    gives("{{ ''.__class__ is defined }}{{ {}['__class__'] }}{{ [].append is defined }}", "FalseFalse");
    refuses("{{ lipsum() }}", "lipsum");
    refuses("{% include 'x' %}", "include");
    refuses("{% autoescape true %}{% endautoescape %}", "autoescape");
    refuses("{% break %}", "break");
    refuses("{% macro m() %}{% continue %}{% endmacro %}", "continue");
    refuses("{% set loop = 1 %}{% for x in [1] %}{% set loop = 2 %}{% endfor %}", "\"loop\"");
    refuses("{{ 'a' + 1 }}", "str + int");
    refuses("{{ [1] < ['a'] }}", "no order");
    refuses("{{ {[]: 1} }}", "key");
    refuses("{{ strftime_now }}", "place in memory");
    refuses("{{ messages | map(attribute='role') }}", "place in memory");
    refuses("{{ 'x' }", "\"}\"");
    refuses("{{ 'x }}", "no end");
    refuses("{# x", "no end");
    refuses("{{ \"\\ud83d\\ude00\" }}", "no character");
    refuses("\xff", "not UTF-8");
}

/* A template can do no harm: what grows without bound is stopped. */
static void bounds(void) {
    char deep[4001] = "{{ ";
    refuses("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "calls itself too often");
    refuses("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "steps");
    refuses("{{ range(10000000) }}", "more than 100000");
    refuses("{{ 'abc' * 1000000000000 }}", "more than a template may build");
    refuses("{% set ns = namespace(s='abcdefgh') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "t.jinja");
    refuses("{{ 10 ** (10 ** 10) }}", "digits");
    refuses("{{ '%999999999999d' % 1 }}", "steps");
    refuses("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}", "deep");
    memset(deep + 3, '(', 1000);
    refuses(deep, "in one another");
    memset(deep + 3, '[', 1000);
    refuses(deep, "in one another");
    for (int i = 3; i < 4000; i++) deep[i] = "not "[(i - 3) % 4];
    refuses(deep, "in one another");
    for (int i = 0; i < 4000; i++) deep[i] = "{%if x%}"[i % 8];
    refuses(deep, "in one another");
}

static void conversations(void) {
    struct jinja_text x;
    CASE_ERR(try("x", "[]", &x), ERR_FORMAT, "messages");
    CASE_ERR(try("x", "{}", &x), ERR_FORMAT, "messages");
    CASE_ERR(try("x", "[1]", &x), ERR_FORMAT, "message 1");
    CASE_OK(try("{{ messages }}", "[{\"a\": null, \"reasoning\": \"r\", \"b\": 1}]", &x));
    CASE(x.text && strcmp(x.text, "[{'thinking': 'r', 'reasoning': 'r', 'b': 1, 'reasoning_content': 'r'}]") == 0, "%s", x.text);
    jinja_text_free(&x);
}

/* Where a generation tag stands inside of a macro or a block that is set, transformers counts from the text before it: so do we, and say so. */
static void marks(void) {
    struct jinja_text x;
    CASE_OK(try("a{% generation %}b{% endgeneration %}c", "[{}]", &x));
    CASE(x.span_count == 1 && x.spans[0].begin == 1 && x.spans[0].end == 2 && x.spans_exact, "a span");
    jinja_text_free(&x);
    CASE_OK(try("a{% set s %}xyz{% generation %}b{% endgeneration %}{% endset %}{{ s }}", "[{}]", &x));
    CASE(x.span_count == 1 && x.spans[0].begin == 1 && x.spans[0].end == 2 && !x.spans_exact, "a span in a block that is set");
    jinja_text_free(&x);
}

int main(void) {
    char **names;
    int64_t count;
    NEED(os_list("tests/golden/chat", &names, &count));
    CASE(count >= 9, "folders of tests/golden/chat");
    for (int64_t i = 0; i < count; i++) CASE(golden("tests/golden/chat", names[i]) > 10, "%s", names[i]);
    os_free_list(names, count);
    drawn();
    refusals();
    bounds();
    conversations();
    marks();
    return test_end();
}
