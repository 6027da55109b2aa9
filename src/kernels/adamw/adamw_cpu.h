/* AdamW over vectors: the reference's roundings one for one, so the same bits. Part of kernels/vector_set.h. */

enum { ADAMW_BLOCK = 16384 };

static struct adamw_args adamw_block(const struct adamw_args *a, int64_t task) {
    struct adamw_args b = *a;
    int64_t at = task * ADAMW_BLOCK;
    b.count = i64_min(ADAMW_BLOCK, a->count - at);
    b.p += at;
    b.m += at;
    b.v += at;
    b.g += at;
    if (b.w) b.w += at;
    return b;
}

static void adamw_vectors(const struct adamw_args *a) {
    vf b1 = vf_set1((float)a->beta1), b1c = vf_set1((float)(1 - a->beta1)), b2 = vf_set1((float)a->beta2), b2c = vf_set1((float)(1 - a->beta2));
    vf step = vf_set1((float)(a->lr / a->c1)), root = vf_set1((float)(1 / sqrt(a->c2))), eps = vf_set1((float)a->eps);
    vf decay = vf_set1((float)(a->lr * a->decay)), scale = vf_set1(a->scale);
    for (int64_t i = 0; i < a->count; i += L) {
        int64_t n = a->count - i;
        vf g = vf_load_act(DT_F32, a->g, i, n) * scale;
        vf gain = b1c * g;
        vf m = b1 * vf_load_act(DT_F32, a->m, i, n);
        m = m + gain;
        vf square = g * g;
        square = b2c * square;
        vf v = b2 * vf_load_act(DT_F32, a->v, i, n);
        v = v + square;
        vf den = vf_sqrt(v) * root;
        den = den + eps;
        vf move = step * m;
        move = move / den;
        vf p = vf_load_act(DT_F32, a->p, i, n);
        vf shrink = decay * p;
        move = shrink + move;
        vf next = p - move;
        vf_store_act(DT_F32, a->g, i, n, (vf){0});
        vf_store_act(DT_F32, a->m, i, n, m);
        vf_store_act(DT_F32, a->v, i, n, v);
        vf_store_act(DT_F32, a->p, i, n, next);
        if (a->w) vf_store_act(DT_BF16, a->w, i, n, next);
    }
}

static void adamw_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct adamw_args *a = arg;
    struct adamw_args b = adamw_block(a, task);
    adamw_vectors(&b);
}

static void adamw_cpu(struct pool *pool, const struct adamw_args *a) {
    pool_run(pool, i64_div_up(a->count, ADAMW_BLOCK), adamw_task, (void *)(uintptr_t)a);
}

typedef float vf_half __attribute__((vector_size(2 * VEC_LANES)));
typedef vf_half vf_half_any __attribute__((aligned(4), may_alias));
typedef double vd __attribute__((vector_size(4 * VEC_LANES)));

static void sumsq_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct sumsq_args *a = arg;
    enum { H = L / 2 };
    const float *x = a->x + task * SUMSQ_BLOCK;
    int64_t n = i64_min(SUMSQ_BLOCK, a->count - task * SUMSQ_BLOCK), i = 0;
    vd sum[4] = {{0}};
    for (; i + 4 * H <= n; i += 4 * H)
        for (int j = 0; j < 4; j++) {
            vd d = __builtin_convertvector(*(const vf_half_any *)(x + i + j * H), vd);
            sum[j] += d * d;
        }
    vd all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    double total = 0;
    for (int j = 0; j < H; j++) total += all[j];
    for (; i < n; i++) total += (double)x[i] * x[i];
    a->partial[task] = total;
}

static void sumsq_cpu(struct pool *pool, const struct sumsq_args *a) {
    int64_t blocks = i64_div_up(a->count, SUMSQ_BLOCK);
    pool_run(pool, blocks, sumsq_task, (void *)(uintptr_t)a);
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += a->partial[b];
    *a->out = sum;
}
