/* RMS norm: fast against reference, backward against central differences. */
#include "kernel_test.h"

struct shape {
    int64_t rows, heads, width, gap;
    enum dtype t;
    int alias;
    enum norm_way way;
    bool gate;
}; /* alias: y is x; dx is dy (1), add is dx (2); dgate is the gate */

/* A number that is rounded to act in between and lies beside a midpoint may go the other way: one bf16 ulp. */
static double flips(const struct shape *s, int roundings) { return s->t == DT_BF16 ? roundings * 2 * U16 : 0; }

/* Roundings inside before the weight, and before the gate. */
static int inside(const struct shape *s) { return (s->way == NORM_WAY_TWICE) + s->gate; }

/* A sum of n squares in fp32, any order, is off by n*u relative at most; rstd by half of that and two roundings more;
 * x*rstd*w three more. A silu: an exponential of 2 ulp or 4 and five roundings. */
static const double SILU = 12 * 0x1p-24;
static double forward_relative(const struct shape *s) { return ((double)s->width / 2 + 6) * U32 + (s->gate ? SILU : 0) + flips(s, inside(s)); }

static double silu(double z) { return z / (1 + exp(-z)); }

static float weight_of(const struct shape *s, const void *w, int64_t c) {
    const float x = (float)get(s->t, w, c);
    return s->way == NORM_WAY_PLUS_ONE ? 1.0f + x : x;
}

static float act(const struct shape *s, float x) { return s->t == DT_BF16 ? bf16_to_f32(bf16_of_f32(x)) : x; }

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->heads * s->width + s->gap, n = s->rows * stride;
    void *x = io_normal(io, s->t, n, 1.5), *w = io_normal(io, s->t, s->width, 1), *y = s->alias ? x : io_normal(io, s->t, n, 1);
    void *was = io_copy(io, x, n * dtype_bytes(s->t)), *gate = s->gate ? io_normal(io, s->t, n, 2) : NULL;
    float *rstd = io_normal(io, DT_F32, s->rows * s->heads, 1);
    io->k->norm_forward(io->pool, &(struct norm_args){.act = s->t,
                                                      .way = s->way,
                                                      .gate = gate,
                                                      .gate_stride = stride,
                                                      .rows = s->rows,
                                                      .heads = s->heads,
                                                      .width = s->width,
                                                      .x = x,
                                                      .x_stride = stride,
                                                      .w = w,
                                                      .eps = 1e-5,
                                                      .y = y,
                                                      .y_stride = stride,
                                                      .rstd = rstd});
    double *by = io_out(io, "y", s->t, y, n), *br = io_out(io, "rstd", DT_F32, rstd, s->rows * s->heads);
    for (int64_t i = 0; io->bounds && i < s->rows * s->heads; i++) {
        br[i] = ((double)s->width / 2 + 2) * U32 * rstd[i];
        for (int64_t c = 0; c < s->width; c++) {
            int64_t at = i / s->heads * stride + i % s->heads * s->width + c;
            by[at] = forward_relative(s) * fabs(get(s->t, y, at));
        }
    }
    bool exact = true; /* given its rstd, y has the roundings that the way of the weight says and no other */
    for (int64_t i = 0; !s->gate && i < s->rows * s->heads; i++)
        for (int64_t c = 0; c < s->width; c++) {
            int64_t at = i / s->heads * stride + i % s->heads * s->width + c;
            float normed = (float)get(s->t, was, at) * rstd[i];
            if (s->way == NORM_WAY_TWICE) normed = act(s, normed);
            exact = exact && (double)act(s, normed * weight_of(s, w, c)) == get(s->t, y, at);
        }
    CASE(exact, "%s: the roundings of y", io->k->isa);
}

/* dx is rstd*(dn - n*mean): mean, a sum of width terms, is off by width*u*mean|dn n|; the rest is 6 roundings of terms no
 * larger than A = rstd*(|dn| + |n| mean|dn n|) + |add|. dw is a sum over rows*heads, plus what it was added to; the
 * normed x rounded to bf16 may go the other way, which moves each term by an ulp. */
