/* RoPE: the same bits as the reference, and backward undoes the turn. */
#include "kernel_test.h"

struct shape {
    int64_t rows, heads, dim, gap, rest; /* rest: of each head, not turned */
    enum dtype t;
    bool backward, interleaved;
};

static void run(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->heads * (s->dim + s->rest) + s->gap, half = s->dim / 2;
    void *x = io_normal(io, s->t, s->rows * stride, 1);
    int32_t *positions = io_new(io, s->rows * 4);
    float *cosine = io_normal(io, DT_F32, 32 * half, 1), *sine = io_normal(io, DT_F32, 32 * half, 1);
    for (int64_t r = 0; r < s->rows; r++) positions[r] = (int32_t)(r * 7 % 32);
    io->k->rope(io->pool, &(struct rope_args){.act = s->t,
                                              .rows = s->rows,
                                              .heads = s->heads,
                                              .dim = s->dim,
                                              .head_stride = s->rest ? s->dim + s->rest : 0,
                                              .x = x,
                                              .x_stride = stride,
                                              .positions = positions,
                                              .cos = cosine,
                                              .sin = sine,
                                              .interleaved = s->interleaved,
                                              .backward = s->backward});
    (void)io_out(io, "x", s->t, x, s->rows * stride);
}

enum { ROWS = 3, DIM = 10, HALF = DIM / 2 };
struct problem {
    double r[ROWS * DIM], angle[ROWS * HALF];
    bool interleaved;
};

static double loss(const double *x, const void *arg) {
    const struct problem *p = arg;
    double sum = 0;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < HALF; j++) {
            double c = cos(p->angle[i * HALF + j]), s = sin(p->angle[i * HALF + j]), x1 = x[i * DIM + j], x2 = x[i * DIM + HALF + j];
            if (p->interleaved) {
                x1 = x[i * DIM + 2 * j];
                x2 = x[i * DIM + 2 * j + 1];
            }
            sum += p->r[i * DIM + j] * (x1 * c - x2 * s) + p->r[i * DIM + HALF + j] * (x2 * c + x1 * s);
        }
    return sum;
}

static void differences(const struct kernels *k, bool interleaved) {
    struct io io = {.seed = 9};
    struct problem p = {.interleaved = interleaved};
    float *g = io_normal(&io, DT_F32, ROWS * DIM, 1), cosine[ROWS * HALF], sine[ROWS * HALF];
    double x[ROWS * DIM], bound[ROWS * DIM];
    int32_t positions[ROWS] = {0, 1, 2};
    for (int i = 0; i < ROWS * HALF; i++) {
        p.angle[i] = 0.37 * i;
        cosine[i] = (float)cos(p.angle[i]);
        sine[i] = (float)sin(p.angle[i]);
    }
    for (int i = 0; i < ROWS * DIM; i++) {
        p.r[i] = g[i];
        x[i] = 0.1 * i;
        bound[i] = 5 * U32 * 10; /* two products and a sum of numbers under 5, of factors rounded once */
    }
    k->rope(NULL, &(struct rope_args){.act = DT_F32,
                                      .rows = ROWS,
                                      .heads = 1,
                                      .dim = DIM,
                                      .x = g,
                                      .x_stride = DIM,
                                      .positions = positions,
                                      .cos = cosine,
                                      .sin = sine,
                                      .interleaved = interleaved,
                                      .backward = true});
    check_gradient(k->isa, loss, &p, x, ROWS * DIM, g, bound);
    io_end(&io);
}

/* Forward and backward with cos 1 and sin 0 only move numbers: to even ones before odd ones and back. */
static void order(const struct kernels *k) {
    enum { N = 12 };
    float x[N + 2], one[N / 2], zero[N / 2] = {0};
    const int32_t position = 0;
    for (int i = 0; i < N + 2; i++) x[i] = (float)i;
    for (int i = 0; i < N / 2; i++) one[i] = 1;
    struct rope_args a = {.act = DT_F32,
                          .rows = 1,
                          .heads = 1,
                          .dim = N,
                          .head_stride = N + 2,
                          .x = x,
                          .positions = &position,
                          .places = 1,
                          .cos = one,
                          .sin = zero,
                          .interleaved = true};
    k->rope(NULL, &a);
    bool right = x[N] == N && x[N + 1] == N + 1;
    for (int j = 0; j < N / 2; j++) right = right && x[j] == 2.0f * (float)j && x[j + N / 2] == 2.0f * (float)j + 1;
    CASE(right, "%s: pairs side by side come out as halves, and what is not turned stays", k->isa);
    a.backward = true;
    k->rope(NULL, &a);
    for (int i = 0; i < N + 2; i++) right = right && x[i] == (float)i;
    CASE(right, "%s: backward puts them back", k->isa);
}

int main(void) {
    static const struct shape shapes[] = {{0, 1, 8, 0, 0, 0, 0, 0},   {1, 1, 2, 0, 0, 0, 0, 0},    {7, 3, 6, 5, 0, 0, 0, 0},
                                          {33, 2, 34, 1, 0, 0, 0, 0}, {300, 8, 64, 0, 0, 0, 0, 0}, {5, 1, 258, 0, 0, 0, 0, 0},
                                          {33, 2, 34, 1, 3, 0, 0, 0}, {9, 4, 64, 0, 128, 0, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int v = 0; v < 8; v++) {
            struct shape s = shapes[i];
            s.t = v & 1 ? DT_BF16 : DT_F32;
            s.backward = v & 2;
            s.interleaved = v & 4;
            hold("rope", run, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        differences(&sets[s], false);
        differences(&sets[s], true);
        order(&sets[s]);
    }
    return test_end();
}
