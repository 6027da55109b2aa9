/* Attention: fast against reference, backward against central differences, and that a document's bits are its own. */
#include "kernel_test.h"

enum layout { ONE, DOCUMENTS, SHORT, PADDED, OWN_KEY, WINDOW, LAYOUTS };
struct shape {
    int64_t tokens;
    int heads, kv_heads, dim, q0, kv0, group;
    int64_t gap;
    int value; /* 0: dim */
    int64_t window;
    bool sinks;
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
    const int value = s->value ? s->value : s->dim;
    const int64_t qs = (int64_t)s->heads * s->dim + s->gap, ks = (int64_t)s->kv_heads * s->dim + s->gap;
    const int64_t os = (int64_t)s->heads * value + s->gap, vs = (int64_t)s->kv_heads * value + s->gap + 1;
    return (struct attention_args){.act = s->t,
                                   .tokens = s->tokens,
                                   .heads = s->heads,
                                   .kv_heads = s->kv_heads,
                                   .head_dim = s->dim,
                                   .value_dim = s->value,
                                   .window = s->window,
                                   .sinks = s->sinks ? io_normal(io, s->t, s->heads, 3) : NULL,
                                   .q_head0 = s->q0,
                                   .kv_head0 = s->kv0,
                                   .group = s->group,
                                   .scale = 1 / sqrtf((float)s->dim),
                                   .q = io_normal(io, s->t, s->tokens * qs, 2),
                                   .k = io_normal(io, s->t, s->tokens * ks, 1),
                                   .v = io_normal(io, s->t, s->tokens * vs, 1),
                                   .q_stride = qs,
                                   .k_stride = ks,
                                   .v_stride = vs,
                                   .start = starts(io, s->tokens, s->layout),
                                   .o = io_normal(io, s->t, s->tokens * os, 1),
                                   .o_stride = os,
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

static double sink_of(const struct attention_args *a, int h) { return a->sinks ? get(a->act, a->sinks, h) : -INFINITY; }

/* How far exp(s - lse) may be off, relative: a score's sum of dim terms, twice (in the maximum or lse it is off alike; a sink may be
 * divided by the scale and multiplied again), two exponentials of 2 ulp and their arguments' rounding, and the denominator's sum over n
 * keys with 3 roundings a tile. */
static double p_relative(const struct attention_args *a, int h, int64_t i) {
    double worst = a->sinks ? 4 * U32 * fabs(sink_of(a, h)) : 0;
    int kv = (a->q_head0 + h) / a->group - a->kv_head0;
    for (int64_t j = attention_first_key(a, i); j <= i; j++) {
        struct dots d =
            dots(a->act, a->q, i * a->q_stride + (int64_t)h * a->head_dim, a->k, j * a->k_stride + (int64_t)kv * a->head_dim, a->head_dim);
        worst = fmax(worst, (a->head_dim + 4) * U32 * d.size * a->scale);
    }
    return 2 * worst + ((double)(i - a->start[i]) + 32) * U32;
}

/* In BF16 a kernel may round p and ds to BF16 before it multiplies by them: one half ulp of each term of a sum. */
static double term_rounding(enum dtype t) { return t == DT_BF16 ? U16 : 0; }

static void forward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct attention_args a = arguments(io, s);
    const int value = attention_value_dim(&a);
    io->k->attention_forward(io->pool, &a);
    double *bo = io_out(io, "o", s->t, a.o, s->tokens * a.o_stride), *bl = io_out(io, "lse", DT_F32, a.lse, s->heads * s->tokens);
    for (int h = 0; io->bounds && h < s->heads; h++) {
        int kv = (s->q0 + h) / s->group - s->kv0;
        for (int64_t i = 0; i < s->tokens; i++) {
            if (a.start[i] < 0) continue;
            double relative = p_relative(&a, h, i);
            bl[h * s->tokens + i] = relative;
            for (int d = 0; d < value; d++) bo[i * a.o_stride + (int64_t)h * value + d] = 0;
            for (int64_t j = attention_first_key(&a, i); j <= i; j++) {
                struct dots x = dots(s->t, a.q, i * a.q_stride + (int64_t)h * s->dim, a.k, j * a.k_stride + (int64_t)kv * s->dim, s->dim);
                double p = exp(x.sum * a.scale - a.lse[h * s->tokens + i]) * (relative + (double)(i - a.start[i] + 8) * U32 + term_rounding(s->t));
                for (int d = 0; d < value; d++)
                    bo[i * a.o_stride + (int64_t)h * value + d] += p * fabs(get(s->t, a.v, j * a.v_stride + (int64_t)kv * value + d));
            }
        }
    }
}

/* ds of a pair is off by p's relative error times its parts, and by the sums in dp and delta: `off`. The gradients are
 * sums in fp32 of at most tokens * heads such pairs, each perhaps rounded: `terms`. */
static void backward_bounds(const struct attention_backward_args *b, double *bq, double *bk, double *bv, double *bs) {
    const struct attention_args *a = &b->fwd;
    enum dtype t = a->act;
    const int dim = a->head_dim, value = attention_value_dim(a);
    double terms = (double)a->tokens * a->heads * U32 + term_rounding(t);
    for (int h = 0; h < a->heads; h++) {
        int kv = (a->q_head0 + h) / a->group - a->kv_head0;
        for (int64_t i = 0; i < a->tokens; i++) {
            int64_t q = i * a->q_stride + (int64_t)h * dim, o = i * a->o_stride + (int64_t)h * value;
            if (a->start[i] < 0) continue;
            double relative = p_relative(a, h, i);
            struct dots delta = dots(t, b->dout, o, a->o, o, value);
            if (a->sinks) { /* sums in runs of 128 tokens at most; lse is the reference's on both sides */
                const double x = sink_of(a, h) - a->lse[h * a->tokens + i], share = exp(x);
                bs[h] += share * ((8 + 4 * fabs(x) + 128 + value + 8) * U32 * delta.size + 2 * U32 * fabs(delta.sum));
            }
            for (int64_t j = attention_first_key(a, i); j <= i; j++) {
                int64_t k = j * a->k_stride + (int64_t)kv * dim, v = j * a->v_stride + (int64_t)kv * value;
                struct dots dp = dots(t, b->dout, o, a->v, v, value);
                double p = exp(dots(t, a->q, q, a->k, k, dim).sum * a->scale - a->lse[h * a->tokens + i]);
                double ds = fabs(p * (dp.sum - delta.sum) * a->scale);
                double off = p * a->scale * (relative * (fabs(dp.sum) + fabs(delta.sum)) + (value + 8) * U32 * (dp.size + delta.size));
                for (int d = 0; d < dim; d++) {
                    bq[q + d] += (off + terms * (ds + off)) * fabs(get(t, a->k, k + d));
                    bk[k + d] += (off + terms * (ds + off)) * fabs(get(t, a->q, q + d));
                }
                for (int d = 0; d < value; d++) bv[v + d] += p * (relative + terms * (1 + relative)) * fabs(get(t, b->dout, o + d));
            }
        }
    }
}

static void set_zero(double *bound, int64_t tokens, int64_t stride, int64_t width) {
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t c = 0; c < width; c++) bound[i * stride + c] = 0;
}

