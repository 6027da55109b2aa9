/* The fold over vectors. Part of kernels/vector_set.h. */

static void fold_forward_row(const struct fold_args *a, int64_t r) {
    const float *y = a->y + r * a->ld;
    int64_t target = (int64_t)a->targets[r] - a->col0;
    if (a->targets[r] >= 0 && target >= 0 && target < a->cols) a->yt[r] = y[target];
    vf max0 = vf_set1(a->m[r]), max1 = max0;
    int64_t full = a->cols / (2 * L) * (2 * L);
    for (int64_t c = 0; c < full; c += 2 * L) { /* a NaN is the first operand: passed over here, it comes out in the sum */
        max0 = vf_max(vf_load(y + c), max0);
        max1 = vf_max(vf_load(y + c + L), max1);
    }
    float m = vf_largest(vf_max(max0, max1));
    for (int64_t c = full; c < a->cols; c++) m = y[c] > m ? y[c] : m;
    if (m == -INFINITY) {
        bool empty = true;
        for (int64_t c = 0; c < a->cols; c++) empty = empty && y[c] == -INFINITY;
        if (empty) return;
    }
    vf sum0 = {0}, sum1 = {0}, shift = vf_set1(m);
    for (int64_t c = 0; c < full; c += 2 * L) {
        sum0 += vf_exp(vf_load(y + c) - shift);
        sum1 += vf_exp(vf_load(y + c + L) - shift);
    }
    for (int64_t c = full; c < a->cols; c += L) {
        int n = (int)i64_min(L, a->cols - c);
        sum0 += vf_mask(vi_first(n), vf_exp(vf_load_act(DT_F32, y, c, n) - shift));
    }
    float carry = vf_exp(vf_set1(a->m[r] - m))[0];
    a->z[r] = carry * a->z[r] + vf_sum(sum0 + sum1);
    a->m[r] = m;
}

static void fold_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct fold_args *a = arg;
    int64_t per = rows_per_task(a->cols);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) fold_forward_row(a, r);
}

static void fold_forward_cpu(struct pool *pool, const struct fold_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->cols)), fold_forward_task, (void *)(uintptr_t)a);
}

/* dy may lie over y: what the target's column needs is taken before it is overwritten. */
static void fold_backward_row(const struct fold_backward_args *b, int64_t r) {
    const struct fold_args *a = &b->fwd;
    const float *y = a->y + r * a->ld;
    int64_t target = (int64_t)a->targets[r] - a->col0, at = r * b->dy_ld;
    if (a->targets[r] < 0) {
        memset(act_at_mut(b->act, b->dy, at), 0, (size_t)(a->cols * act_bytes(b->act)));
        return;
    }
    bool here = target >= 0 && target < a->cols;
    float y_target = here ? y[target] : 0;
    vf shift = vf_set1(a->m[r]), inv = vf_set1(1.0f / a->z[r]), scale = vf_set1(b->scale);
    for (int64_t c = 0; c < a->cols; c += L) {
        int64_t n = a->cols - c;
        vf p = vf_exp(vf_load_act(DT_F32, y, c, n) - shift) * inv;
        vf_store_act(b->act, b->dy, at + c, n, p * scale);
    }
    if (here) {
        float p = (vf_exp(vf_set1(y_target) - shift) * inv)[0];
        act_store(b->act, b->dy, at + target, (p - 1.0f) * b->scale);
    }
}

static void fold_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct fold_backward_args *b = arg;
    int64_t per = rows_per_task(b->fwd.cols);
    for (int64_t r = task * per; r < i64_min(b->fwd.rows, (task + 1) * per); r++) fold_backward_row(b, r);
}

static void fold_backward_cpu(struct pool *pool, const struct fold_backward_args *b) {
    pool_run(pool, i64_div_up(b->fwd.rows, rows_per_task(b->fwd.cols)), fold_backward_task, (void *)(uintptr_t)b);
}

/* ---- numbers of tokens: the reference's roundings one for one ---- */

enum { FOLD_NUMBERS = 512, FOLD_LOSSES = 4096 }; /* tokens of a task; whose losses wait on the stack to be added in order */

static void fold_init_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct fold_init_args *a = arg;
    for (int64_t i = task * FOLD_LOSSES; i < i64_min(a->rows, (task + 1) * FOLD_LOSSES); i++) {
        a->m[i] = -INFINITY;
        a->z[i] = a->yt[i] = 0;
    }
}

static void fold_init_cpu(struct pool *pool, const struct fold_init_args *a) {
    pool_run(pool, i64_div_up(a->rows, FOLD_LOSSES), fold_init_task, (void *)(uintptr_t)a);
}

static void fold_join_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct fold_join_args *a = arg;
    for (int64_t i = task * FOLD_NUMBERS; i < i64_min(a->rows, (task + 1) * FOLD_NUMBERS); i++) {
        float m = -INFINITY, z = 0, yt = 0;
        for (int s = 0; s < a->parts; s++) m = fmaxf(m, a->from[3 * a->rows * s + i]);
        for (int s = 0; s < a->parts; s++) {
            const float *from = a->from + 3 * a->rows * s + i, z_s = from[a->rows];
            yt += from[2 * a->rows];
            if (!(z_s > 0) && z_s == z_s) continue;
            float term = z_s * expf(from[0] - m);
            z = z + term;
        }
        a->m[i] = m;
        a->z[i] = z;
        a->yt[i] = yt;
    }
}

static void fold_join_cpu(struct pool *pool, const struct fold_join_args *a) {
    pool_run(pool, i64_div_up(a->rows, FOLD_NUMBERS), fold_join_task, (void *)(uintptr_t)a);
}

struct some_losses {
    const float *m, *z, *yt;
    int64_t rows;
    double *loss;
};

static void losses_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct some_losses *a = arg;
    for (int64_t i = task * FOLD_NUMBERS; i < i64_min(a->rows, (task + 1) * FOLD_NUMBERS); i++)
        a->loss[i] = (double)a->m[i] + log((double)a->z[i]) - (double)a->yt[i];
}

static void loss_sum_cpu(struct pool *pool, const struct loss_sum_args *a) {
    double loss[FOLD_LOSSES], sum = *a->sum_acc;
    int64_t count = *a->count_acc;
    for (int64_t i = 0; i < a->rows; i += FOLD_LOSSES) {
        struct some_losses some = {a->m + i, a->z + i, a->yt + i, i64_min(FOLD_LOSSES, a->rows - i), loss};
        pool_run(pool, i64_div_up(some.rows, FOLD_NUMBERS), losses_task, &some);
        for (int64_t k = 0; k < some.rows; k++) {
            if (a->targets[i + k] < 0) continue;
            sum += loss[k];
            count++;
        }
    }
    *a->sum_acc = sum;
    *a->count_acc = count;
}

static void token_losses_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct token_losses_args *a = arg;
    for (int64_t i = task * FOLD_NUMBERS; i < i64_min(a->rows, (task + 1) * FOLD_NUMBERS); i++)
        a->each[i] = a->targets[i] >= 0 ? (float)((double)a->m[i] + log((double)a->z[i]) - (double)a->yt[i]) : 0.0f;
}

static void token_losses_cpu(struct pool *pool, const struct token_losses_args *a) {
    pool_run(pool, i64_div_up(a->rows, FOLD_NUMBERS), token_losses_task, (void *)(uintptr_t)a);
}
