/* Problems for the matrix product: operands with gaps between rows, rows that belong to no group, and every byte
 * that must not be read a NaN, every byte that must not be written a mark. */
#ifndef MOP_TESTS_KERNELS_MATMUL_TEST_H
#define MOP_TESTS_KERNELS_MATMUL_TEST_H

#include "kernel_test.h"

enum { GROUPS_MAX = 8, LEVELS = 5, GAP = 3, OUTSIDE = 2, MARK = 0x5a };

struct problem {
    enum matmul_kind kind;
    int64_t m, n, k; /* NT, NN: n, k; TN: m, n */
    int groups;
    int64_t rows[GROUPS_MAX]; /* of each group */
    enum dtype a, b, c;
    bool accumulate;
};

/* A problem's memory. C's groups in TN, and B's otherwise, lie one after the other. */
struct data {
    struct matmul_args args;
    int64_t row_off[GROUPS_MAX + 1];
    const void *bs[GROUPS_MAX];
    void *cs[GROUPS_MAX];
    void *a, *b, *c;
    int64_t c_rows; /* all of them, marks around too */
};

static inline void *fill(int64_t rows, int64_t cols, int64_t ld, enum dtype t, int64_t skip, uint64_t stream) {
    char *p = calloc(1, (size_t)(rows * ld * dtype_bytes(t) + 64));
    if (!p) exit(3);
    for (int64_t r = 0; r < rows; r++) {
        bool used = r >= skip && r < rows - skip;
        for (int64_t c = 0; c < ld; c++) put(t, p, r * ld + c, used && c < cols ? rng_normal(5, stream, (uint64_t)(r * cols + c)) : (double)NAN);
    }
    return p;
}

static inline void data_new(const struct problem *p, struct data *d) {
    memset(d, 0, sizeof *d);
    bool tn = p->kind == MATMUL_TN;
    int64_t total = OUTSIDE;
    for (int g = 0; g < p->groups; g++) {
        d->row_off[g] = total;
        total += p->rows[g];
    }
    d->row_off[p->groups] = total;
    total += OUTSIDE;
    int64_t a_cols = tn ? p->m : p->k, b_rows = p->kind == MATMUL_NT ? p->n : p->k, b_cols = p->kind == MATMUL_NT ? p->k : p->n;
    int64_t lda = a_cols + GAP, ldb = b_cols + GAP, ldc = p->n + GAP;
    d->a = fill(total, a_cols, lda, p->a, OUTSIDE, 1);
    d->b = tn ? fill(total, p->n, ldb, p->b, OUTSIDE, 2) : fill(b_rows * p->groups, b_cols, ldb, p->b, 0, 2);
    d->c_rows = tn ? p->m * p->groups + 2 * OUTSIDE : total;
    size_t c_bytes = (size_t)(d->c_rows * ldc * dtype_bytes(p->c));
    d->c = malloc(c_bytes + 64);
    if (!d->c) exit(3);
    memset(d->c, MARK, c_bytes);
    for (int64_t r = OUTSIDE; p->accumulate && r < d->c_rows - OUTSIDE; r++)
        for (int64_t c = 0; c < p->n; c++) put(p->c, d->c, r * ldc + c, rng_normal(5, 3, (uint64_t)(r * p->n + c)));
    for (int g = 0; g < p->groups; g++) {
        d->bs[g] = (char *)d->b + g * b_rows * ldb * dtype_bytes(p->b);
        d->cs[g] = (char *)d->c + (OUTSIDE + g * p->m) * ldc * dtype_bytes(p->c);
    }
    d->args = (struct matmul_args){.kind = p->kind,
                                   .groups = p->groups,
                                   .row_off = d->row_off,
                                   .m = p->m,
                                   .n = p->n,
                                   .k = p->k,
                                   .a = d->a,
                                   .lda = lda,
                                   .b = d->b,
                                   .bs = tn ? NULL : d->bs,
                                   .ldb = ldb,
                                   .c = d->c,
                                   .cs = tn ? d->cs : NULL,
                                   .ldc = ldc,
                                   .a_dtype = p->a,
                                   .b_dtype = p->b,
                                   .c_dtype = p->c,
                                   .accumulate = p->accumulate};
}

static inline void data_free(struct data *d) {
    free(d->a);
    free(d->b);
    free(d->c);
}

static inline int64_t data_c_bytes(const struct data *d) { return d->c_rows * d->args.ldc * dtype_bytes(d->args.c_dtype); }

/* The sets, by name, that this CPU has. */
static inline int matmul_sets(struct kernels out[LEVELS]) {
    static const char *const names[LEVELS] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};
    int n = 0;
    for (int i = 0; i < LEVELS; i++) {
        if (kernels_cpu(names[i], &out[n]) == OK) n++;
        else test_skip(names[i]);
    }
    return n;
}

static const char *const kind_names[] = {"NT", "NN", "TN"};

#endif
