/* SwiGLU: fast against reference, backward against central differences, and the exponential that serves all of them. */
#include "kernel_test.h"

struct shape {
    int64_t rows, width;
    enum dtype t;
    bool alias, keep_h, clamped;
};
static const float LIMIT = 7, ALPHA = 1.702f;

/* h = up * gate * sigmoid(alpha * gate) of numbers that have been cut and moved; cut[]: gate and up get no gradient. */
struct parts {
    double gate, up, alpha;
    bool cut[2];
};
static struct parts parts_of(double gate, double up, bool clamped) {
    struct parts p = {gate, up, 1, {false, false}};
    if (!clamped) return p;
    p.cut[0] = gate > (double)LIMIT;
    p.cut[1] = fabs(up) > (double)LIMIT;
    p.gate = fmin(gate, (double)LIMIT);
    p.up = fmax(-(double)LIMIT, fmin(up, (double)LIMIT)) + 1;
    p.alpha = (double)ALPHA;
    return p;
}

/* sigmoid is off by 2 ulp (4 units) of the exponential and 2 roundings, on either side, and products add a rounding each:
 * under 16 units. The backward's slope s + gs*(1 - s) is a sum: its parts may cancel, so they are bounded apart. */
static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    void *x = io_normal(io, s->t, s->rows * 2 * s->width, 6), *h = io_normal(io, s->t, s->rows * s->width, 1);
    io->k->swiglu_forward(
        io->pool, &(struct swiglu_args){
                      .act = s->t, .rows = s->rows, .width = s->width, .limit = s->clamped ? LIMIT : 0, .alpha = ALPHA, .gate_up = x, .h = h});
    double *bound = io_out(io, "h", s->t, h, s->rows * s->width);
    for (int64_t i = 0; i < s->rows * s->width; i++) bound[i] = 16 * U32 * fabs(get(s->t, h, i));
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t n = s->rows * s->width;
    void *x = io_normal(io, s->t, 2 * n, 6), *was = io_copy(io, x, 2 * n * dtype_bytes(s->t)), *dh = io_normal(io, s->t, n, 1);
    void *h = s->keep_h ? io_normal(io, s->t, n, 1) : NULL, *dx = s->alias ? x : io_normal(io, s->t, 2 * n, 1);
    io->k->swiglu_backward(io->pool, &(struct swiglu_args){.act = s->t,
                                                           .rows = s->rows,
                                                           .width = s->width,
                                                           .limit = s->clamped ? LIMIT : 0,
                                                           .alpha = ALPHA,
                                                           .gate_up = x,
                                                           .h = h,
                                                           .dh = dh,
                                                           .dgate_up = dx});
    double *bx = io_out(io, "dgate_up", s->t, dx, 2 * n), *bh = h ? io_out(io, "h", s->t, h, n) : NULL;
    for (int64_t r = 0; io->bounds && r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) {
            int64_t gate = 2 * r * s->width + c, up = gate + s->width, i = r * s->width + c;
            const struct parts p = parts_of(get(s->t, was, gate), get(s->t, was, up), s->clamped);
            double g = p.gate, u = p.up, d = get(s->t, dh, i), sigmoid = 1 / (1 + exp(-p.alpha * g));
            /* 1 - s is off by s's absolute error, 8 units of s: beside s near 1 that is all there is. */
            bx[gate] = p.cut[0] ? 0 : 24 * U32 * fabs(d * u) * sigmoid * (1 + p.alpha * (fabs(g) * (1 - sigmoid) + fabs(g) * sigmoid));
            bx[up] = p.cut[1] ? 0 : 16 * U32 * fabs(d * g * sigmoid);
            if (bh) bh[i] = 16 * U32 * fabs(g * sigmoid * u);
        }
}

enum { N = 12 };

struct problem {
    double r[N];
    bool clamped;
};

static double loss(const double *x, const void *arg) {
    const struct problem *p = arg;
    double sum = 0;
    for (int i = 0; i < N; i++) {
        const struct parts q = parts_of(x[i], x[N + i], p->clamped);
        sum += p->r[i] * q.gate / (1 + exp(-q.alpha * q.gate)) * q.up;
    }
    return sum;
}

