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
    return test_end();
}
