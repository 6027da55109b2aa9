#include "ckpt/ckpt_int.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static err_t count_of(const char *path, const struct st_out *t, int64_t *count) {
    *count = 1;
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] < 0 || __builtin_mul_overflow(*count, t->shape[i], count))
            return FAIL(ERR_BUG, "internal: %s: tensor %s has an impossible shape", path, t->name);
    return OK;
}

/* Wider types first, else in the order given: then every tensor lies at a multiple of its element's size, which
 * readers that map the file need. */
static void lay_out(const struct st_out *list, int64_t count, int64_t *order) {
    int64_t n = 0;
    for (int bytes = 8; bytes >= 1; bytes /= 2)
        for (int64_t i = 0; i < count; i++)
            if (dtype_bytes(list[i].dtype) == bytes) order[n++] = i;
}

static err_t make_header(const char *path, const struct st_out *list, const int64_t *order, int64_t count, const char *const *metadata,
                         struct text *t) {
    text_add(t, "{");
    if (metadata) {
        text_add(t, "\"__metadata__\":{");
        for (const char *const *m = metadata; *m; m += 2) {
            text_add(t, "%s", m == metadata ? "" : ",");
            text_quote(t, m[0]);
            text_add(t, ":");
            text_quote(t, m[1]);
        }
        text_add(t, "}%s", count ? "," : "");
    }
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct st_out *o = &list[order[i]];
        int64_t elements;
        TRY(count_of(path, o, &elements));
        int64_t end = at + elements * dtype_bytes(o->dtype);
        text_add(t, "%s", i ? "," : "");
        text_quote(t, o->name);
        text_add(t, ":{\"dtype\":\"%s\",\"shape\":", dtype_name(o->dtype));
        text_shape(t, o->shape, o->ndim);
        text_add(t, ",\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", at, end);
        at = end;
    }
    text_add(t, "}");
    while (!t->failed && t->bytes % 8) text_add(t, " "); /* the data begins at a multiple of 8 */
    TRY(text_check(t));
    if (t->bytes > ST_HEADER_MAX)
        return FAIL(ERR_FAILED,
                    "%s: the header of %" PRId64 " tensors has %" PRId64 " bytes, more than the %" PRId64 " that readers allow; write more files",
                    path, count, t->bytes, ST_HEADER_MAX);
    return OK;
}

static err_t put(struct os_writer *w, XXH3_state_t *file, const void *data, int64_t bytes) {
    sum_add(file, data, bytes);
    return os_write(w, data, bytes);
}

static err_t put_tensor(struct os_writer *w, XXH3_state_t *file, const struct st_out *t, int64_t i, st_source source, void *ctx, void *buffer,
                        unsigned char (*sums)[SUM_BYTES]) {
    XXH3_state_t own;
    sum_init(&own);
    int64_t elements, step = CKPT_BUFFER / dtype_bytes(t->dtype);
    TRY(count_of(w->path, t, &elements));
    for (int64_t from = 0; from < elements; from += step) {
        int64_t n = i64_min(step, elements - from), bytes = n * dtype_bytes(t->dtype);
        TRY(source(ctx, i, from, n, buffer));
        if (sums) sum_add(&own, buffer, bytes);
        TRY(put(w, file, buffer, bytes));
    }
    if (sums) sum_end(&own, sums[i]);
    return OK;
}

err_t st_write_sized(const char *path, const struct st_out *list, int64_t count, const char *const *metadata, st_source source, void *ctx,
                     unsigned char (*sums)[SUM_BYTES], unsigned char file_sum[SUM_BYTES], int64_t *bytes) {
    err_t err = OK;
    struct text header = {0};
    struct os_writer w = {0};
    int64_t *order = malloc((size_t)(count + 1) * sizeof *order);
    void *buffer = malloc(CKPT_BUFFER);
    if (!order || !buffer) {
        err = FAIL(ERR_NOMEM, "no memory for the %d MiB through which %s is written; free some memory", CKPT_BUFFER >> 20, path);
        goto done;
    }
    lay_out(list, count, order);
    TRY_OR(make_header(path, list, order, count, metadata, &header), done);
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.bytes >> 8 * i);
    XXH3_state_t file;
    sum_init(&file);
    TRY_OR(os_write_open(&w, path), done);
    TRY_OR(put(&w, &file, length, sizeof length), done);
    TRY_OR(put(&w, &file, header.s, header.bytes), done);
    for (int64_t i = 0; i < count; i++) TRY_OR(put_tensor(&w, &file, &list[order[i]], order[i], source, ctx, buffer, sums), done);
    TRY_OR(os_write_commit(&w), done);
    sum_end(&file, file_sum);
    *bytes = w.written;
done:
    os_write_abort(&w); /* nothing after a commit */
    text_free(&header);
    free(order);
    free(buffer);
    return err;
}

err_t st_write_file(const char *path, const struct st_out *list, int64_t count, const char *const *metadata, st_source source, void *ctx,
                    unsigned char (*sums)[16], unsigned char file_sum[16]) {
    int64_t bytes;
    return st_write_sized(path, list, count, metadata, source, ctx, sums, file_sum, &bytes);
}
