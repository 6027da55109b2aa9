/* Rotary embedding over vectors; the same roundings as the reference. Part of kernels/vector_set.h. */

static void rope_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct rope_args *a = arg;
    enum dtype t = a->act;
    int64_t half = a->dim / 2, per = rows_per_task(a->heads * a->dim);
    vf sign = vf_set1(a->backward ? -1.0f : 1.0f);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        const float *cosine = a->cos + a->positions[r] * half, *sine = a->sin + a->positions[r] * half;
        for (int64_t h = 0; h < a->heads; h++) {
            int64_t at = r * a->x_stride + h * a->dim;
            for (int64_t j = 0; j < half; j += L) {
                int64_t n = half - j;
                vf x1 = vf_load_act(t, a->x, at + j, n), x2 = vf_load_act(t, a->x, at + half + j, n);
                vf c = vf_load_act(DT_F32, cosine, j, n), s = vf_load_act(DT_F32, sine, j, n) * sign;
                vf x1c = x1 * c, x1s = x1 * s, x2c = x2 * c, x2s = x2 * s;
                vf y1 = x1c - x2s, y2 = x2c + x1s;
                vf_store_act(t, a->x, at + j, n, y1);
                vf_store_act(t, a->x, at + half + j, n, y2);
            }
        }
    }
}

static void rope_cpu(struct pool *pool, const struct rope_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->heads * a->dim)), rope_task, (void *)(uintptr_t)a);
}
