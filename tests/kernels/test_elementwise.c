/* add, bias, clamp: one rounding an element, so the reference's bits; the bias' gradient is a sum. */
#include "kernel_test.h"

struct shape {
    int64_t rows, width, gap;
    enum dtype t;
    int alias; /* of add: y is nothing (0), a (1), b (2) */
};

static void add(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t n = s->rows * s->width;
    void *a = io_normal(io, s->t, n + 1, 1), *b = io_normal(io, s->t, n + 1, 1),
         *y = s->alias == 1   ? a
              : s->alias == 2 ? b
                              : io_normal(io, s->t, n + 1, 1);
    io->k->add(io->pool, &(struct add_args){.act = s->t, .count = n, .a = a, .b = b, .y = y});
    (void)io_out(io, "y", s->t, y, n + 1);
}

static void bias_forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->width + s->gap;
    void *x = io_normal(io, s->t, s->rows * stride, 1), *bias = io_normal(io, s->t, s->width, 1);
    io->k->bias_forward(io->pool, &(struct bias_args){.act = s->t, .rows = s->rows, .width = s->width, .stride = stride, .x = x, .bias = bias});
    (void)io_out(io, "x", s->t, x, s->rows * stride);
}

/* A sum over rows in fp32, added to what was there. That it is THE gradient of x + bias: the same bound around the sum. */
static void bias_backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->width + s->gap;
    void *dx = io_normal(io, s->t, s->rows * stride, 1);
    float *db = io_normal(io, DT_F32, s->width, 1), *before = io_copy(io, db, s->width * 4);
    io->k->bias_backward(io->pool, &(struct bias_args){.act = s->t, .rows = s->rows, .width = s->width, .stride = stride, .x = dx, .db_acc = db});
    (void)io_out(io, "dx", s->t, dx, s->rows * stride);
    double *bound = io_out(io, "db", DT_F32, db, s->width);
    bool right = true;
    for (int64_t c = 0; io->bounds && c < s->width; c++) {
        double sum = before[c], size = fabs(sum);
        for (int64_t r = 0; r < s->rows; r++) {
            sum += get(s->t, dx, r * stride + c);
            size += fabs(get(s->t, dx, r * stride + c));
        }
        bound[c] = (double)(s->rows + 2) * U32 * size;
        right = right && fabs(sum - (double)db[c]) <= bound[c];
    }
    if (io->bounds) CASE(right, "bias gradient of %lld rows", (long long)s->rows);
}

/* Groups of rows from the third row on, each with a bias of its own, two of them empty: each group has the bits of a call of its own, and
 * what belongs to an empty one stays. */
static void bias_groups(const struct kernels *k, enum dtype t, struct pool *pool) {
    enum { GROUPS = 6, ROWS = 420, WIDTH = 75, STRIDE = 80 };
    static const int64_t off[GROUPS + 1] = {3, 3, 10, 11, 11, 300, ROWS};
    struct io io = {.seed = 12};
    const int64_t bytes = dtype_bytes(t);
    char *x = io_normal(&io, t, ROWS * STRIDE, 1), *alone = io_copy(&io, x, ROWS * STRIDE * bytes);
    const char *bias = io_normal(&io, t, GROUPS * WIDTH, 1);
    float *db = io_normal(&io, DT_F32, GROUPS * WIDTH, 1), *db_alone = io_copy(&io, db, GROUPS * WIDTH * 4L);
    const void *biases[GROUPS];
    float *dbs[GROUPS];
    for (int64_t g = 0; g < GROUPS; g++) {
        biases[g] = bias + g * WIDTH * bytes;
        dbs[g] = db + g * WIDTH;
    }
    const struct bias_args a = {
        .act = t, .width = WIDTH, .stride = STRIDE, .x = x, .groups = GROUPS, .row_off = off, .biases = biases, .dbs_acc = dbs};
    k->bias_forward(pool, &a);
    k->bias_backward(pool, &a);
    for (int64_t g = 0; g < GROUPS; g++) {
        const struct bias_args one = {.act = t,
                                      .rows = off[g + 1] - off[g],
                                      .width = WIDTH,
                                      .stride = STRIDE,
                                      .x = alone + off[g] * STRIDE * bytes,
                                      .bias = biases[g],
                                      .db_acc = db_alone + g * WIDTH};
        k->bias_forward(NULL, &one);
        k->bias_backward(NULL, &one);
    }
    CASE(memcmp(x, alone, (size_t)(ROWS * STRIDE * bytes)) == 0, "%s %s: groups have the biases of their own", k->isa, dtype_name(t));
    CASE(memcmp(db, db_alone, sizeof *db * GROUPS * WIDTH) == 0, "%s %s: groups have the gradients of their own", k->isa, dtype_name(t));
    io_end(&io);
}

static void clamp_forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->width + s->gap, n = s->rows * stride;
    void *x = io_normal(io, s->t, n, 1);
    if (n > 4) put(s->t, x, 3, NAN);
    io->k->clamp_forward(io->pool, &(struct clamp_args){.act = s->t, .rows = s->rows, .width = s->width, .stride = stride, .y = x, .limit = 0.77f});
    (void)io_out(io, "x", s->t, x, n);
}

static void clamp_backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    int64_t stride = s->width + s->gap, n = s->rows * stride;
    void *x = io_normal(io, s->t, n, 1), *dy = io_normal(io, s->t, n, 1), *was = io_copy(io, dy, n * dtype_bytes(s->t));
    float limit = 0.77f, held = s->t == DT_BF16 ? bf16_to_f32(bf16_of_f32(limit)) : limit;
    if (n > 4) {
        put(s->t, x, 0, held);
        put(s->t, x, 1, -held);
    }
    io->k->clamp_backward(
        io->pool,
        &(struct clamp_args){.act = s->t, .rows = s->rows, .width = s->width, .stride = stride, .x = x, .x_stride = stride, .y = dy, .limit = limit});
    (void)io_out(io, "dy", s->t, dy, n);
    bool right = true; /* the slope of the clamp is 1 inside, limits included, and 0 outside */
    for (int64_t i = 0; i < n; i++) {
        bool inside = i % stride >= s->width || fabs(get(s->t, x, i)) <= (double)held;
        right = right && get(s->t, dy, i) == (inside ? get(s->t, was, i) : 0);
    }
    if (io->bounds) CASE(right, "slope of the clamp over %lld rows", (long long)s->rows);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 0, 0, 0},    {1, 1, 0, 0, 1},    {7, 17, 3, 0, 2},
                                          {300, 64, 0, 0, 1}, {33, 131, 5, 0, 0}, {3, 20011, 0, 0, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            hold("add", add, &s);
            hold("bias forward", bias_forward, &s);
            hold("bias backward", bias_backward, &s);
            hold("clamp forward", clamp_forward, &s);
            hold("clamp backward", clamp_backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    const int n = kernel_sets(sets);
    struct pool *pool;
    kernels_reference(&sets[n]);
    NEED(pool_new(3, &pool));
    for (int i = 0; i <= n; i++)
        for (int t = 0; t < 2; t++) bias_groups(&sets[i], t ? DT_BF16 : DT_F32, pool);
    pool_free(pool);
    return test_end();
}
