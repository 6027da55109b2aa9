#include "kernels/kernels_int.h"

/* The only rounding to C's type; what was there is added to the finished sum. */
static void store(const struct matmul_args *a, void *c, int64_t i, float sum) {
    if (a->accumulate) ((float *)c)[i] += sum;
    else act_store(a->c_dtype, c, i, sum);
}

/* A row r of NT or NN times its group's B. */
static void row_times_b(const struct matmul_args *a, int64_t r, const void *b) {
    bool nt = a->kind == MATMUL_NT;
    for (int64_t j = 0; j < a->n; j++) {
        float sum = 0;
        for (int64_t k = 0; k < a->k; k++)
            sum += act_load(a->a_dtype, a->a, r * a->lda + k) * act_load(a->b_dtype, b, nt ? j * a->ldb + k : k * a->ldb + j);
        store(a, a->c, r * a->ldc + j, sum);
    }
}

static void sum_over_rows(const struct matmul_args *a, int64_t begin, int64_t end, void *c) {
    for (int64_t i = 0; i < a->m; i++) {
        for (int64_t j = 0; j < a->n; j++) {
            float sum = 0;
            for (int64_t r = begin; r < end; r++) sum += act_load(a->a_dtype, a->a, r * a->lda + i) * act_load(a->b_dtype, a->b, r * a->ldb + j);
            store(a, c, i * a->ldc + j, sum);
        }
    }
}

void matmul_ref(struct pool *pool, const struct matmul_args *a) {
    (void)pool;
    for (int g = 0; g < a->groups; g++) {
        int64_t begin = a->row_off ? a->row_off[g] : 0;
        int64_t end = a->row_off ? a->row_off[g + 1] : a->rows;
        if (a->kind == MATMUL_TN) {
            if (begin == end && a->accumulate) continue;
            sum_over_rows(a, begin, end, a->cs ? a->cs[g] : a->c);
        } else {
            for (int64_t r = begin; r < end; r++) row_times_b(a, r, a->bs ? a->bs[g] : a->b);
        }
    }
}
