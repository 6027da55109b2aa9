/* The fold: fast against reference, its gradient against central differences, strips that are empty or not finite. */
#include "kernel_test.h"

struct shape {
    int64_t rows, cols, gap;
    enum dtype t;
    bool fresh, alias;
};

/* Strip, state and targets: some rows without a target, some with one elsewhere, padded columns (-inf), one row of padding only. */
static struct fold_args arguments(struct io *io, const struct shape *s) {
    int64_t ld = s->cols + s->gap;
    float *y = io_normal(io, DT_F32, s->rows * ld, 4), *m = io_normal(io, DT_F32, s->rows, 2), *z = io_new(io, s->rows * 4);
    int32_t *targets = io_new(io, s->rows * 4);
    for (int64_t r = 0; r < s->rows; r++) {
        z[r] = 1 + (float)r;
        if (s->fresh) {
            m[r] = -INFINITY;
            z[r] = 0;
        }
        targets[r] = r % 5 == 2 ? -100 : (int32_t)(1000 + rng_below(io->seed, 97, (uint64_t)r, s->cols + 5) - 2);
        for (int64_t c = 0; c < s->cols; c++)
            if (r % 4 == 3 || (r % 4 == 1 && c > s->cols / 2)) y[r * ld + c] = -INFINITY;
    }
    return (struct fold_args){.rows = s->rows,
                              .cols = s->cols,
                              .ld = ld,
                              .y = y,
                              .col0 = 1000,
                              .targets = targets,
                              .m = m,
                              .z = z,
                              .yt = io_normal(io, DT_F32, s->rows, 1)};
}

/* Differences y - m are the same in both; z is a sum of cols exponentials, off by 2 ulp at most here and 1 in libm, and
 * of the old z times another; exponentials under e^-86.5 are left out. */
static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct fold_args a = arguments(io, s);
    io->k->fold_forward(io->pool, &a);
    (void)io_out(io, "m", DT_F32, a.m, s->rows);
    (void)io_out(io, "y_t", DT_F32, a.yt, s->rows);
    double *bound = io_out(io, "z", DT_F32, a.z, s->rows);
    for (int64_t r = 0; r < s->rows; r++) bound[r] = ((double)s->cols + 8) * (U32 * a.z[r] + 0x1p-124);
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct shape full = *s;
    full.fresh = false;
    struct fold_args a = arguments(io, &full);
    fold_forward_ref(NULL, &a);
    int64_t n = s->rows * a.ld;
    float *y = io_copy(io, a.y, n * 4);
    void *dy = s->alias && s->t == DT_F32 ? (void *)(uintptr_t)a.y : io_normal(io, s->t, n, 1);
    float scale = 0.01f;
    io->k->fold_backward(io->pool, &(struct fold_backward_args){.fwd = a, .scale = scale, .act = s->t, .dy = dy, .dy_ld = a.ld});
    double *bound = io_out(io, "dy", s->t, dy, n);
    for (int64_t r = 0; io->bounds && r < s->rows; r++)
        for (int64_t c = 0; c < s->cols; c++) /* p by 12 units; beside 1 by one unit of 1 more */
            bound[r * a.ld + c] = scale * (12 * U32 * exp((double)y[r * a.ld + c] - a.m[r]) / a.z[r] + 2 * U32);
}

enum { ROWS = 4, COLS = 11, CUT = 6 };
struct problem {
    int32_t targets[ROWS];
};

static double loss(const double *y, const void *arg) {
    const struct problem *p = arg;
    double sum = 0;
    for (int r = 0; r < ROWS; r++) {
        double z = 0;
        if (p->targets[r] < 0) continue;
        for (int c = 0; c < COLS; c++) z += exp(y[r * COLS + c]);
        sum += log(z) - y[r * COLS + p->targets[r]];
    }
    return sum * 0.25;
}

