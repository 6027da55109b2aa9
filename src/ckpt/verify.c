#include "ckpt/ckpt_int.h"

#include "base/log.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void problem(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void problem(struct check *c, const char *fmt, ...) {
    char line[sizeof c->first];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (c->problems++ == 0) memcpy(c->first, line, sizeof line);
    if (c->to) (void)fprintf(c->to, "%s\n", line);
}

/* A call's own error is a finding, unless it is that we have no memory to look. */
static err_t finding(struct check *c, err_t err) {
    if (err == ERR_NOMEM || err == ERR_BUG) return err;
    if (err != OK) problem(c, "%s", err_message());
    return OK;
}

/* A file being read from front to back. */
struct scan {
    int fd;
    const char *path;
    void *buffer;
    XXH3_state_t file;
};

/* The next `bytes` bytes, from `at` on, into the file's sum and into own, where that is not NULL. */
static err_t scan_next(struct scan *s, int64_t at, int64_t bytes, XXH3_state_t *own) {
    for (int64_t end = at + bytes; at < end; at += CKPT_BUFFER) {
        int64_t n = i64_min(CKPT_BUFFER, end - at);
        TRY(os_read_at(s->fd, s->path, s->buffer, n, at));
        sum_add(&s->file, s->buffer, n);
        if (own) sum_add(own, s->buffer, n);
    }
    return OK;
}

static bool same_sum(const XXH3_state_t *s, const json_t *entry) {
    unsigned char sum[SUM_BYTES];
    char hex[SUM_HEX];
    sum_end(s, sum);
    sum_hex(sum, hex);
    return strcmp(hex, json_string_value(json_object_get(entry, "xxh3"))) == 0;
}

static int64_t bytes_of(const json_t *entry) { return json_integer_value(json_object_get(entry, "bytes")); }

static err_t check_plain(struct check *c, struct scan *s, const json_t *entry) {
    int64_t bytes;
    err_t err = os_open_read(s->path, &s->fd, &bytes);
    if (err != OK) return finding(c, err);
    if (bytes != bytes_of(entry)) {
        problem(c, "%s: has %" PRId64 " bytes, the manifest says %" PRId64, s->path, bytes, bytes_of(entry));
    } else {
        err = scan_next(s, 0, bytes, NULL);
        if (err == OK && !same_sum(&s->file, entry)) problem(c, "%s: its bytes are not those that were written (checksum differs)", s->path);
    }
    os_close(s->fd);
    return finding(c, err);
}

static bool same_tensor(const struct tensor_info *t, const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    bool same = strcmp(dtype_name(t->dtype), json_string_value(json_object_get(entry, "dtype"))) == 0 && json_array_size(shape) == (size_t)t->ndim;
    for (int i = 0; same && i < t->ndim; i++) same = json_integer_value(json_array_get(shape, (size_t)i)) == t->shape[i];
    return same;
}

