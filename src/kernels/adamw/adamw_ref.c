#include "kernels/kernels_int.h"

#include <math.h>

/* Each line is one rounding; fast kernels give these very bits. The decay and the step are added first and leave p in one
 * subtraction, so that two moves of under half an ulp each are not both lost. */
void adamw_ref(struct pool *pool, const struct adamw_args *a) {
    (void)pool;
    float b1 = (float)a->beta1, b1c = (float)(1 - a->beta1), b2 = (float)a->beta2, b2c = (float)(1 - a->beta2);
    float step = (float)(a->lr / a->c1), root = (float)(1 / sqrt(a->c2)), eps = (float)a->eps, decay = (float)(a->lr * a->decay);
    for (int64_t i = 0; i < a->count; i++) {
        float g = a->g[i] * a->scale;
        a->g[i] = 0;
        float gain = b1c * g;
        float m = b1 * a->m[i];
        m = m + gain;
        float square = g * g;
        square = b2c * square;
        float v = b2 * a->v[i];
        v = v + square;
        float den = sqrtf(v) * root;
        den = den + eps;
        float move = step * m;
        move = move / den;
        float shrink = decay * a->p[i];
        move = shrink + move;
        float p = a->p[i] - move;
        a->m[i] = m;
        a->v[i] = v;
        a->p[i] = p;
        if (a->w) a->w[i] = bf16_of_f32(p);
    }
}

void sumsq_ref(struct pool *pool, const struct sumsq_args *a) {
    (void)pool;
    *a->out = 0;
    for (int64_t b = 0; b * SUMSQ_BLOCK < a->count; b++) {
        a->partial[b] = 0;
        for (int64_t i = b * SUMSQ_BLOCK; i < i64_min((b + 1) * SUMSQ_BLOCK, a->count); i++) a->partial[b] += (double)a->x[i] * a->x[i];
        *a->out += a->partial[b];
    }
}
