/* The ids that end a text. */
#include "base/json.h"
#include "base/os.h"
#include "train/train.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20, SHOWN = 80 };

static int by_id(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

bool is_end(const struct end_ids *ends, int32_t id) { return ends->count && bsearch(&id, ends->ids, (size_t)ends->count, sizeof id, by_id) != NULL; }

/* eos_token_id of one file's text. Ids outside the vocabulary never come. *found: the file says what ends a text. */
static err_t ends_of(const char *path, const char *text, int64_t bytes, int64_t vocab, struct end_ids *out, bool *found) {
    json_error_t why;
    json_t *root = json_read(text, bytes, 0, &why);
    if (!root) return FAIL(ERR_FORMAT, "%s:%d: not JSON: %.120s; correct the file", path, why.line, why.text);
    const json_t *v = json_object_get(root, "eos_token_id");
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    err_t err = OK;
    *found = v && !json_is_null(v);
    out->ids = malloc(sizeof(int32_t) * (n + 1));
    if (!out->ids) err = FAIL(ERR_NOMEM, "out of memory for the %zu ids that end a text", n);
    for (size_t i = 0; *found && err == OK && i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        char shown[SHOWN];
        if (!json_is_integer(one))
            err = FAIL(ERR_FORMAT, "%s: key eos_token_id is %s; it must be an id, a list of ids or null", path, json_show(v, shown, sizeof shown));
        else if (json_integer_value(one) >= 0 && json_integer_value(one) < vocab && !is_end(out, (int32_t)json_integer_value(one))) {
            out->ids[out->count++] = (int32_t)json_integer_value(one);
            qsort(out->ids, (size_t)out->count, sizeof(int32_t), by_id);
        }
    }
    json_decref(root);
    if (err == OK && *found) return OK;
    free(out->ids);
    *out = (struct end_ids){NULL, 0};
    return err;
}

err_t model_ends(const struct model_src *m, const struct tokenizer *t, struct end_ids *out) {
    const int64_t vocab = m->spec.vocab;
    bool found = false;
    *out = (struct end_ids){NULL, 0};
    if (m->dir) {
        char path[OS_PATH_MAX], *text;
        int64_t bytes;
        TRY(os_join(path, m->dir, "generation_config.json"));
        if (os_exists(path)) {
            TRY(os_read_all(path, CONFIG_MAX, &text, &bytes));
            err_t err = ends_of(path, text, bytes, vocab, out, &found);
            free(text);
            TRY(err);
        }
    }
    if (!found) TRY(ends_of("config.json", m->config_json, (int64_t)strlen(m->config_json), vocab, out, &found));
    const int32_t eos = !found && t ? tokenizer_eos(t) : -1;
    if (eos < 0) return OK;
    out->ids = malloc(sizeof eos);
    if (!out->ids) return FAIL(ERR_NOMEM, "out of memory for the id that ends a text");
    out->ids[0] = eos;
    out->count = 1;
    return OK;
}
