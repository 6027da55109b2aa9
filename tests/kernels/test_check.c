/* The checker that mop doctor is made of passes every set that this CPU has, and finds a kernel that computes something else, one
 * whose result hangs on the number of threads, and a matrix product whose rows hang on their neighbours. */
#include "kernels/check.h"
#include "kernels/kernels.h"
#include "tests/test.h"

static int not_equal(const struct check_result r[KERNEL_COUNT]) {
    int n = 0;
    for (int op = 0; op < KERNEL_COUNT; op++) n += r[op].verdict != CHECK_EQUAL;
    return n;
}

/* One part in 2^10 too much in one element: beyond fp32's bound. */
static void wrong_add(struct pool *pool, const struct add_args *a) {
    add_ref(pool, a);
    if (a->act == DT_F32) ((float *)a->y)[7] *= 1 + 0x1p-10f;
    else ((uint16_t *)a->y)[7] ^= 8;
}

static void wrong_copy(struct pool *pool, const struct rows_gather_args *a) {
    rows_gather_ref(pool, a);
    ((uint16_t *)a->y)[0] ^= 1;
}

static void wrong_nan(struct pool *pool, const struct sumsq_args *a) {
    sumsq_ref(pool, a);
    *a->out = *a->out - *a->out;
    *a->out /= *a->out;
}

static void wrong_lse(struct pool *pool, const struct attention_args *a) {
    attention_forward_ref(pool, a);
    if (pool_threads(pool) > 1) a->lse[3] += 1e-6f * (a->lse[3] + 1);
}

static void wrong_rows(struct pool *pool, const struct matmul_args *a) {
    matmul_ref(pool, a);
    if (!a->row_off && a->rows > 1 && a->c_dtype == DT_F32) ((float *)a->c)[5] += 1e-6f;
}

int main(void) {
    static const char *const names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};
    static const enum dtype acts[] = {DT_F32, DT_BF16};
    struct check_result r[KERNEL_COUNT];
    struct kernels k;
    struct pool *pool;
    NEED(pool_new(3, &pool));
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < 5; i++) {
            if (kernels_cpu(names[i], &k) != OK) {
                test_skip(names[i]);
                continue;
            }
            NEED(kernels_check(&k, pool, acts[t], r));
            for (int op = 0; op < KERNEL_COUNT; op++)
                CASE(r[op].verdict == CHECK_EQUAL, "%s %s %s: %s[%lld] is %.9g, not %.9g within %.3g (verdict %d)", names[i], dtype_name(acts[t]),
                     kernel_names[op], r[op].what, (long long)r[op].at, r[op].got, r[op].want, r[op].bound, (int)r[op].verdict);
        }
        kernels_reference(&k);
        k.add = wrong_add;
        k.rows_gather = wrong_copy;
        k.sumsq = wrong_nan;
        k.attention_forward = wrong_lse;
        k.matmul = wrong_rows;
        NEED(kernels_check(&k, pool, acts[t], r));
        CASE(r[KERNEL_add].verdict == CHECK_FAR && r[KERNEL_add].at == 7, "a sum that is off is found, at its element");
        CASE(r[KERNEL_rows_gather].verdict == CHECK_FAR && r[KERNEL_rows_gather].at == 0, "a copy of other bits is found");
        CASE(r[KERNEL_sumsq].verdict == CHECK_FAR, "a NaN is found");
        CASE(r[KERNEL_attention_forward].verdict == CHECK_THREADS && r[KERNEL_attention_forward].at == 3, "what hangs on threads is found");
        CASE(r[KERNEL_matmul].verdict == CHECK_ROWS && r[KERNEL_matmul].at == 5, "a row that hangs on its neighbours is found");
        CASE(not_equal(r) == 5, "and nothing else is called wrong");
    }
    pool_free(pool);
    return test_end();
}
