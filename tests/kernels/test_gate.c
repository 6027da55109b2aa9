/* Gates: fast against reference, backward against central differences, in place as well. */
#include "kernel_test.h"

struct shape {
    int64_t rows, width, gap;
    enum dtype t;
    bool one, alias; /* alias: y is x; dx is dy and dgate is the gate */
};

static struct gate_args arguments(struct io *io, const struct shape *s) {
    const int64_t stride = s->width + s->gap, gates = s->one ? 1 + s->gap : stride;
    struct gate_args a = {.act = s->t,
                          .rows = s->rows,
                          .width = s->width,
                          .one = s->one,
                          .x = io_normal(io, s->t, s->rows * stride, 1),
                          .x_stride = stride,
                          .gate = io_normal(io, s->t, s->rows * gates, 2),
                          .gate_stride = gates,
                          .y = io_normal(io, s->t, s->rows * stride, 1),
                          .y_stride = stride};
    if (s->alias) a.y = (void *)(uintptr_t)a.x;
    return a;
}

static double gate_of(const struct gate_args *a, const void *gate, int64_t r, int64_t c) {
    return get(a->act, gate, r * a->gate_stride + (a->one ? 0 : c));
}

/* A sigmoid is off by 2 ulp (4 units) of its exponential and 2 roundings, on either side: under 12 units. Rounded to bf16 it may go the
 * other way. */
static double sigmoid_relative(enum dtype t) { return 12 * U32 + (t == DT_BF16 ? 2 * U16 : 0); }

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const struct gate_args a = arguments(io, s);
    io->k->gate_forward(io->pool, &a);
    double *bound = io_out(io, "y", s->t, a.y, s->rows * a.y_stride);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) bound[r * a.y_stride + c] = (sigmoid_relative(s->t) + U32) * fabs(get(s->t, a.y, r * a.y_stride + c));
}

/* s (1 - s) is off by 12 units of s itself on top, beside 1 - s near 0. */
static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct gate_backward_args b = {.fwd = arguments(io, s)};
    const struct gate_args *a = &b.fwd;
    const int64_t n = s->rows * a->x_stride, gates = s->rows * a->gate_stride;
    const void *x = a->x;
    void *was = io_copy(io, a->gate, gates * dtype_bytes(s->t)), *dy = io_normal(io, s->t, n, 1), *dy_was = io_copy(io, dy, n * dtype_bytes(s->t));
    b.dy = dy;
    b.dx = s->alias ? dy : io_normal(io, s->t, n, 1);
    b.dgate = s->alias ? (void *)(uintptr_t)a->gate : io_normal(io, s->t, gates, 1);
    io->k->gate_backward(io->pool, &b);
    double *bx = io_out(io, "dx", s->t, b.dx, n), *bg = io_out(io, "dgate", s->t, b.dgate, gates);
    for (int64_t r = 0; io->bounds && r < s->rows; r++) {
        double size = 0;
        for (int64_t c = 0; c < s->width; c++) {
            const int64_t at = r * a->x_stride + c;
            const double g = 1 / (1 + exp(-gate_of(a, was, r, c))), term = fabs(get(s->t, dy_was, at) * get(s->t, x, at));
            bx[at] = (sigmoid_relative(s->t) + U32) * fabs(get(s->t, dy_was, at)) * g;
            size += term;
            if (!s->one) bg[r * a->gate_stride + c] = term * (20 * U32 * g * (1 - g) + 16 * U32 * g * g);
            else if (c == s->width - 1) bg[r * a->gate_stride] = size * (((double)s->width + 20) * U32 * g * (1 - g) + 16 * U32 * g * g);
        }
    }
}

enum { ROWS = 3, WIDTH = 5, N = ROWS * WIDTH };
struct problem {
    double r[N];
    bool one;
};

static double loss(const double *v, const void *arg) {
    const struct problem *p = arg;
    double sum = 0;
    for (int i = 0; i < N; i++) sum += p->r[i] * v[i] / (1 + exp(-v[N + (p->one ? i / WIDTH : i)]));
    return sum;
}

static void differences(const struct kernels *k, bool one) {
    struct io io = {.seed = 8};
    struct problem p = {.one = one};
    float *x = io_normal(&io, DT_F32, 2 * N, 1), *dy = io_normal(&io, DT_F32, N, 1), y[N], g[2 * N] = {0};
    double v[2 * N], bound[2 * N];
    const int gates = one ? ROWS : N;
    for (int i = 0; i < N; i++) p.r[i] = dy[i];
    for (int i = 0; i < 2 * N; i++) {
        v[i] = x[i];
        bound[i] = (WIDTH + 36) * U32 * 20; /* terms under 20 */
    }
    struct gate_backward_args b = {.fwd = {.act = DT_F32,
                                           .rows = ROWS,
                                           .width = WIDTH,
                                           .one = one,
                                           .x = x,
                                           .x_stride = WIDTH,
                                           .gate = x + N,
                                           .gate_stride = one ? 1 : WIDTH,
                                           .y = y,
                                           .y_stride = WIDTH},
                                   .dy = dy,
                                   .dx = g,
                                   .dgate = g + N};
    k->gate_forward(NULL, &b.fwd);
    double sum = 0;
    for (int i = 0; i < N; i++) sum += p.r[i] * (double)y[i];
    CASE(fabs(sum - loss(v, &p)) <= N * bound[0], "%s: the forward is the function", k->isa);
    k->gate_backward(NULL, &b);
    check_gradient(k->isa, loss, &p, v, N + gates, g, bound);
    io_end(&io);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 0, 0, 0, 0},   {1, 1, 0, 0, 0, 0},    {3, 17, 2, 0, 0, 1},
                                          {37, 64, 0, 0, 0, 1}, {5, 1031, 3, 0, 0, 0}, {200, 96, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int v = 0; v < 4; v++) {
            struct shape s = shapes[i];
            s.t = v & 1 ? DT_BF16 : DT_F32;
            s.one = v & 2;
            hold(s.one ? "a gate for a row, forward" : "gates forward", forward, &s);
            hold(s.one ? "a gate for a row, backward" : "gates backward", backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        differences(&sets[s], false);
        differences(&sets[s], true);
    }
    return test_end();
}
