#include "kernels/kernels_int.h"

void rows_gather_ref(struct pool *pool, const struct rows_gather_args *a) {
    (void)pool;
    int64_t bytes = a->width * act_bytes(a->act);
    for (int64_t r = 0; r < a->rows; r++) memcpy((char *)a->y + r * bytes, (const char *)a->x + a->token[r] * bytes, (size_t)bytes);
}

void rows_combine_ref(struct pool *pool, const struct rows_combine_args *a) {
    (void)pool;
    const int64_t apart = rows_combine_apart(a);
    for (int64_t t = 0; t < a->tokens; t++)
        for (int64_t c = 0; c < a->width; c++) {
            float sum = 0;
            for (int s = 0; s < a->k; s++) {
                int64_t row = a->pos[t * a->k + s];
                if (row < 0) continue;
                float x = act_load(a->act, a->x, row * a->width + c);
                sum += a->w ? a->w[t * apart * a->k + s] * x : x;
            }
            act_store(a->act, a->y, t * apart * a->width + c, sum);
        }
}

/* The inner product is taken in fp64 here, to be what fp32 sums of any order are compared with. */
void rows_combine_backward_ref(struct pool *pool, const struct rows_combine_backward_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->tokens * a->k; i++) {
        int64_t row = a->pos ? a->pos[i] : i, t = i / a->k;
        a->dw[i] = 0;
        if (row < 0) continue;
        double dot = 0;
        for (int64_t c = 0; c < a->width; c++) {
            float dy = act_load(a->act, a->dy, t * a->width + c);
            dot += (double)dy * act_load(a->act, a->x, row * a->width + c);
            act_store(a->act, a->dx, row * a->width + c, a->w[i] * dy);
        }
        a->dw[i] = (float)dot;
    }
}

void rows_put_ref(struct pool *pool, const struct rows_put_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) {
        const int64_t from = a->from ? a->from[i] : i, to = a->to ? a->to[i] : i;
        if (from >= 0 && to >= 0) memcpy((char *)a->y + to * a->bytes, (const char *)a->x + from * a->bytes, (size_t)a->bytes);
    }
}

void rows_sum_ref(struct pool *pool, const struct rows_sum_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            float sum = 0;
            for (int64_t i = a->first[r]; i < a->first[r + 1]; i++) sum += act_load(a->act, a->x, a->token[i] * a->width + c);
            a->y[r * a->width + c] = sum;
        }
}

void rows_accumulate_ref(struct pool *pool, const struct rows_accumulate_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->rows; i++) {
        const int64_t to = a->to ? a->to[i] : i;
        for (int64_t c = 0; to >= 0 && c < a->width; c++) a->y_acc[to * a->width + c] += a->x[i * a->width + c];
    }
}