static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->heads * s->width + s->gap, n = s->rows * stride, all = s->rows * s->heads;
    void *x = io_normal(io, s->t, n, 1.5), *w = io_normal(io, s->t, s->width, 1), *dy = io_normal(io, s->t, n, 1), *add = io_normal(io, s->t, n, 1);
    void *dx = s->alias == 1 ? dy : s->alias == 2 ? add : io_normal(io, s->t, n, 1);
    void *dy_was = io_copy(io, dy, n * dtype_bytes(s->t)), *add_was = s->alias == 1 ? NULL : io_copy(io, add, n * dtype_bytes(s->t));
    float *rstd = io_new(io, all * 4), *dw = io_normal(io, DT_F32, s->width, 1);
    for (int64_t i = 0; i < all; i++) {
        double sum = 0;
        for (int64_t c = 0; c < s->width; c++) sum += pow(get(s->t, x, i / s->heads * stride + i % s->heads * s->width + c), 2);
        rstd[i] = (float)(1 / sqrt(sum / (double)s->width + 1e-5));
    }
    void *gate = s->gate ? io_normal(io, s->t, n, 2) : NULL, *gate_was = io_copy(io, gate, s->gate ? n * dtype_bytes(s->t) : 0);
    void *dgate = s->gate ? s->alias ? gate : io_normal(io, s->t, n, 1) : NULL;
    io->k->norm_backward(io->pool, &(struct norm_backward_args){.act = s->t,
                                                                .way = s->way,
                                                                .gate = gate,
                                                                .gate_stride = stride,
                                                                .dgate = dgate,
                                                                .rows = s->rows,
                                                                .heads = s->heads,
                                                                .width = s->width,
                                                                .x = x,
                                                                .x_stride = stride,
                                                                .w = w,
                                                                .rstd = rstd,
                                                                .dy = dy,
                                                                .dy_stride = stride,
                                                                .dx = dx,
                                                                .dx_stride = stride,
                                                                .add = add_was ? add : NULL,
                                                                .dw_acc = dw});
    double *bx = io_out(io, "dx", s->t, dx, n), *bw = io_out(io, "dw", DT_F32, dw, s->width);
    double *bz = s->gate ? io_out(io, "dgate", s->t, dgate, n) : NULL;
    if (!io->bounds) return;
    const double through = s->gate ? SILU : 0; /* relative, of what comes through the gate */
    for (int64_t c = 0; c < s->width; c++) bw[c] = 2 * U32 * (fabs(dw[c]) + 4);
    for (int64_t i = 0; i < all; i++) {
        int64_t at = i / s->heads * stride + i % s->heads * s->width;
        double mean = 0;
        for (int64_t c = 0; c < s->width; c++) {
            const double z = s->gate ? get(s->t, gate_was, at + c) : 0, g = get(s->t, dy_was, at + c) * (s->gate ? silu(z) : 1);
            mean += fabs(g * weight_of(s, w, c) * get(s->t, x, at + c) * rstd[i]) / (double)s->width;
        }
        for (int64_t c = 0; c < s->width; c++) {
            const double z = s->gate ? get(s->t, gate_was, at + c) : 0, dy_c = get(s->t, dy_was, at + c), g = dy_c * (s->gate ? silu(z) : 1);
            const double dn = fabs(g * weight_of(s, w, c)), normed = fabs(get(s->t, x, at + c) * rstd[i]);
            bx[at + c] =
                ((double)(s->width + 6) * U32 + through) * (rstd[i] * (dn + normed * mean) + (add_was ? fabs(get(s->t, add_was, at + c)) : 0));
            bw[c] += ((double)all * U32 + through + flips(s, 1)) * fabs(g) * normed;
            /* dy*y*(s + z s (1-s)): y, of the same rstd, has the same bits */
            const double sig = 1 / (1 + exp(-z));
            if (bz) bz[at + c] = 2 * SILU * fabs(dy_c) * normed * fabs(weight_of(s, w, c)) * (1 + flips(s, 2)) * (sig + fabs(z) * sig * (1 - sig));
        }
    }
}

enum { ROWS = 3, HEADS = 2, WIDTH = 7, ALL = ROWS * HEADS * WIDTH };
struct problem {
    double r[ALL];
    enum norm_way way;
    bool gate;
};

/* x, w, gates, add (the identity) -> sum of r * (y + x): the gradient with respect to x has the residual's in it. */
static double loss(const double *v, const void *arg) {
    const struct problem *p = arg;
    const double *w = v + ALL, *z = w + WIDTH;
    double sum = 0;
    for (int i = 0; i < ROWS * HEADS; i++) {
        double square = 0;
        for (int c = 0; c < WIDTH; c++) square += v[i * WIDTH + c] * v[i * WIDTH + c];
        double rstd = 1 / sqrt(square / WIDTH + 1e-5);
        for (int c = 0; c < WIDTH; c++) {
            const double y = rstd * (p->way == NORM_WAY_PLUS_ONE ? 1 + w[c] : w[c]) * (p->gate ? silu(z[i * WIDTH + c]) : 1);
            sum += p->r[i * WIDTH + c] * v[i * WIDTH + c] * (y + 1);
        }
    }
    return sum;
}

