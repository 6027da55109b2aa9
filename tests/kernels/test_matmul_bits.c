/* What the matrix product promises bit for bit: a row is the same whatever is computed beside it, a sum over
 * rows whatever the threads and the other groups; and what follows from one rounding and one addition at the end. */
#include "matmul_test.h"

static bool same_bytes(const void *a, const void *b, int64_t n) { return memcmp(a, b, (size_t)n) == 0; }

/* C of a problem, whole, by this many threads. */
static void *product(const struct kernels *k, struct pool *pool, struct data *d) {
    int64_t bytes = data_c_bytes(d);
    void *c = malloc((size_t)bytes + 1);
    if (!c) exit(3);
    memset(d->c, MARK, (size_t)bytes);
    k->matmul(pool, &d->args);
    memcpy(c, d->c, (size_t)bytes);
    return c;
}

static void threads(const struct kernels *k, struct pool *pools[POOLS], const struct problem *p, struct data *d) {
    void *alone = product(k, NULL, d);
    for (int t = 0; t < POOLS; t++) {
        void *c = product(k, pools[t], d);
        CASE(same_bytes(alone, c, data_c_bytes(d)), "%s %s %s: other bits with %d threads", k->isa, kind_names[p->kind], dtype_name(p->a),
             pool_sizes[t]);
        free(c);
    }
    free(alone);
}

/* Every way of cutting the rows gives each row the bits that it has among all. */
static void rows_alone(const struct kernels *k, struct pool *pool, const struct problem *p) {
    static const int64_t sizes[] = {1, 3, 16, 33, 100};
    struct data d;
    data_new(p, &d);
    void *all = product(k, pool, &d);
    int64_t rows = d.row_off[1] - d.row_off[0], c_row = d.args.ldc * dtype_bytes(p->c), a_row = d.args.lda * dtype_bytes(p->a);
    struct matmul_args part = d.args;
    part.row_off = NULL;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        memset(d.c, MARK, (size_t)data_c_bytes(&d));
        for (int64_t r = OUTSIDE; r < OUTSIDE + rows; r += sizes[s]) {
            part.rows = i64_min(sizes[s], OUTSIDE + rows - r);
            part.a = (char *)d.a + r * a_row;
            part.c = (char *)d.c + r * c_row;
            k->matmul(pool, &part);
        }
        CASE(same_bytes(all, d.c, data_c_bytes(&d)), "%s %s %s: other bits %d rows at a time", k->isa, kind_names[p->kind], dtype_name(p->a),
             (int)sizes[s]);
    }
    /* groups that all have the same B */
    const int64_t cuts[] = {OUTSIDE, OUTSIDE, OUTSIDE + 1, OUTSIDE + 6, OUTSIDE + 6, OUTSIDE + 90, OUTSIDE + rows};
    const void *bs[6] = {d.b, d.b, d.b, d.b, d.b, d.b};
    part = d.args;
    part.groups = 6;
    part.row_off = cuts;
    part.bs = bs;
    memset(d.c, MARK, (size_t)data_c_bytes(&d));
    k->matmul(pool, &part);
    CASE(same_bytes(all, d.c, data_c_bytes(&d)), "%s %s %s: other bits in groups", k->isa, kind_names[p->kind], dtype_name(p->a));
    free(all);
    data_free(&d);
}

/* A group's sum is that of the group alone. */
static void groups_alone(const struct kernels *k, struct pool *pool, const struct problem *p) {
    struct data d;
    data_new(p, &d);
    void *all = product(k, pool, &d);
    memset(d.c, MARK, (size_t)data_c_bytes(&d));
    for (int g = 0; g < p->groups; g++) {
        struct matmul_args one = d.args;
        one.groups = 1;
        one.row_off = NULL;
        one.cs = NULL;
        one.rows = p->rows[g];
        one.a = (char *)d.a + d.row_off[g] * d.args.lda * dtype_bytes(p->a);
        one.b = (char *)d.b + d.row_off[g] * d.args.ldb * dtype_bytes(p->b);
        one.c = d.cs[g];
        k->matmul(pool, &one);
    }
    CASE(same_bytes(all, d.c, data_c_bytes(&d)), "%s TN %s: other bits group by group", k->isa, dtype_name(p->a));
    free(all);
    data_free(&d);
}

/* BF16 results are the fp32 results rounded; accumulating adds the fp32 result; a mixed pair is the same as
 * both in fp32, where the same engine takes it. */
