/* SwiGLU over vectors. Part of kernels/vector_set.h. */

/* Gate and up as they are multiplied, and where they are as they came (all ones). NaN is the second operand and stays. */
struct swiglu_parts {
    vf gate, up, s;
    vi gate_whole, up_whole;
};

VEC_INLINE struct swiglu_parts swiglu_parts(const struct swiglu_args *a, int64_t at, int64_t n) {
    struct swiglu_parts p = {.gate = vf_load_act(a->act, a->gate_up, at, n), .up = vf_load_act(a->act, a->gate_up, at + a->width, n)};
    if (a->limit == 0) {
        p.s = vf_sigmoid(p.gate);
        return p;
    }
    const vf limit = vf_set1(act_round(a->act, a->limit));
    p.gate_whole = ~(p.gate > limit);
    p.up_whole = ~((p.up > limit) | (p.up < -limit));
    p.gate = vf_min(limit, p.gate);
    p.up = vf_min(limit, vf_max(-limit, p.up));
    p.up = p.up + vf_set1(1.0f);
    p.s = vf_sigmoid(vf_set1(a->alpha) * p.gate);
    return p;
}

static void swiglu_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct swiglu_args *a = arg;
    int64_t per = rows_per_task(a->width);
    for (int64_t r = task * per; r < i64_min(a->rows, (task + 1) * per); r++)
        for (int64_t c = 0; c < a->width; c += L) {
            const struct swiglu_parts p = swiglu_parts(a, r * 2 * a->width + c, a->width - c);
            vf_store_act(a->act, a->h, r * a->width + c, a->width - c, p.gate * p.s * p.up);
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
            const int64_t n = a->width - c, at = r * 2 * a->width + c;
            const struct swiglu_parts p = swiglu_parts(a, at, n);
            const vf dh = vf_load_act(t, a->dh, r * a->width + c, n), gs = p.gate * p.s;
            if (a->h) vf_store_act(t, a->h, r * a->width + c, n, gs * p.up);
            vf dgate, dup = dh * gs;
            if (a->limit == 0) {
                dgate = dh * p.up * vf_fma(gs, vf_set1(1.0f) - p.s, p.s);
            } else {
                dgate = vf_mask(p.gate_whole, dh * p.up * vf_fma(vf_set1(a->alpha) * gs, vf_set1(1.0f) - p.s, p.s));
                dup = vf_mask(p.up_whole, dup);
            }
            vf_store_act(t, a->dgate_up, at, n, dgate);
            vf_store_act(t, a->dgate_up, at + a->width, n, dup);
        }
    }
}

static void swiglu_backward_cpu(struct pool *pool, const struct swiglu_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->width)), swiglu_backward_task, (void *)(uintptr_t)a);
}
