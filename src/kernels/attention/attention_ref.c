/* The specification of attention: one query at a time against its keys, scores formed again where they are needed.
 * Scores and sums are taken in fp64 here, to be what fp32 sums of any order are compared with. */
#include "kernels/kernels_int.h"

#include <math.h>

static double dot(enum dtype act, const void *a, int64_t at_a, const void *b, int64_t at_b, int dim) {
    double sum = 0;
    for (int d = 0; d < dim; d++) sum += (double)act_load(act, a, at_a + d) * act_load(act, b, at_b + d);
    return sum;
}

/* -inf where there is none: its exponential is 0. */
static double sink(const struct attention_args *a, int h) { return a->sinks ? act_load(a->act, a->sinks, h) : -INFINITY; }

static int kv_head_of(const struct attention_args *a, int h) { return (a->q_head0 + h) / a->group - a->kv_head0; }

/* Of query row i, which is token first + i, against key j. */
static double score(const struct attention_args *a, int h, int64_t i, int64_t j) {
    int64_t at_q = i * a->q_stride + (int64_t)h * a->head_dim, at_k = j * a->k_stride + (int64_t)kv_head_of(a, h) * a->head_dim;
    return dot(a->act, a->q, at_q, a->k, at_k, a->head_dim) * a->scale;
}

static void row_forward(const struct attention_args *a, int h, int64_t i) {
    const int dim = attention_value_dim(a);
    const int64_t at_o = i * a->o_stride + (int64_t)h * dim, at_v = (int64_t)kv_head_of(a, h) * dim;
    const int64_t begin = attention_first_key(a, i), last = a->first + i;
    float *lse = &a->lse[h * (a->tokens - a->first) + i];
    if (a->start[i] < 0) { /* padding */
        for (int d = 0; d < dim; d++) act_store(a->act, a->o, at_o + d, 0);
        *lse = 0;
        return;
    }
    double max = sink(a, h), sum;
    for (int64_t j = begin; j <= last; j++) max = fmax(max, score(a, h, i, j));
    sum = exp(sink(a, h) - max);
    for (int64_t j = begin; j <= last; j++) sum += exp(score(a, h, i, j) - max);
    double log_sum = max + log(sum), o[ATTENTION_DIM_MAX] = {0};
    for (int64_t j = begin; j <= last; j++) {
        double p = exp(score(a, h, i, j) - log_sum);
        for (int d = 0; d < dim; d++) o[d] += p * act_load(a->act, a->v, j * a->v_stride + at_v + d);
    }
    for (int d = 0; d < dim; d++) act_store(a->act, a->o, at_o + d, (float)o[d]);
    *lse = (float)log_sum;
}

void attention_forward_ref(struct pool *pool, const struct attention_args *a) {
    (void)pool;
    for (int h = 0; h < a->heads; h++)
        for (int64_t i = 0; i < a->tokens - a->first; i++) row_forward(a, h, i);
}

/* p = exp(s - lse) and ds = p * (dout_i.v_j - delta_i) * scale of one pair. */
static void pair(const struct attention_backward_args *b, int h, int64_t i, int64_t j, double *p, double *ds) {
    const struct attention_args *a = &b->fwd;
    const int dim = attention_value_dim(a);
    const int64_t at_o = i * a->o_stride + (int64_t)h * dim, at_v = j * a->v_stride + (int64_t)kv_head_of(a, h) * dim;
    *p = exp(score(a, h, i, j) - a->lse[h * a->tokens + i]);
    *ds = *p * (dot(a->act, b->dout, at_o, a->v, at_v, dim) - b->delta[h * a->tokens + i]) * a->scale;
}

static void query_gradient(const struct attention_backward_args *b, int h, int64_t i) {
    const struct attention_args *a = &b->fwd;
    double dq[ATTENTION_DIM_MAX] = {0}, p, ds;
    for (int64_t j = attention_first_key(a, i); a->start[i] >= 0 && j <= i; j++) {
        pair(b, h, i, j, &p, &ds);
        int64_t at_k = j * a->k_stride + (int64_t)kv_head_of(a, h) * a->head_dim;
        for (int d = 0; d < a->head_dim; d++) dq[d] += ds * act_load(a->act, a->k, at_k + d);
    }
    for (int d = 0; d < a->head_dim; d++) act_store(a->act, b->dq, i * a->q_stride + (int64_t)h * a->head_dim + d, (float)dq[d]);
}

static void key_gradients(const struct attention_backward_args *b, int kv, int64_t j) {
    const struct attention_args *a = &b->fwd;
    const int dim = attention_value_dim(a);
    double dk[ATTENTION_DIM_MAX] = {0}, dv[ATTENTION_DIM_MAX] = {0}, p, ds;
    for (int h = 0; h < a->heads; h++) {
        for (int64_t i = j; kv_head_of(a, h) == kv && i < a->tokens; i++) {
            if (a->start[i] < 0 || attention_first_key(a, i) > j) continue;
            pair(b, h, i, j, &p, &ds);
            for (int d = 0; d < a->head_dim; d++) dk[d] += ds * act_load(a->act, a->q, i * a->q_stride + (int64_t)h * a->head_dim + d);
            for (int d = 0; d < dim; d++) dv[d] += p * act_load(a->act, b->dout, i * a->o_stride + (int64_t)h * dim + d);
        }
    }
    for (int d = 0; d < a->head_dim; d++) act_store(a->act, b->dk, j * a->k_stride + (int64_t)kv * a->head_dim + d, (float)dk[d]);
    for (int d = 0; d < dim; d++) act_store(a->act, b->dv, j * a->v_stride + (int64_t)kv * dim + d, (float)dv[d]);
}

/* A sink's share of the softmax has no value, so its dp is 0. */
static void sink_gradient(const struct attention_backward_args *b, int h) {
    const struct attention_args *a = &b->fwd;
    double sum = 0;
    for (int64_t i = 0; i < a->tokens; i++)
        if (a->start[i] >= 0) sum -= exp(sink(a, h) - a->lse[h * a->tokens + i]) * b->delta[h * a->tokens + i];
    b->dsinks_acc[h] += (float)sum;
}

void attention_backward_ref(struct pool *pool, const struct attention_backward_args *b) {
    (void)pool;
    const struct attention_args *a = &b->fwd;
    const int dim = attention_value_dim(a);
    for (int h = 0; h < a->heads; h++)
        for (int64_t i = 0; i < a->tokens; i++) {
            const int64_t at_o = i * a->o_stride + (int64_t)h * dim;
            b->delta[h * a->tokens + i] = (float)dot(a->act, b->dout, at_o, a->o, at_o, dim);
        }
    for (int h = 0; h < a->heads; h++)
        for (int64_t i = 0; i < a->tokens; i++) query_gradient(b, h, i);
    for (int kv = 0; kv < a->kv_heads; kv++)
        for (int64_t j = 0; j < a->tokens; j++) key_gradients(b, kv, j);
    for (int h = 0; a->sinks && h < a->heads; h++) sink_gradient(b, h);
}
