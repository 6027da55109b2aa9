#include "kernels/roofline.h"

#include "base/num.h"
#include "base/os.h"

enum { SIDE = 1024, COPY_BYTES = 128 << 20, COPY_PART = 1 << 20, AT_LEAST = 3 };

/* Numbers of ordinary size, without the cost of random ones: what is multiplied does not change the time, unless it were all zero. */
static void fill(enum dtype t, void *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)((i * 2654435761) >> 7 & 1023) / 512.0f - 1.0f;
        if (t == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32(x);
        else ((float *)p)[i] = x;
    }
}

err_t roofline_matmul(const struct kernels *k, struct pool *pool, enum dtype act, int64_t budget_ns, double *flops) {
    const int64_t n = (int64_t)SIDE * SIDE, one = n * dtype_bytes(act);
    const size_t all = (size_t)(2 * one + n * dtype_bytes(DT_F32));
    void *memory;
    TRY(os_reserve(all, "the measurement of the matrix product", &memory));
    char *at = memory;
    struct matmul_args a = {.groups = 1,
                            .rows = SIDE,
                            .m = SIDE,
                            .n = SIDE,
                            .k = SIDE,
                            .a = at,
                            .lda = SIDE,
                            .b = at + one,
                            .ldb = SIDE,
                            .c = at + 2 * one,
                            .ldc = SIDE,
                            .a_dtype = act,
                            .b_dtype = act};
    fill(act, at, n);
    fill(act, at + one, n);
    double best = 0;
    const int64_t begin = os_now_ns();
    for (int i = 0; i < AT_LEAST || os_now_ns() - begin < budget_ns; i++) {
        a.kind = (enum matmul_kind)(i % 3);
        a.c_dtype = a.kind == MATMUL_TN ? DT_F32 : act; /* as the rooms do */
        const int64_t start = os_now_ns();
        k->matmul(pool, &a);
        const double rate = 2.0 * SIDE * SIDE * SIDE / ((double)i64_max(1, os_now_ns() - start) / 1e9);
        best = rate > best ? rate : best;
    }
    os_release(memory, all);
    *flops = best;
    return OK;
}

static void copy_part(void *arg, int64_t i, int worker) {
    (void)worker;
    char *p = arg;
    memcpy(p + COPY_BYTES + i * COPY_PART, p + i * COPY_PART, COPY_PART);
}

err_t roofline_copy(struct pool *pool, int64_t budget_ns, double *bytes) {
    const size_t all = 2 * (size_t)COPY_BYTES;
    void *memory;
    TRY(os_reserve(all, "the measurement of a copy", &memory));
    memset(memory, 1, all); /* pages that were never written are one page of zeros */
    double best = 0;
    const int64_t begin = os_now_ns();
    for (int i = 0; i < AT_LEAST || os_now_ns() - begin < budget_ns; i++) {
        const int64_t start = os_now_ns();
        pool_run(pool, COPY_BYTES / COPY_PART, copy_part, memory);
        const double rate = (double)all / ((double)i64_max(1, os_now_ns() - start) / 1e9);
        best = rate > best ? rate : best;
    }
    os_release(memory, all);
    *bytes = best;
    return OK;
}

double roofline_seconds(struct cost cost, double flops, double bytes) {
    const double compute = flops > 0 ? cost.flops / flops : 0, move = bytes > 0 ? cost.bytes / bytes : 0;
    return compute > move ? compute : move;
}
