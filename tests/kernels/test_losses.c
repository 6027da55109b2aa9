/* Numbers of tokens and their losses: the same bits from every set, parts joined are the whole, and sums go on from call to call. */
#include "kernel_test.h"

struct shape {
    int64_t rows;
    int parts;
};

static void fresh(struct io *io, const void *shape) {
    const struct shape *s = shape;
    float *m = io_normal(io, DT_F32, 3 * s->rows, 1);
    io->k->fold_init(io->pool, &(struct fold_init_args){.rows = s->rows, .m = m, .z = m + s->rows, .yt = m + 2 * s->rows});
    (void)io_out(io, "numbers", DT_F32, m, 3 * s->rows);
}

/* Parts (m, z, yt); some without a column, some not a number. */
static float *parts_of(struct io *io, const struct shape *s) {
    float *p = io_normal(io, DT_F32, s->parts * 3 * s->rows, 3);
    for (int k = 0; k < s->parts; k++)
        for (int64_t i = 0; i < s->rows; i++) {
            float *m = p + 3 * s->rows * k + i, *z = m + s->rows, *yt = z + s->rows;
            *z = 1 + fabsf(*z);
            if ((i + k) % 5 == 2 || i % 11 == 10) {
                *m = -INFINITY;
                *z = *yt = 0;
            }
            if (i % 17 == 16 && k == 1) *z = NAN;
        }
    return p;
}

static void joined(struct io *io, const void *shape) {
    const struct shape *s = shape;
    float *from = parts_of(io, s), *m = io_normal(io, DT_F32, 3 * s->rows, 1), *z = m + s->rows, *yt = z + s->rows;
    io->k->fold_join(io->pool, &(struct fold_join_args){.rows = s->rows, .parts = s->parts, .from = from, .m = m, .z = z, .yt = yt});
    (void)io_out(io, "numbers", DT_F32, m, 3 * s->rows);
    if (!io->bounds) return;
    bool right = true;
    for (int64_t i = 0; i < s->rows; i++) {
        double most = -INFINITY, sum = 0, target = 0, size = 0;
        for (int k = 0; k < s->parts; k++) most = fmax(most, (double)from[3 * s->rows * k + i]);
        for (int k = 0; k < s->parts; k++) {
            const float *p = from + 3 * s->rows * k + i;
            if (p[s->rows] != 0) sum += p[s->rows] * exp(p[0] - most);
            target += p[2 * s->rows];
            size += fabs(p[2 * s->rows]);
        }
        /* a difference, its exponential (1 ulp of it, and half an ulp of up to 20 in its exponent), a product and `parts` sums */
        right = right && m[i] == (float)most && (isnan(sum) ? isnan(z[i]) : fabs(z[i] - sum) <= (24 + s->parts) * 2 * U32 * sum);
        right = right && fabs(yt[i] - target) <= s->parts * U32 * size;
    }
    CASE(right, "%d parts of %lld rows are the whole", s->parts, (long long)s->rows);
}

struct losses {
    float *m, *z, *yt;
    int32_t *targets;
};

static struct losses losses_of(struct io *io, int64_t rows) {
    struct losses l = {io_normal(io, DT_F32, rows, 2), io_normal(io, DT_F32, rows, 1), io_normal(io, DT_F32, rows, 2), io_new(io, 4 * rows)};
    for (int64_t i = 0; i < rows; i++) {
        l.z[i] = 1 + fabsf(l.z[i]);
        l.targets[i] = i % 7 == 3 ? -1 : (int32_t)i;
    }
    return l;
}

/* In two calls, the second of which goes on from the first. */
static void summed(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const struct losses l = losses_of(io, s->rows);
    const int64_t cut = s->rows / 3;
    double *sum = io_new(io, 8), want = 0.25;
    int64_t *count = io_new(io, 8), targets = 5;
    *sum = want;
    *count = targets;
    for (int call = 0; call < 2; call++) {
        const int64_t at = call ? cut : 0;
        io->k->loss_sum(io->pool, &(struct loss_sum_args){.rows = call ? s->rows - cut : cut,
                                                          .m = l.m + at,
                                                          .z = l.z + at,
                                                          .yt = l.yt + at,
                                                          .targets = l.targets + at,
                                                          .sum_acc = sum,
                                                          .count_acc = count});
    }
    (void)io_out(io, "sum", DT_F64, sum, 1);
    (void)io_out(io, "count", DT_I64, count, 1);
    for (int64_t i = 0; i < s->rows; i++) {
        if (l.targets[i] < 0) continue;
        want += (double)l.m[i] + log((double)l.z[i]) - (double)l.yt[i];
        targets++;
    }
    CASE(*sum == want && *count == targets, "%s: losses of %lld tokens in order", io->k->isa, (long long)s->rows);
}

static void each(struct io *io, const void *shape) {
    const struct shape *s = shape;
    const struct losses l = losses_of(io, s->rows);
    float *out = io_normal(io, DT_F32, s->rows, 1);
    io->k->token_losses(io->pool, &(struct token_losses_args){.rows = s->rows, .m = l.m, .z = l.z, .yt = l.yt, .targets = l.targets, .each = out});
    (void)io_out(io, "losses", DT_F32, out, s->rows);
}

static void tally(struct io *io, const void *shape) {
    (void)shape;
    double *sum = io_new(io, 8), *total = io_new(io, 8);
    *sum = 0.7;
    *total = 0.1;
    for (int i = 0; i < 2; i++) io->k->loss_tally(io->pool, &(struct loss_tally_args){sum, total});
    (void)io_out(io, "total", DT_F64, total, 1);
    CASE(*total == 0.1 + 0.7 + 0.7 && *sum == 0.7, "%s: 0.1 and twice 0.7 are %.17g", io->k->isa, *total);
}

int main(void) {
    hold("loss_tally", tally, NULL);
    static const struct shape shapes[] = {{0, 2}, {1, 1}, {7, 3}, {511, 2}, {513, 4}, {4099, 2}, {9000, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        hold("fold_init", fresh, &shapes[i]);
        hold("fold_join", joined, &shapes[i]);
        hold("loss_sum", summed, &shapes[i]);
        hold("token_losses", each, &shapes[i]);
    }
    return test_end();
}
