#include "kernels/case_int.h"

enum { LAYERS = 3 };

static int64_t *counts(struct ctx *c, int64_t n) {
    const int32_t *few = indices(c, n, 1000);
    int64_t *p = room_for(c, 8 * n);
    for (int64_t i = 0; few && p && i < n; i++) p[i] = few[i] + 1;
    return p;
}

void case_balance(struct ctx *c) {
    const int e = c->s->experts;
    const int64_t n = (int64_t)LAYERS * e, *tokens = counts(c, 1), *count = counts(c, n);
    int64_t *step = counts(c, n);
    double *prob = room_for(c, 8 * (int64_t)e), *aux = room_for(c, 8);
    float *grad = room_for(c, 4 * (int64_t)e);
    for (int x = 0; !c->full && x < e; x++) prob[x] = 1.0 + x;
    LAUNCH(c, balance, balance_args, .layers = LAYERS, .experts = e, .scale = 0.01, .parts = 3, .tokens = tokens, .count = count, .prob_sum = prob,
           .step_acc = step, .aux_grad = grad, .aux_acc = aux);
    wrote(c, "counts of the step", DT_I64, step, n, -1);
    wrote(c, "gradient", DT_F32, grad, e, -1);
    wrote(c, "aux", DT_F64, aux, 1, -1);
}

void case_balance_bias(struct ctx *c) {
    const int64_t n = (int64_t)LAYERS * c->s->experts, *count = counts(c, n);
    float *bias = numbers(c, DT_F32, n);
    LAUNCH(c, balance_bias, balance_bias_args, .layers = LAYERS, .experts = c->s->experts, .rate = 0.125, .count = count, .bias = bias);
    wrote(c, "bias", DT_F32, bias, n, -1);
}