static void differences(const struct kernels *k, enum norm_way way, bool gate) {
    enum { N = 2 * ALL + WIDTH };
    struct io io = {.seed = 5};
    struct problem p = {.way = way, .gate = gate};
    float *x = io_normal(&io, DT_F32, N, 1), *dy = io_normal(&io, DT_F32, ALL, 1);
    float y[ALL], rstd[ROWS * HEADS], g[N] = {0};
    double v[N], bound[N];
    for (int i = 0; i < ALL; i++) p.r[i] = dy[i];
    for (int i = 0; i < N; i++) {
        v[i] = x[i];
        bound[i] = (WIDTH + ROWS * HEADS + 12 + 24) * U32 * 60; /* every term is under 60 */
    }
    k->norm_forward(NULL, &(struct norm_args){.act = DT_F32,
                                              .way = way,
                                              .rows = ROWS,
                                              .heads = HEADS,
                                              .width = WIDTH,
                                              .x = x,
                                              .x_stride = HEADS * WIDTH,
                                              .w = x + ALL,
                                              .eps = 1e-5,
                                              .gate = gate ? x + ALL + WIDTH : NULL,
                                              .gate_stride = HEADS * WIDTH,
                                              .y = y,
                                              .y_stride = HEADS * WIDTH,
                                              .rstd = rstd});
    double sum = 0;
    for (int i = 0; i < ALL; i++) sum += p.r[i] * ((double)y[i] + v[i]);
    CASE(fabs(sum - loss(v, &p)) <= ALL * bound[0], "%s: the forward is the function, weight %d%s", k->isa, way, gate ? ", gate" : "");
    k->norm_backward(NULL, &(struct norm_backward_args){.act = DT_F32,
                                                        .way = way,
                                                        .rows = ROWS,
                                                        .heads = HEADS,
                                                        .width = WIDTH,
                                                        .x = x,
                                                        .x_stride = HEADS * WIDTH,
                                                        .w = x + ALL,
                                                        .rstd = rstd,
                                                        .gate = gate ? x + ALL + WIDTH : NULL,
                                                        .gate_stride = HEADS * WIDTH,
                                                        .dgate = gate ? g + ALL + WIDTH : NULL,
                                                        .dy = dy,
                                                        .dy_stride = HEADS * WIDTH,
                                                        .dx = g,
                                                        .dx_stride = HEADS * WIDTH,
                                                        .add = dy,
                                                        .dw_acc = g + ALL});
    check_gradient(k->isa, loss, &p, v, N, g, bound);
    io_end(&io);
}

int main(void) {
    static const struct shape shapes[] = {{.rows = 0, .heads = 1, .width = 8},
                                          {.rows = 1, .heads = 1, .width = 1},
                                          {.rows = 3, .heads = 1, .width = 7},
                                          {.rows = 5, .heads = 3, .width = 9, .gap = 4, .alias = 1},
                                          {.rows = 33, .heads = 1, .width = 256, .alias = 2},
                                          {.rows = 7, .heads = 5, .width = 17, .gap = 1},
                                          {.rows = 2, .heads = 4, .width = 64, .gap = 8},
                                          {.rows = 300, .heads = 2, .width = 33},
                                          {.rows = 4, .heads = 1, .width = 1031},
                                          {.rows = 150, .heads = 2, .width = 1025, .gap = 3, .alias = 1},
                                          {.rows = 19, .heads = 1, .width = 129, .alias = 1},
                                          {.rows = 70, .heads = 8, .width = 128}};
    static const struct {
        enum norm_way way;
        bool gate;
    } kinds[] = {{NORM_WAY_TWICE, false}, {NORM_WAY_ONCE, false}, {NORM_WAY_PLUS_ONE, false}, {NORM_WAY_TWICE, true}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++)
            for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
                struct shape s = shapes[i];
                s.t = t ? DT_BF16 : DT_F32;
                s.way = kinds[j].way;
                s.gate = kinds[j].gate;
                char name[96];
                (void)snprintf(name, sizeof name, "%s %lldx%lldx%lld weight %d%s", dtype_name(s.t), (long long)s.rows, (long long)s.heads,
                               (long long)s.width, s.way, s.gate ? " gate" : "");
                hold(name, forward, &s);
                hold(name, backward, &s);
            }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) differences(&sets[s], kinds[j].way, kinds[j].gate);
    return test_end();
}