/* The slow reference goes forward once for all the runs of hold(): the first, which states the bounds, keeps o and lse for the others. */
static void forward_by_reference(const struct io *io, const struct attention_args *a) {
    static void *o, *lse;
    const size_t o_bytes = (size_t)(a->tokens * a->o_stride * dtype_bytes(a->act)), lse_bytes = (size_t)(a->heads * a->tokens) * sizeof *a->lse;
    if (io->bounds) {
        attention_forward_ref(NULL, a);
        free(o);
        free(lse);
        o = malloc(o_bytes + 1);
        lse = malloc(lse_bytes + 1);
        if (!o || !lse) exit(3);
        memcpy(o, a->o, o_bytes);
        memcpy(lse, a->lse, lse_bytes);
    }
    memcpy(a->o, o, o_bytes);
    memcpy(a->lse, lse, lse_bytes);
}

static void backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct attention_args a = arguments(io, s);
    forward_by_reference(io, &a);
    struct attention_backward_args b = {.fwd = a,
                                        .dout = io_normal(io, s->t, s->tokens * a.o_stride, 1),
                                        .delta = io_normal(io, DT_F32, s->heads * s->tokens, 1),
                                        .dq = io_normal(io, s->t, s->tokens * a.q_stride, 1),
                                        .dk = io_normal(io, s->t, s->tokens * a.k_stride, 1),
                                        .dv = io_normal(io, s->t, s->tokens * a.v_stride, 1),
                                        .dsinks_acc = io_normal(io, DT_F32, s->heads, 1)};
    io->k->attention_backward(io->pool, &b);
    double *bq = io_out(io, "dq", s->t, b.dq, s->tokens * a.q_stride), *bk = io_out(io, "dk", s->t, b.dk, s->tokens * a.k_stride);
    double *bv = io_out(io, "dv", s->t, b.dv, s->tokens * a.v_stride), *bs = io_out(io, "dsinks", DT_F32, b.dsinks_acc, s->heads);
    if (!io->bounds) return;
    set_zero(bq, s->tokens, a.q_stride, (int64_t)s->heads * s->dim);
    set_zero(bk, s->tokens, a.k_stride, (int64_t)s->kv_heads * s->dim);
    set_zero(bv, s->tokens, a.v_stride, (int64_t)s->kv_heads * attention_value_dim(&a));
    if (s->sinks) set_zero(bs, 1, s->heads, s->heads);
    backward_bounds(&b, bq, bk, bv, bs);
}

