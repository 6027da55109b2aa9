/* Strips: a tile of tokens by a run of columns. Owned: the strip, from one call to the next. Borrowed: the run's weights and gradient, the tokens. */
#include "base/num.h"
#include "vocab/vocab_int.h"

err_t vocab_head(const struct vocab *v, const struct param **out) {
    return store_find(v->store, v->shape.spec->tied ? PARAM_EMBED : PARAM_HEAD, -1, -1, out);
}

void vocab_fresh(struct vocab *v, const struct vocab_tokens *t) {
    if (t->n) RUN(v->ex, fold_init, fold_init_args, .rows = t->n, .m = t->m, .z = t->z, .yt = t->yt);
}

static const void *row_at(const struct vocab *v, const void *x, int64_t row) {
    return (const char *)x + row * v->shape.spec->hidden * dtype_bytes(v->shape.act);
}

void vocab_strip(const struct vocab *v, const struct vocab_run *r, const void *x, int64_t n, float *y, int64_t ld) {
    const int64_t width = v->shape.spec->hidden;
    if (n == 0 || r->cols == 0) return;
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_NT, .groups = 1, .rows = n, .n = r->cols, .k = width, .a = x, .lda = width, .b = r->w,
        .ldb = width, .c = y, .ldc = ld, .a_dtype = v->shape.act, .b_dtype = v->shape.act, .c_dtype = DT_F32);
}

static struct fold_args tile_fold(const struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t, int64_t first, int64_t n) {
    return (struct fold_args){.rows = n,
                              .cols = r->cols,
                              .ld = v->cols,
                              .y = v->strip,
                              .col0 = r->col0,
                              .targets = t->targets + first,
                              .m = t->m + first,
                              .z = t->z + first,
                              .yt = t->yt + first};
}

/* The columns of a run from `first` on that fit a strip. */
static struct vocab_run some_columns(const struct vocab *v, const struct vocab_run *r, int64_t first) {
    const int64_t at = first * v->shape.spec->hidden;
    return (struct vocab_run){.w = (const char *)r->w + at * dtype_bytes(v->shape.act),
                              .dw_acc = r->dw_acc ? r->dw_acc + at : NULL,
                              .col0 = r->col0 + first,
                              .cols = i64_min(v->cols, r->cols - first)};
}

/* Columns outside: their weights, and gradients, stay in a near cache while the tokens go by. */
void vocab_fold(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t) {
    for (int64_t c = 0; c < r->cols; c += v->cols) {
        const struct vocab_run part = some_columns(v, r, c);
        for (int64_t i = 0; i < t->n; i += v->tile_rows) {
            const int64_t n = i64_min(v->tile_rows, t->n - i);
            vocab_strip(v, &part, row_at(v, t->x, i), n, v->strip, v->cols);
            const struct fold_args f = tile_fold(v, &part, t, i, n);
            RUN_ARGS(v->ex, fold_forward, fold_args, &f);
        }
    }
}

void vocab_tile_gradients(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t, int64_t first, int64_t n, float scale, void *dx,
                          enum dtype dx_type, bool add) {
    const int64_t width = v->shape.spec->hidden;
    const enum dtype act = v->shape.act;
    const struct fold_args f = tile_fold(v, r, t, first, n);
    RUN(v->ex, fold_backward, fold_backward_args, .fwd = f, .scale = scale, .act = act, .dy = v->dstrip, .dy_ld = v->cols);
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = 1, .rows = n, .m = r->cols, .n = width, .a = v->dstrip, .lda = v->cols,
        .b = row_at(v, t->x, first), .ldb = width, .c = r->dw_acc, .ldc = width, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32,
        .accumulate = true);
    RUN(v->ex, matmul, matmul_args, .kind = MATMUL_NN, .groups = 1, .rows = n, .n = width, .k = r->cols, .a = v->dstrip, .lda = v->cols, .b = r->w,
        .ldb = width, .c = dx, .ldc = width, .a_dtype = act, .b_dtype = act, .c_dtype = dx_type, .accumulate = add);
}

void vocab_gradients(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t, float scale, bool add) {
    const int64_t width = v->shape.spec->hidden;
    if (r->cols == 0) { /* no gradient from columns that are not there */
        if (!add) STREAM_FILL(v->ex->s, t->dx, 0, 4 * t->n * width);
        return;
    }
    for (int64_t c = 0; c < r->cols; c += v->cols) {
        const struct vocab_run part = some_columns(v, r, c);
        for (int64_t i = 0; i < t->n; i += v->tile_rows) {
            const int64_t n = i64_min(v->tile_rows, t->n - i);
            vocab_strip(v, &part, row_at(v, t->x, i), n, v->strip, v->cols);
            vocab_tile_gradients(v, &part, t, i, n, scale, t->dx + i * width, DT_F32, add || c > 0);
        }
    }
}

void vocab_sum_losses(struct vocab *v, const struct vocab_tokens *t) {
    if (t->n)
        RUN(v->ex, loss_sum, loss_sum_args, .rows = t->n, .m = t->m, .z = t->z, .yt = t->yt, .targets = t->targets, .sum_acc = &v->loss->sum,
            .count_acc = &v->loss->count);
}

void vocab_round(struct vocab *v, const float *dx, void *dh, int64_t rows) {
    const int64_t n = rows * v->shape.spec->hidden;
    if (n)
        RUN(v->ex, convert, convert_args, .rows = 1, .width = n, .from_type = DT_F32, .from = dx, .from_stride = n, .to_type = v->shape.act, .to = dh,
            .to_stride = n);
}
