#include "base/num.h"
#include "base/os.h"
#include "train/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of all ranks on rank 0 ---- */

err_t run_fetch(struct run *r, const float *at_rest, int64_t at, int64_t n, float *out) {
    return n > 0 ? STREAM_FETCH(r->ex.s, out, at_rest + at, (int64_t)sizeof *out * n) : OK;
}

/* What of elements [from, from + n) of a tensor a rank has, counted from `from`. */
struct part {
    int64_t at, count, rest; /* rest: where it lies at rest */
};
static struct part part_of(const struct store *s, const struct param *p, int rank, int64_t from, int64_t n) {
    const struct piece x = store_piece_of(s, p, rank);
    const int64_t a = i64_max(from, x.from), b = i64_min(from + n, x.from + x.count);
    return b > a ? (struct part){a - from, b - a, x.at + a - x.from} : (struct part){0};
}

static err_t collect(struct run *r, const struct part *own, const struct param *p, int64_t from, int64_t n, const float *mine, int64_t *table,
                     float *out) {
    const int ranks = r->shape.split.ranks;
    int64_t *send = table, *send_at = send + ranks, *recv = send_at + ranks, *recv_at = recv + ranks;
    send[0] = 4 * own->count;
    for (int other = 0; run_is_first(r) && other < ranks; other++) {
        const struct part x = part_of(&r->store, p, other, from, n);
        recv[other] = 4 * x.count;
        recv_at[other] = 4 * x.at;
    }
    return COMM(&r->mesh.control, all_to_allv, mine, send, send_at, out, recv, recv_at);
}

err_t run_collect(struct run *r, const float *at_rest, const struct param *p, int64_t from, int64_t n, float *out) {
    const int ranks = r->shape.split.ranks;
    const struct part own = part_of(&r->store, p, r->shape.split.rank, from, n);
    if (ranks == 1) {
        ENSURE(out != NULL);
        return run_fetch(r, at_rest, own.rest, n, out);
    }
    int64_t *table = calloc((size_t)ranks, 4 * sizeof *table);
    float *mine = malloc(sizeof *mine * (size_t)(own.count + 1));
    err_t err = table && mine ? run_fetch(r, at_rest, own.rest, own.count, mine)
                              : FAIL(ERR_NOMEM, "out of memory for %lld numbers of %d ranks", (long long)own.count, ranks);
    if (err == OK) err = collect(r, &own, p, from, n, mine, table, out);
    free(mine);
    free(table);
    return err;
}

static float *part_at_rest(const struct run *r, enum ckpt_part part) {
    return part == CKPT_WEIGHT ? r->optim.master : part == CKPT_EXP_AVG ? r->optim.m : r->optim.v;
}

/* What rank 0 needs next while it writes a checkpoint; the other ranks answer until there is nothing more. */
struct want {
    int64_t more, part, tensor, from, n;
};

static err_t tell(struct run *r, struct want *w) {
    const int ranks = r->shape.split.ranks;
    struct want *all = malloc(sizeof *all * (size_t)ranks);
    if (!all) return FAIL(ERR_NOMEM, "out of memory for the requests of %d ranks", ranks);
    err_t err = COMM(&r->mesh.control, all_gather, w, all, sizeof *w);
    if (err == OK) *w = all[0];
    free(all);
    return err;
}

/* Where saved values come from: masters and moments of a run, or, without one (train.steps=0), the model as found. */
static err_t read_part(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    struct run *r = ctx;
    struct want w = {true, part, p - r->store.params->list, from, n};
    if (r->shape.split.ranks > 1) TRY(tell(r, &w));
    return run_collect(r, part_at_rest(r, part), p, from, n, out);
}

static err_t answer(struct run *r) {
    for (;;) {
        struct want w = {0};
        TRY(tell(r, &w));
        if (!w.more) return OK;
        TRY(run_collect(r, part_at_rest(r, (enum ckpt_part)w.part), &r->store.params->list[w.tensor], w.from, w.n, NULL));
    }
}

static err_t read_found(void *ctx, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    ENSURE(part == CKPT_WEIGHT);
    return model_src_read(ctx, p, from, n, out);
}

/* The tokenizer of tokenizer=: its file, and the folder whose tokenizer files go along. */
struct tokenizer_paths {
    char file[OS_PATH_MAX], folder[OS_PATH_MAX];
};

