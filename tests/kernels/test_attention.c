/* Attention: fast against reference, backward against central differences, and that a document's bits are its own. */
#include "kernel_test.h"

enum layout { ONE, DOCUMENTS, SHORT, PADDED, OWN_KEY, WINDOW, LAYOUTS };
struct shape {
    int64_t tokens;
    int heads, kv_heads, dim, q0, kv0, group;
    int64_t gap;
    enum layout layout;
    enum dtype t;
};

static int32_t *starts(struct io *io, int64_t tokens, enum layout layout) {
    int32_t *start = io_new(io, tokens * 4);
    for (int64_t i = 0, begin = 0; i < tokens; i++) {
        if (layout == DOCUMENTS && (i == 5 || i == 70 || i == 71 || i == 140)) begin = i;
        if (layout == SHORT && i % 11 == 0) begin = i;
        if (layout == PADDED && i == 30) begin = i;
        start[i] = (int32_t)begin;
        if (layout == PADDED && (i >= tokens - 9 || (i > 20 && i < 30))) start[i] = -1; /* a row's padding, then another row */
        if (layout == OWN_KEY && i >= tokens - 9) start[i] = (int32_t)i;
        if (layout == WINDOW) start[i] = (int32_t)i64_max(0, i - 37);
    }
    return start;
}

static struct attention_args arguments(struct io *io, const struct shape *s) {
    int64_t qs = (int64_t)s->heads * s->dim + s->gap, ks = (int64_t)s->kv_heads * s->dim + s->gap;
    return (struct attention_args){.act = s->t,
                                   .tokens = s->tokens,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_dim = s->dim,
                                   .q_head0 = s->q0,
                                   .kv_head0 = s->kv0,
                                   .group = s->group,
                                   .scale = 1 / sqrtf((float)s->dim),
                                   .q = io_normal(io, s->t, s->tokens * qs, 2),
                                   .k = io_normal(io, s->t, s->tokens * ks, 1),
                                   .v = io_normal(io, s->t, s->tokens * (ks + 1), 1),
                                   .q_stride = qs,
                                   .k_stride = ks,
                                   .v_stride = ks + 1,
                                   .start = starts(io, s->tokens, s->layout),
                                   .o = io_normal(io, s->t, s->tokens * qs, 1),
                                   .o_stride = qs,
                                   .lse = io_normal(io, DT_F32, s->heads * s->tokens, 1)};
}

/* A pair's inner product and the sum of its terms' sizes, for rows of `dim`. */
struct dots {
    double sum, size;
};
static struct dots dots(enum dtype t, const void *a, int64_t at_a, const void *b, int64_t at_b, int dim) {
    struct dots d = {0, 0};
    for (int i = 0; i < dim; i++) {
        double x = get(t, a, at_a + i) * get(t, b, at_b + i);
        d.sum += x;
        d.size += fabs(x);
    }
    return d;
}

/* How far exp(s - lse) may be off, relative: a score's sum of dim terms, twice (in the maximum or lse it is off alike),
 * two exponentials of 2 ulp and their arguments' rounding, and the denominator's sum over n keys with 3 roundings a tile. */
static double p_relative(const struct attention_args *a, int h, int64_t i) {
    double worst = 0;
    int kv = (a->q_head0 + h) / a->group - a->kv_head0;
    for (int64_t j = a->start[i]; j <= i; j++) {
        struct dots d =
            dots(a->act, a->q, i * a->q_stride + (int64_t)h * a->head_dim, a->k, j * a->k_stride + (int64_t)kv * a->head_dim, a->head_dim);
        worst = fmax(worst, (a->head_dim + 4) * U32 * d.size * a->scale);
    }
    return 2 * worst + ((double)(i - a->start[i]) + 32) * U32;
}

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct attention_args a = arguments(io, s);
    io->k->attention_forward(io->pool, &a);
    double *bo = io_out(io, "o", s->t, a.o, s->tokens * a.o_stride), *bl = io_out(io, "lse", DT_F32, a.lse, s->heads * s->tokens);
    for (int h = 0; io->bounds && h < s->heads; h++) {
        int kv = (s->q0 + h) / s->group - s->kv0;
        for (int64_t i = 0; i < s->tokens; i++) {
            if (a.start[i] < 0) continue;
            double relative = p_relative(&a, h, i);
            bl[h * s->tokens + i] = relative;
            for (int d = 0; d < s->dim; d++) bo[i * a.o_stride + (int64_t)h * s->dim + d] = 0;
            for (int64_t j = a.start[i]; j <= i; j++) {
                struct dots x = dots(s->t, a.q, i * a.q_stride + (int64_t)h * s->dim, a.k, j * a.k_stride + (int64_t)kv * s->dim, s->dim);
                double p = exp(x.sum * a.scale - a.lse[h * s->tokens + i]) * (relative + (double)(i - a.start[i] + 8) * U32);
                for (int d = 0; d < s->dim; d++)
                    bo[i * a.o_stride + (int64_t)h * s->dim + d] += p * fabs(get(s->t, a.v, j * a.v_stride + (int64_t)kv * s->dim + d));
            }
        }
    }
}

