#include "base/json.h"
#include "base/os.h"
#include "train/train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };

/* config.json of a model that starts from nothing says the dtype that its files will have. */
static err_t config_with_dtype(const char *path, const char *text, int64_t bytes, int dtype, char **out) {
    json_error_t why;
    json_t *root = json_read(text, bytes, 0, &why);
    if (!root) return FAIL(ERR_FORMAT, "%s:%d: not JSON: %s", path, why.line, why.text);
    const char *key = json_object_get(root, "torch_dtype") ? "torch_dtype" : "dtype";
    int bad = json_object_set_new(root, key, json_string(dtype == MODEL_BF16 ? "bfloat16" : "float32"));
    *out = bad ? NULL : json_write(root, JSON_INDENT(2));
    json_decref(root);
    if (!*out) return FAIL(ERR_NOMEM, "out of memory for the text of %s", path);
    return OK;
}

static err_t read_config(const char *path, struct model_src *m) {
    int64_t bytes;
    TRY(os_read_all(path, CONFIG_MAX, &m->config_json, &bytes));
    return spec_from_json(path, m->config_json, bytes, &m->spec);
}

static err_t open_folder(const struct model_opts *o, struct model_src *m) {
    char path[OS_PATH_MAX], why[OS_WHY_MAX];
    if (!os_enters(o->init))
        return FAIL(ERR_USAGE, "model.init=%s %s; give a Hugging Face folder, or model.init=random", o->init, os_no_dir(o->init, why));
    TRY(os_join(path, o->init, "config.json"));
    TRY(read_config(path, m));
    m->dir = o->init;
    TRY(st_open_folder(o->init, &m->reader));
    TRY(params_build(&m->spec, &m->params));
    return st_check_model(m->reader, &m->params);
}

static err_t open_random(const struct model_opts *o, const struct vocab_hint *hint, struct model_src *m) {
    if (o->config) {
        TRY(read_config(o->config, m));
        char *text;
        TRY(config_with_dtype(o->config, m->config_json, (int64_t)strlen(m->config_json), o->dtype, &text));
        free(m->config_json);
        m->config_json = text;
    } else {
        struct model_opts filled = *o;
        if (filled.vocab == 0 && hint) filled.vocab = hint->vocab;
        if (filled.vocab == 0)
            return FAIL(ERR_USAGE, "model.vocab is not known; give model.vocab=, tokenizer= or data.train= with a token file that knows it");
        TRY(spec_from_opts(&filled, &m->spec));
        if (hint && hint->eos < m->spec.vocab) m->spec.eos_id = hint->eos;
        TRY(spec_to_json(&m->spec, o->dtype == MODEL_BF16 ? "bfloat16" : "float32", &m->config_json));
    }
    return params_build(&m->spec, &m->params);
}

err_t model_src_open(const struct model_opts *o, const struct vocab_hint *hint, uint64_t seed, struct model_src *out) {
    struct model_src m = {.seed = seed};
    err_t err = OK;
    if (!o->init)
        return FAIL(ERR_USAGE,
                    "model.init is not given; write model.init=FOLDER (a Hugging Face folder) or model.init=random with model.config=FILE");
    if (strcmp(o->init, "random") == 0) TRY_OR(open_random(o, hint, &m), bad);
    else TRY_OR(open_folder(o, &m), bad);
    m.file_dtype = malloc(sizeof *m.file_dtype * ((size_t)m.params.count + 1));
    if (!m.file_dtype) {
        err = FAIL(ERR_NOMEM, "out of memory for the table of %lld tensors", (long long)m.params.count);
        goto bad;
    }
    for (int64_t i = 0; i < m.params.count; i++)
        m.file_dtype[i] = m.reader ? st_find(m.reader, m.params.list[i].name)->dtype : o->dtype == MODEL_BF16 ? DT_BF16 : DT_F32;
    *out = m;
    return OK;
bad:
    model_src_close(&m);
    return err;
}

void model_src_close(struct model_src *m) {
    st_close(m->reader);
    params_free(&m->params);
    free(m->config_json);
    free(m->file_dtype);
    *m = (struct model_src){0};
}

err_t model_src_read(const struct model_src *m, const struct param *p, int64_t from, int64_t n, float *out) {
    if (!m->reader) {
        params_init(&m->spec, p, m->seed, from, n, out);
        return OK;
    }
    return st_read_f32(m->reader, st_find(m->reader, p->name), from, n, out);
}
