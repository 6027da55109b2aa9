/* Heads with a shared part: the reference's bits, and that backward is the transpose of forward. */
#include "kernel_test.h"

struct shape {
    int64_t rows, heads, own, shared, gap;
    enum dtype t;
};

static struct heads_args arguments(struct io *io, const struct shape *s) {
    const int64_t own = s->heads * s->own + s->gap, shared = s->shared + s->gap, y = s->heads * (s->own + s->shared) + s->gap;
    return (struct heads_args){.act = s->t,
                               .rows = s->rows,
                               .heads = s->heads,
                               .own_dim = s->own,
                               .shared_dim = s->shared,
                               .own = io_normal(io, s->t, s->rows * own, 1),
                               .own_stride = own,
                               .shared = io_normal(io, s->t, s->rows * shared, 1),
                               .shared_stride = shared,
                               .y = io_normal(io, s->t, s->rows * y, 1),
                               .y_stride = y};
}

static void outputs(struct io *io, const struct heads_args *a) {
    (void)io_out(io, "own", a->act, a->own, a->rows * a->own_stride);
    (void)io_out(io, "shared", a->act, a->shared, a->rows * a->shared_stride);
    (void)io_out(io, "y", a->act, a->y, a->rows * a->y_stride);
}

static void forward(struct io *io, const void *shape) {
    const struct heads_args a = arguments(io, shape);
    io->k->heads_forward(io->pool, &a);
    outputs(io, &a);
}

static void backward(struct io *io, const void *shape) {
    const struct heads_args a = arguments(io, shape);
    io->k->heads_backward(io->pool, &a);
    outputs(io, &a);
}

/* <forward(x), y> = <x, backward(y)>: small whole numbers, so both are exact. */
static void transpose(const struct kernels *k) {
    enum { ROWS = 2, HEADS = 3, OWN = 4, SHARED = 5, Y = HEADS * (OWN + SHARED) };
    float own[ROWS * HEADS * OWN], shared[ROWS * SHARED], y[ROWS * Y], g[ROWS * Y], d_own[ROWS * HEADS * OWN], d_shared[ROWS * SHARED];
    for (int i = 0; i < ROWS * HEADS * OWN; i++) own[i] = (float)(i % 7 - 3);
    for (int i = 0; i < ROWS * SHARED; i++) shared[i] = (float)(i % 5 - 1);
    for (int i = 0; i < ROWS * Y; i++) g[i] = (float)(i % 11 - 4);
    struct heads_args a = {.act = DT_F32,
                           .rows = ROWS,
                           .heads = HEADS,
                           .own_dim = OWN,
                           .shared_dim = SHARED,
                           .own = own,
                           .own_stride = (int64_t)HEADS * OWN,
                           .shared = shared,
                           .shared_stride = SHARED,
                           .y = y,
                           .y_stride = Y};
    k->heads_forward(NULL, &a);
    CASE(y[0] == own[0] && y[OWN] == shared[0] && y[OWN + SHARED] == own[OWN] && y[Y + Y - 1] == shared[2 * SHARED - 1],
         "%s: each head has its own part and the shared one", k->isa);
    a.own = d_own;
    a.shared = d_shared;
    a.y = g;
    k->heads_backward(NULL, &a);
    double forth = 0, back = 0;
    for (int i = 0; i < ROWS * Y; i++) forth += (double)(y[i] * g[i]);
    for (int i = 0; i < ROWS * HEADS * OWN; i++) back += (double)(own[i] * d_own[i]);
    for (int i = 0; i < ROWS * SHARED; i++) back += (double)(shared[i] * d_shared[i]);
    CASE(forth == back, "%s: backward is the transpose of forward: %g, %g", k->isa, forth, back);
}

int main(void) {
    static const struct shape shapes[] = {
        {0, 2, 4, 2, 0, 0}, {1, 1, 1, 1, 0, 0}, {7, 3, 5, 3, 2, 0}, {33, 16, 128, 64, 1, 0}, {300, 2, 17, 33, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            hold("heads forward", forward, &s);
            hold("heads backward", backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) transpose(&sets[s]);
    return test_end();
}
