/* mop template: what a chat template makes of conversations. */
#include "base/json.h"
#include "base/os.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "data/chat.h"

#include <stdlib.h>
#include <string.h>

struct template_opts {
    const char *template, *in, *text;
    int invalid_utf8;
};

#define FIELD(name) offsetof(struct template_opts, name)
const struct opt template_opt_list[] = {
    {.key = "template", .type = OPT_PATH, .offset = FIELD(template), .help = "a chat template's file, or a model folder that has one"},
    {.key = "in",
     .type = OPT_PATH,
     .offset = FIELD(in),
     .help = "JSON lines with {\"messages\", \"tools\", \"add_generation_prompt\", \"kwargs\", \"now\"}; -: standard input"},
    {.key = "text",
     .type = OPT_PATH,
     .offset = FIELD(text),
     .def = "-",
     .help = "file for one JSON object a record, {\"text\", \"spans\"} or {\"error\"}; -: standard output"},
    {.key = "data.invalid_utf8",
     .type = OPT_CHOICE,
     .offset = FIELD(invalid_utf8),
     .def = "error",
     .choices = "error|replace",
     .help = "invalid UTF-8 is an error, or U+FFFD takes its place"},
    {.key = NULL},
};

static json_t *spans_of(const struct jinja_text *x) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < x->span_count; i++)
        if (json_array_append_new(list, json_pack("[I,I]", (json_int_t)x->spans[i].begin_chars, (json_int_t)x->spans[i].end_chars)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static err_t render(const struct chat *c, const json_t *record, json_t **out) {
    const json_t *tools = json_object_get(record, "tools"), *now = json_object_get(record, "now");
    const struct jinja *t;
    struct jinja_text x;
    TRY(chat_template(c, tools && !json_is_null(tools), &t));
    const struct jinja_chat chat = {.messages = json_object_get(record, "messages"),
                                    .tools = tools,
                                    .documents = json_object_get(record, "documents"),
                                    .special = chat_special_tokens(c),
                                    .vars = json_object_get(record, "kwargs"),
                                    .add_generation_prompt = json_is_true(json_object_get(record, "add_generation_prompt")),
                                    .now = json_string_value(now)};
    err_t err = jinja_render(t, &chat, &x);
    if (err == OK) {
        *out = json_pack("{s:s%}", "text", x.text, (size_t)x.bytes);
        if (*out && jinja_marks(t) && json_object_set_new(*out, "spans", spans_of(&x)) != 0) {
            json_decref(*out);
            *out = NULL;
        }
        if (!*out) err = FAIL(ERR_NOMEM, "out of memory for a text of %lld bytes", (long long)x.bytes);
    }
    jinja_text_free(&x);
    return err;
}

/* The message, as JSON can hold it: a name cut short may end inside a character. */
static json_t *error_of(const char *message) {
    json_t *v = json_pack("{s:s}", "error", message);
    char *ascii = v ? NULL : strdup(message);
    for (char *p = ascii; p && *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    if (ascii) v = json_pack("{s:s}", "error", ascii);
    free(ascii);
    return v;
}

static err_t one_record(const struct chat *c, const json_t *record, struct lines *to) {
    json_t *result = NULL;
    err_t err = render(c, record, &result);
    if (err == ERR_FORMAT) {
        result = error_of(err_message());
        err_clear();
        err = OK;
    }
    char *line = err == OK && result ? json_dumps(result, JSON_ENSURE_ASCII) : NULL;
    if (err == OK && !line) err = FAIL(ERR_NOMEM, "out of memory for a record's text");
    if (err == OK) err = lines_write(to, line, strlen(line));
    if (err == OK) err = lines_write(to, "\n", 1);
    free(line);
    json_decref(result);
    return err;
}

static err_t all_records(const struct chat *c, struct jsonl *in, struct lines *to) {
    for (;;) {
        const json_t *record;
        bool got;
        TRY(jsonl_next(in, &record, &got));
        if (!got) return OK;
        TRY(one_record(c, record, to));
    }
}

static bool is_result(const char *begin, int64_t bytes) {
    static const char text[] = "{\"text\": ", error[] = "{\"error\": ";
    return (bytes >= 9 && memcmp(begin, text, 9) == 0) || (bytes >= 10 && memcmp(begin, error, 10) == 0);
}

static err_t run(const struct template_opts *o) {
    if (!o->template || !o->in) return FAIL(ERR_USAGE, "%s is missing; see `mop help template`", o->template ? "in=FILE.jsonl" : "template=FILE");
    struct chat *c;
    struct jsonl *in;
    struct lines to = {0};
    TRY(chat_open(o->template, &c));
    err_t err = jsonl_open(o->in, o->invalid_utf8, &in);
    if (err == OK) {
        err = lines_open(&to, o->text, is_result, "a file of a template's texts");
        if (err == OK) err = lines_close(&to, all_records(c, in, &to));
        jsonl_close(in);
    }
    chat_close(c);
    return err;
}

err_t cmd_template(int argc, char **argv) {
    struct template_opts o = {0};
    const struct opt_table table = {"template", template_opt_list, &o};
    struct opt_set *set;
    TRY(opt_new(&table, 1, &set));
    err_t err = cli_options(argc, argv, set);
    if (err == OK) err = run(&o);
    opt_free(set);
    return err;
}
