#include "ckpt/ckpt_int.h"

#include <stdlib.h>
#include <string.h>

#define PART ".part"

static err_t with_suffix(char out[OS_PATH_MAX], const char *path, const char *suffix) {
    if (snprintf(out, OS_PATH_MAX, "%s%s", path, suffix) < OS_PATH_MAX) return OK;
    return FAIL(ERR_USAGE, "the path %.60s... is longer than %d bytes; use a shorter one", path, OS_PATH_MAX - 1);
}

/* Build a folder as `part`, which is then complete and on disk, or gone. */
static err_t build(const char *part, enum manifest_kind kind, const struct ckpt_run *run, int64_t shard_bytes) {
    TRY(os_remove_tree(part));
    TRY(os_mkdirs(part));
    err_t err = folder_write(part, kind, run, shard_bytes);
    return err == OK ? OK : folder_discard(err, part);
}

err_t save_model(const char *dir, const struct ckpt_run *run, int64_t shard_bytes) {
    char part[OS_PATH_MAX], commit[OS_PATH_MAX];
    TRY(os_mkdirs(dir));
    TRY(os_join(part, dir, MODEL_PART));
    TRY(os_join(commit, dir, COMMIT_NAME));
    TRY(model_commit(dir)); /* of a save that was cut off */
    TRY(build(part, MANIFEST_MODEL, run, shard_bytes));
    err_t err = os_rename(part, commit);
    if (err != OK) return folder_discard(err, part);
    return model_commit(dir);
}

err_t ckpt_prune(const char *out, int64_t latest, int64_t keep) {
    int64_t *steps, count;
    if (keep == 0) return OK;
    TRY(steps_list(out, &steps, &count));
    err_t err = OK;
    for (int64_t i = 0, left = count; i < count && left > keep && err == OK; i++) {
        char path[OS_PATH_MAX], part[OS_PATH_MAX];
        if (steps[i] == latest) continue;
        err = step_path(out, steps[i], path);
        if (err == OK) err = with_suffix(part, path, PART);
        if (err == OK) err = os_rename(path, part); /* killed after this, nothing here looks complete */
        if (err == OK) err = os_remove_tree(part);
        left--;
    }
    free(steps);
    return err;
}

err_t save_checkpoint(const char *out, int64_t step, int64_t keep, const struct ckpt_run *run, int64_t shard_bytes) {
    char path[OS_PATH_MAX], part[OS_PATH_MAX], old[OS_PATH_MAX], folder[OS_PATH_MAX];
    ENSURE(step >= 0 && keep >= 0);
    TRY(os_join(folder, out, "ckpt"));
    TRY(step_path(out, step, path));
    TRY(with_suffix(part, path, PART));
    TRY(with_suffix(old, path, ".old"));
    TRY(os_mkdirs(folder));
    TRY(os_sync_dir(out));
    TRY(steps_recover(out));
    TRY(build(part, MANIFEST_CHECKPOINT, run, shard_bytes));
    /* A checkpoint of this step that is there already goes last: steps_recover brings it back if we do not get that far. */
    err_t err = os_exists(path) ? os_rename(path, old) : OK;
    if (err == OK) err = os_rename(part, path);
    if (err != OK) return folder_discard(err, part);
    TRY(os_remove_tree(old));
    return ckpt_prune(out, step, keep);
}

err_t ckpt_save_model(const char *dir, const struct ckpt_run *run) { return save_model(dir, run, CKPT_SHARD_BYTES); }

err_t ckpt_save(const char *out, int64_t step, int64_t keep, const struct ckpt_run *run) {
    return save_checkpoint(out, step, keep, run, CKPT_SHARD_BYTES);
}
