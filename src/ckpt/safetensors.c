/* Reading safetensors (docs/formats/safetensors.md): a header is held against its file when it is opened, all of it, so that
 * a tensor that st_at gives can be read without another check. */
#include "ckpt/ckpt_int.h"

#include "base/json.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN "the file is damaged or not a safetensors file, copy it again"

/* What a tensor's entry in a header is held against. */
struct place {
    const char *path;
    int file;
    int64_t data, bytes; /* where tensors begin in the file; how long they are together */
};

static err_t bad_name(const char *path, const char *name) {
    size_t n = strlen(name);
    if (n == 0) return FAIL(ERR_FORMAT, "%s: a tensor has an empty name; " AGAIN, path);
    if (n >= CKPT_NAME_MAX)
        return FAIL(ERR_FORMAT, "%s: the tensor name %.60s... has %zu bytes, more than the %d allowed; " AGAIN, path, name, n, CKPT_NAME_MAX - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return FAIL(ERR_FORMAT, "%s: a tensor's name has the control character %d at byte %zu; " AGAIN, path, name[i], i);
    return OK;
}

static err_t parse_shape(const struct place *at, const json_t *shape, struct tensor_info *t) {
    if (!json_is_array(shape)) return FAIL(ERR_FORMAT, "%s: tensor %s: \"shape\" is not a list; " AGAIN, at->path, t->name);
    size_t ndim = json_array_size(shape);
    if (ndim > sizeof t->shape / sizeof t->shape[0])
        return FAIL(ERR_FORMAT, "%s: tensor %s has %zu dimensions, more than 8; " AGAIN, at->path, t->name, ndim);
    t->ndim = (int)ndim;
    t->count = 1;
    for (size_t i = 0; i < ndim; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return FAIL(ERR_FORMAT, "%s: tensor %s: dimension %zu of its shape is not a whole number of at least 0; " AGAIN, at->path, t->name, i);
        t->shape[i] = json_integer_value(d);
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return FAIL(ERR_FORMAT, "%s: tensor %s: the product of its shape is beyond 2^63; " AGAIN, at->path, t->name);
    }
    if (__builtin_mul_overflow(t->count, (int64_t)dtype_bytes(t->dtype), &t->bytes))
        return FAIL(ERR_FORMAT, "%s: tensor %s: its shape takes more than 2^63 bytes; " AGAIN, at->path, t->name);
    return OK;
}

static err_t parse_offsets(const struct place *at, const json_t *offsets, struct tensor_info *t) {
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return FAIL(ERR_FORMAT, "%s: tensor %s: \"data_offsets\" is not a list of two whole numbers; " AGAIN, at->path, t->name);
    int64_t a = json_integer_value(from), b = json_integer_value(to);
    if (a < 0 || a > b)
        return FAIL(ERR_FORMAT, "%s: tensor %s: its data_offsets %" PRId64 ", %" PRId64 " are not in order; " AGAIN, at->path, t->name, a, b);
    if (b > at->bytes)
        return FAIL(ERR_FORMAT,
                    "%s: tensor %s ends at byte %" PRId64 " of the data, which has %" PRId64 " bytes: it is truncated or damaged; copy it again",
                    at->path, t->name, b, at->bytes);
    if (b - a != t->bytes)
        return FAIL(ERR_FORMAT, "%s: tensor %s: its data_offsets span %" PRId64 " bytes, its shape and dtype %s take %" PRId64 "; " AGAIN, at->path,
                    t->name, b - a, dtype_name(t->dtype), t->bytes);
    t->file = at->file;
    t->offset = at->data + a;
    return OK;
}

static err_t parse_tensor(const struct place *at, const char *name, const json_t *entry, struct tensor_info *t) {
    TRY(bad_name(at->path, name));
    memset(t, 0, sizeof *t);
    memcpy(t->name, name, strlen(name) + 1);
    if (!json_is_object(entry)) return FAIL(ERR_FORMAT, "%s: tensor %s: its entry in the header is not an object; " AGAIN, at->path, name);
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    for (int i = 0; i < 3; i++)
        if (!json_object_get(entry, keys[i])) return FAIL(ERR_FORMAT, "%s: tensor %s: its entry has no \"%s\"; " AGAIN, at->path, name, keys[i]);
    if (json_object_size(entry) != 3)
        return FAIL(ERR_FORMAT, "%s: tensor %s: its entry has keys besides dtype, shape and data_offsets; " AGAIN, at->path, name);
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype) return FAIL(ERR_FORMAT, "%s: tensor %s: \"dtype\" is not a string; " AGAIN, at->path, name);
    err_t err = dtype_parse(dtype, &t->dtype);
    if (err != OK) return err_prefix(err, "%s: tensor %s", at->path, name);
    TRY(parse_shape(at, json_object_get(entry, "shape"), t));
    return parse_offsets(at, json_object_get(entry, "data_offsets"), t);
}

