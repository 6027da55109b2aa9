#include "base/os.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where saved values come from: masters and moments of a run, or, without one (train.steps=0), the model as found. */
static err_t read_part(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    const struct run *r = ctx;
    const float *at = part == CKPT_WEIGHT ? r->optim.master : part == CKPT_EXP_AVG ? r->optim.m : r->optim.v;
    memcpy(out, at + p->offset + from, sizeof(float) * (size_t)n);
    return OK;
}

static err_t read_found(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    ENSURE(part == CKPT_WEIGHT);
    return model_src_read(ctx, p, from, n, out);
}

/* The tokenizer of tokenizer=: its file, and the folder whose tokenizer files go along. */
struct tokenizer_paths {
    char file[OS_PATH_MAX], folder[OS_PATH_MAX];
};

static err_t describe(const struct model_src *src, const struct job *job, struct tokenizer_paths *t, struct ckpt_run *out) {
    *out = (struct ckpt_run){.params = &src->params, .file_dtype = src->file_dtype, .config_json = src->config_json, .copy_from = src->dir};
    if (!job->tokenizer) return OK;
    if (os_is_dir(job->tokenizer)) TRY(os_join(t->file, job->tokenizer, "tokenizer.json"));
    else if (snprintf(t->file, sizeof t->file, "%s", job->tokenizer) >= (int)sizeof t->file)
        return FAIL(ERR_USAGE, "the path tokenizer=%.60s... is too long; use a shorter one", job->tokenizer);
    out->tokenizer = t->file;
    char *slash = strrchr(t->file, '/');
    if (src->dir || strcmp(slash ? slash + 1 : t->file, "tokenizer.json") != 0) return OK;
    memcpy(t->folder, t->file, sizeof t->folder);
    if (slash) t->folder[slash - t->file] = 0;
    out->copy_from = slash ? t->folder : ".";
    return OK;
}

/* A folder of a tied model may hold the head beside the embedding, equal to it. It is given back as it was found; a model that has
 * been trained is written without it, as transformers writes it. */
static err_t add_found_head(const struct model_src *src, struct params *p, enum dtype **dtype) {
    const struct tensor_info *head = src->reader && src->spec.tied ? st_find(src->reader, "lm_head.weight") : NULL;
    *p = src->params;
    *dtype = src->file_dtype;
    if (!head) return OK;
    const size_t n = (size_t)src->params.count;
    struct param *list = malloc(sizeof *list * (n + 1));
    enum dtype *types = malloc(sizeof *types * (n + 1));
    int64_t *by_name = malloc(sizeof *by_name * (n + 1));
    if (!list || !types || !by_name) {
        free(list);
        free(types);
        free(by_name);
        return FAIL(ERR_NOMEM, "out of memory for a table of %zu tensors", n + 1);
    }
    memcpy(list, src->params.list, sizeof *list * n);
    memcpy(types, src->file_dtype, sizeof *types * n);
    list[n] = (struct param){.name = "lm_head.weight", .kind = PARAM_HEAD, .unit = UNIT_HEAD, .layer = -1, .expert = -1, .ndim = 2};
    list[n].shape[0] = src->spec.vocab;
    list[n].shape[1] = src->spec.hidden;
    list[n].count = src->spec.vocab * src->spec.hidden;
    types[n] = head->dtype;
    by_name[0] = (int64_t)n; /* every other name begins with "model." */
    memcpy(by_name + 1, src->params.by_name, sizeof *by_name * n);
    p->list = list;
    p->by_name = by_name;
    p->count = (int64_t)n + 1;
    *dtype = types;
    return OK;
}

err_t state_save_found(const struct model_src *src, const struct job *job) {
    struct tokenizer_paths paths;
    struct ckpt_run run;
    struct params p;
    enum dtype *dtype;
    TRY(describe(src, job, &paths, &run));
    TRY(add_found_head(src, &p, &dtype));
    run.params = &p;
    run.file_dtype = dtype;
    run.read = read_found;
    run.ctx = (void *)(uintptr_t)src;
    err_t err = ckpt_save_model(job->out, &run);
    if (p.list != src->params.list) {
        free(p.list);
        free(p.by_name);
        free(dtype);
    }
    return err;
}

