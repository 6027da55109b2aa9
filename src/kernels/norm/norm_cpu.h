/* RMS norm over vectors. Part of kernels/vector_set.h. */

/* What x*rstd is multiplied by, columns c on. */
VEC_INLINE vf norm_weight_at(enum dtype t, enum norm_way how, const void *w, int64_t c, int64_t n) {
    const vf x = vf_load_act(t, w, c, n);
    return how == NORM_WAY_PLUS_ONE ? vf_set1(1.0f) + x : x;
}

/* x*rstd as the forward multiplies it. */
VEC_INLINE vf norm_normed(enum dtype t, enum norm_way how, vf x, vf rstd) {
    const vf n = x * rstd;
    return how == NORM_WAY_TWICE ? vf_round_act(t, n) : n;
}

/* dL/dy of the norm itself from places dy and gate on: through the gate, dy times silu(z). */
VEC_INLINE vf norm_dy(const struct norm_backward_args *a, int64_t dy, int64_t gate, int64_t n) {
    const vf g = vf_load_act(a->act, a->dy, dy, n);
    if (!a->gate) return g;
    const vf z = vf_load_act(a->act, a->gate, gate, n), silu = z * vf_sigmoid(z);
    return g * silu;
}

static void norm_forward_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct norm_args *a = arg;
    enum dtype t = a->act;
    int64_t per = rows_per_task(a->heads * a->width), end = i64_min(a->rows, (task + 1) * per);
    for (int64_t i = task * per * a->heads; i < end * a->heads; i++) {
        int64_t r = i / a->heads, h = i % a->heads, x = r * a->x_stride + h * a->width, y = r * a->y_stride + h * a->width;
        float rstd = (float)(1.0 / sqrt(vf_dot(t, a->x, x, a->x, x, a->width) / (double)a->width + a->eps));
        for (int64_t c = 0; c < a->width; c += L) {
            int64_t n = a->width - c;
            vf out = norm_normed(t, a->way, vf_load_act(t, a->x, x + c, n), vf_set1(rstd)) * norm_weight_at(t, a->way, a->w, c, n);
            if (a->gate) {
                const vf z = vf_load_act(t, a->gate, r * a->gate_stride + h * a->width + c, n), silu = z * vf_sigmoid(z);
                out = vf_round_act(t, out) * silu;
            }
            vf_store_act(t, a->y, y + c, n, out);
        }
        if (a->rstd) a->rstd[i] = rstd;
    }
}

static void norm_forward_cpu(struct pool *pool, const struct norm_args *a) {
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->heads * a->width)), norm_forward_task, (void *)(uintptr_t)a);
}

/* Column strips of dw: each is one sum over all rows and heads, in runs of SUM_RUN rows in fp32 that are added in fp64. */
static int64_t dw_columns(int64_t width) { return i64_min(STRIP, i64_round_up(i64_div_up(width, 8), L)); }

static void norm_dw_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct norm_backward_args *a = arg;
    enum dtype t = a->act;
    int64_t c0 = task * dw_columns(a->width), width = i64_min(dw_columns(a->width), a->width - c0), total = a->rows * a->heads;
    double sum[STRIP] = {0};
    for (int64_t run = 0, r = 0, h = 0; run < total; run += SUM_RUN) {
        vf part[STRIP / L] = {{0}};
        for (int64_t i = run; i < i64_min(total, run + SUM_RUN); i++) {
            int64_t x = r * a->x_stride + h * a->width + c0, dy = r * a->dy_stride + h * a->width + c0;
            int64_t gate = r * a->gate_stride + h * a->width + c0;
            vf rstd = vf_set1(a->rstd[i]);
            for (int c = 0; c < STRIP; c += L) {
                if (c >= width) break;
                vf normed = norm_normed(t, a->way, vf_load_act(t, a->x, x + c, width - c), rstd);
                part[c / L] = vf_fma(norm_dy(a, dy + c, gate + c, width - c), normed, part[c / L]);
            }
            if (++h == a->heads) {
                h = 0;
                r++;
            }
        }
        strip_add(sum, part, width);
    }
    for (int64_t c = 0; c < width; c++) a->dw_acc[c0 + c] += (float)sum[c];
}