static err_t parse_metadata(const char *path, const json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return FAIL(ERR_FORMAT, "%s: __metadata__ is not an object; " AGAIN, path);
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value) && !json_mark(value))
            return FAIL(ERR_FORMAT, "%s: __metadata__: the value of %.60s is not a string; " AGAIN, path, key);
    }
    return OK;
}

static int by_offset(const void *a, const void *b) {
    const struct tensor_info *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct tensor_info *)a)->name, ((const struct tensor_info *)b)->name); }

/* Every byte of the data belongs to one tensor. */
static err_t check_cover(const struct st_file *f, struct tensor_info *list, int64_t count) {
    if (count) qsort(list, (size_t)count, sizeof *list, by_offset);
    int64_t at = f->data;
    for (int64_t i = 0; i < count; i++) {
        const struct tensor_info *t = &list[i];
        if (t->offset < at)
            return FAIL(ERR_FORMAT, "%s: tensor %s overlaps tensor %s at byte %" PRId64 "; " AGAIN, f->path, t->name, list[i - 1].name, t->offset);
        if (t->offset > at)
            return FAIL(ERR_FORMAT, "%s: no tensor covers the %" PRId64 " bytes before tensor %s; " AGAIN, f->path, t->offset - at, t->name);
        at += t->bytes;
    }
    if (at != f->bytes) return FAIL(ERR_FORMAT, "%s: no tensor covers its last %" PRId64 " bytes; " AGAIN, f->path, f->bytes - at);
    return OK;
}

static err_t make_room(struct st_reader *r, int64_t more) {
    if (r->list && r->count + more <= r->room) return OK;
    int64_t room = i64_max(i64_max(r->count + more, r->room + r->room / 2), 1); /* a header without tensors has a list too */
    struct tensor_info *list = realloc(r->list, (size_t)room * sizeof *list);
    if (!list) return FAIL(ERR_NOMEM, "no memory for the names of %" PRId64 " tensors; free some memory", room);
    r->list = list;
    r->room = room;
    return OK;
}

static err_t parse_header(struct st_reader *r, struct st_file *f, const char *header, int64_t bytes) {
    if (bytes == 0 || header[0] != '{') return FAIL(ERR_FORMAT, "%s: its header does not begin with '{'; " AGAIN, f->path);
    json_error_t why;
    json_t *root = json_read(header, bytes, 0, &why);
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        return FAIL(ERR_NOMEM, "%s: no memory for its header of %" PRId64 " bytes; free some memory", f->path, bytes);
    if (!root) return FAIL(ERR_FORMAT, "%s: its header is not JSON at byte %d: %.120s; " AGAIN, f->path, why.position, why.text);
    struct place at = {f->path, r->file_count - 1, f->data, f->bytes - f->data};
    int64_t first = r->count;
    err_t err = make_room(r, (int64_t)json_object_size(root));
    const char *name;
    json_t *entry;
    if (err == OK) {
        json_object_foreach(root, name, entry) {
            if (strcmp(name, "__metadata__") == 0) {
                TRY_OR(parse_metadata(f->path, entry), done);
                if (r->file_count == 1) r->metadata = json_incref(entry);
                continue;
            }
            TRY_OR(parse_tensor(&at, name, entry, &r->list[r->count]), done);
            r->count++;
        }
        err = check_cover(f, r->list + first, r->count - first);
    }
done:
    json_decref(root);
    return err;
}

static err_t add_file(struct st_reader *r, const char *path) {
    struct st_file *f = &r->files[r->file_count];
    f->path = strdup(path);
    if (!f->path) return FAIL(ERR_NOMEM, "no memory for the name of %s", path);
    err_t err = os_open_read(path, &f->fd, &f->bytes);
    if (err != OK) {
        free(f->path);
        return err;
    }
    r->file_count++; /* from here on st_close closes it */
    unsigned char length[8];
    if (f->bytes < (int64_t)sizeof length) return FAIL(ERR_FORMAT, "%s has only %" PRId64 " bytes; " AGAIN, path, f->bytes);
    TRY(os_read_at(f->fd, path, length, sizeof length, 0));
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | length[i];
    if (n > (uint64_t)ST_HEADER_MAX)
        return FAIL(ERR_FORMAT, "%s: its header claims %" PRIu64 " bytes, more than the %" PRId64 " allowed; " AGAIN, path, n, ST_HEADER_MAX);
    if ((int64_t)n > f->bytes - 8)
        return FAIL(ERR_FORMAT, "%s: its header claims %" PRIu64 " bytes, the file has %" PRId64 " in all: it is truncated or damaged; copy it again",
                    path, n, f->bytes);
    f->data = 8 + (int64_t)n;
    char *header = malloc(n + 1);
    if (!header) return FAIL(ERR_NOMEM, "%s: no memory for its header of %" PRIu64 " bytes; free some memory", path, n);
    err = os_read_at(f->fd, path, header, (int64_t)n, 8);
    if (err == OK) err = parse_header(r, f, header, (int64_t)n);
    free(header);
    return err;
}

