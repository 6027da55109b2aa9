#include "ckpt/ckpt_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Files of a run that are written under a temporary name, beside those of the folders. */
static const char *const unfinished[] = {"log.jsonl.part",       "mop_report.json.part", "data/train.tok.part",
                                         "data/train.json.part", "data/valid.tok.part",  "data/valid.json.part"};

err_t ckpt_recover(const char *out) {
    char path[OS_PATH_MAX];
    TRY(model_commit(out));
    TRY(os_join(path, out, MODEL_PART));
    if (os_is_dir(path)) TRY(os_remove_tree(path));
    for (size_t i = 0; i < sizeof unfinished / sizeof unfinished[0]; i++) {
        TRY(os_join(path, out, unfinished[i]));
        if (!os_is_dir(path)) TRY(os_remove_tree(path));
    }
    return steps_recover(out);
}

err_t ckpt_newest(const char *out, int64_t *step) {
    int64_t *steps, count;
    TRY(steps_list(out, &steps, &count));
    *step = count ? steps[count - 1] : -1;
    free(steps);
    return OK;
}

err_t ckpt_look(const char *out, struct out_found *found) {
    static const char *const model[] = {"config.json", WEIGHTS_NAME, WEIGHTS_INDEX};
    char path[OS_PATH_MAX];
    *found = (struct out_found){.step = -1};
    TRY(ckpt_newest(out, &found->step));
    TRY(os_join(path, out, MANIFEST_NAME));
    if (os_exists(path)) {
        struct manifest m;
        TRY(manifest_read(out, &m));
        manifest_close(&m);
        found->model = OUT_OURS;
        return OK;
    }
    for (int i = 0; i < 3; i++) {
        TRY(os_join(path, out, model[i]));
        if (os_exists(path)) found->model = OUT_ANOTHER;
    }
    return OK;
}

err_t ckpt_check_model(const char *out) {
    struct check found = {0};
    TRY(check_folder(out, &found));
    if (found.problems == 0) return OK;
    return FAIL(ERR_FORMAT, "the model in %s is not as it was written (%" PRId64 " problems): %s", out, found.problems, found.first);
}

err_t ckpt_path(const char *out, int64_t step, char path[OS_PATH_MAX]) { return step_path(out, step, path); }

err_t ckpt_record(const char *dir, char **text) {
    char path[OS_PATH_MAX];
    int64_t bytes;
    *text = NULL;
    TRY(os_join(path, dir, CKPT_RECORD));
    return os_exists(path) ? os_read_all(path, CKPT_JSON_MAX, text, &bytes) : OK;
}

/* The optimizer's files, as the manifest names them. */
static err_t open_optim(const char *dir, const json_t *files, struct st_reader **out) {
    size_t room = json_object_size(files), count = 0;
    char(*paths)[OS_PATH_MAX] = malloc(room * sizeof *paths + 1);
    const char **list = malloc(room * sizeof *list + 1);
    err_t err = OK;
    if (!paths || !list) {
        err = FAIL(ERR_NOMEM, "no memory for the names of the %zu files in %s; free some memory", room, dir);
        goto done;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)files, name, value) {
        if (strncmp(name, "optim-", 6) != 0) continue;
        TRY_OR(os_join(paths[count], dir, name), done);
        list[count] = paths[count];
        count++;
    }
    if (count == 0) err = FAIL(ERR_FORMAT, "%s has no optimizer state; it is no checkpoint to resume from", dir);
    else err = st_open_files(list, (int)count, out);
done:
    free(paths);
    free(list);
    return err;
}

static err_t open_sets(struct ckpt_in *in) {
    struct manifest m;
    char path[OS_PATH_MAX];
    TRY(manifest_read(in->dir, &m));
    err_t err = open_optim(in->dir, m.files, &in->optim);
    manifest_close(&m);
    TRY(err);
    TRY(st_open_folder(in->dir, &in->model));
    TRY(os_join(path, in->dir, "run.safetensors"));
    return st_open_file(path, &in->run);
}

err_t ckpt_open(const char *out, int64_t step, struct ckpt_in *in) {
    struct ckpt_in c = {0};
    struct check found = {0};
    TRY(step_path(out, step, c.dir));
    TRY(check_folder(c.dir, &found));
    if (found.problems > 0 && !os_is_dir(c.dir))
        return FAIL(ERR_IO, "the checkpoint %s is not there, or was removed while it was read; a run keeps its newest ones only (ckpt.keep)", c.dir);
    if (found.problems > 0)
        return FAIL(ERR_FORMAT, "the checkpoint %s is damaged (%" PRId64 " problems): %s; remove it to resume from the one before", c.dir,
                    found.problems, found.first);
    err_t err = open_sets(&c);
    if (err != OK) {
        ckpt_close(&c);
        return err;
    }
    *in = c;
    return OK;
}

void ckpt_close(struct ckpt_in *in) {
    st_close(in->model);
    st_close(in->optim);
    st_close(in->run);
    memset(in, 0, sizeof *in);
}

err_t ckpt_read(const struct ckpt_in *in, enum ckpt_part part, const struct param *p, int64_t from, int64_t n, float *out) {
    static const char *const prefix[] = {[CKPT_WEIGHT] = "master.", [CKPT_EXP_AVG] = "exp_avg.", [CKPT_EXP_AVG_SQ] = "exp_avg_sq."};
    char name[CKPT_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s%s", prefix[part], p->name);
    const struct st_reader *r = in->optim;
    const struct tensor_info *t = st_find(r, name);
    if (!t && part == CKPT_WEIGHT && in->names && st_param_dtype(in->model, in->names, p, DT_BF16) == DT_F32)
        return st_read_param(in->model, NULL, in->names, p, from, n, out);
    if (!t && part == CKPT_WEIGHT && !in->names) { /* an fp32 file holds the master itself */
        r = in->model;
        t = st_find(r, p->name);
    }
    if (!t) return FAIL(ERR_FORMAT, "%s: tensor %s is missing; the checkpoint is of another model", in->dir, name);
    bool same = t->dtype == DT_F32 && t->ndim == p->ndim;
    for (int i = 0; same && i < p->ndim; i++) same = t->shape[i] == p->shape[i];
    if (!same)
        return FAIL(ERR_FORMAT, "%s: tensor %s is not F32 of %" PRId64 " elements in this model's shape; the checkpoint is of another model",
                    st_path(r, t), t->name, p->count);
    return st_read(r, t, from, n, out);
}
