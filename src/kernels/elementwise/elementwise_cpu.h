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

/* The rows of a bias call from *first on, and the group that row r is of. */
static int64_t bias_rows(const struct bias_args *a, int64_t *first) {
    *first = a->groups ? a->row_off[0] : 0;
    return a->groups ? a->row_off[a->groups] - a->row_off[0] : a->rows;
}

static int bias_group(const struct bias_args *a, int64_t r) {
    int below = 0, above = a->groups; /* row_off[below] <= r < row_off[above]; empty groups are passed over */
    while (above - below > 1) {
        const int middle = (below + above) / 2;
        if (a->row_off[middle] <= r) below = middle;
        else above = middle;
    }
    return below;
}

static void bias_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct bias_args *a = arg;
    int64_t first, rows = bias_rows(a, &first), per = rows_per_task(a->width), end = first + i64_min(rows, (task + 1) * per);
    for (int64_t r = first + task * per, next; r < end; r = next) {
        const int g = a->groups ? bias_group(a, r) : 0;
        const void *bias = a->groups ? a->biases[g] : a->bias;
        for (next = a->groups ? i64_min(end, a->row_off[g + 1]) : end; r < next; r++)
            for (int64_t c = 0; c < a->width; c += L) {
                const int64_t at = r * a->stride + c, n = a->width - c;
                vf_store_act(a->act, a->x, at, n, vf_load_act(a->act, a->x, at, n) + vf_load_act(a->act, bias, c, n));
            }
    }
}

static void bias_forward_cpu(struct pool *pool, const struct bias_args *a) {
    int64_t first, rows = bias_rows(a, &first);
    pool_run(pool, i64_div_up(rows, rows_per_task(a->width)), bias_forward_task, (void *)(uintptr_t)a);
}

static void bias_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct bias_args *a = arg;
    const int64_t strips = i64_div_up(a->width, STRIP), group = task / strips, c0 = task % strips * STRIP, width = i64_min(STRIP, a->width - c0);
    const int64_t from = a->groups ? a->row_off[group] : 0, end = a->groups ? a->row_off[group + 1] : a->rows;
    float *db_acc = a->groups ? a->dbs_acc[group] : a->db_acc;
    double sum[STRIP] = {0};
    for (int64_t run = from; run < end; run += SUM_RUN) {
        vf part[STRIP / L] = {{0}};
        for (int64_t r = run; r < i64_min(end, run + SUM_RUN); r++)
            for (int c = 0; c < STRIP; c += L) {
                if (c >= width) break;
                part[c / L] += vf_load_act(a->act, a->x, r * a->stride + c0 + c, width - c);
            }
        strip_add(sum, part, width);
    }
    for (int64_t c = 0; from < end && c < width; c++) db_acc[c0 + c] += (float)sum[c];
}

static void bias_backward_cpu(struct pool *pool, const struct bias_args *a) {
    pool_run(pool, i64_max(1, a->groups) * i64_div_up(a->width, STRIP), bias_backward_task, (void *)(uintptr_t)a);
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
