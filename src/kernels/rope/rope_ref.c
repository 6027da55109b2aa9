#include "kernels/kernels_int.h"

void rope_ref(struct pool *pool, const struct rope_args *a) {
    (void)pool;
    int64_t half = a->dim / 2;
    for (int64_t r = 0; r < a->rows; r++) {
        const float *cos = a->cos + a->positions[r] * half, *sin = a->sin + a->positions[r] * half;
        for (int64_t h = 0; h < a->heads; h++) {
            void *x = act_at_mut(a->act, a->x, r * a->x_stride + h * a->dim);
            for (int64_t j = 0; j < half; j++) {
                float x1 = act_load(a->act, x, j), x2 = act_load(a->act, x, j + half), s = a->backward ? -sin[j] : sin[j];
                act_store(a->act, x, j, x1 * cos[j] - x2 * s);
                act_store(a->act, x, j + half, x2 * cos[j] + x1 * s);
            }
        }
    }
}