static int by_offset(const void *a, const void *b) {
    const struct tensor_info *x = *(const struct tensor_info *const *)a, *y = *(const struct tensor_info *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static err_t scan_tensors(struct check *c, struct scan *s, const struct st_reader *r, const struct tensor_info **order, const json_t *entry) {
    const json_t *tensors = json_object_get(entry, "tensors");
    const char *name;
    json_t *value;
    int64_t before = c->problems, count = st_count(r);
    json_object_foreach((json_t *)tensors, name, value) if (!st_find(r, name)) problem(c, "%s: tensor %s is missing", s->path, name);
    for (int64_t i = 0; i < count; i++) order[i] = st_at(r, i);
    qsort(order, (size_t)count, sizeof *order, by_offset);
    TRY(scan_next(s, 0, r->files[0].data, NULL));
    for (int64_t i = 0; i < count; i++) { /* they cover the rest without a gap: the reader has seen to it */
        const struct tensor_info *t = order[i];
        const json_t *want = json_object_get(tensors, t->name);
        XXH3_state_t own;
        sum_init(&own);
        TRY(scan_next(s, t->offset, t->bytes, &own));
        if (!want) problem(c, "%s: surplus tensor %s", s->path, t->name);
        else if (!same_tensor(t, want)) problem(c, "%s: tensor %s: its dtype or shape is not what was written", s->path, t->name);
        else if (!same_sum(&own, want)) problem(c, "%s: tensor %s: its bytes are not those that were written (checksum differs)", s->path, t->name);
        c->tensors++;
    }
    if (c->problems == before && (r->files[0].bytes != bytes_of(entry) || !same_sum(&s->file, entry)))
        problem(c, "%s: its header is not what was written (checksum differs); the tensors are as they were", s->path);
    return OK;
}

static err_t check_tensors(struct check *c, struct scan *s, const json_t *entry) {
    struct st_reader *r;
    err_t err = st_open_file(s->path, &r);
    if (err != OK) return finding(c, err);
    const struct tensor_info **order = malloc((size_t)(st_count(r) + 1) * sizeof *order);
    s->fd = r->files[0].fd;
    if (order) err = scan_tensors(c, s, r, order, entry);
    else err = FAIL(ERR_NOMEM, "no memory to check %s; free some memory", s->path);
    free(order);
    st_close(r);
    return finding(c, err);
}

static bool has_inside(const json_t *files, const char *folder) {
    const char *name;
    json_t *value;
    size_t n = strlen(folder);
    json_object_foreach((json_t *)files, name, value) if (strncmp(name, folder, n) == 0 && name[n] == '/') return true;
    return false;
}

/* What lies in the folder and is not vouched for: anything in a checkpoint, which is ours alone; in a model's folder only
 * weights, which a loader could take instead of ours. `inside`: the path from the folder to the one looked at. */
static err_t check_surplus(struct check *c, const char *dir, const struct manifest *m, const char *inside) {
    char path[OS_PATH_MAX], name[OS_PATH_MAX];
    char **names;
    int64_t count;
    if (*inside) TRY(os_join(path, dir, inside));
    else (void)snprintf(path, sizeof path, "%s", dir);
    TRY(os_list(path, &names, &count));
    err_t err = OK;
    for (int64_t i = 0; i < count && err == OK; i++) {
        char full[OS_PATH_MAX];
        if (*inside) err = os_join(name, inside, names[i]);
        else (void)snprintf(name, sizeof name, "%s", names[i]);
        if (err == OK) err = os_join(full, path, names[i]);
        if (err != OK || strcmp(name, MANIFEST_NAME) == 0 || json_object_get(m->files, name)) continue;
        if (m->kind == MANIFEST_MODEL && !folder_is_weights(name)) continue;
        if (os_is_dir(full) && has_inside(m->files, name)) err = check_surplus(c, dir, m, name);
        else problem(c, "%s: surplus: the manifest does not name it", full);
    }
    os_free_list(names, count);
    return err;
}

err_t check_folder(const char *dir, struct check *c) {
    struct manifest m;
    err_t err = manifest_read(dir, &m);
    if (err != OK) return finding(c, err);
    void *buffer = malloc(CKPT_BUFFER);
    if (!buffer) err = FAIL(ERR_NOMEM, "no memory for the %d MiB through which %s is read; free some memory", CKPT_BUFFER >> 20, dir);
    const char *name;
    json_t *entry;
    json_object_foreach(m.files, name, entry) {
        char path[OS_PATH_MAX];
        if (err == OK) err = os_join(path, dir, name);
        if (err != OK) break;
        struct scan s = {.path = path, .buffer = buffer};
        sum_init(&s.file);
        c->files++;
        if (!os_exists(path)) problem(c, "%s: missing", path);
        else if (json_object_get(entry, "tensors")) err = check_tensors(c, &s, entry);
        else err = check_plain(c, &s, entry);
    }
    c->files++; /* the manifest itself */
    if (err == OK) err = finding(c, check_surplus(c, dir, &m, ""));
    free(buffer);
    manifest_close(&m);
    return err;
}

/* check_folder, of a folder that a run may remove, replace or write meanwhile: what is found counts only where the folder was the same before and
 * after. */
static err_t check_settled(const char *dir, struct check *c) {
    for (;;) {
        char *text = NULL;
        size_t bytes = 0;
        struct ckpt_mark mark;
        TRY(ckpt_settle(dir, &mark));
        struct check once = {.to = c->to ? open_memstream(&text, &bytes) : NULL};
        if (c->to && !once.to) return FAIL(ERR_NOMEM, "no memory for what is found in %s; free some memory", dir);
        err_t err = check_folder(dir, &once);
        if (once.to) (void)fclose(once.to);
        const bool gone = !os_is_dir(dir), again = err == OK && !gone && once.problems && ckpt_changed(dir, &mark);
        if (err == OK && gone) log_line(LOG_RUN, "%s was removed while it was read, as older checkpoints are: left out", dir);
        if (err == OK && !gone && !again) {
            if (c->problems == 0) memcpy(c->first, once.first, sizeof c->first);
            if (c->to && text) (void)fputs(text, c->to);
            c->problems += once.problems;
            c->files += once.files;
            c->tensors += once.tensors;
        }
        free(text);
        if (!again) return err;
    }
}

static bool exists_in(const char *dir, const char *name) {
    char path[OS_PATH_MAX];
    return os_join(path, dir, name) == OK && os_exists(path);
}

/* The model in `dir`, which has checkpoints too where it is a `run`'s. *found: there is one, or was meant to be. */
static err_t check_model(const char *dir, bool run, struct check *c, bool *found) {
    for (;;) {
        struct ckpt_mark mark;
        TRY(ckpt_settle(dir, &mark));
        *found = true;
        if (exists_in(dir, MANIFEST_NAME)) return check_settled(dir, c);
        const bool cut_off = exists_in(dir, COMMIT_NAME "/" MANIFEST_NAME); /* the last to be moved from there */
        const char *lone = exists_in(dir, WEIGHTS_NAME) ? WEIGHTS_NAME : exists_in(dir, WEIGHTS_INDEX) ? WEIGHTS_INDEX : NULL;
        if (ckpt_changed(dir, &mark)) continue;
        *found = cut_off;
        if (cut_off)
            problem(c, "%s/%s/%s: a save was cut off before the new model, complete beside this file, was in its place; run the same command again",
                    dir, COMMIT_NAME, MANIFEST_NAME);
        else if (run && lone) problem(c, "%s/%s is missing: nothing vouches for %s beside it", dir, MANIFEST_NAME, lone);
        return OK;
    }
}

static err_t check_out(const char *dir, struct check *c) {
    char path[OS_PATH_MAX], who[OUT_WHO_MAX];
    int64_t *steps, count;
    const bool busy = out_busy(dir, who);
    bool found;
    TRY(steps_list(dir, &steps, &count));
    err_t err = check_model(dir, count > 0, c, &found);
    for (int64_t i = 0; i < count && err == OK; i++) {
        err = step_path(dir, steps[i], path);
        if (err == OK && os_is_dir(path)) err = check_settled(path, c);
    }
    free(steps);
    if (err != OK || found || count > 0) return err;
    if (busy) return FAIL(ERR_FORMAT, "nothing to verify in %s yet: a run is at work there (%s) and has saved nothing", dir, who);
    return FAIL(ERR_FORMAT, "nothing to verify in %s: it holds neither %s nor a checkpoint; give a folder that mop train wrote", dir, MANIFEST_NAME);
}

err_t verify_to(FILE *to, const char *dir, int64_t *files, int64_t *tensors) {
    struct check c = {.to = to};
    *files = *tensors = 0;
    char why[OS_WHY_MAX];
    if (!os_enters(dir)) return FAIL(ERR_IO, "%s %s; give a folder that mop train wrote", dir, os_no_dir(dir, why));
    TRY(check_out(dir, &c));
    *files = c.files;
    *tensors = c.tensors;
    if (c.problems == 0) return OK;
    return FAIL(ERR_FAILED, "%s: %" PRId64 " problem%s, the first: %s; restore it from a copy, or remove the damaged folder", dir, c.problems,
                c.problems == 1 ? "" : "s", c.first);
}

err_t ckpt_verify(const char *dir, int64_t *files, int64_t *tensors) { return verify_to(stdout, dir, files, tensors); }
