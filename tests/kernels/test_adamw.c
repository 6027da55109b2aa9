/* AdamW: the reference's bits; the reference against fp64; the sum of squares. */
#include "kernel_test.h"

struct shape {
    int64_t count;
    double scale; /* of the gradient: 1e-22 makes subnormal squares */
    bool bf16_weights;
};

static struct adamw_args arguments(struct io *io, const struct shape *s) {
    struct adamw_args a = {.count = s->count,
                           .p = io_normal(io, DT_F32, s->count + 3, 1),
                           .m = io_normal(io, DT_F32, s->count + 3, s->scale),
                           .v = io_normal(io, DT_F32, s->count + 3, s->scale * s->scale),
                           .g = io_normal(io, DT_F32, s->count + 3, s->scale),
                           .lr = 3e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.95,
                           .eps = 1e-8,
                           .decay = 0.1,
                           .scale = 0.7f};
    a.c1 = 1 - pow(a.beta1, 3);
    a.c2 = 1 - pow(a.beta2, 3);
    for (int64_t i = 0; i < s->count; i++) a.v[i] = fabsf(a.v[i]);
    if (s->bf16_weights) a.w = io_normal(io, DT_BF16, s->count + 3, 1);
    return a;
}

static void update(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct adamw_args a = arguments(io, s);
    io->k->adamw(io->pool, &a);
    (void)io_out(io, "p", DT_F32, a.p, s->count + 3);
    (void)io_out(io, "m", DT_F32, a.m, s->count + 3);
    (void)io_out(io, "v", DT_F32, a.v, s->count + 3);
    (void)io_out(io, "g", DT_F32, a.g, s->count + 3);
    if (a.w) (void)io_out(io, "w", DT_BF16, a.w, s->count + 3);
}

/* Moments are two products and a sum of non-negative or bounded terms; the move is under 16 roundings of its parts. */
static void against_fp64(const struct kernels *k) {
    struct io io = {.seed = 51};
    struct shape s = {.count = 1000, .scale = 1e-3, .bf16_weights = true};
    struct adamw_args a = arguments(&io, &s);
    float *p = io_copy(&io, a.p, 4000), *m = io_copy(&io, a.m, 4000), *v = io_copy(&io, a.v, 4000), *g = io_copy(&io, a.g, 4000);
    k->adamw(NULL, &a);
    bool right = true, rounded = true, zeroed = true;
    for (int i = 0; i < 1000; i++) {
        double grad = (double)g[i] * a.scale, mm = a.beta1 * m[i] + (1 - a.beta1) * grad, vv = a.beta2 * v[i] + (1 - a.beta2) * grad * grad;
        double step = a.lr * (mm / a.c1) / (sqrt(vv / a.c2) + a.eps), want = p[i] * (1 - a.lr * a.decay) - step;
        double m_off = 4 * U32 * (fabs((double)m[i]) + fabs(grad)), moved = a.lr * a.decay * fabs((double)p[i]) + fabs(step);
        right = right && fabs(a.m[i] - mm) <= m_off && fabs(a.v[i] - vv) <= 5 * U32 * vv;
        right = right && fabs(a.p[i] - want) <= U32 * fabs(want) + 16 * U32 * moved + m_off * a.lr / a.c1 / sqrt(vv / a.c2);
        rounded = rounded && a.w[i] == bf16_of_f32(a.p[i]);
        zeroed = zeroed && a.g[i] == 0;
    }
    CASE(right, "%s: AdamW in fp64", k->isa);
    CASE(rounded && zeroed, "%s: bf16 weights follow and gradients are zeroed", k->isa);
    io_end(&io);
}

/* A sum of count squares in fp64; squares of fp32 numbers are exact there. */
static void squares(struct io *io, const void *shape) {
    const struct shape *s = shape;
    float *x = io_normal(io, DT_F32, s->count, 1);
    double *partial = io_new(io, (s->count / SUMSQ_BLOCK + 1) * 8), *sum = io_new(io, 8);
    *sum = -1;
    io->k->sumsq(io->pool, &(struct sumsq_args){.count = s->count, .x = x, .partial = partial, .out = sum});
    io_out(io, "sum", DT_F64, sum, 1)[0] = (double)s->count * 0x1p-53 * *sum;
}

int main(void) {
    static const int64_t counts[] = {0, 1, 7, 33, 16384, 16385, 50021};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int v = 0; v < 4; v++) hold("adamw", update, &(struct shape){counts[i], v == 3 ? 1e-22 : 1e-2, v & 1});
    static const int64_t lengths[] = {0, 1, 31, 65535, 65536, 65537, 200003};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) hold("sumsq", squares, &(struct shape){.count = lengths[i]});
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        against_fp64(&sets[s]);
    }
    return test_end();
}
