/* The specification of the fold. The sum over a strip's columns is taken in fp64 here, to be what fp32 sums of any order
 * are compared with. A NaN, or +inf, in the strip makes z NaN, and so the loss. */
#include "kernels/kernels_int.h"

#include <math.h>

void fold_forward_ref(struct pool *pool, const struct fold_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++) {
        const float *y = a->y + r * a->ld;
        int64_t target = (int64_t)a->targets[r] - a->col0;
        if (a->targets[r] >= 0 && target >= 0 && target < a->cols) a->yt[r] = y[target];
        float m = a->m[r];
        bool empty = true; /* -inf only: (-inf) - (-inf) would be NaN */
        for (int64_t c = 0; c < a->cols; c++) {
            if (y[c] > m) m = y[c];
            if (y[c] != -INFINITY) empty = false;
        }
        if (empty) continue;
        double sum = 0;
        for (int64_t c = 0; c < a->cols; c++) sum += expf(y[c] - m);
        a->z[r] = (float)(expf(a->m[r] - m) * a->z[r] + sum);
        a->m[r] = m;
    }
}

void fold_backward_ref(struct pool *pool, const struct fold_backward_args *a) {
    (void)pool;
    const struct fold_args *f = &a->fwd;
    for (int64_t r = 0; r < f->rows; r++) {
        int64_t target = (int64_t)f->targets[r] - f->col0;
        for (int64_t c = 0; c < f->cols; c++) {
            float p = expf(f->y[r * f->ld + c] - f->m[r]) / f->z[r];
            float d = f->targets[r] < 0 ? 0 : (p - (c == target ? 1.0f : 0.0f)) * a->scale;
            act_store(a->act, a->dy, r * a->dy_ld + c, d);
        }
    }
}

void fold_init_ref(struct pool *pool, const struct fold_init_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) {
        a->m[i] = -INFINITY;
        a->z[i] = a->yt[i] = 0;
    }
}

void fold_join_ref(struct pool *pool, const struct fold_join_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) {
        float m = -INFINITY, z = 0, yt = 0;
        for (int s = 0; s < a->parts; s++) m = fmaxf(m, a->from[3 * a->rows * s + i]);
        for (int s = 0; s < a->parts; s++) {
            const float *from = a->from + 3 * a->rows * s + i, z_s = from[a->rows];
            if (z_s > 0 || z_s != z_s) { /* 0: it has no column */
                float term = z_s * expf(from[0] - m);
                z = z + term;
            }
            yt += from[2 * a->rows]; /* 0 but where the target's column is */
        }
        a->m[i] = m;
        a->z[i] = z;
        a->yt[i] = yt;
    }
}

static double token_loss(const float *m, const float *z, const float *yt, int64_t i) { return (double)m[i] + log((double)z[i]) - (double)yt[i]; }

void loss_sum_ref(struct pool *pool, const struct loss_sum_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) {
        if (a->targets[i] < 0) continue;
        *a->sum_acc += token_loss(a->m, a->z, a->yt, i);
        ++*a->count_acc;
    }
}

void token_losses_ref(struct pool *pool, const struct token_losses_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) a->each[i] = a->targets[i] >= 0 ? (float)token_loss(a->m, a->z, a->yt, i) : 0.0f;
}

void loss_tally_ref(struct pool *pool, const struct loss_tally_args *a) {
    (void)pool;
    *a->total_acc += *a->sum;
}