/* Where a row of (tokens, width) activations begins. */
static const char *row_at(enum dtype t, const void *p, int64_t row, int64_t stride) { return (const char *)p + row * stride * dtype_bytes(t); }

/* Rows of `width` of two buffers with one stride, from their rows a and b on. */
static bool same_rows(enum dtype t, const void *x, int64_t a, const void *y, int64_t b, int64_t rows, int64_t stride, int64_t width) {
    bool same = true;
    for (int64_t i = 0; i < rows; i++)
        same = same && memcmp(row_at(t, x, a + i, stride), row_at(t, y, b + i, stride), (size_t)(width * dtype_bytes(t))) == 0;
    return same;
}

static struct attention_backward_args outputs(struct io *io, const struct attention_args *a, int64_t tokens) {
    const int64_t bytes = dtype_bytes(a->act);
    struct attention_backward_args b = {.fwd = *a, .delta = io_new(io, tokens * a->heads * 4)};
    b.fwd.tokens = tokens;
    b.fwd.o = io_new(io, tokens * a->o_stride * bytes);
    b.fwd.lse = io_new(io, tokens * a->heads * 4);
    b.dq = io_new(io, tokens * a->q_stride * bytes);
    b.dk = io_new(io, tokens * a->k_stride * bytes);
    b.dv = io_new(io, tokens * a->v_stride * bytes);
    b.dsinks_acc = io_new(io, a->heads * 4);
    return b;
}

/* The same document at another place in the call and among others: forward and backward, the same bits. A second time the token
 * behind the document sees its last key, so that dk and dv of that key, and only they, are other ones: a kernel that takes whole
 * documents at once has to take another path, to the same bits (as it may where threads outnumber documents, which hold() sees to). */
static void own_bits(const struct kernels *k, struct shape s) {
    enum { DOC = 150, HEADS = 4, KV = 2, AT = 91, ALL = 300 };
    struct io io = {.seed = 3};
    const enum dtype t = s.t;
    const int dim = s.dim, value = s.value ? s.value : s.dim;
    s.tokens = ALL;
    s.heads = HEADS;
    s.kv_heads = KV;
    s.group = 2;
    const struct attention_args a = arguments(&io, &s);
    const void *dout = io_normal(&io, t, ALL * a.o_stride, 1);
    struct attention_backward_args alone = outputs(&io, &a, DOC);
    int32_t zero[DOC] = {0}, *start = io_new(&io, ALL * 4);
    alone.fwd.start = zero;
    alone.fwd.q = row_at(t, a.q, AT, a.q_stride);
    alone.fwd.k = row_at(t, a.k, AT, a.k_stride);
    alone.fwd.v = row_at(t, a.v, AT, a.v_stride);
    alone.dout = row_at(t, dout, AT, a.o_stride);
    k->attention_forward(NULL, &alone.fwd);
    k->attention_backward(NULL, &alone);
    for (int seen = 0; seen < 2; seen++) {
        struct attention_backward_args b = outputs(&io, &a, ALL);
        for (int i = 0; i < ALL; i++) start[i] = i < AT ? 0 : i < AT + DOC ? AT : AT + DOC - (seen && i == AT + DOC);
        b.fwd.start = start;
        b.dout = dout;
        k->attention_forward(NULL, &b.fwd);
        k->attention_backward(NULL, &b);
        const char *how = seen ? ", whose last key is seen from outside," : "";
        CASE(same_rows(t, alone.fwd.o, 0, b.fwd.o, AT, DOC, a.o_stride, HEADS * value), "%s %s %d: o of a document%s depends on its place", k->isa,
             dtype_name(t), dim, how);
        CASE(same_rows(t, alone.dq, 0, b.dq, AT, DOC, a.q_stride, HEADS * dim), "%s %s %d: dq of a document%s depends on its place", k->isa,
             dtype_name(t), dim, how);
        CASE(same_rows(t, alone.dk, 0, b.dk, AT, DOC - seen, a.k_stride, KV * dim), "%s %s %d: dk of a document%s depends on its place", k->isa,
             dtype_name(t), dim, how);
        CASE(same_rows(t, alone.dv, 0, b.dv, AT, DOC - seen, a.v_stride, KV * value), "%s %s %d: dv of a document%s depends on its place", k->isa,
             dtype_name(t), dim, how);
        CASE(!seen || !same_rows(t, alone.dv, DOC - 1, b.dv, AT + DOC - 1, 1, a.v_stride, KV * value), "%s %s %d: a key seen from outside shows it",
             k->isa, dtype_name(t), dim);
    }
    io_end(&io);
}