/* A tokenizer that was given goes out with the files beside it; one that is the model's own, copied somewhere, leaves the model's as they are. */
static err_t describe(const struct model_src *src, const struct job *job, struct tokenizer_paths *t, struct ckpt_run *out) {
    *out = (struct ckpt_run){.params = &src->params,
                             .names = &src->names_out,
                             .file_dtype = src->file_dtype,
                             .found = src->reader,
                             .extras = &src->extras,
                             .spec = &src->spec,
                             .unpacked = src->dtype,
                             .config_json = src->config_json,
                             .copy_from = src->dir};
    if (!job->tokenizer) return OK;
    uint64_t given, own;
    TRY(tokens_tokenizer(src, NULL, t->file, &own));
    TRY(tokens_tokenizer(src, job->tokenizer, t->file, &given));
    if (given == own) return OK;
    out->tokenizer = t->file;
    char *slash = strrchr(t->file, '/');
    if (strcmp(slash ? slash + 1 : t->file, "tokenizer.json") != 0) return OK;
    memcpy(t->folder, t->file, sizeof t->folder);
    if (slash) t->folder[slash - t->file] = 0;
    const char *folder = !slash ? "." : slash == t->file ? "/" : t->folder;
    if (src->dir) {
        out->tokenizer_from = folder;
    } else { /* everything there is comes from there */
        out->tokenizer = NULL;
        out->copy_from = folder;
    }
    return OK;
}

/* A folder of a tied model may hold the head beside the embedding, equal to it: it is given back as it was found. */
static err_t add_found_head(const struct model_src *src, struct names *names, enum dtype **dtype) {
    const int64_t n = src->names_out.count;
    struct names_style style = src->names_out.style;
    style.head = true;
    TRY(names_build(&src->spec, &src->params, &style, names));
    *dtype = malloc(sizeof **dtype * (size_t)(n + 1));
    if (!*dtype) return FAIL(ERR_NOMEM, "out of memory for a table of %lld tensors", (long long)n);
    memcpy(*dtype, src->file_dtype, sizeof **dtype * (size_t)n);
    (*dtype)[n] = st_find(src->reader, names->list[n].name)->dtype;
    return OK;
}

err_t state_save_found(const struct model_src *src, const struct job *job) {
    struct tokenizer_paths paths;
    struct ckpt_run run;
    struct names names = {0};
    enum dtype *dtype = NULL;
    err_t err = OK;
    TRY(describe(src, job, &paths, &run));
    run.as_found = true;
    run.read = read_found;
    run.ctx = (void *)(uintptr_t)src;
    if (src->names.style.head) {
        err = add_found_head(src, &names, &dtype);
        run.names = &names;
        run.file_dtype = dtype;
    }
    if (err == OK) err = ckpt_save_model(job->out, &run);
    names_free(&names);
    free(dtype);
    return err;
}

enum { STATE_TENSORS = 5 };

static err_t save(struct run *r, const struct job *job, const struct train_state *s, const char *record, bool final) {
    struct tokenizer_paths paths;
    struct ckpt_run run;
    TRY(describe(r->src, job, &paths, &run));
    run.read = read_part;
    run.ctx = r;
    run.record = record;
    if (final) return ckpt_save_model(job->out, &run);
    const int64_t bias = (int64_t)r->experts.layers * r->shape.spec->experts;
    const struct st_out list[STATE_TENSORS] = {
        {.name = "step", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "seed", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "data", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "batch", .dtype = DT_I64, .ndim = 1, .shape = {1}},
        {.name = "balance_bias", .dtype = DT_F32, .ndim = 1, .shape = {bias}},
    };
    float *numbers = malloc(sizeof *numbers * (size_t)(bias + 1));
    if (!numbers) return FAIL(ERR_NOMEM, "out of memory for a balancing bias of %lld numbers", (long long)bias);
    const void *const data[STATE_TENSORS] = {&s->step, &s->seed, &s->data, &s->batch, numbers};
    run.state = list;
    run.state_count = bias ? STATE_TENSORS : STATE_TENSORS - 1;
    run.state_data = data;
    err_t err = bias ? STREAM_FETCH(r->ex.s, numbers, r->experts.bias, 4 * bias) : OK;
    if (err == OK) err = ckpt_save(job->out, s->step, job->ckpt->keep, &run);
    free(numbers);
    return err;
}

err_t state_save(struct run *r, const struct job *job, const struct train_state *s, bool final) {
    if (!run_is_first(r)) return answer(r);
    char *record;
    TRY(record_text(job, s, r->shape.split.ranks, &record));
    err_t err = save(r, job, s, record, final);
    free(record);
    if (err == OK && r->shape.split.ranks > 1) err = tell(r, &(struct want){0}); /* otherwise the job ends with this error */
    return err;
}

