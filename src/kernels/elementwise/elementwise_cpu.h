/* Element-wise passes over vectors. Part of kernels/vector_set.h. */

enum { ADD_BLOCK = 16384 };

static void add_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct add_args *a = arg;
    int64_t end = i64_min(a->count, (task + 1) * ADD_BLOCK);
    for (int64_t i = task * ADD_BLOCK; i < end; i += L)
        vf_store_act(a->act, a->y, i, end - i, vf_load_act(a->act, a->a, i, end - i) + vf_load_act(a->act, a->b, i, end - i));
}

static void add_cpu(struct pool *pool, const struct add_args *a) { pool_run(pool, i64_div_up(a->count, ADD_BLOCK), add_task, (void *)(uintptr_t)a); }

static void bias_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct bias_args *a = arg;
    int64_t per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        for (int64_t c = 0; c < a->width; c += L) {
            int64_t at = r * a->stride + c, n = a->width - c;
            vf_store_act(a->act, a->x, at, n, vf_load_act(a->act, a->x, at, n) + vf_load_act(a->act, a->bias, c, n));
        }
}

static void bias_forward_cpu(struct pool *pool, const struct bias_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), bias_forward_task, (void *)(uintptr_t)a);
}

static void bias_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct bias_args *a = arg;
    int64_t c0 = task * STRIP, width = i64_min(STRIP, a->width - c0);
    double sum[STRIP] = {0};
    for (int64_t run = 0; run < a->rows; run += SUM_RUN) {
        vf part[STRIP / L] = {{0}};
        for (int64_t r = run; r < i64_min(a->rows, run + SUM_RUN); r++)
            for (int c = 0; c < STRIP; c += L) {
                if (c >= width) break;
                part[c / L] += vf_load_act(a->act, a->x, r * a->stride + c0 + c, width - c);
            }
        strip_add(sum, part, width);
    }
    for (int64_t c = 0; c < width; c++) a->db_acc[c0 + c] += (float)sum[c];
}

static void bias_backward_cpu(struct pool *pool, const struct bias_args *a) {
    pool_run(pool, i64_div_up(a->width, STRIP), bias_backward_task, (void *)(uintptr_t)a);
}

static void clamp_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct clamp_args *a = arg;
    int64_t per = rows_per_task(a->width);
    vf limit = vf_set1(act_round(a->act, a->limit));
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        for (int64_t c = 0; c < a->width; c += L) { /* NaN is the second operand and stays */
            int64_t at = r * a->stride + c, n = a->width - c;
            vf_store_act(a->act, a->y, at, n, vf_min(limit, vf_max(-limit, vf_load_act(a->act, a->y, at, n))));
        }
}

static void clamp_forward_cpu(struct pool *pool, const struct clamp_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), clamp_forward_task, (void *)(uintptr_t)a);
}

static void clamp_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct clamp_args *a = arg;
    int64_t per = rows_per_task(a->width);
    vf limit = vf_set1(act_round(a->act, a->limit));
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        for (int64_t c = 0; c < a->width; c += L) {
            int64_t at = r * a->stride + c, n = a->width - c;
            vf x = vf_load_act(a->act, a->x, r * a->x_stride + c, n);
            vi outside = (x > limit) | (x < -limit);
            vf_store_act(a->act, a->y, at, n, vf_mask(~outside, vf_load_act(a->act, a->y, at, n)));
        }
}

static void clamp_backward_cpu(struct pool *pool, const struct clamp_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), clamp_backward_task, (void *)(uintptr_t)a);
}
