/* Some thousand numbers a micro-batch: every set has these. */
#include "kernels/kernels_int.h"

void balance_ref(struct pool *pool, const struct balance_args *a) {
    (void)pool;
    const int64_t e = a->experts;
    const double over = *a->tokens ? 1.0 / ((double)*a->tokens * a->layers) : 0;
    double aux = 0;
    for (int64_t i = 0; i < a->layers * e; i++) a->step_acc[i] += a->count[i];
    for (int64_t x = 0; x < e; x++) {
        int64_t rows = 0;
        for (int l = 0; l < a->layers; l++) rows += a->count[l * e + x];
        const double f = (double)rows * over, r = a->prob_sum[x] * over;
        double term = (double)e * f;
        term = term * r;
        aux = aux + term;
        a->aux_grad[x] = (float)(a->scale * (double)e * over * f);
    }
    *a->aux_acc += aux / a->parts;
}

void balance_bias_ref(struct pool *pool, const struct balance_bias_args *a) {
    (void)pool;
    const int64_t e = a->experts;
    for (int l = 0; l < a->layers; l++) {
        const int64_t *count = a->count + l * e;
        int64_t sum = 0;
        for (int64_t x = 0; x < e; x++) sum += count[x];
        for (int64_t x = 0; x < e; x++) { /* mean - count without division */
            const int64_t gap = sum - count[x] * e;
            a->bias[l * e + x] += (float)(gap > 0 ? a->rate : gap < 0 ? -a->rate : 0.0);
        }
    }
}
