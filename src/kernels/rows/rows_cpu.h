/* Rows of tokens and experts over vectors. Part of kernels/vector_set.h. */

static void rows_gather_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_gather_args *a = arg;
    int64_t bytes = a->width * act_bytes(a->act), per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        memcpy((char *)a->y + r * bytes, (const char *)a->x + a->token[r] * bytes, (size_t)bytes);
}

static void rows_gather_cpu(struct pool *pool, const struct rows_gather_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), rows_gather_task, (void *)(uintptr_t)a);
}

static void rows_combine_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_combine_args *a = arg;
    const int64_t apart = rows_combine_apart(a);
    int64_t per = rows_per_task(a->width * a->k);
    for (int64_t t = task * per; t < i64_min(a->tokens, (task + 1) * per); t++) {
        const int32_t *pos = a->pos + t * a->k;
        for (int64_t c = 0; c < a->width; c += L) {
            vf sum = {0};
            for (int s = 0; s < a->k; s++) {
                if (pos[s] < 0) continue;
                vf x = vf_load_act(a->act, a->x, pos[s] * a->width + c, a->width - c);
                if (a->w) x = x * vf_set1(a->w[t * apart * a->k + s]);
                sum = sum + x;
            }
            vf_store_act(a->act, a->y, t * apart * a->width + c, a->width - c, sum);
        }
    }
}

static void rows_combine_cpu(struct pool *pool, const struct rows_combine_args *a) {
    pool_run(pool, i64_div_up(a->tokens, rows_per_task(a->width * a->k)), rows_combine_task, (void *)(uintptr_t)a);
}

static void rows_combine_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_combine_backward_args *a = arg;
    int64_t per = rows_per_task(a->width * a->k), end = i64_min(a->tokens, (task + 1) * per);
    for (int64_t i = task * per * a->k; i < end * a->k; i++) {
        const int64_t row = a->pos ? a->pos[i] : i;
        a->dw[i] = 0;
        if (row < 0) continue;
        int64_t x = row * a->width, dy = i / a->k * a->width;
        a->dw[i] = vf_dot(a->act, a->dy, dy, a->x, x, a->width); /* before dx, which may lie over x */
        for (int64_t c = 0; c < a->width; c += L)
            vf_store_act(a->act, a->dx, x + c, a->width - c, vf_load_act(a->act, a->dy, dy + c, a->width - c) * vf_set1(a->w[i]));
    }
}

static void rows_combine_backward_cpu(struct pool *pool, const struct rows_combine_backward_args *a) {
    pool_run(pool, i64_div_up(a->tokens, rows_per_task(a->width * a->k)), rows_combine_backward_task, (void *)(uintptr_t)a);
}

static void rows_put_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_put_args *a = arg;
    const int64_t per = rows_per_task(a->bytes / 2);
    for (int64_t i = task * per; i < i64_min(a->rows, (task + 1) * per); i++) {
        const int64_t from = a->from ? a->from[i] : i, to = a->to ? a->to[i] : i;
        if (from >= 0 && to >= 0) memcpy((char *)a->y + to * a->bytes, (const char *)a->x + from * a->bytes, (size_t)a->bytes);
    }
}

static void rows_put_cpu(struct pool *pool, const struct rows_put_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->bytes / 2)), rows_put_task, (void *)(uintptr_t)a);
}

/* A strip of columns for all rows: some rows have many tokens. */
static void rows_sum_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_sum_args *a = arg;
    const int64_t c0 = task * STRIP, width = i64_min(STRIP, a->width - c0);
    for (int64_t r = 0; r < a->rows; r++) {
        vf sum[STRIP / L] = {{0}};
        for (int64_t i = a->first[r]; i < a->first[r + 1]; i++)
            for (int64_t c = 0; c < width; c += L) sum[c / L] += vf_load_act(a->act, a->x, a->token[i] * a->width + c0 + c, width - c);
        for (int64_t c = 0; c < width; c += L) vf_store_act(DT_F32, a->y, r * a->width + c0 + c, width - c, sum[c / L]);
    }
}

static void rows_sum_cpu(struct pool *pool, const struct rows_sum_args *a) {
    pool_run(pool, i64_div_up(a->width, STRIP), rows_sum_task, (void *)(uintptr_t)a);
}

static void rows_accumulate_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rows_accumulate_args *a = arg;
    const int64_t per = rows_per_task(a->width);
    for (int64_t i = task * per; i < i64_min(a->rows, (task + 1) * per); i++) {
        const int64_t to = a->to ? a->to[i] : i;
        if (to < 0) continue;
        for (int64_t c = 0; c < a->width; c += L) {
            const int64_t n = a->width - c;
            vf sum = vf_load_act(DT_F32, a->y_acc, to * a->width + c, n) + vf_load_act(DT_F32, a->x, i * a->width + c, n);
            vf_store_act(DT_F32, a->y_acc, to * a->width + c, n, sum);
        }
    }
}

static void rows_accumulate_cpu(struct pool *pool, const struct rows_accumulate_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), rows_accumulate_task, (void *)(uintptr_t)a);
}
