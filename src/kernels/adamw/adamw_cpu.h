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

/* Blocks raise the flags of the whole; none lowers them. */
static void raise_flag(uint8_t *flag, bool up) {
    if (up) __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}

static bool adamw_vectors(const struct adamw_args *a) {
    vf b1 = vf_set1((float)a->beta1), b1c = vf_set1((float)(1 - a->beta1)), b2 = vf_set1((float)a->beta2), b2c = vf_set1((float)(1 - a->beta2));
    vf step = vf_set1((float)(a->lr / a->c1)), root = vf_set1((float)(1 / sqrt(a->c2))), eps = vf_set1((float)a->eps);
    vf decay = vf_set1((float)(a->lr * a->decay)), scale = vf_set1(a->scale);
    vi changed = {0};
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
        changed |= ((vi)next ^ (vi)p) & vi_first(n >= L ? L : (int)n);
        vf_store_act(DT_F32, a->g, i, n, (vf){0});
        vf_store_act(DT_F32, a->m, i, n, m);
        vf_store_act(DT_F32, a->v, i, n, v);
        vf_store_act(DT_F32, a->p, i, n, next);
        if (a->w) vf_store_act(DT_BF16, a->w, i, n, next);
    }
    int any = 0;
    for (int i = 0; i < L; i++) any |= changed[i];
    return any != 0;
}

/* could_change is asked for once in a run and costs fp64 per element: the reference answers it. */
static void adamw_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct adamw_args *a = arg;
    struct adamw_args b = adamw_block(a, task);
    uint8_t changed = 0, could = 0;
    b.changed = &changed;
    b.could_change = &could;
    if (a->could_change) adamw_ref(NULL, &b);
    else changed = adamw_vectors(&b);
    if (a->changed) raise_flag(a->changed, changed);
    if (a->could_change) raise_flag(a->could_change, could);
}

static void adamw_cpu(struct pool *pool, const struct adamw_args *a) {
    if (a->changed) *a->changed = 0;
    if (a->could_change) *a->could_change = 0;
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