/* ds of a pair is off by p's relative error times its parts, and by the sums in dp and delta: `off`. The gradients are
 * sums of at most `terms` such pairs in fp32. */
static void backward_bounds(const struct attention_backward_args *b, double *bq, double *bk, double *bv) {
    const struct attention_args *a = &b->fwd;
    enum dtype t = a->act;
    int dim = a->head_dim;
    double terms = (double)a->tokens * a->heads * U32;
    for (int h = 0; h < a->heads; h++) {
        int kv = (a->q_head0 + h) / a->group - a->kv_head0;
        for (int64_t i = 0; i < a->tokens; i++) {
            int64_t q = i * a->q_stride + (int64_t)h * dim, o = i * a->o_stride + (int64_t)h * dim;
            if (a->start[i] < 0) continue;
            double relative = p_relative(a, h, i);
            struct dots delta = dots(t, b->dout, o, a->o, o, dim);
            for (int64_t j = a->start[i]; j <= i; j++) {
                int64_t k = j * a->k_stride + (int64_t)kv * dim, v = j * a->v_stride + (int64_t)kv * dim;
                struct dots dp = dots(t, b->dout, o, a->v, v, dim);
                double p = exp(dots(t, a->q, q, a->k, k, dim).sum * a->scale - a->lse[h * a->tokens + i]);
                double ds = fabs(p * (dp.sum - delta.sum) * a->scale);
                double off = p * a->scale * (relative * (fabs(dp.sum) + fabs(delta.sum)) + (dim + 8) * U32 * (dp.size + delta.size));
                for (int d = 0; d < dim; d++) {
                    bq[q + d] += (off + terms * ds) * fabs(get(t, a->k, k + d));
                    bk[k + d] += (off + terms * ds) * fabs(get(t, a->q, q + d));
                    bv[v + d] += p * (relative + terms) * fabs(get(t, b->dout, o + d));
                }
            }
        }
    }
}

static void set_zero(double *bound, int64_t tokens, int64_t stride, int64_t width) {
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t c = 0; c < width; c++) bound[i * stride + c] = 0;
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct attention_args a = arguments(io, s);
    attention_forward_ref(NULL, &a);
    struct attention_backward_args b = {.fwd = a,
                                        .dout = io_normal(io, s->t, s->tokens * a.o_stride, 1),
                                        .delta = io_normal(io, DT_F32, s->heads * s->tokens, 1),
                                        .dq = io_normal(io, s->t, s->tokens * a.q_stride, 1),
                                        .dk = io_normal(io, s->t, s->tokens * a.k_stride, 1),
                                        .dv = io_normal(io, s->t, s->tokens * a.v_stride, 1)};
    io->k->attention_backward(io->pool, &b);
    double *bq = io_out(io, "dq", s->t, b.dq, s->tokens * a.q_stride), *bk = io_out(io, "dk", s->t, b.dk, s->tokens * a.k_stride);
    double *bv = io_out(io, "dv", s->t, b.dv, s->tokens * a.v_stride);
    if (!io->bounds) return;
    set_zero(bq, s->tokens, a.q_stride, (int64_t)s->heads * s->dim);
    set_zero(bk, s->tokens, a.k_stride, (int64_t)s->kv_heads * s->dim);
    set_zero(bv, s->tokens, a.v_stride, (int64_t)s->kv_heads * s->dim);
    backward_bounds(&b, bq, bk, bv);
}