static err_t read_i64(const struct st_reader *f, const char *name, int64_t *out) {
    const struct tensor_info *t = st_find(f, name);
    if (!t || t->dtype != DT_I64 || t->count != 1)
        return FAIL(ERR_FORMAT, "the run state has no whole number \"%s\"; the checkpoint was written by another version, start a new run", name);
    return st_read(f, t, 0, 1, out);
}

static err_t load_part(struct run *r, const struct ckpt_in *in, enum ckpt_part part, const struct param *t, float *at_rest, float *buffer,
                       int64_t chunk) {
    const struct piece own = store_piece(&r->store, t);
    for (int64_t done = 0; done < own.count; done += chunk) {
        const int64_t n = i64_min(chunk, own.count - done);
        TRY(ckpt_read(in, part, t, own.from + done, n, buffer));
        STREAM_UPLOAD(r->ex.s, at_rest + own.at + done, buffer, (int64_t)sizeof *buffer * n);
    }
    return OK;
}

static err_t load_tensors(struct run *r, const struct ckpt_in *in) {
    enum { CHUNK = 1 << 20 };
    const struct params *p = r->store.params;
    float *buffer = malloc(sizeof *buffer * CHUNK);
    if (!buffer) return FAIL(ERR_NOMEM, "out of memory for a buffer of %d numbers while loading", CHUNK);
    err_t err = OK;
    for (int64_t i = 0; i < p->count && err == OK; i++)
        for (int part = 0; part < CKPT_PARTS && err == OK; part++)
            err = load_part(r, in, (enum ckpt_part)part, &p->list[i], part_at_rest(r, (enum ckpt_part)part), buffer, CHUNK);
    free(buffer);
    return err;
}

static err_t load_values(struct run *r, const struct ckpt_in *in) {
    TRY(load_tensors(r, in));
    optim_refresh(&r->optim);
    const int64_t bias = (int64_t)r->experts.layers * r->shape.spec->experts;
    if (!bias) return OK;
    const struct tensor_info *b = st_find(in->run, "balance_bias");
    if (!b || b->dtype != DT_F32 || b->count != bias)
        return FAIL(ERR_FORMAT, "the run state has no balancing bias of %lld numbers; the checkpoint is of another model", (long long)bias);
    float *numbers = malloc(sizeof *numbers * (size_t)bias);
    if (!numbers) return FAIL(ERR_NOMEM, "out of memory for a balancing bias of %lld numbers", (long long)bias);
    err_t err = st_read(in->run, b, 0, bias, numbers);
    if (err == OK) STREAM_UPLOAD(r->ex.s, r->experts.bias, numbers, 4 * bias);
    free(numbers);
    return err;
}

/* The checkpoint's weights are this model's, in whatever way its folder has them; what is carried along is there too. */
static err_t find_names(const struct ckpt_in *in, const struct model_src *src, struct names *out) {
    struct st_extras carried = {.list = malloc(sizeof *carried.list * (size_t)(st_count(in->model) + 1))};
    if (!carried.list) return FAIL(ERR_NOMEM, "out of memory for a list of %lld tensors", (long long)st_count(in->model));
    err_t err = st_find_names(in->model, &src->spec, &src->params, out);
    if (err == OK) err = st_check_model(in->model, &src->spec, out, &carried);
    free(carried.list);
    return err;
}

err_t state_load(struct run *r, const struct job *job, int64_t step, struct train_state *s) {
    struct ckpt_in in;
    TRY(ckpt_open(job->out, step, &in));
    err_t err;
    struct names names = {0};
    TRY_OR(find_names(&in, r->src, &names), done);
    in.names = &names;
    TRY_OR(read_i64(in.run, "step", &s->step), done);
    TRY_OR(load_values(r, &in), done);
done:
    names_free(&names);
    ckpt_close(&in);
    return err;
}

err_t state_read(const char *out, int64_t step, struct train_state *s) {
    char dir[OS_PATH_MAX], path[OS_PATH_MAX];
    struct st_reader *f;
    *s = (struct train_state){0};
    TRY(ckpt_path(out, step, dir));
    TRY(os_join(path, dir, "run.safetensors"));
    TRY(st_open_file(path, &f));
    err_t err;
    TRY_OR(read_i64(f, "step", &s->step), done);
    TRY_OR(read_i64(f, "seed", (int64_t *)&s->seed), done);
    TRY_OR(read_i64(f, "data", (int64_t *)&s->data), done);
    TRY_OR(read_i64(f, "batch", &s->batch), done);
done:
    st_close(f);
    return err;
}