/* Queries that continue kept keys: the bits of a call with all, for one query and for several, across documents. */
static void continued(const struct kernels *k, struct shape s) {
    enum { ALL = 200, H = 4 };
    struct io io = {.seed = 4};
    const enum dtype t = s.t;
    s.tokens = ALL;
    s.heads = H;
    s.kv_heads = s.group = 2;
    s.layout = DOCUMENTS;
    struct attention_args a = arguments(&io, &s);
    k->attention_forward(NULL, &a);
    static const int firsts[] = {1, 5, 63, 64, 100, 199};
    for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
        int first = firsts[f], queries = ALL - first;
        struct attention_args b = a;
        b.first = first;
        b.q = row_at(t, a.q, first, a.q_stride);
        b.start = a.start + first;
        b.o = io_new(&io, queries * a.o_stride * dtype_bytes(t));
        b.lse = io_new(&io, queries * H * 4);
        k->attention_forward(NULL, &b);
        bool same = same_rows(t, b.o, 0, a.o, first, queries, a.o_stride, H * attention_value_dim(&a));
        for (int h = 0; h < H; h++) same = same && memcmp(b.lse + h * queries, a.lse + h * ALL + first, (size_t)queries * 4) == 0;
        CASE(same, "%s %s: queries from %d on have the bits of all", k->isa, dtype_name(t), first);
    }
    io_end(&io);
}

enum {
    T = 9,
    HEADS = 4,
    KV = 2,
    D = 6,
    V = 5,
    QN = T * HEADS * D,
    KN = T * KV * D,
    VN = T * KV * V,
    ON = T * HEADS * V,
    ALL_N = QN + KN + VN + HEADS
};
struct problem {
    double r[ON];
    int32_t start[T];
    int window;
};

/* q, k, v, sinks -> sum of r * o. */
static double loss(const double *x, const void *arg) {
    const struct problem *p = arg;
    const double *q = x, *k = q + QN, *v = k + KN, *sink = v + VN;
    double sum = 0;
    for (int i = 0; i < T; i++) {
        if (p->start[i] < 0) continue;
        for (int h = 0; h < HEADS; h++) {
            double z = exp(sink[h]), o[V] = {0};
            for (int j = p->start[i]; j <= i; j++) {
                if (j <= i - p->window) continue;
                double s = 0;
                for (int d = 0; d < D; d++) s += q[(i * HEADS + h) * D + d] * k[(j * KV + h / 2) * D + d];
                s = exp(s * 0.4);
                z += s;
                for (int d = 0; d < V; d++) o[d] += s * v[(j * KV + h / 2) * V + d];
            }
            for (int d = 0; d < V; d++) sum += p->r[(i * HEADS + h) * V + d] * o[d] / z;
        }
    }
    return sum;
}

static void differences(const struct kernels *k, int window) {
    struct io io = {.seed = 17};
    struct problem p = {.start = {0, 0, 0, 0, 0, 5, 5, 5, -1}, .window = window};
    float *x = io_normal(&io, DT_F32, ALL_N, 1), *dout = io_normal(&io, DT_F32, ON, 1), o[ON], lse[T * HEADS], delta[T * HEADS], g[ALL_N] = {0};
    double v[ALL_N], bound[ALL_N];
    for (int i = 0; i < ON; i++) p.r[i] = dout[i];
    for (int i = 0; i < ALL_N; i++) v[i] = x[i];
    /* Scores are under 10, so p is off by (D + 4)*10 + 40 units; a gradient is a sum of at most 2*T terms under 40. */
    for (int i = 0; i < ALL_N; i++) bound[i] = ((D + 4) * 10 + 40 + 2 * T) * U32 * 40;
    struct attention_backward_args b = {.fwd = {.act = DT_F32,
                                                .tokens = T,
                                                .heads = HEADS,
                                                .kv_heads = KV,
                                                .head_dim = D,
                                                .value_dim = V,
                                                .group = 2,
                                                .scale = 0.4f,
                                                .window = window,
                                                .sinks = x + QN + KN + VN,
                                                .q = x,
                                                .k = x + QN,
                                                .v = x + QN + KN,
                                                .q_stride = HEADS * D,
                                                .k_stride = KV * D,
                                                .v_stride = KV * V,
                                                .start = p.start,
                                                .o = o,
                                                .o_stride = HEADS * V,
                                                .lse = lse},
                                        .dout = dout,
                                        .delta = delta,
                                        .dq = g,
                                        .dk = g + QN,
                                        .dv = g + QN + KN,
                                        .dsinks_acc = g + QN + KN + VN};
    k->attention_forward(NULL, &b.fwd);
    k->attention_backward(NULL, &b);
    check_gradient(k->isa, loss, &p, v, ALL_N, g, bound);
    io_end(&io);
}