/* The same document at another place in the call and among others: forward and backward, the same bits. */
static void own_bits(const struct kernels *k) {
    enum { DOC = 150, DIM = 24, HEADS = 4, AT = 91, ALL = 300 };
    struct io io = {.seed = 3};
    struct shape s = {.tokens = ALL, .heads = HEADS, .kv_heads = 2, .dim = DIM, .group = 2, .layout = ONE, .t = DT_F32};
    struct attention_args a = arguments(&io, &s);
    struct attention_backward_args b = {.fwd = a,
                                        .dout = io_normal(&io, DT_F32, ALL * a.o_stride, 1),
                                        .delta = io_new(&io, ALL * HEADS * 4),
                                        .dq = io_new(&io, ALL * a.q_stride * 4),
                                        .dk = io_new(&io, ALL * a.k_stride * 4),
                                        .dv = io_new(&io, ALL * a.v_stride * 4)};
    int32_t *start = io_new(&io, ALL * 4);
    for (int i = 0; i < ALL; i++) start[i] = i < AT ? 0 : i < AT + DOC ? AT : AT + DOC;
    b.fwd.start = start;
    k->attention_forward(NULL, &b.fwd);
    k->attention_backward(NULL, &b);
    struct attention_backward_args alone = b;
    int32_t zero[DOC] = {0};
    alone.fwd.tokens = DOC;
    alone.fwd.start = zero;
    alone.fwd.q = (const float *)a.q + AT * a.q_stride;
    alone.fwd.k = (const float *)a.k + AT * a.k_stride;
    alone.fwd.v = (const float *)a.v + AT * a.v_stride;
    alone.dout = (const float *)b.dout + AT * a.o_stride;
    alone.fwd.o = io_new(&io, DOC * a.o_stride * 4);
    alone.fwd.lse = io_new(&io, DOC * HEADS * 4);
    alone.delta = io_new(&io, DOC * HEADS * 4);
    alone.dq = io_new(&io, DOC * a.q_stride * 4);
    alone.dk = io_new(&io, DOC * a.k_stride * 4);
    alone.dv = io_new(&io, DOC * a.v_stride * 4);
    k->attention_forward(NULL, &alone.fwd);
    k->attention_backward(NULL, &alone);
    CASE(memcmp(alone.fwd.o, (float *)b.fwd.o + AT * a.o_stride, DOC * (size_t)a.o_stride * 4) == 0, "%s: o of a document depends on its place",
         k->isa);
    CASE(memcmp(alone.dq, (float *)b.dq + AT * a.q_stride, DOC * (size_t)a.q_stride * 4) == 0, "%s: dq of a document depends on its place", k->isa);
    CASE(memcmp(alone.dk, (float *)b.dk + AT * a.k_stride, DOC * (size_t)a.k_stride * 4) == 0, "%s: dk of a document depends on its place", k->isa);
    bool same = true;
    for (int i = 0; i < DOC; i++)
        same = same && memcmp((char *)alone.dv + i * a.v_stride * 4, (char *)b.dv + (AT + i) * a.v_stride * 4, 2 * DIM * 4) == 0;
    CASE(same, "%s: dv of a document depends on its place", k->isa);
    io_end(&io);
}

/* Queries that continue kept keys: the bits of a call with all, for one query and for several, across documents. */
static void continued(const struct kernels *k) {
    enum { ALL = 200, H = 4, DIM = 24 };
    struct io io = {.seed = 4};
    struct shape s = {.tokens = ALL, .heads = H, .kv_heads = 2, .dim = DIM, .group = 2, .layout = DOCUMENTS, .t = DT_F32};
    struct attention_args a = arguments(&io, &s);
    k->attention_forward(NULL, &a);
    static const int firsts[] = {1, 5, 63, 64, 100, 199};
    for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
        int first = firsts[f], queries = ALL - first;
        struct attention_args b = a;
        b.first = first;
        b.q = (const float *)a.q + first * a.q_stride;
        b.start = a.start + first;
        b.o = io_new(&io, queries * a.o_stride * 4);
        b.lse = io_new(&io, queries * H * 4);
        k->attention_forward(NULL, &b);
        bool same = true;
        for (int h = 0; h < H; h++)
            for (int i = 0; i < queries; i++) same = same && bits_of_f32(b.lse[h * queries + i]) == bits_of_f32(a.lse[h * ALL + first + i]);
        for (int64_t i = 0; i < queries; i++)
            for (int64_t c = 0; c < H * DIM; c++)
                same = same && bits_of_f32(((float *)b.o)[i * a.o_stride + c]) == bits_of_f32(((float *)a.o)[(first + i) * a.o_stride + c]);
        CASE(same, "%s: queries from %d on have the bits of all", k->isa, first);
    }
    io_end(&io);
}

enum { T = 9, HEADS = 4, KV = 2, D = 6, QN = T * HEADS * D, KN = T * KV * D };
struct problem {
    double r[QN];
    int32_t start[T];
};

