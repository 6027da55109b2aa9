/* The manifest of a folder (docs/formats/manifest.md): what mop wrote there, with a checksum for every tensor, every file
 * and, in the last line, for the manifest itself. */
#include "ckpt/ckpt_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "mop manifest 1";
static const char *const kinds[] = {[MANIFEST_MODEL] = "model", [MANIFEST_CHECKPOINT] = "checkpoint"};

#define DAMAGED "the manifest is damaged, restore the folder from a copy"

/* The last line covers all bytes before it and is itself compared byte for byte. */
enum { TAIL_BYTES = 8 + SUM_HEX - 1 + 3 };
static void tail_of(const char *text, int64_t bytes, char tail[TAIL_BYTES + 1]) {
    unsigned char sum[SUM_BYTES];
    char hex[SUM_HEX];
    sum_of(text, bytes, sum);
    sum_hex(sum, hex);
    (void)snprintf(tail, TAIL_BYTES + 1, "\"sum\": \"%s\"}\n", hex);
}

void manifest_begin(struct manifest_out *m, enum manifest_kind kind) {
    memset(m, 0, sizeof *m);
    text_add(&m->text, "{\"format\": \"%s\",\n\"kind\": \"%s\",\n\"files\": {", format, kinds[kind]);
}

void manifest_add(struct manifest_out *m, const char *name, int64_t bytes, const unsigned char sum[SUM_BYTES], const struct st_out *list,
                  int64_t count, unsigned char (*sums)[SUM_BYTES]) {
    char hex[SUM_HEX];
    sum_hex(sum, hex);
    text_add(&m->text, "%s\n", m->files ? "," : "");
    text_quote(&m->text, name);
    text_add(&m->text, ": {\"bytes\": %" PRId64 ", \"xxh3\": \"%s\"", bytes, hex);
    for (int64_t i = 0; i < count; i++) {
        text_add(&m->text, "%s", i ? ",\n  " : ", \"tensors\": {\n  ");
        text_quote(&m->text, list[i].name);
        text_add(&m->text, ": {\"dtype\": \"%s\", \"shape\": ", dtype_name(list[i].dtype));
        text_shape(&m->text, list[i].shape, list[i].ndim);
        sum_hex(sums[i], hex);
        text_add(&m->text, ", \"xxh3\": \"%s\"}", hex);
    }
    text_add(&m->text, "%s", count ? "}}" : "}");
    m->files++;
}

err_t manifest_write(struct manifest_out *m, const char *dir) {
    char path[OS_PATH_MAX], tail[TAIL_BYTES + 1];
    text_add(&m->text, "\n},\n");
    err_t err = text_check(&m->text);
    if (err == OK) err = os_join(path, dir, MANIFEST_NAME);
    if (err == OK) {
        tail_of(m->text.s, m->text.bytes, tail);
        text_add(&m->text, "%s", tail);
        err = text_check(&m->text);
    }
    if (err == OK) err = os_write_all(path, m->text.s, m->text.bytes);
    manifest_drop(m);
    return err;
}

void manifest_drop(struct manifest_out *m) { text_free(&m->text); }

static bool is_sum(const json_t *value) {
    const char *s = json_string_value(value);
    return s && strlen(s) == SUM_HEX - 1 && strspn(s, "0123456789abcdef") == SUM_HEX - 1;
}

/* A name inside the folder: no way out of it. */
static bool is_inside(const char *name) {
    if (!*name || *name == '/' || strlen(name) > 1024) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) return false;
    }
    return true;
}

