/* Which token ends a document: the eos_token that transformers gives the tokenizer of the same folder. */
#include "base/json.h"
#include "base/log.h"
#include "base/os.h"
#include "data/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE (INT64_C(512) << 20)
enum { SHOWN = 60 };

static err_t read_beside(const char *dir, const char *name, char path[OS_PATH_MAX], json_t **out) {
    *out = NULL;
    TRY(os_join(path, dir, name));
    if (!os_exists(path)) return OK;
    char *text;
    int64_t bytes;
    TRY(os_read_all(path, MAX_FILE, &text, &bytes));
    json_error_t why;
    *out = json_read(text, bytes, JSON_NULS, &why);
    free(text);
    if (json_is_object(*out)) return OK;
    err_t err = FAIL(ERR_FORMAT, "%s: %.120s; correct the file or remove it", path, *out ? "is not an object" : why.text);
    json_decref(*out);
    *out = NULL;
    return err;
}

/* eos_token of a file: text, or an object with its content. NULL where it is absent or null. */
static err_t eos_of(const json_t *root, const char *path, const char **text) {
    const json_t *eos = json_object_get(root, "eos_token");
    const json_t *content = json_is_object(eos) && !json_mark(eos) ? json_object_get(eos, "content") : eos;
    char shown[SHOWN];
    *text = json_string_value(content);
    if (*text || !eos || json_is_null(eos)) return OK;
    return FAIL(ERR_FORMAT, "%s: eos_token is %s, neither text nor null; correct the file", path, json_show(eos, shown, sizeof shown));
}

/* eos_token_id of a model's file, an id or the first of a list, if the tokenizer has it. */
static err_t eos_id_of(struct tokenizer *t, const json_t *root, const char *path) {
    const json_t *v = json_object_get(root, "eos_token_id"), *first = json_is_array(v) ? json_array_get(v, 0) : v;
    char shown[SHOWN];
    if (!first || json_is_null(v)) return OK;
    if (!json_is_integer(first))
        return FAIL(ERR_FORMAT, "%s: key eos_token_id is %s; it must be an id, a list of ids or null", path, json_show(v, shown, sizeof shown));
    const json_int_t id = json_integer_value(first);
    if (id >= 0 && id < t->vocab && t->tokens[id].bytes >= 0) t->eos = (int32_t)id;
    return OK;
}

/* What the model's files say, where those of the tokenizer say nothing. */
static err_t ask_model(struct tokenizer *t, const char *dir) {
    static const char *const names[] = {"generation_config.json", "config.json"};
    char path[OS_PATH_MAX];
    for (int i = 0; i < 2 && t->eos < 0; i++) {
        json_t *root;
        TRY(read_beside(dir, names[i], path, &root));
        err_t err = eos_id_of(t, root, path);
        json_decref(root);
        TRY(err);
    }
    return OK;
}

err_t tokenizer_find_eos(struct tokenizer *t, const char *path) {
    static const char *const usual[] = {"<|endoftext|>", "</s>", "<|im_end|>", "<|end_of_text|>"};
    const char *slash = strrchr(path, '/');
    char dir[OS_PATH_MAX], config_path[OS_PATH_MAX], map_path[OS_PATH_MAX];
    int n = slash ? (int)(slash - path) : 1;
    if (n >= OS_PATH_MAX) n = OS_PATH_MAX - 1;
    memcpy(dir, slash ? path : ".", (size_t)n);
    dir[n] = 0;
    t->eos = -1;
    json_t *config = NULL, *map = NULL;
    const char *eos = NULL, *mapped = NULL;
    err_t err;
    TRY_OR(read_beside(n ? dir : "/", "tokenizer_config.json", config_path, &config), done);
    TRY_OR(read_beside(n ? dir : "/", "special_tokens_map.json", map_path, &map), done);
    TRY_OR(eos_of(config, config_path, &eos), done);
    TRY_OR(eos_of(map, map_path, &mapped), done);
    /* transformers reads the map where the config has no added_tokens_decoder, and then lets it win */
    const bool map_wins = mapped && (!eos || !json_object_get(config, "added_tokens_decoder"));
    const char *found = map_wins ? mapped : eos;
    if (found) {
        t->eos = tokenizer_id(t, found);
        if (t->eos < 0)
            log_line(LOG_WARN, "%s: eos_token \"%.60s\" is not in the tokenizer: there is no end-of-document token",
                     map_wins ? map_path : config_path, found);
        goto done;
    }
    TRY_OR(ask_model(t, n ? dir : "/"), done);
    for (int i = 0; i < 4 && t->eos < 0; i++) t->eos = tokenizer_id(t, usual[i]);
done:
    json_decref(config);
    json_decref(map);
    return err;
}
