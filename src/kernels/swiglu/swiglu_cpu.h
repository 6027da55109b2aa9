/* SwiGLU over vectors. Part of kernels/vector_set.h. */

static void swiglu_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct swiglu_args *a = arg;
    enum dtype t = a->act;
    int64_t per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        for (int64_t c = 0; c < a->width; c += L) {
            int64_t n = a->width - c, at = r * 2 * a->width + c;
            vf g = vf_load_act(t, a->gate_up, at, n), u = vf_load_act(t, a->gate_up, at + a->width, n);
            vf_store_act(t, a->h, r * a->width + c, n, g * vf_sigmoid(g) * u);
        }
    }
}

static void swiglu_forward_cpu(struct pool *pool, const struct swiglu_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), swiglu_forward_task, (void *)(uintptr_t)a);
}

static void swiglu_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct swiglu_args *a = arg;
    enum dtype t = a->act;
    int64_t per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++) {
        for (int64_t c = 0; c < a->width; c += L) {
            int64_t n = a->width - c, at = r * 2 * a->width + c;
            vf g = vf_load_act(t, a->gate_up, at, n), u = vf_load_act(t, a->gate_up, at + a->width, n);
            vf dh = vf_load_act(t, a->dh, r * a->width + c, n), s = vf_sigmoid(g), gs = g * s;
            if (a->h) vf_store_act(t, a->h, r * a->width + c, n, gs * u);
            vf slope = vf_fma(gs, vf_set1(1.0f) - s, s);
            vf_store_act(t, a->dgate_up, at, n, dh * u * slope);
            vf_store_act(t, a->dgate_up, at + a->width, n, dh * gs);
        }
    }
}

static void swiglu_backward_cpu(struct pool *pool, const struct swiglu_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), swiglu_backward_task, (void *)(uintptr_t)a);
}
