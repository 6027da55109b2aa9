/* Heads with a shared part. Copies, and sums in the reference's order: its bits. Part of kernels/vector_set.h. */

static int64_t heads_per_task(const struct heads_args *a) { return rows_per_task(a->heads * (a->own_dim + a->shared_dim)); }

static void heads_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct heads_args *a = arg;
    const int64_t b = act_bytes(a->act), dim = a->own_dim + a->shared_dim, per = heads_per_task(a);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        const char *own = (const char *)a->own + r * a->own_stride * b, *shared = (const char *)a->shared + r * a->shared_stride * b;
        char *y = (char *)a->y + r * a->y_stride * b;
        for (int64_t h = 0; h < a->heads; h++, own += a->own_dim * b, y += dim * b) {
            memcpy(y, own, (size_t)(a->own_dim * b));
            memcpy(y + a->own_dim * b, shared, (size_t)(a->shared_dim * b));
        }
    }
}

static void heads_forward_cpu(struct pool *pool, const struct heads_args *a) {
    pool_run(pool, i64_div_up(a->rows, heads_per_task(a)), heads_forward_task, (void *)(uintptr_t)a);
}

static void heads_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct heads_args *a = arg;
    const int64_t b = act_bytes(a->act), dim = a->own_dim + a->shared_dim, per = heads_per_task(a);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        for (int64_t h = 0; h < a->heads; h++)
            memcpy((char *)a->own + (r * a->own_stride + h * a->own_dim) * b, (const char *)a->y + (r * a->y_stride + h * dim) * b,
                   (size_t)(a->own_dim * b));
        for (int64_t d = 0; d < a->shared_dim; d += L) {
            const int64_t n = a->shared_dim - d;
            vf sum = {0};
            for (int64_t h = 0; h < a->heads; h++) sum += vf_load_act(a->act, a->y, r * a->y_stride + h * dim + a->own_dim + d, n);
            vf_store_act(a->act, a->shared, r * a->shared_stride + d, n, sum);
        }
    }
}

static void heads_backward_cpu(struct pool *pool, const struct heads_args *a) {
    pool_run(pool, i64_div_up(a->rows, heads_per_task(a)), heads_backward_task, (void *)(uintptr_t)a);
}
