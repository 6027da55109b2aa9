/* A model of a few tensors, whose values are a function of (seed, part, place), and folders to put it in. */
#ifndef MOP_TESTS_CKPT_MODEL_H
#define MOP_TESTS_CKPT_MODEL_H

#include "base/os.h"
#include "ckpt/ckpt.h"
#include "tests/test.h"

enum { MODEL_TENSORS = 4 };

struct model {
    struct param list[MODEL_TENSORS];
    int64_t by_name[MODEL_TENSORS];
    struct params params;
    enum dtype file_dtype[MODEL_TENSORS];
    int seed;
    struct ckpt_run run;
    int64_t step;
    struct st_out state[2];
    const void *state_data[2];
    const char *state_metadata[5];
    char step_text[24], config[64];
    float bias[3];
};

/* Eighths from -6 to 6: exact in every type. */
static inline float model_value(const struct model *m, enum ckpt_part part, int64_t place) {
    return (float)((place * 7 + (int)part * 31 + m->seed * 13) % 97 - 48) / 8;
}

static err_t model_read(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    const struct model *m = ctx;
    for (int64_t i = 0; i < n; i++) out[i] = model_value(m, part, p->offset + from + i);
    return OK;
}

static int model_by_name(const void *a, const void *b, void *list) {
    const struct param *l = list;
    return strcmp(l[*(const int64_t *)a].name, l[*(const int64_t *)b].name);
}

/* `vocab` rows of 4, so that a test can have it small or larger than any buffer. */
static void model_init(struct model *m, int seed, int64_t step, int64_t vocab) {
    static const struct {
        const char *name;
        int64_t rows, columns;
        enum param_kind kind;
        enum dtype dtype;
        int layer, ndim;
    } t[MODEL_TENSORS] = {
        {"model.embed_tokens.weight", 0, 4, PARAM_EMBED, DT_F32, -1, 2},
        {"model.layers.0.mlp.gate.weight", 3, 4, PARAM_ROUTER, DT_BF16, 0, 2},
        {"model.norm.weight", 3, 1, PARAM_FINAL_NORM, DT_BF16, -1, 1},
        {"lm_head.weight", 0, 4, PARAM_HEAD, DT_F16, -1, 2},
    };
    memset(m, 0, sizeof *m);
    int64_t at = 0;
    for (int i = 0; i < MODEL_TENSORS; i++) {
        struct param *p = &m->list[i];
        (void)snprintf(p->name, sizeof p->name, "%s", t[i].name);
        p->kind = t[i].kind;
        p->layer = t[i].layer;
        p->expert = -1;
        p->ndim = t[i].ndim;
        p->shape[0] = t[i].rows ? t[i].rows : vocab;
        p->shape[1] = t[i].columns;
        p->count = p->shape[0] * p->shape[1];
        p->offset = at;
        at += p->count;
        m->file_dtype[i] = t[i].dtype;
        m->by_name[i] = i;
    }
    qsort_r(m->by_name, MODEL_TENSORS, sizeof m->by_name[0], model_by_name, m->list);
    m->params = (struct params){.list = m->list, .count = MODEL_TENSORS, .elements = at, .by_name = m->by_name};
    m->seed = seed;
    m->step = step;
    for (int i = 0; i < 3; i++) m->bias[i] = (float)i - 1;
    (void)snprintf(m->config, sizeof m->config, "{\"model_type\": \"x\", \"seed\": %d}\n", seed);
    (void)snprintf(m->step_text, sizeof m->step_text, "%d", (int)step);
    m->state[0] = (struct st_out){.name = "balance.0", .dtype = DT_F32, .ndim = 1, .shape = {3}};
    m->state[1] = (struct st_out){.name = "step", .dtype = DT_I64, .ndim = 0};
    m->state_data[0] = m->bias;
    m->state_data[1] = &m->step;
    m->state_metadata[0] = "step";
    m->state_metadata[1] = m->step_text;
    m->run = (struct ckpt_run){.params = &m->params,
                               .file_dtype = m->file_dtype,
                               .read = model_read,
                               .ctx = m,
                               .config_json = m->config,
                               .state = m->state,
                               .state_count = 2,
                               .state_data = m->state_data,
                               .state_metadata = m->state_metadata};
}

/* "dir/name" in a buffer of the caller's line. */
#define PATH(dir, name) path_in((char[OS_PATH_MAX]){0}, (dir), (name))
__attribute__((unused)) static const char *path_in(char *buf, const char *dir, const char *name) {
    if (os_join(buf, dir, name) != OK) exit(2);
    return buf;
}

/* An empty folder of this name in the test's own. */
__attribute__((unused)) static const char *fresh(char buf[OS_PATH_MAX], const char *name) {
    (void)path_in(buf, test_dir(), name);
    if (os_remove_tree(buf) != OK || os_mkdirs(buf) != OK) exit(2);
    return buf;
}

__attribute__((unused)) static void put_file(const char *path, const void *data, int64_t bytes) {
    if (os_write_all(path, data, bytes) != OK) {
        (void)printf("cannot write %s: %s\n", path, err_message());
        exit(2);
    }
}

__attribute__((unused)) static bool has_text(const char *path, const char *text) {
    char *x;
    int64_t n;
    if (os_read_all(path, 1 << 24, &x, &n) != OK) return false;
    bool same = strcmp(x, text) == 0;
    free(x);
    return same;
}

/* A folder's config and the values of its weights, or a checkpoint's three parts, are the model's. */
__attribute__((unused)) static bool same_weights(const struct model *m, const char *dir) {
    struct st_reader *r;
    if (st_open_folder(dir, &r) != OK) return false;
    struct names names;
    if (names_plain(&m->params, NULL, &names) != OK) exit(2);
    bool same = has_text(PATH(dir, "config.json"), m->config) && st_check_model(r, NULL, &names, NULL) == OK && st_count(r) == MODEL_TENSORS;
    names_free(&names);
    for (int i = 0; same && i < MODEL_TENSORS; i++) {
        const struct param *p = &m->list[i];
        const struct tensor_info *t = st_find(r, p->name);
        float *v = malloc((size_t)p->count * sizeof *v);
        if (!v) exit(2);
        same = t->dtype == m->file_dtype[i] && st_read_f32(r, t, 0, p->count, v) == OK;
        for (int64_t j = 0; same && j < p->count; j++) same = v[j] == model_value(m, CKPT_WEIGHT, p->offset + j);
        free(v);
    }
    st_close(r);
    return same;
}

__attribute__((unused)) static bool same_checkpoint(const struct model *m, const char *out, int64_t step) {
    struct ckpt_in in;
    if (ckpt_open(out, step, &in) != OK) return false;
    bool same = same_weights(m, in.dir);
    for (int i = 0; same && i < MODEL_TENSORS; i++)
        for (int part = 0; same && part < 3; part++) {
            const struct param *p = &m->list[i];
            float *v = malloc((size_t)p->count * sizeof *v);
            if (!v) exit(2);
            same = ckpt_read(&in, (enum ckpt_part)part, p, 0, p->count, v) == OK;
            for (int64_t j = 0; same && j < p->count; j++) same = v[j] == model_value(m, (enum ckpt_part)part, p->offset + j);
            free(v);
        }
    int64_t saved = -1;
    const struct tensor_info *t = st_find(in.run, "step");
    same = same && t && st_read(in.run, t, 0, 1, &saved) == OK && saved == m->step && strcmp(st_metadata(in.run, "step"), m->step_text) == 0;
    ckpt_close(&in);
    return same;
}

#endif