enum { STATE_TENSORS = 5 };

err_t state_save(struct run *r, const struct job *job, const struct train_state *s, bool final) {
    struct tokenizer_paths paths;
    struct ckpt_run run;
    TRY(describe(r->src, job, &paths, &run));
    run.read = read_part;
    run.ctx = r;
    if (final) return ckpt_save_model(job->out, &run);
    const int64_t bias = (int64_t)r->experts.layers * r->shape.spec->experts;
    const struct st_out list[STATE_TENSORS] = {
        {.name = "step", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "seed", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "data", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "batch", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "balance_bias", .dtype = DT_F32, .ndim = 1, .shape = {bias}},
    };
    const void *const data[STATE_TENSORS] = {&s->step, &s->seed, &s->data, &s->batch, r->experts.bias};
    run.state = list;
    run.state_count = bias ? STATE_TENSORS : STATE_TENSORS - 1;
    run.state_data = data;
    return ckpt_save(job->out, s->step, job->ckpt->keep, &run);
}

static err_t read_i64(const struct st_reader *f, const char *name, int64_t *out) {
    const struct tensor_info *t = st_find(f, name);
    if (!t || t->dtype != DT_I64 || t->count != 1)
        return FAIL(ERR_FORMAT, "the run state has no whole number \"%s\"; the checkpoint was written by another version, start a new run", name);
    return st_read(f, t, 0, 1, out);
}

static err_t load_values(struct run *r, const struct ckpt_in *in) {
    const struct params *p = r->store.params;
    for (int64_t i = 0; i < p->count; i++) {
        const struct param *t = &p->list[i];
        TRY(ckpt_read(in, CKPT_WEIGHT, t, 0, t->count, r->optim.master + t->offset));
        TRY(ckpt_read(in, CKPT_EXP_AVG, t, 0, t->count, r->optim.m + t->offset));
        TRY(ckpt_read(in, CKPT_EXP_AVG_SQ, t, 0, t->count, r->optim.v + t->offset));
    }
    optim_refresh(&r->optim);
    const int64_t bias = (int64_t)r->experts.layers * r->shape.spec->experts;
    if (!bias) return OK;
    const struct tensor_info *b = st_find(in->run, "balance_bias");
    if (!b || b->dtype != DT_F32 || b->count != bias)
        return FAIL(ERR_FORMAT, "the run state has no balancing bias of %lld numbers; the checkpoint is of another model", (long long)bias);
    return st_read(in->run, b, 0, bias, r->experts.bias);
}

err_t state_load(struct run *r, const struct job *job, int64_t step, struct train_state *s) {
    struct ckpt_in in;
    TRY(ckpt_open(job->out, step, &in));
    err_t err = OK;
    struct train_state now = *s;
    TRY_OR(st_check_model(in.model, r->store.params), done);
    TRY_OR(read_i64(in.run, "step", &s->step), done);
    TRY_OR(read_i64(in.run, "seed", (int64_t *)&s->seed), done);
    TRY_OR(read_i64(in.run, "data", (int64_t *)&s->data), done);
    TRY_OR(read_i64(in.run, "batch", &s->batch), done);
    const char *what = s->seed != now.seed     ? "train.seed"
                       : s->batch != now.batch ? "train.batch"
                       : s->data != now.data   ? "the data or its packing (data.*)"
                                               : NULL;
    if (what) {
        err = FAIL(ERR_USAGE, "%s differs from that of the run in %s, so its data order cannot go on; use the same, or another out=", what, job->out);
        goto done;
    }
    TRY_OR(load_values(r, &in), done);
done:
    ckpt_close(&in);
    return err;
}
