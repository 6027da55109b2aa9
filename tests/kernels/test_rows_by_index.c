/* Rows by index: put, summed, added; the same bits from every set, and rows that no index names stay as they are. */
#include "kernel_test.h"

struct shape {
    int64_t rows, width;
    enum dtype t;
    bool from, to; /* with a table, or the row itself */
};

/* Every row once, in a scattered order, some left out; into `rows` + 3. */
static int32_t *scattered(struct io *io, int64_t rows) {
    int32_t *at = io_new(io, 4 * rows);
    const int64_t room = rows + 3, step = room % 7 ? 7 : 11; /* prime, and no divisor for the sizes below */
    for (int64_t i = 0; i < rows; i++) at[i] = i % 9 == 4 ? -1 : (int32_t)(i * step % room);
    return at;
}

static void put_rows(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t b = s->width * dtype_bytes(s->t), room = s->rows + 3;
    const void *x = io_normal(io, s->t, room * s->width, 1);
    void *y = io_normal(io, s->t, room * s->width, 1);
    int32_t *from = io_new(io, 4 * s->rows), *to = scattered(io, s->rows);
    for (int64_t i = 0; i < s->rows; i++) from[i] = i % 13 == 12 ? -1 : (int32_t)rng_below(io->seed, 77, (uint64_t)i, room);
    io->k->rows_put(
        io->pool,
        &(struct rows_put_args){
            .rows = s->rows, .bytes = b, .from = s->from ? from : NULL, .to = s->to ? to : NULL, .x_rows = room, .y_rows = room, .x = x, .y = y});
    (void)io_out(io, "y", s->t, y, room * s->width);
    if (!io->bounds) return;
    bool right = true;
    for (int64_t i = 0; i < s->rows; i++) {
        const int64_t f = s->from ? from[i] : i, t = s->to ? to[i] : i;
        if (f >= 0 && t >= 0) right = right && memcmp((char *)y + t * b, (const char *)x + f * b, (size_t)b) == 0;
    }
    CASE(right, "%lld rows of %lld are where they belong", (long long)s->rows, (long long)s->width);
}

static void sum_rows(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t tokens = 4 * s->rows;
    const void *x = io_normal(io, s->t, (tokens + 1) * s->width, 1);
    float *y = io_normal(io, DT_F32, (s->rows + 1) * s->width, 1);
    int32_t *first = io_new(io, 4 * (s->rows + 1)), *token = io_new(io, 4 * tokens);
    for (int64_t r = 0; r < s->rows; r++) first[r + 1] = first[r] + (int32_t)(r % 3 == 1 ? 0 : rng_below(io->seed, 78, (uint64_t)r, 5));
    for (int64_t i = 0; i < tokens; i++) token[i] = (int32_t)rng_below(io->seed, 79, (uint64_t)i, tokens + 1);
    io->k->rows_sum(
        io->pool,
        &(struct rows_sum_args){
            .act = s->t, .rows = s->rows, .width = s->width, .tokens = tokens, .first = first, .token = token, .x_rows = tokens + 1, .x = x, .y = y});
    (void)io_out(io, "y", DT_F32, y, (s->rows + 1) * s->width);
}

static void add_rows(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const int64_t room = s->rows + 3;
    const float *x = io_normal(io, DT_F32, s->rows * s->width, 1);
    float *y = io_normal(io, DT_F32, room * s->width, 1);
    io->k->rows_accumulate(io->pool,
                           &(struct rows_accumulate_args){
                               .rows = s->rows, .width = s->width, .to = s->to ? scattered(io, s->rows) : NULL, .y_rows = room, .x = x, .y_acc = y});
    (void)io_out(io, "y", DT_F32, y, room * s->width);
}

int main(void) {
    static const int64_t sizes[][2] = {{0, 8}, {1, 1}, {13, 17}, {64, 64}, {301, 33}, {40, 515}, {2, 20011}, {1003, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int how = 0; how < 8; how++) {
            const struct shape s = {sizes[i][0], sizes[i][1], how & 1 ? DT_BF16 : DT_F32, how & 2, how & 4};
            hold("put", put_rows, &s);
            if (!s.from && !s.to) hold("sum", sum_rows, &s);
            if (!s.from && s.t == DT_F32) hold("add", add_rows, &s);
        }
    return test_end();
}
