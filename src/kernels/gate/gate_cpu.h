/* Gates over vectors. Part of kernels/vector_set.h. */

/* The gates of columns c on, before their sigmoid. */
VEC_INLINE vf gate_load(const struct gate_args *a, int64_t r, int64_t c) {
    return a->one ? vf_set1(act_load(a->act, a->gate, r * a->gate_stride)) : vf_load_act(a->act, a->gate, r * a->gate_stride + c, a->width - c);
}

static void gate_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct gate_args *a = arg;
    const int64_t per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        for (int64_t c = 0; c < a->width; c += L) {
            const vf s = vf_round_act(a->act, vf_sigmoid(gate_load(a, r, c)));
            vf_store_act(a->act, a->y, r * a->y_stride + c, a->width - c, vf_load_act(a->act, a->x, r * a->x_stride + c, a->width - c) * s);
        }
}

static void gate_forward_cpu(struct pool *pool, const struct gate_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), gate_forward_task, (void *)(uintptr_t)a);
}

static void gate_backward_row(const struct gate_backward_args *b, int64_t r) {
    const struct gate_args *a = &b->fwd;
    const enum dtype t = a->act;
    const float product = a->one ? vf_dot(t, b->dy, r * a->y_stride, a->x, r * a->x_stride, a->width) : 0; /* dx may lie over dy */
    const vf first = vf_sigmoid(vf_set1(act_load(t, a->gate, r * a->gate_stride)));
    for (int64_t c = 0; c < a->width; c += L) {
        const int64_t n = a->width - c;
        const vf dy = vf_load_act(t, b->dy, r * a->y_stride + c, n), x = vf_load_act(t, a->x, r * a->x_stride + c, n);
        const vf s = a->one ? first : vf_sigmoid(gate_load(a, r, c));
        vf_store_act(t, b->dx, r * a->x_stride + c, n, dy * vf_round_act(t, s));
        if (!a->one) vf_store_act(t, b->dgate, r * a->gate_stride + c, n, dy * x * (s * (vf_set1(1.0f) - s)));
    }
    if (a->one) act_store(t, b->dgate, r * a->gate_stride, product * (first[0] * (1.0f - first[0])));
}

static void gate_backward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct gate_backward_args *b = arg;
    const int64_t per = rows_per_task(b->fwd.width);
    for (int64_t r = task * per; r < i64_min(b->fwd.rows, (task + 1) * per); r++) gate_backward_row(b, r);
}

static void gate_backward_cpu(struct pool *pool, const struct gate_backward_args *b) {
    pool_run(pool, i64_div_up(b->fwd.rows, rows_per_task(b->fwd.width)), gate_backward_task, (void *)(uintptr_t)b);
}
