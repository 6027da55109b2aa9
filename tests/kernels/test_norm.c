/* RMS norm: fast against reference, backward against central differences. */
#include "kernel_test.h"

struct shape {
    int64_t rows, heads, width, gap;
    enum dtype t;
    int alias;
}; /* alias: y is x; dx is dy (1), add is dx (2) */

/* A sum of n squares in fp32, any order, is off by n*u relative at most; rstd by half of that and two roundings more;
 * x*rstd*w two more. Where x*rstd is rounded to bf16 in between, a value beside a midpoint may go the other way: one
 * bf16 ulp, 2*U16, of the result. */
static double forward_relative(const struct shape *s) { return ((double)s->width / 2 + 5) * U32 + (s->t == DT_BF16 ? 2 * U16 : 0); }

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->heads * s->width + s->gap, n = s->rows * stride;
    void *x = io_normal(io, s->t, n, 1.5), *w = io_normal(io, s->t, s->width, 1), *y = s->alias ? x : io_normal(io, s->t, n, 1);
    void *was = io_copy(io, x, n * dtype_bytes(s->t));
    float *rstd = io_normal(io, DT_F32, s->rows * s->heads, 1);
    io->k->norm_forward(io->pool, &(struct norm_args){.act = s->t,
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
    bool exact = true; /* given its rstd, y has two roundings and no other: x*rstd to act, times w to act */
    for (int64_t i = 0; i < s->rows * s->heads; i++)
        for (int64_t c = 0; c < s->width; c++) {
            int64_t at = i / s->heads * stride + i % s->heads * s->width + c;
            float normed = (float)get(s->t, was, at) * rstd[i];
            if (s->t == DT_BF16) normed = bf16_to_f32(bf16_of_f32(normed));
            float want = normed * (float)get(s->t, w, c);
            if (s->t == DT_BF16) want = bf16_to_f32(bf16_of_f32(want));
            exact = exact && (double)want == get(s->t, y, at);
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
    io->k->norm_backward(io->pool, &(struct norm_backward_args){.act = s->t,
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
    if (!io->bounds) return;
    for (int64_t c = 0; c < s->width; c++) bw[c] = 2 * U32 * (fabs(dw[c]) + 4);
    for (int64_t i = 0; i < all; i++) {
        int64_t at = i / s->heads * stride + i % s->heads * s->width;
        double mean = 0;
        for (int64_t c = 0; c < s->width; c++)
            mean += fabs(get(s->t, dy_was, at + c) * get(s->t, w, c) * get(s->t, x, at + c) * rstd[i]) / (double)s->width;
        for (int64_t c = 0; c < s->width; c++) {
            double dn = fabs(get(s->t, dy_was, at + c) * get(s->t, w, c)), normed = fabs(get(s->t, x, at + c) * rstd[i]);
            bx[at + c] = (double)(s->width + 6) * U32 * (rstd[i] * (dn + normed * mean) + (add_was ? fabs(get(s->t, add_was, at + c)) : 0));
            bw[c] += ((double)all * U32 + (s->t == DT_BF16 ? 2 * U16 : 0)) * fabs(get(s->t, dy_was, at + c)) * normed;
        }
    }
}

enum { ROWS = 3, HEADS = 2, WIDTH = 7 };
struct problem {
    double r[ROWS * HEADS * WIDTH];
};

/* x, w, add (the identity) -> sum of r * (y + x): the gradient with respect to x has the residual's in it. */
static double loss(const double *v, const void *arg) {
    const double *r = ((const struct problem *)arg)->r, *w = v + ROWS * HEADS * WIDTH;
    double sum = 0;
    for (int i = 0; i < ROWS * HEADS; i++) {
        double square = 0;
        for (int c = 0; c < WIDTH; c++) square += v[i * WIDTH + c] * v[i * WIDTH + c];
        double rstd = 1 / sqrt(square / WIDTH + 1e-5);
        for (int c = 0; c < WIDTH; c++) sum += r[i * WIDTH + c] * v[i * WIDTH + c] * (rstd * w[c] + 1);
    }
    return sum;
}

static void differences(const struct kernels *k) {
    enum { N = ROWS * HEADS * WIDTH };
    struct io io = {.seed = 5};
    struct problem p;
    float *x = io_normal(&io, DT_F32, N, 1), *w = io_normal(&io, DT_F32, WIDTH, 1), *dy = io_normal(&io, DT_F32, N, 1);
    float y[N], rstd[ROWS * HEADS], g[N + WIDTH] = {0};
    double v[N + WIDTH], bound[N + WIDTH];
    for (int i = 0; i < N; i++) {
        p.r[i] = dy[i];
        v[i] = x[i];
    }
    for (int i = 0; i < WIDTH; i++) v[N + i] = w[i];
    for (int i = 0; i < N + WIDTH; i++) bound[i] = (WIDTH + ROWS * HEADS + 12) * U32 * 30; /* every term is under 30 */
    k->norm_forward(NULL, &(struct norm_args){.act = DT_F32,
                                              .rows = ROWS,
                                              .heads = HEADS,
                                              .width = WIDTH,
                                              .x = x,
                                              .x_stride = HEADS * WIDTH,
                                              .w = w,
                                              .eps = 1e-5,
                                              .y = y,
                                              .y_stride = HEADS * WIDTH,
                                              .rstd = rstd});
    k->norm_backward(NULL, &(struct norm_backward_args){.act = DT_F32,
                                                        .rows = ROWS,
                                                        .heads = HEADS,
                                                        .width = WIDTH,
                                                        .x = x,
                                                        .x_stride = HEADS * WIDTH,
                                                        .w = w,
                                                        .rstd = rstd,
                                                        .dy = dy,
                                                        .dy_stride = HEADS * WIDTH,
                                                        .dx = g,
                                                        .dx_stride = HEADS * WIDTH,
                                                        .add = dy,
                                                        .dw_acc = g + N});
    check_gradient(k->isa, loss, &p, v, N + WIDTH, g, bound);
    io_end(&io);
}

int main(void) {
    static const struct shape shapes[] = {{0, 1, 8, 0, 0, 0},    {1, 1, 1, 0, 0, 0},      {3, 1, 7, 0, 0, 0},    {5, 3, 9, 4, 0, 1},
                                          {33, 1, 256, 0, 0, 2}, {7, 5, 17, 1, 0, 0},     {2, 4, 64, 8, 0, 0},   {300, 2, 33, 0, 0, 0},
                                          {4, 1, 1031, 0, 0, 0}, {150, 2, 1025, 3, 0, 1}, {19, 1, 129, 0, 0, 1}, {70, 8, 128, 0, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            char name[64];
            (void)snprintf(name, sizeof name, "%s %lldx%lldx%lld", dtype_name(s.t), (long long)s.rows, (long long)s.heads, (long long)s.width);
            hold(name, forward, &s);
            hold(name, backward, &s);
        }
    struct kernels sets[SETS_MAX];
    int n = kernel_sets(sets);
    for (int s = 0; s < n; s++) differences(&sets[s]);
    struct kernels reference;
    kernels_reference(&reference);
    differences(&reference);
    return test_end();
}