/* A row of a head, which begins at x, dy, dx and gate. */
static void norm_dx_row(const struct norm_backward_args *a, float rstd, int64_t x, int64_t dy, int64_t dx, int64_t gate) {
    enum dtype t = a->act;
    vf dot = {0};
    for (int64_t c = 0; c < a->width; c += L) {
        int64_t n = a->width - c;
        vf dn = norm_dy(a, dy + c, gate + c, n) * norm_weight_at(t, a->way, a->w, c, n);
        dot = vf_fma(dn, vf_load_act(t, a->x, x + c, n) * vf_set1(rstd), dot);
    }
    vf mean = vf_set1(vf_sum(dot) / (float)a->width);
    for (int64_t c = 0; c < a->width; c += L) {
        int64_t n = a->width - c;
        const vf w = norm_weight_at(t, a->way, a->w, c, n);
        vf dn = norm_dy(a, dy + c, gate + c, n) * w;
        vf out = vf_set1(rstd) * vf_fma(-(vf_load_act(t, a->x, x + c, n) * vf_set1(rstd)), mean, dn);
        if (a->gate) {
            const vf y = vf_round_act(t, norm_normed(t, a->way, vf_load_act(t, a->x, x + c, n), vf_set1(rstd)) * w);
            const vf z = vf_load_act(t, a->gate, gate + c, n), s = vf_sigmoid(z), slope = vf_fma(z * s, vf_set1(1.0f) - s, s);
            vf_store_act(t, a->dgate, gate + c, n, vf_load_act(t, a->dy, dy + c, n) * y * slope);
        }
        if (a->add) out += vf_load_act(t, a->add, dx + c, n);
        vf_store_act(t, a->dx, dx + c, n, out);
    }
}

static void norm_dx_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct norm_backward_args *a = arg;
    int64_t per = rows_per_task(a->heads * a->width), end = i64_min(a->rows, (task + 1) * per);
    for (int64_t i = task * per * a->heads; i < end * a->heads; i++) {
        int64_t r = i / a->heads, at = i % a->heads * a->width;
        norm_dx_row(a, a->rstd[i], r * a->x_stride + at, r * a->dy_stride + at, r * a->dx_stride + at, r * a->gate_stride + at);
    }
}

/* ---- narrow rows: once through memory ---- */

enum { NARROW = 1024, NORM_BLOCKS = 16 };

/* dw of each block of rows; blocks follow from the call's shape, not from the threads. */
struct narrow_call {
    const struct norm_backward_args *a;
    double dw[NORM_BLOCKS][NARROW];
};

static void norm_narrow_task(void *arg, int64_t block, int worker) {
    (void)worker;
    struct narrow_call *call = arg;
    const struct norm_backward_args *a = call->a;
    const enum dtype t = a->act;
    const int64_t total = a->rows * a->heads, per = i64_round_up(i64_div_up(total, NORM_BLOCKS), SUM_RUN);
    const int64_t end = i64_min(total, (block + 1) * per);
    double *sum = call->dw[block];
    memset(sum, 0, (size_t)a->width * sizeof *sum);
    for (int64_t run = block * per; run < end; run += SUM_RUN) {
        vf part[NARROW / L];
        memset(part, 0, (size_t)i64_div_up(a->width, L) * sizeof *part);
        for (int64_t i = run; i < i64_min(end, run + SUM_RUN); i++) {
            const int64_t r = i / a->heads, at = i % a->heads * a->width, x = r * a->x_stride + at, dy = r * a->dy_stride + at;
            const int64_t gate = r * a->gate_stride + at;
            const vf rstd = vf_set1(a->rstd[i]);
            for (int64_t c = 0; c < a->width; c += L) {
                const vf normed = norm_normed(t, a->way, vf_load_act(t, a->x, x + c, a->width - c), rstd);
                part[c / L] = vf_fma(norm_dy(a, dy + c, gate + c, a->width - c), normed, part[c / L]);
            }
            norm_dx_row(a, a->rstd[i], x, dy, r * a->dx_stride + at, gate);
        }
        strip_add(sum, part, a->width);
    }
}

/* dw of a row before its dx, which may lie over dy. */
static void norm_backward_narrow(struct pool *pool, const struct norm_backward_args *a) {
    struct narrow_call call;
    call.a = a;
    pool_run(pool, NORM_BLOCKS, norm_narrow_task, &call);
    for (int64_t c = 0; c < a->width; c++) {
        double sum = 0;
        for (int b = 0; b < NORM_BLOCKS; b++) sum += call.dw[b][c];
        a->dw_acc[c] += (float)sum;
    }
}

static void norm_backward_cpu(struct pool *pool, const struct norm_backward_args *a) {
    if (a->width <= NARROW) {
        norm_backward_narrow(pool, a);
        return;
    }
    /* dw first: dx may lie over dy. */
    pool_run(pool, i64_div_up(a->width, dw_columns(a->width)), norm_dw_task, (void *)(uintptr_t)a);
    pool_run(pool, i64_div_up(a->rows, rows_per_task(a->heads * a->width)), norm_dx_task, (void *)(uintptr_t)a);
}