err_t st_open_files(const char *const *paths, int count, struct st_reader **out) {
    struct st_reader *r = calloc(1, sizeof *r);
    if (r) r->files = calloc((size_t)count + 1, sizeof *r->files);
    if (!r || !r->files) {
        free(r);
        return FAIL(ERR_NOMEM, "no memory to open %d files of tensors", count);
    }
    err_t err = OK;
    for (int i = 0; i < count; i++) TRY_OR(add_file(r, paths[i]), failed);
    if (r->count) qsort(r->list, (size_t)r->count, sizeof *r->list, by_name);
    for (int64_t i = 1; i < r->count; i++) {
        const struct tensor_info *a = &r->list[i - 1], *b = &r->list[i];
        if (strcmp(a->name, b->name) != 0) continue;
        err = FAIL(ERR_FORMAT, "tensor %s is there twice: in %s and in %s; remove one of them", a->name, st_path(r, a), st_path(r, b));
        goto failed;
    }
    *out = r;
    return OK;
failed:
    st_close(r);
    return err;
}

err_t st_open_file(const char *path, struct st_reader **out) { return st_open_files(&path, 1, out); }

void st_close(struct st_reader *r) {
    if (!r) return;
    for (int i = 0; i < r->file_count; i++) {
        os_close(r->files[i].fd);
        free(r->files[i].path);
    }
    free(r->files);
    free(r->list);
    json_decref(r->metadata);
    free(r);
}

int64_t st_count(const struct st_reader *r) { return r->count; }
const struct tensor_info *st_at(const struct st_reader *r, int64_t i) { return &r->list[i]; }
const char *st_path(const struct st_reader *r, const struct tensor_info *t) { return r->files[t->file].path; }
const char *st_metadata(const struct st_reader *r, const char *key) { return json_string_value(json_object_get(r->metadata, key)); }

const struct tensor_info *st_find(const struct st_reader *r, const char *name) {
    int64_t lo = 0, hi = r->count;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        int c = strcmp(r->list[mid].name, name);
        if (c == 0) return &r->list[mid];
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

err_t st_read(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, void *out) {
    ENSURE(from >= 0 && n >= 0 && from <= t->count - n);
    int64_t each = dtype_bytes(t->dtype);
    return os_read_at(r->files[t->file].fd, st_path(r, t), out, n * each, t->offset + from * each);
}

/* Both convert through a little room on the stack: whoever reads has `out` and nothing else. */
static err_t read_half(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, float *out) {
    enum { STEP = 1 << 15 };
    uint16_t raw[STEP];
    for (int64_t i = 0; i < n; i += STEP) {
        int64_t m = i64_min(STEP, n - i);
        TRY(st_read(r, t, from + i, m, raw));
        dtype_convert(t->dtype, raw, DT_F32, out + i, m);
    }
    return OK;
}

static err_t read_double(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, float *out) {
    enum { STEP = 1 << 12 };
    double raw[STEP] = {0};
    for (int64_t i = 0; i < n; i += STEP) {
        int64_t m = i64_min(STEP, n - i);
        TRY(st_read(r, t, from + i, m, raw));
        for (int64_t j = 0; j < m; j++) out[i + j] = (float)raw[j];
    }
    return OK;
}

err_t st_read_f32(const struct st_reader *r, const struct tensor_info *t, int64_t from, int64_t n, float *out) {
    switch (t->dtype) {
    case DT_F32: return st_read(r, t, from, n, out);
    case DT_BF16:
    case DT_F16: return read_half(r, t, from, n, out);
    case DT_F64: return read_double(r, t, from, n, out);
    default:
        return FAIL(ERR_FORMAT, "%s: tensor %s has dtype %s, which holds no weights; F32, BF16, F16 and F64 do", st_path(r, t), t->name,
                    dtype_name(t->dtype));
    }
}
