/* Strips: a tile of tokens by a run of columns. */
#include "base/num.h"
#include "vocab/vocab_int.h"

#include <math.h>
#include <string.h>

err_t vocab_head(const struct vocab *v, const struct param **out) {
    return store_find(v->store, v->shape.spec->tied ? PARAM_EMBED : PARAM_HEAD, -1, -1, out);
}

void vocab_fresh(float *m, float *z, float *yt, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        m[i] = -INFINITY;
        z[i] = yt[i] = 0;
    }
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
        if (!add) memset(t->dx, 0, sizeof *t->dx * (size_t)(t->n * width));
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

double vocab_token_loss(const struct vocab_tokens *t, int64_t i) { return (double)t->m[i] + log((double)t->z[i]) - (double)t->yt[i]; }

void vocab_sum_losses(const struct vocab_tokens *t, double *loss_sum, int64_t *count) {
    for (int64_t i = 0; i < t->n; i++) {
        if (t->targets[i] < 0) continue;
        *loss_sum += vocab_token_loss(t, i);
        ++*count;
    }
}

void vocab_round(const struct vocab *v, const float *dx, void *dh) {
    dtype_convert(DT_F32, dx, v->shape.act, dh, v->shape.tokens * v->shape.spec->hidden);
}