static void one_rounding(const struct kernels *k, struct pool *pool, struct problem p) {
    struct data d, other;
    data_new(&p, &d);
    float *sums = product(k, pool, &d);
    int64_t ld = d.args.ldc;
    p.c = DT_BF16;
    data_new(&p, &other);
    other.args.a = d.a;
    other.args.b = d.b;
    if (!other.args.cs) memcpy(other.bs, d.bs, sizeof d.bs);
    bf16 *rounded = product(k, pool, &other);
    p.c = DT_F32;
    p.accumulate = true;
    struct data more;
    data_new(&p, &more);
    float *old = malloc((size_t)data_c_bytes(&more));
    if (!old) exit(3);
    memcpy(old, more.c, (size_t)data_c_bytes(&more));
    k->matmul(pool, &more.args);
    int64_t wrong_round = 0, wrong_sum = 0;
    for (int64_t r = OUTSIDE; r < d.c_rows - OUTSIDE; r++) {
        for (int64_t j = 0; j < p.n; j++) {
            float sum = sums[r * ld + j] + old[r * ld + j];
            wrong_round += rounded[r * ld + j] != bf16_of_f32(sums[r * ld + j]);
            wrong_sum += bits_of_f32(((float *)more.c)[r * ld + j]) != bits_of_f32(sum);
        }
    }
    CASE(wrong_round == 0, "%s %s %s: %lld BF16 results are not the fp32 results rounded", k->isa, kind_names[p.kind], dtype_name(p.a),
         (long long)wrong_round);
    CASE(wrong_sum == 0, "%s %s %s: %lld sums are not old + product", k->isa, kind_names[p.kind], dtype_name(p.a), (long long)wrong_sum);
    free(old);
    free(sums);
    free(rounded);
    data_free(&d);
    data_free(&other);
    data_free(&more);
}

static void mixed(const struct kernels *k, struct pool *pool, struct problem p) {
    struct data narrow, wide;
    p.a = DT_BF16;
    p.b = DT_F32;
    data_new(&p, &narrow);
    p.a = DT_F32;
    data_new(&p, &wide);
    int64_t cells = (narrow.row_off[p.groups] + OUTSIDE) * narrow.args.lda;
    for (int64_t i = 0; i < cells; i++) put(DT_F32, wide.a, i, get(DT_BF16, narrow.a, i));
    void *x = product(k, pool, &narrow), *y = product(k, pool, &wide);
    CASE(same_bytes(x, y, data_c_bytes(&wide)), "%s %s: BF16 times F32 is not the product of what it widens to", k->isa, kind_names[p.kind]);
    free(x);
    free(y);
    data_free(&narrow);
    data_free(&wide);
}

int main(void) {
    struct kernels sets[LEVELS];
    struct pool *pools[POOLS];
    int count = matmul_sets(sets);
    for (int t = 0; t < POOLS; t++) NEED(pool_new(pool_sizes[t], &pools[t]));
    for (int s = 0; s < count; s++) {
        for (int kind = MATMUL_NT; kind <= MATMUL_TN; kind++) {
            for (int t = 0; t < 2; t++) {
                enum dtype type = t ? DT_BF16 : DT_F32;
                bool tn = kind == MATMUL_TN;
                /* more than one block of rows, of columns and of k; and k a multiple of nothing, or within a block */
                struct problem p = {(enum matmul_kind)kind, 391, 290, 555, 1, {tn ? 1111 : 391}, type, type, DT_F32, false};
                struct problem small = {(enum matmul_kind)kind, 35, 290, 45, 3, {tn ? 45 : 130, 0, 17}, type, type, DT_F32, false};
                struct data d;
                data_new(&p, &d);
                threads(&sets[s], pools, &p, &d);
                data_free(&d);
                data_new(&small, &d);
                threads(&sets[s], pools, &small, &d);
                data_free(&d);
                if (tn) {
                    p.groups = small.groups = 4;
                    memcpy(p.rows, (const int64_t[4]){5, 700, 0, 33}, 4 * sizeof(int64_t));
                    groups_alone(&sets[s], pools[1], &p);
                    groups_alone(&sets[s], pools[1], &small);
                } else {
                    rows_alone(&sets[s], pools[1], &p);
                    p.k = 45;
                    p.c = DT_BF16;
                    rows_alone(&sets[s], pools[1], &p);
                }
                one_rounding(&sets[s], pools[1], small);
                if (!t) mixed(&sets[s], pools[1], small);
            }
        }
    }
    for (int t = 0; t < POOLS; t++) pool_free(pools[t]);
    return test_end();
}
