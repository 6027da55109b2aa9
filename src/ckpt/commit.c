/* A new model takes the place of an old one. The new one is complete and on disk in DIR/model.commit before anything of
 * the old is touched. A folder that holds model.commit is one where this was cut off: it is loadable by nobody (the file
 * that a loader looks for first is the last to come), and model_commit called again finishes it. */
#include "ckpt/ckpt_int.h"

#include <string.h>

static err_t remove_in(const char *dir, const char *name) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, dir, name));
    return os_remove_tree(path);
}

static bool exists_in(const char *dir, const char *name) {
    char path[OS_PATH_MAX];
    return os_join(path, dir, name) == OK && os_exists(path);
}

static err_t move(const char *from_dir, const char *dir, const char *name) {
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    if (!exists_in(from_dir, name)) return OK; /* moved before we were cut off */
    TRY(os_join(from, from_dir, name));
    TRY(os_join(to, dir, name));
    char *slash = strrchr(to, '/');
    *slash = 0;
    TRY(os_mkdirs(to));
    *slash = '/';
    return os_rename(from, to);
}

/* Shards and indices that the new model does not have: ours or another program's, a loader could take them for its. */
static err_t remove_stale(const char *dir, const json_t *files) {
    char **names;
    int64_t count;
    TRY(os_list(dir, &names, &count));
    err_t err = OK;
    for (int64_t i = 0; i < count && err == OK; i++)
        if (folder_is_weights(names[i]) && !json_object_get(files, names[i])) err = remove_in(dir, names[i]);
    os_free_list(names, count);
    return err;
}

static err_t put_in_place(const char *dir, const char *staged, const json_t *files) {
    const char *entry = json_object_get(files, WEIGHTS_INDEX) ? WEIGHTS_INDEX : WEIGHTS_NAME;
    const char *name;
    json_t *value;
    TRY(remove_in(dir, MANIFEST_NAME));
    if (exists_in(staged, entry)) {
        TRY(remove_in(dir, WEIGHTS_NAME));
        TRY(remove_in(dir, WEIGHTS_INDEX));
    }
    TRY(remove_stale(dir, files));
    json_object_foreach((json_t *)files, name, value) if (strcmp(name, entry) != 0) TRY(move(staged, dir, name));
    TRY(move(staged, dir, entry));
    return move(staged, dir, MANIFEST_NAME);
}

err_t model_commit(const char *dir) {
    char staged[OS_PATH_MAX];
    TRY(os_join(staged, dir, COMMIT_NAME));
    if (!os_exists(staged)) return OK;
    if (exists_in(staged, MANIFEST_NAME)) { /* the last to be moved */
        struct manifest m;
        TRY(manifest_read(staged, &m));
        err_t err = put_in_place(dir, staged, m.files);
        manifest_close(&m);
        if (err != OK) return err_prefix(err, "the new model is complete in %s but not yet in its place; run the same command again", staged);
    }
    return os_remove_tree(staged);
}
