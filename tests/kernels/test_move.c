/* Copies, conversions and additions of rows: the same bits from every set, whatever the strides, and nothing between rows is touched. */
#include "kernel_test.h"

struct shape {
    int64_t rows, width, from_gap, to_gap;
    enum dtype from, to;
};

static const struct shape shapes[] = {{0, 5, 0, 0, 0, 0},      {1, 1, 3, 2, 0, 0},     {7, 13, 0, 0, 0, 0},
                                      {31, 64, 5, 9, 0, 0},    {4, 0, 1, 1, 0, 0},     {1, 70001, 0, 0, 0, 0},
                                      {3, 33001, 2, 17, 0, 0}, {1003, 8, 24, 0, 0, 0}, {257, 1, 1, 2, 0, 0}};

static void copied(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t b = dtype_bytes(s->from), from = s->width + s->from_gap, to = s->width + s->to_gap;
    const void *x = io_normal(io, s->from, s->rows * from, 1);
    void *y = io_normal(io, s->from, s->rows * to, 1);
    io->k->copy_rows(
        io->pool, &(struct copy_rows_args){.rows = s->rows, .bytes = s->width * b, .from = x, .from_stride = from * b, .to = y, .to_stride = to * b});
    (void)io_out(io, "to", s->from, y, s->rows * to);
}

static void converted(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t from = s->width + s->from_gap, to = s->width + s->to_gap;
    void *x = io_normal(io, s->from, s->rows * from, 1), *y = io_normal(io, s->to, s->rows * to, 1);
    if (s->rows * from > 0) put(s->from, x, 0, NAN);
    io->k->convert(
        io->pool,
        &(struct convert_args){
            .rows = s->rows, .width = s->width, .from_type = s->from, .from = x, .from_stride = from, .to_type = s->to, .to = y, .to_stride = to});
    (void)io_out(io, "to", s->to, y, s->rows * to);
    if (!io->bounds) return;
    bool rounded = true;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) {
            const double want = get(s->from, x, r * from + c), got = get(s->to, y, r * to + c);
            rounded = rounded && (isnan(want) ? isnan(got) : fabs(got - want) <= U16 * fabs(want));
        }
    CASE(rounded, "%s to %s: every number is within a rounding", dtype_name(s->from), dtype_name(s->to));
}

static void accumulated(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t from = s->width + s->from_gap, to = s->width + s->to_gap;
    const void *x = io_normal(io, s->from, s->rows * from, 1);
    float *y = io_normal(io, DT_F32, s->rows * to, 1);
    io->k->accumulate(io->pool,
                      &(struct accumulate_args){
                          .rows = s->rows, .width = s->width, .from_type = s->from, .from = x, .from_stride = from, .to_acc = y, .to_stride = to});
    (void)io_out(io, "to", DT_F32, y, s->rows * to);
}

int main(void) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 4; t++) {
            struct shape s = shapes[i];
            s.from = t & 1 ? DT_BF16 : DT_F32;
            s.to = t & 2 ? DT_BF16 : DT_F32;
            hold("convert", converted, &s);
            if (t & 2) continue;
            hold("copy", copied, &s);
            hold("accumulate", accumulated, &s);
        }
    return test_end();
}