/* q, k, v -> sum of r * o. */
static double loss(const double *v, const void *arg) {
    const struct problem *p = arg;
    const double *q = v, *k = v + QN, *w = k + KN;
    double sum = 0;
    for (int i = 0; i < T; i++) {
        if (p->start[i] < 0) continue;
        for (int h = 0; h < HEADS; h++) {
            double z = 0, o[D] = {0};
            for (int j = p->start[i]; j <= i; j++) {
                double s = 0;
                for (int d = 0; d < D; d++) s += q[(i * HEADS + h) * D + d] * k[(j * KV + h / 2) * D + d];
                s = exp(s * 0.4);
                z += s;
                for (int d = 0; d < D; d++) o[d] += s * w[(j * KV + h / 2) * D + d];
            }
            for (int d = 0; d < D; d++) sum += p->r[(i * HEADS + h) * D + d] * o[d] / z;
        }
    }
    return sum;
}

static void differences(const struct kernels *k) {
    struct io io = {.seed = 17};
    struct problem p = {.start = {0, 0, 0, 0, 0, 5, 5, 5, -1}};
    float *q = io_normal(&io, DT_F32, QN, 1), *key = io_normal(&io, DT_F32, KN, 1), *value = io_normal(&io, DT_F32, KN, 1);
    float *dout = io_normal(&io, DT_F32, QN, 1), o[QN], lse[T * HEADS], delta[T * HEADS], g[QN + 2 * KN];
    double v[QN + 2 * KN], bound[QN + 2 * KN];
    for (int i = 0; i < QN; i++) p.r[i] = dout[i];
    for (int i = 0; i < QN + 2 * KN; i++) v[i] = i < QN ? q[i] : i < QN + KN ? key[i - QN] : value[i - QN - KN];
    /* Scores are under 10, so p is off by (D + 4)*10 + 40 units; a gradient is a sum of at most 2*T terms under 40. */
    for (int i = 0; i < QN + 2 * KN; i++) bound[i] = ((D + 4) * 10 + 40 + 2 * T) * U32 * 40;
    struct attention_backward_args b = {.fwd = {.act = DT_F32,
                                                .tokens = T,
                                                .heads = HEADS,
                                                .kv_heads = KV,
                                                .head_dim = D,
                                                .group = 2,
                                                .scale = 0.4f,
                                                .q = q,
                                                .k = key,
                                                .v = value,
                                                .q_stride = HEADS * D,
                                                .k_stride = KV * D,
                                                .v_stride = KV * D,
                                                .start = p.start,
                                                .o = o,
                                                .o_stride = HEADS * D,
                                                .lse = lse},
                                        .dout = dout,
                                        .delta = delta,
                                        .dq = g,
                                        .dk = g + QN,
                                        .dv = g + QN + KN};
    k->attention_forward(NULL, &b.fwd);
    k->attention_backward(NULL, &b);
    check_gradient(k->isa, loss, &p, v, QN + 2 * KN, g, bound);
    io_end(&io);
}

int main(void) {
    static const struct shape shapes[] = {
        {.tokens = 0, .heads = 2, .kv_heads = 1, .dim = 8, .group = 2},
        {.tokens = 1, .heads = 1, .kv_heads = 1, .dim = 1, .group = 1},
        {.tokens = 17, .heads = 3, .kv_heads = 3, .dim = 7, .group = 1, .gap = 3},
        {.tokens = 64, .heads = 4, .kv_heads = 2, .dim = 16, .group = 2},
        {.tokens = 65, .heads = 2, .kv_heads = 1, .dim = 33, .group = 2, .gap = 5},
        {.tokens = 150, .heads = 4, .kv_heads = 1, .dim = 64, .group = 4},
        {.tokens = 131, .heads = 3, .kv_heads = 2, .dim = 24, .q0 = 3, .kv0 = 1, .group = 2}, /* a slice: heads 3 to 5 of KV heads 1 and 2 */
        {.tokens = 70, .heads = 1, .kv_heads = 1, .dim = 256, .group = 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int l = 0; l < LAYOUTS; l++)
            for (int t = 0; t < 2; t++) {
                struct shape s = shapes[i];
                s.layout = (enum layout)l;
                s.t = t ? DT_BF16 : DT_F32;
                if (l != ONE && s.tokens < 60) continue;
                char name[96];
                (void)snprintf(name, sizeof name, "%s T %lld heads %d/%d dim %d layout %d", dtype_name(s.t), (long long)s.tokens, s.heads, s.kv_heads,
                               s.dim, l);
                hold(name, forward, &s);
                if (l == ONE || s.dim <= 64) hold(name, backward, &s);
            }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    for (int s = 0; s < n; s++) own_bits(&sets[s]);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) continued(&sets[s]);
    for (int s = 0; s <= n; s++) differences(&sets[s]);
    return test_end();
}