static void hold_shape(struct shape s, bool with_backward) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s T %lld heads %d/%d dims %d/%d window %lld%s layout %d", dtype_name(s.t), (long long)s.tokens, s.heads,
                   s.kv_heads, s.dim, s.value ? s.value : s.dim, (long long)s.window, s.sinks ? " sinks" : "", s.layout);
    hold(name, forward, &s);
    if (with_backward) hold(name, backward, &s);
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
        {.tokens = 300, .heads = 2, .kv_heads = 1, .dim = 64, .group = 2},
        {.tokens = 330, .heads = 2, .kv_heads = 1, .dim = 256, .group = 2, .gap = 1}, /* more than the kernels by AMX take whole */
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int l = 0; l < LAYOUTS; l++)
            for (int t = 0; t < 2; t++) {
                struct shape s = shapes[i];
                s.layout = (enum layout)l;
                s.t = t ? DT_BF16 : DT_F32;
                if ((l != ONE && s.tokens < 60) || (l > DOCUMENTS && s.tokens > 150)) continue;
                hold_shape(s, (l == ONE && (t || s.tokens <= 150)) || s.dim <= 64);
            }
    /* Windows, sinks, values of another width: each alone and together. A window of 37 is inside a tile, one of 64 or 65 at its border. */
    static const struct shape kinds[] = {
        {.tokens = 1, .heads = 1, .kv_heads = 1, .dim = 3, .value = 1, .group = 1, .window = 1, .sinks = true},
        {.tokens = 70, .heads = 2, .kv_heads = 2, .dim = 7, .value = 5, .group = 1, .gap = 1},
        {.tokens = 70, .heads = 2, .kv_heads = 1, .dim = 5, .value = 40, .group = 2},
        {.tokens = 80, .heads = 1, .kv_heads = 1, .dim = 192, .value = 128, .group = 1},
        {.tokens = 170, .heads = 2, .kv_heads = 1, .dim = 24, .group = 2, .window = 37},
        {.tokens = 100, .heads = 1, .kv_heads = 1, .dim = 16, .group = 1, .window = 1},
        {.tokens = 200, .heads = 1, .kv_heads = 1, .dim = 16, .group = 1, .window = 64},
        {.tokens = 270, .heads = 1, .kv_heads = 1, .dim = 20, .group = 1, .window = 129},
        {.tokens = 131, .heads = 3, .kv_heads = 2, .dim = 24, .q0 = 3, .kv0 = 1, .group = 2, .sinks = true},
        {.tokens = 190, .heads = 2, .kv_heads = 1, .dim = 48, .value = 33, .group = 2, .window = 65, .sinks = true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int l = 0; l < LAYOUTS; l++)
            for (int t = 0; t < 2; t++) {
                struct shape s = kinds[i];
                s.layout = (enum layout)l;
                s.t = t ? DT_BF16 : DT_F32;
                if ((l != ONE && s.tokens < 60) || (l > DOCUMENTS && l != PADDED && !(s.sinks && s.window))) continue;
                hold_shape(s, true);
            }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    static const struct shape ways[] = {{.dim = 24},
                                        {.dim = 64},
                                        {.dim = 256},
                                        {.dim = 192, .value = 128},
                                        {.dim = 33, .value = 70, .window = 50, .sinks = true},
                                        {.dim = 64, .window = 97}};
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
            for (int t = 0; t < 2; t++) {
                struct shape way = ways[w];
                way.t = t ? DT_BF16 : DT_F32;
                if (s < n) own_bits(&sets[s], way);
                if (way.dim < 64) continued(&sets[s], way);
            }
        differences(&sets[s], T);
        differences(&sets[s], 2);
    }
    return test_end();
}
