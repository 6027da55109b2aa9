#include "kernels/kernels_int.h"

/* Of a whole head before anything is stored: with interleaved pairs what goes in does not lie where what comes out does. */
static void head(const struct rope_args *a, const float *cos, const float *sin, void *x) {
    const int64_t half = a->dim / 2;
    const bool from_pairs = a->interleaved && !a->backward, to_pairs = a->interleaved && a->backward;
    float y[ROPE_INTERLEAVED_MAX] = {0};
    for (int64_t j = 0; j < half; j++) {
        const float x1 = act_load(a->act, x, from_pairs ? 2 * j : j), x2 = act_load(a->act, x, from_pairs ? 2 * j + 1 : j + half);
        const float s = a->backward ? -sin[j] : sin[j], y1 = x1 * cos[j] - x2 * s, y2 = x2 * cos[j] + x1 * s;
        if (a->interleaved) {
            y[to_pairs ? 2 * j : j] = y1;
            y[to_pairs ? 2 * j + 1 : j + half] = y2;
        } else {
            act_store(a->act, x, j, y1);
            act_store(a->act, x, j + half, y2);
        }
    }
    for (int64_t i = 0; a->interleaved && i < a->dim; i++) act_store(a->act, x, i, y[i]);
}

void rope_ref(struct pool *pool, const struct rope_args *a) {
    (void)pool;
    const int64_t half = a->dim / 2;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t h = 0; h < a->heads; h++)
            head(a, a->cos + a->positions[r] * half, a->sin + a->positions[r] * half,
                 act_at_mut(a->act, a->x, r * a->x_stride + h * rope_head_stride(a)));
}
