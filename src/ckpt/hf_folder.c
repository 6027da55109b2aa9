/* The weights of a Hugging Face folder, held against their index and against a model. */
#include "ckpt/ckpt_int.h"

#include "base/json.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A shard lies in the folder itself: an index from elsewhere must not reach out of it. */
static bool good_shard(const char *name) {
    size_t n = strlen(name);
    if (n < 13 || n > 255 || name[0] == '.' || strchr(name, '/') || strchr(name, '\\')) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20) return false;
    return strcmp(name + n - 12, ".safetensors") == 0;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The distinct files of a weight map, sorted. `names` has room for one per tensor; they are borrowed from the map. */
static err_t shard_names(const char *index, const json_t *map, const char **names, int64_t *count) {
    const char *tensor;
    json_t *file;
    int64_t n = 0, distinct = 0;
    json_object_foreach((json_t *)map, tensor, file) {
        const char *name = json_string_value(file);
        if (!name || !good_shard(name))
            return FAIL(ERR_FORMAT, "%s: weight_map gives tensor %.200s the file %.80s; it must be the name of a .safetensors file in this folder",
                        index, tensor, name ? name : "(not a string)");
        names[n++] = name;
    }
    if (n) qsort(names, (size_t)n, sizeof *names, by_text);
    for (int64_t i = 0; i < n; i++)
        if (distinct == 0 || strcmp(names[distinct - 1], names[i]) != 0) names[distinct++] = names[i];
    *count = distinct;
    return OK;
}

/* Each tensor lies in the file that the map says, and the map says it of each. */
static err_t check_map(const char *index, const json_t *map, const struct st_reader *r) {
    const char *name;
    json_t *file;
    json_object_foreach((json_t *)map, name, file) {
        const struct tensor_info *t = st_find(r, name);
        const char *want = json_string_value(file);
        if (!t) return FAIL(ERR_FORMAT, "%s: tensor %.200s is missing: it should be in %s; copy the folder again", index, name, want);
        const char *slash = strrchr(st_path(r, t), '/');
        if (!slash || strcmp(slash + 1, want) != 0)
            return FAIL(ERR_FORMAT, "%s: tensor %s is in %s, but weight_map says %s; copy the folder again", index, name, st_path(r, t), want);
    }
    for (int64_t i = 0; i < st_count(r); i++)
        if (!json_object_get(map, st_at(r, i)->name))
            return FAIL(ERR_FORMAT, "%s: surplus tensor %s: %s does not name it; copy the folder again", st_path(r, st_at(r, i)), st_at(r, i)->name,
                        index);
    return OK;
}

static err_t open_shards(const char *dir, const char *index, const json_t *map, struct st_reader **out) {
    size_t tensors = json_object_size(map);
    if (tensors == 0) return FAIL(ERR_FORMAT, "%s: \"weight_map\" is missing or names no tensor; copy the folder again", index);
    err_t err = OK;
    struct st_reader *r = NULL;
    const char **names = malloc(tensors * sizeof *names);
    char(*paths)[OS_PATH_MAX] = NULL;
    const char **path_list = NULL;
    int64_t count = 0;
    if (names) TRY_OR(shard_names(index, map, names, &count), done);
    paths = malloc((size_t)(count + 1) * sizeof *paths);
    path_list = malloc((size_t)(count + 1) * sizeof *path_list);
    if (!names || !paths || !path_list || count > INT32_MAX) {
        err = FAIL(ERR_NOMEM, "%s: no memory for the names of %zu tensors; free some memory", index, tensors);
        goto done;
    }
    for (int64_t i = 0; i < count; i++) {
        TRY_OR(os_join(paths[i], dir, names[i]), done);
        path_list[i] = paths[i];
    }
    err = st_open_files(path_list, (int)count, &r);
    if (err == OK) err = check_map(index, map, r);
done:
    free(path_list);
    free(paths);
    free(names);
    if (err == OK) *out = r;
    else st_close(r);
    return err;
}

err_t st_open_folder(const char *dir, struct st_reader **out) {
    char single[OS_PATH_MAX], index[OS_PATH_MAX], no[OS_WHY_MAX];
    TRY(os_join(single, dir, WEIGHTS_NAME));
    TRY(os_join(index, dir, WEIGHTS_INDEX));
    if (!os_enters(dir)) return FAIL(ERR_IO, "%s %s; give the folder that holds config.json and the weights", dir, os_no_dir(dir, no));
    if (os_exists(single)) return st_open_file(single, out);
    if (!os_exists(index)) {
        TRY(os_join(single, dir, COMMIT_NAME));
        if (os_exists(single))
            return FAIL(ERR_FORMAT, "%s holds no weights yet: a save was cut off before %s was in its place; run the command that saves there again",
                        dir, single);
        return FAIL(ERR_FORMAT, "%s holds neither %s nor %s; give a folder with weights in safetensors", dir, WEIGHTS_NAME, WEIGHTS_INDEX);
    }
    char *text;
    int64_t bytes;
    TRY(os_read_all(index, CKPT_JSON_MAX, &text, &bytes));
    json_error_t why;
    json_t *root = json_read(text, bytes, 0, &why);
    free(text);
    if (!root) return FAIL(ERR_FORMAT, "%s:%d: not JSON: %.120s; copy the folder again", index, why.line, why.text);
    err_t err = open_shards(dir, index, json_object_get(root, "weight_map"), out);
    json_decref(root);
    return err;
}

bool folder_is_weights(const char *name) {
    int a, b, end = 0;
    return strcmp(name, WEIGHTS_NAME) == 0 || strcmp(name, WEIGHTS_INDEX) == 0 ||
           (sscanf(name, "model-%5d-of-%5d.safetensors%n", &a, &b, &end) == 2 && end == 32 && name[end] == 0);
}