static err_t parse_tensors(const char *path, const char *file, const json_t *tensors) {
    const char *name;
    json_t *entry;
    if (!json_is_object(tensors)) return FAIL(ERR_FORMAT, "%s: file %s: \"tensors\" is not an object; " DAMAGED, path, file);
    json_object_foreach((json_t *)tensors, name, entry) {
        const json_t *shape = json_object_get(entry, "shape");
        bool good = json_is_string(json_object_get(entry, "dtype")) && json_is_array(shape) && is_sum(json_object_get(entry, "xxh3"));
        for (size_t i = 0; i < json_array_size(shape); i++) good = good && json_is_integer(json_array_get(shape, i));
        if (!good) return FAIL(ERR_FORMAT, "%s: file %s: tensor %.200s lacks its dtype, shape or checksum; " DAMAGED, path, file, name);
    }
    return OK;
}

static err_t parse_root(const char *path, struct manifest *m) {
    const char *has = json_string_value(json_object_get(m->root, "format"));
    const char *kind = json_string_value(json_object_get(m->root, "kind"));
    m->files = json_object_get(m->root, "files");
    if (!has || strcmp(has, format) != 0)
        return FAIL(ERR_FORMAT, "%s: its format is \"%.40s\", not \"%s\"; it was written by another program or version", path, has ? has : "",
                    format);
    if (!kind || (strcmp(kind, kinds[MANIFEST_MODEL]) != 0 && strcmp(kind, kinds[MANIFEST_CHECKPOINT]) != 0) || !json_is_object(m->files))
        return FAIL(ERR_FORMAT, "%s: it lacks its kind or its files; " DAMAGED, path);
    m->kind = strcmp(kind, kinds[MANIFEST_MODEL]) == 0 ? MANIFEST_MODEL : MANIFEST_CHECKPOINT;
    const char *name;
    json_t *entry;
    json_object_foreach(m->files, name, entry) {
        const json_t *bytes = json_object_get(entry, "bytes"), *tensors = json_object_get(entry, "tensors");
        if (!is_inside(name)) return FAIL(ERR_FORMAT, "%s: the file name %.80s leads out of the folder; " DAMAGED, path, name);
        if (!json_is_integer(bytes) || json_integer_value(bytes) < 0 || !is_sum(json_object_get(entry, "xxh3")))
            return FAIL(ERR_FORMAT, "%s: file %s lacks its size or checksum; " DAMAGED, path, name);
        if (tensors) TRY(parse_tensors(path, name, tensors));
    }
    return OK;
}

err_t manifest_parse(const char *path, const char *text, int64_t bytes, struct manifest *out) {
    char tail[TAIL_BYTES + 1] = "";
    int64_t body = bytes - TAIL_BYTES;
    if (body >= 0) tail_of(text, body, tail);
    if (body < 0 || memcmp(text + body, tail, TAIL_BYTES) != 0)
        return FAIL(ERR_FORMAT, "%s: the checksum in its last line is not that of its %" PRId64 " bytes; " DAMAGED, path, bytes);
    struct manifest m = {0};
    json_error_t why;
    m.root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    if (!m.root && json_error_code(&why) == json_error_out_of_memory)
        return FAIL(ERR_NOMEM, "%s: no memory for its %" PRId64 " bytes; free some", path, bytes);
    if (!m.root) return FAIL(ERR_FORMAT, "%s:%d: not JSON: %.120s; " DAMAGED, path, why.line, why.text);
    err_t err = parse_root(path, &m);
    if (err != OK) {
        manifest_close(&m);
        return err;
    }
    *out = m;
    return OK;
}

err_t manifest_read(const char *dir, struct manifest *out) {
    char path[OS_PATH_MAX];
    TRY(os_join(path, dir, MANIFEST_NAME));
    if (!os_exists(path)) return FAIL(ERR_FORMAT, "%s is missing: nothing vouches for the files beside it; restore the folder from a copy", path);
    char *text;
    int64_t bytes;
    TRY(os_read_all(path, CKPT_JSON_MAX, &text, &bytes));
    err_t err = manifest_parse(path, text, bytes, out);
    free(text);
    return err;
}

void manifest_close(struct manifest *m) {
    json_decref(m->root);
    m->root = NULL;
}
