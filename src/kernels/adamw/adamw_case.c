#include "kernels/case_int.h"

/* The second moment is at least beta2/4, so the update's quotient is at most 2 (and c1 = c2 = 1). */
void case_adamw(struct ctx *c) {
    const int64_t n = c->s->weights;
    float *p = numbers(c, DT_F32, n), *m = numbers(c, DT_F32, n), *v = numbers(c, DT_F32, n), *g = numbers(c, DT_F32, n);
    uint16_t *w = c->act == DT_BF16 ? room_for(c, 2 * n) : NULL;
    for (int64_t i = 0; !c->full && i < n; i++) v[i] = 0.25f + fabsf(v[i]);
    LAUNCH(c, adamw, adamw_args, .count = n, .p = p, .w = w, .m = m, .v = v, .g = g, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
           .decay = 0.1, .c1 = 1, .c2 = 1, .scale = 0.5f);
    wrote(c, "p", DT_F32, p, n, roundings(16, 1 + 0.01 * 3));
    wrote(c, "m", DT_F32, m, n, roundings(4, 1));
    wrote(c, "v", DT_F32, v, n, roundings(5, 1.25));
    wrote(c, "g", DT_F32, g, n, -1);
    if (w) wrote(c, "w", DT_BF16, w, n, roundings(16, 1 + 0.01 * 3));
}

void case_sumsq(struct ctx *c) {
    const int64_t n = c->s->weights;
    const float *x = numbers(c, DT_F32, n);
    double *partial = room_for(c, 8 * (n / SUMSQ_BLOCK + 1)), *sum = room_for(c, 8);
    LAUNCH(c, sumsq, sumsq_args, .count = n, .x = x, .partial = partial, .out = sum);
    wrote(c, "sum", DT_F64, sum, 1, 2 * ((double)n + 1) * 0x1p-53 * (double)n);
}