/* Two strips; the loss from m, z and y_t is the loss, and both gradients are its gradient. */
static void differences(const struct kernels *k) {
    struct io io = {.seed = 41};
    struct problem p = {.targets = {0, 7, -1, 10}};
    float *y = io_normal(&io, DT_F32, ROWS * COLS, 2), m[ROWS], z[ROWS], yt[ROWS] = {0}, g[ROWS * COLS];
    double v[ROWS * COLS], bound[ROWS * COLS], sum = 0;
    for (int r = 0; r < ROWS; r++) {
        m[r] = -INFINITY;
        z[r] = 0;
    }
    for (int i = 0; i < ROWS * COLS; i++) {
        v[i] = y[i];
        bound[i] = (COLS + 16) * U32;
    }
    struct fold_args strip[2];
    for (int i = 0; i < 2; i++) {
        strip[i] = (struct fold_args){.rows = ROWS,
                                      .cols = i ? COLS - CUT : CUT,
                                      .ld = COLS,
                                      .y = y + i * CUT,
                                      .col0 = (int64_t)i * CUT,
                                      .targets = p.targets,
                                      .m = m,
                                      .z = z,
                                      .yt = yt};
        k->fold_forward(NULL, &strip[i]);
    }
    for (int r = 0; r < ROWS; r++)
        if (p.targets[r] >= 0) sum += m[r] + log(z[r]) - yt[r];
    CASE(fabs(sum * 0.25 - loss(v, &p)) <= (COLS + 16) * U32 * 10, "%s: loss of two strips", k->isa);
    for (int i = 0; i < 2; i++)
        k->fold_backward(NULL,
                         &(struct fold_backward_args){.fwd = strip[i], .scale = 0.25f, .act = DT_F32, .dy = g + (ptrdiff_t)i * CUT, .dy_ld = COLS});
    check_gradient(k->isa, loss, &p, v, ROWS * COLS, g, bound);
    io_end(&io);
}

/* What is not finite must come out in z; an empty strip must not; a row alone has the bits it has among others. */
static void edges(const struct kernels *k) {
    enum { N = 37 };
    static const float bad[] = {NAN, INFINITY};
    float y[2 * N], m[2], z[2], yt[2] = {5, 5};
    int32_t targets[2] = {-1, 3};
    struct fold_args a = {.rows = 1, .cols = N, .ld = N, .y = y, .targets = targets, .m = m, .z = z, .yt = yt};
    for (int at = 0; at < N; at += 9)
        for (int b = 0; b < 2; b++) {
            for (int c = 0; c < N; c++) y[c] = at ? 0.5f : -INFINITY;
            y[at] = bad[b];
            m[0] = -INFINITY;
            z[0] = 0;
            k->fold_forward(NULL, &a);
            CASE(isnan(z[0]), "%s: %g at column %d gives z %g", k->isa, (double)bad[b], at, (double)z[0]);
        }
    for (int c = 0; c < N; c++) y[c] = -INFINITY;
    m[0] = -INFINITY;
    z[0] = 0;
    k->fold_forward(NULL, &a);
    CASE(m[0] == -INFINITY && z[0] == 0 && yt[0] == 5, "%s: an empty strip is skipped", k->isa);
    for (int c = 0; c < 2 * N; c++) y[c] = (float)(c % 13) * 0.3f;
    for (int r = 0; r < 2; r++) {
        m[r] = -INFINITY;
        z[r] = 0;
    }
    a.rows = 2;
    k->fold_forward(NULL, &a);
    float both = z[1];
    m[1] = -INFINITY;
    z[1] = 0;
    k->fold_forward(NULL,
                    &(struct fold_args){.rows = 1, .cols = N, .ld = N, .y = y + N, .targets = targets + 1, .m = m + 1, .z = z + 1, .yt = yt + 1});
    CASE(z[1] == both && yt[1] == y[N + 3], "%s: a row alone", k->isa);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 0, 0, 0, 0},    {1, 1, 0, 0, 1, 1},    {9, 17, 3, 0, 0, 0},   {13, 64, 0, 0, 1, 1},
                                          {5, 1031, 1, 0, 0, 1}, {40, 515, 0, 0, 1, 0}, {3, 20011, 0, 0, 1, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            if (!t) hold("fold forward", forward, &s);
            hold("fold backward", backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) differences(&sets[s]);
    for (int s = 0; s <= n; s++) edges(&sets[s]);
    return test_end();
}