static void differences(const struct kernels *k, bool clamped) {
    struct io io = {.seed = 21};
    float *x = io_normal(&io, DT_F32, 2 * N, clamped ? 6 : 2), *dh = io_normal(&io, DT_F32, N, 1), h[N], g[2 * N];
    struct problem p = {.clamped = clamped};
    double v[2 * N], bound[2 * N];
    for (int i = 0; i < N; i++) p.r[i] = dh[i];
    for (int i = 0; i < 2 * N; i++) {
        v[i] = x[i];
        bound[i] = 24 * U32 * 100; /* terms are under 100 */
    }
    struct swiglu_args a = {
        .act = DT_F32, .rows = 1, .width = N, .limit = clamped ? LIMIT : 0, .alpha = ALPHA, .gate_up = x, .h = h, .dh = dh, .dgate_up = g};
    k->swiglu_forward(NULL, &a);
    double sum = 0;
    for (int i = 0; i < N; i++) sum += p.r[i] * (double)h[i];
    CASE(fabs(sum - loss(v, &p)) <= N * bound[0], "%s: the forward is the function%s", k->isa, clamped ? ", clamped" : "");
    k->swiglu_backward(NULL, &a);
    check_gradient(k->isa, loss, &p, v, 2 * N, g, bound);
    io_end(&io);
}

/* fold_backward with m 0, z 1, scale 1 and a target elsewhere is the exponential itself. Every 257th float of those whose
 * exponential is normal, against fp64: within 2 ulp; and the ends. */
static void exponential(const struct kernels *k) {
    enum { CHUNK = 4096 };
    static float y[CHUNK], e[CHUNK];
    float zero = 0, one = 1;
    int32_t elsewhere = CHUNK;
    struct fold_backward_args a = {.fwd = {.rows = 1, .cols = CHUNK, .ld = CHUNK, .y = y, .targets = &elsewhere, .m = &zero, .z = &one},
                                   .scale = 1,
                                   .act = DT_F32,
                                   .dy = e,
                                   .dy_ld = CHUNK};
    double worst = 0;
    uint32_t bits = 0;
    for (int sign = 0; sign < 2; sign++)
        for (bits = 0; bits < 0x42b20000u;) { /* 89 */
            int n = 0;
            for (; n < CHUNK; n++, bits += 257) y[n] = f32_of_bits((bits < 0x42b20000u ? bits : 0) | (uint32_t)sign << 31);
            k->fold_backward(NULL, &a);
            for (int i = 0; i < CHUNK; i++) {
                double want = exp((double)y[i]);
                if (y[i] < -86.5f || want > 3.4028234e38) continue;
                int exponent;
                (void)frexp(want, &exponent);
                worst = fmax(worst, fabs(e[i] - want) / ldexp(1, exponent - 24));
            }
        }
    CASE(worst <= 2, "%s: the exponential is off by %.3f ulp", k->isa, worst);
    for (int i = 0; i < CHUNK; i++) y[i] = 0;
    y[0] = -INFINITY;
    y[1] = INFINITY;
    y[2] = NAN;
    y[3] = -86.6f;
    y[4] = -3e38f;
    y[5] = 89;
    k->fold_backward(NULL, &a);
    CASE(e[0] == 0 && e[3] == 0 && e[4] == 0 && e[6] == 1, "%s: the exponential's lower end and 0", k->isa);
    CASE(e[1] == INFINITY && e[5] == INFINITY && isnan(e[2]), "%s: the exponential's upper end and NaN", k->isa);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 0, 0, 0, 0},   {1, 1, 0, 1, 1, 0},    {3, 17, 0, 0, 1, 0},
                                          {37, 64, 0, 1, 1, 0}, {5, 1031, 0, 1, 0, 0}, {200, 96, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int v = 0; v < 4; v++) {
            struct shape s = shapes[i];
            s.t = v & 1 ? DT_BF16 : DT_F32;
            s.clamped = v & 2;
            hold(s.clamped ? "clamped swiglu forward" : "swiglu forward", forward, &s);
            hold(s.clamped ? "clamped swiglu backward" : "swiglu backward", backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        differences(&sets[s], false);
        differences(&sets[s], true);
    }
    for (int s = 0; s < n; s++) exponential(&sets[s]);
    return test_end();
}
