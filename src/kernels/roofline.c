#include "kernels/roofline.h"

#include "base/num.h"
#include "base/os.h"

enum { SIDE = 1024, COPY_BYTES = 128 << 20, COPY_PART = 1 << 20, AT_LEAST = 3 };

void roofline_numbers(enum dtype t, void *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)((i * 2654435761) >> 7 & 1023) / 512.0f - 1.0f;
        if (t == DT_BF16) ((bf16 *)p)[i] = bf16_of_f32(x);
        else ((float *)p)[i] = x;
    }
}

int64_t roofline_shortest_ns(void (*once)(void *arg, int i), void *arg, int64_t budget_ns) {
    int64_t shortest = INT64_MAX;
    const int64_t begin = os_now_ns();
    for (int i = 0; i < AT_LEAST || os_now_ns() - begin < budget_ns; i++) {
        const int64_t start = os_now_ns();
        once(arg, i);
        shortest = i64_min(shortest, os_now_ns() - start);
    }
    return i64_max(1, shortest);
}

struct product {
    const struct kernels *k;
    struct pool *pool;
    enum dtype act;
    struct matmul_args args;
};

static void multiply(void *arg, int i) {
    struct product *p = arg;
    p->args.kind = (enum matmul_kind)(i % 3);
    p->args.c_dtype = p->args.kind == MATMUL_TN ? DT_F32 : p->act; /* as the rooms do */
    p->k->matmul(p->pool, &p->args);
}

err_t roofline_matmul(const struct kernels *k, struct pool *pool, enum dtype act, int64_t budget_ns, double *flops) {
    const int64_t n = (int64_t)SIDE * SIDE, one = n * dtype_bytes(act);
    const size_t all = (size_t)(2 * one + n * dtype_bytes(DT_F32));
    void *memory;
    TRY(os_reserve(all, "the measurement of the matrix product", &memory));
    char *at = memory;
    struct product p = {k, pool, act, {0}};
    p.args = (struct matmul_args){.groups = 1,
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
    roofline_numbers(act, at, 2 * n);
    *flops = 2e9 * SIDE * SIDE * SIDE / (double)roofline_shortest_ns(multiply, &p, budget_ns);
    os_release(memory, all);
    return OK;
}

struct copy {
    struct pool *pool;
    char *memory;
};

static void copy_part(void *arg, int64_t i, int worker) {
    (void)worker;
    char *p = arg;
    memcpy(p + COPY_BYTES + i * COPY_PART, p + i * COPY_PART, COPY_PART);
}

static void copy(void *arg, int i) {
    (void)i;
    const struct copy *c = arg;
    pool_run(c->pool, COPY_BYTES / COPY_PART, copy_part, c->memory);
}

err_t roofline_copy(struct pool *pool, int64_t budget_ns, double *bytes) {
    const size_t all = 2 * (size_t)COPY_BYTES;
    void *memory;
    TRY(os_reserve(all, "the measurement of a copy", &memory));
    memset(memory, 1, all); /* pages that were never written are one page of zeros */
    struct copy c = {pool, memory};
    *bytes = (double)all * 1e9 / (double)roofline_shortest_ns(copy, &c, budget_ns);
    os_release(memory, all);
    return OK;
}

double roofline_seconds(struct cost cost, double flops, double bytes) {
    const double compute = flops > 0 ? cost.flops / flops : 0, move = bytes > 0 ? cost.bytes / bytes : 0;
    return compute > move ? compute : move;
}
