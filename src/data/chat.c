#include "data/chat.h"

#include "base/json.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES = 64 << 20 };

struct template {
    struct jinja *jinja;
    char *refused; /* why there is none */
};
struct chat {
    char *path;
    struct template plain, tools;
    bool has_plain, has_tools;
    json_t *special;
};

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), e = strlen(end);
    return n >= e && strcmp(text + n - e, end) == 0;
}

/* A template that mop refuses is an error where it is asked for; want of memory is one here. */
static err_t compile(const char *name, const char *text, int64_t bytes, struct template *out) {
    const err_t err = jinja_compile(name, text, bytes, &out->jinja);
    if (err != ERR_FORMAT) return err;
    out->refused = strdup(err_message());
    err_clear();
    return out->refused ? OK : FAIL(ERR_NOMEM, "out of memory for the chat template %s", name);
}

static err_t read_template(const char *path, struct template *out) {
    char *text;
    int64_t bytes;
    TRY(os_read_all(path, JINJA_SOURCE, &text, &bytes));
    const err_t err = compile(path, text, bytes, out);
    free(text);
    return err;
}

/* `chat_template` of a tokenizer_config.json: a text, or a list of {"name", "template"} of which default and tool_use are used. */
static err_t templates_of(struct chat *c, const json_t *value, const char *path) {
    char name[OS_PATH_MAX + 64];
    (void)snprintf(name, sizeof name, "%s: chat_template", path);
    if (json_is_string(value)) {
        c->has_plain = true;
        return compile(name, json_string_value(value), (int64_t)json_string_length(value), &c->plain);
    }
    if (!json_is_array(value)) return FAIL(ERR_FORMAT, "%s: \"chat_template\" is neither a text nor a list of {\"name\", \"template\"}", path);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *which = json_string_value(json_object_get(json_array_get(value, i), "name"));
        const json_t *text = json_object_get(json_array_get(value, i), "template");
        if (!which || !json_is_string(text))
            return FAIL(ERR_FORMAT, "%s: entry %zu of \"chat_template\" is no {\"name\", \"template\"}", path, i + 1);
        const bool tools = strcmp(which, "tool_use") == 0;
        struct template *to = tools ? &c->tools : &c->plain;
        if ((!tools && strcmp(which, "default") != 0) || to->jinja || to->refused) continue;
        *(tools ? &c->has_tools : &c->has_plain) = true;
        (void)snprintf(name, sizeof name, "%s: chat_template %s", path, which);
        TRY(compile(name, json_string_value(text), (int64_t)json_string_length(text), to));
    }
    return OK;
}

/* The named special tokens of a tokenizer_config.json or special_tokens_map.json, where they are not known yet. */
static err_t special_of(struct chat *c, const json_t *config) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *v = json_object_get(config, names[i]);
        if (json_is_object(v)) v = json_object_get(v, "content");
        if (!json_is_string(v) || json_object_get(c->special, names[i])) continue;
        if (json_object_set(c->special, names[i], v) != 0) return FAIL(ERR_NOMEM, "out of memory for the special tokens of %s", c->path);
    }
    return OK;
}

/* The object in a file; *out NULL where there is no such file. New: json_decref. */
static err_t read_config(const char *path, json_t **out) {
    char *text;
    int64_t bytes;
    json_error_t why;
    *out = NULL;
    if (!os_exists(path)) return OK;
    TRY(os_read_all(path, CONFIG_BYTES, &text, &bytes));
    *out = json_read(text, bytes, 0, &why);
    free(text);
    if (json_is_object(*out)) return OK;
    json_decref(*out);
    *out = NULL;
    return FAIL(ERR_FORMAT, "%s is not a JSON object (%s); correct it", path, why.text);
}

static err_t read_config_file(struct chat *c, const char *path, bool templates) {
    json_t *config;
    TRY(read_config(path, &config));
    if (!config) return OK;
    err_t err = special_of(c, config);
    const json_t *value = json_object_get(config, "chat_template");
    if (err == OK && templates && value && !json_is_null(value)) err = templates_of(c, value, path);
    json_decref(config);
    return err;
}

static err_t open_folder(struct chat *c, const char *dir) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, dir, "chat_template.jinja"));
    if (os_exists(path)) {
        c->has_plain = true;
        TRY(read_template(path, &c->plain));
    }
    TRY(os_join(path, dir, "additional_chat_templates/tool_use.jinja"));
    if (os_exists(path)) {
        c->has_tools = true;
        TRY(read_template(path, &c->tools));
    }
    const bool files = c->has_plain || c->has_tools;
    TRY(os_join(path, dir, "tokenizer_config.json"));
    TRY(read_config_file(c, path, !files));
    TRY(os_join(path, dir, "special_tokens_map.json"));
    return read_config_file(c, path, false);
}

err_t chat_open(const char *path, struct chat **out) {
    struct chat *c = calloc(1, sizeof *c);
    if (c) c->path = strdup(path);
    if (c) c->special = json_object();
    err_t err = c && c->path && c->special ? OK : FAIL(ERR_NOMEM, "out of memory for the chat template of %s", path);
    if (err == OK && os_is_dir(path)) {
        err = open_folder(c, path);
    } else if (err == OK && ends_with(path, ".json")) {
        err = read_config_file(c, path, true);
    } else if (err == OK) {
        c->has_plain = true;
        err = read_template(path, &c->plain);
    }
    if (err == OK && !c->has_plain && !c->has_tools)
        err = FAIL(ERR_FORMAT,
                   "%s has no chat template (neither chat_template.jinja nor \"chat_template\" in tokenizer_config.json); name one that belongs to "
                   "the model",
                   path);
    if (err != OK) {
        chat_close(c);
        return err_frame(err, __func__);
    }
    *out = c;
    return OK;
}

static void template_free(struct template *t) {
    jinja_free(t->jinja);
    free(t->refused);
}

void chat_close(struct chat *c) {
    if (!c) return;
    template_free(&c->plain);
    template_free(&c->tools);
    json_decref(c->special);
    free(c->path);
    free(c);
}

err_t chat_template(const struct chat *c, bool tools, const struct jinja **out) {
    const struct template *t = tools && c->has_tools ? &c->tools : &c->plain;
    if (t->refused) return FAIL(ERR_FORMAT, "%s", t->refused);
    if (!t->jinja) return FAIL(ERR_FORMAT, "%s has a chat template for tools only, and the conversation has none; give \"tools\"", c->path);
    *out = t->jinja;
    return OK;
}

const struct json_t *chat_special_tokens(const struct chat *c) { return c->special; }
