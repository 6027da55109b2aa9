#include "experts/experts.h"

#include <string.h>

void experts_begin_step(struct experts *m) {
    if (m->layers) memset(m->count_step, 0, sizeof(int64_t) * (size_t)m->layers * (size_t)m->shape.spec->experts);
}

void experts_begin_micro(struct experts *m) {
    if (!m->layers) return;
    const size_t e = (size_t)m->shape.spec->experts;
    memset(m->count, 0, sizeof(int64_t) * (size_t)m->layers * e);
    memset(m->prob_sum, 0, sizeof(double) * e);
    memset(m->aux_grad, 0, sizeof(float) * e);
}

err_t experts_balance(struct experts *m, int64_t tokens, double scale, double *aux) {
    *aux = 0;
    if (!m->layers) return OK;
    const int64_t e = m->shape.spec->experts;
    int64_t all = tokens;
    TRY(m->mesh->dense.ops->all_reduce(&m->mesh->dense, &all, 1, DT_I64));
    TRY(m->mesh->dense.ops->all_reduce(&m->mesh->dense, m->count, m->layers * e, DT_I64));
    TRY(m->mesh->dense.ops->all_reduce(&m->mesh->dense, m->prob_sum, e, DT_F64));
    for (int64_t i = 0; i < m->layers * e; i++) m->count_step[i] += m->count[i];
    if (all == 0) return OK;
    const double over = 1.0 / ((double)all * m->layers);
    for (int64_t x = 0; x < e; x++) {
        int64_t rows = 0;
        for (int l = 0; l < m->layers; l++) rows += m->count[l * e + x];
        const double f = (double)rows * over, r = m->prob_sum[x] * over;
        *aux += (double)e * f * r;
        m->aux_grad[x] = (float)(scale * (double)e * over * f);
    }
    return OK;
}

err_t experts_balance_bias(struct experts *m, double rate) {
    const int64_t e = m->shape.spec->experts;
    for (int l = 0; l < m->layers; l++) { /* count_step is already the sum over ranks */
        const int64_t *count = m->count_step + l * e;
        int64_t sum = 0;
        for (int64_t x = 0; x < e; x++) sum += count[x];
        for (int64_t x = 0; x < e; x++) { /* mean - count without division */
            const int64_t gap = sum - count[x] * e;
            m->bias[l * e + x] += (float)(gap > 0 ? rate : gap < 0 ? -rate : 0.0);
        }
    }
    return OK;
}
