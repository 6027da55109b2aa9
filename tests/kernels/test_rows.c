/* Rows of experts: copies are copies, sums and their gradients hold. */
#include "kernel_test.h"

struct shape {
    int64_t tokens, width;
    int experts, k;
    enum dtype t;
    bool weights, alias;
};

/* Ids with some slots and whole tokens left out; distinct within a token. */
static uint16_t *make_ids(struct io *io, const struct shape *s) {
    uint16_t *ids = io_new(io, s->tokens * s->k * 2);
    for (int64_t t = 0; t < s->tokens; t++)
        for (int i = 0; i < s->k; i++) {
            int64_t first = rng_below(io->seed, 99, (uint64_t)t, s->experts);
            ids[t * s->k + i] = (uint16_t)((first + (int64_t)i * (s->experts / s->k)) % s->experts);
            if (t % 7 == 3 || (t + i) % 5 == 4) ids[t * s->k + i] = 0xffff;
        }
    return ids;
}

/* Rows by expert, then token, then slot. */
struct plan {
    int32_t *token, *pos;
    int64_t rows;
};

static struct plan make_plan(struct io *io, const struct shape *s, const uint16_t *ids) {
    struct plan p = {io_new(io, s->tokens * s->k * 4), io_new(io, s->tokens * s->k * 4), 0};
    for (int64_t i = 0; i < s->tokens * s->k; i++) p.pos[i] = -1;
    for (int e = 0; e < s->experts; e++)
        for (int64_t i = 0; i < s->tokens * s->k; i++) {
            if (ids[i] != e) continue;
            p.token[p.rows] = (int32_t)(i / s->k);
            p.pos[i] = (int32_t)p.rows++;
        }
    return p;
}

static void gather(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct plan p = make_plan(io, s, make_ids(io, s));
    void *x = io_normal(io, s->t, s->tokens * s->width, 1), *y = io_normal(io, s->t, (p.rows + 1) * s->width, 1);
    io->k->rows_gather(io->pool, &(struct rows_gather_args){.act = s->t, .rows = p.rows, .width = s->width, .token = p.token, .x = x, .y = y});
    (void)io_out(io, "y", s->t, y, (p.rows + 1) * s->width);
}

/* The same roundings in the same order: the same bits. */
static void combine(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct plan p = make_plan(io, s, make_ids(io, s));
    void *x = io_normal(io, s->t, p.rows * s->width, 1), *y = io_normal(io, s->t, (s->tokens + 1) * s->width, 1);
    float *w = io_normal(io, DT_F32, s->tokens * s->k, 1);
    io->k->rows_combine(
        io->pool, &(struct rows_combine_args){
                      .act = s->t, .tokens = s->tokens, .width = s->width, .k = s->k, .pos = p.pos, .w = s->weights ? w : NULL, .x = x, .y = y});
    (void)io_out(io, "y", s->t, y, (s->tokens + 1) * s->width);
}

/* Every third token, as a chunk of a dispatch has them; those between stay as they are. */
static void combine_apart(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct plan p = make_plan(io, s, make_ids(io, s));
    enum { APART = 3 };
    void *x = io_normal(io, s->t, p.rows * s->width, 1), *y = io_normal(io, s->t, (APART * s->tokens + 1) * s->width, 1);
    float *w = io_normal(io, DT_F32, APART * s->tokens * s->k, 1);
    struct rows_combine_args a = {
        .act = s->t, .tokens = s->tokens, .width = s->width, .x_rows = p.rows, .apart = APART, .k = s->k, .pos = p.pos, .x = x, .y = y};
    a.w = s->weights ? w : NULL;
    io->k->rows_combine(io->pool, &a);
    (void)io_out(io, "y", s->t, y, (APART * s->tokens + 1) * s->width);
    if (!io->bounds) return;
    bool same = true;
    for (int64_t t = 0; t < s->tokens; t++) { /* each by itself */
        void *one = io_new(io, s->width * 4);
        struct rows_combine_args b = a;
        b.tokens = 1;
        b.pos = p.pos + t * s->k;
        b.w = a.w ? w + APART * t * s->k : NULL;
        b.y = one;
        io->k->rows_combine(io->pool, &b);
        same = same && memcmp(one, (char *)y + APART * t * s->width * dtype_bytes(s->t), (size_t)(s->width * dtype_bytes(s->t))) == 0;
        free(one);
        io->count--;
    }
    CASE(same, "tokens that lie apart");
}

/* dw is a sum of width products in fp32. */
static void combine_backward(struct io *io, const void *shape) {
    const struct shape *s = shape;
    struct plan p = make_plan(io, s, make_ids(io, s));
    int64_t n = p.rows * s->width;
    void *x = io_normal(io, s->t, n, 1), *was = io_copy(io, x, n * dtype_bytes(s->t)), *dy = io_normal(io, s->t, s->tokens * s->width, 1);
    void *dx = s->alias ? x : io_normal(io, s->t, n, 1);
    float *w = io_normal(io, DT_F32, s->tokens * s->k, 1), *dw = io_normal(io, DT_F32, s->tokens * s->k, 1);
    io->k->rows_combine_backward(
        io->pool, &(struct rows_combine_backward_args){
                      .act = s->t, .tokens = s->tokens, .width = s->width, .k = s->k, .pos = p.pos, .w = w, .x = x, .dy = dy, .dx = dx, .dw = dw});
    (void)io_out(io, "dx", s->t, dx, n);
    double *bound = io_out(io, "dw", DT_F32, dw, s->tokens * s->k);
    for (int64_t i = 0; io->bounds && i < s->tokens * s->k; i++) {
        bound[i] = 0;
        for (int64_t c = 0; p.pos[i] >= 0 && c < s->width; c++)
            bound[i] += (double)s->width * U32 * fabs(get(s->t, was, p.pos[i] * s->width + c) * get(s->t, dy, i / s->k * s->width + c));
    }
}

enum { T = 4, W = 5, K = 2, ROWS = 6 };
struct problem {
    double r[T * W];
    int32_t pos[T * K];
};

/* x (ROWS, W) and w (T, K) -> sum of r * y. */
static double loss(const double *v, const void *arg) {
    const struct problem *p = arg;
    double sum = 0;
    for (int i = 0; i < T * K; i++)
        for (int c = 0; c < W && p->pos[i] >= 0; c++) sum += p->r[i / K * W + c] * v[ROWS * W + i] * v[p->pos[i] * W + c];
    return sum;
}

static void differences(const struct kernels *k) {
    struct io io = {.seed = 31};
    struct problem p = {.pos = {0, 3, 1, -1, -1, 4, 2, 5}};
    float *x = io_normal(&io, DT_F32, ROWS * W, 1), *w = io_normal(&io, DT_F32, T * K, 1), *dy = io_normal(&io, DT_F32, T * W, 1);
    float g[ROWS * W + T * K];
    double v[ROWS * W + T * K], bound[ROWS * W + T * K];
    for (int i = 0; i < T * W; i++) p.r[i] = dy[i];
    for (int i = 0; i < ROWS * W + T * K; i++) {
        v[i] = i < ROWS * W ? x[i] : w[i - ROWS * W];
        bound[i] = W * U32 * 30; /* W terms under 6 */
    }
    k->rows_combine_backward(
        NULL, &(struct rows_combine_backward_args){
                  .act = DT_F32, .tokens = T, .width = W, .k = K, .pos = p.pos, .w = w, .x = x, .dy = dy, .dx = g, .dw = g + ROWS * W});
    check_gradient(k->isa, loss, &p, v, ROWS * W + T * K, g, bound);
    io_end(&io);
}

/* Without a table row t*k + s is slot s of token t. */
static void without_places(const struct kernels *k) {
    struct io io = {.seed = 32};
    int32_t pos[T * K];
    float *x = io_normal(&io, DT_F32, T * K * W, 1), *w = io_normal(&io, DT_F32, T * K, 1), *dy = io_normal(&io, DT_F32, T * W, 1);
    float dx[2][T * K * W], dw[2][T * K];
    for (int i = 0; i < T * K; i++) pos[i] = i;
    for (int i = 0; i < 2; i++)
        k->rows_combine_backward(
            NULL, &(struct rows_combine_backward_args){
                      .act = DT_F32, .tokens = T, .width = W, .k = K, .pos = i ? pos : NULL, .w = w, .x = x, .dy = dy, .dx = dx[i], .dw = dw[i]});
    CASE(memcmp(dx[0], dx[1], sizeof dx[0]) == 0 && memcmp(dw[0], dw[1], sizeof dw[0]) == 0, "%s: rows in the order of slots", k->isa);
    io_end(&io);
}

int main(void) {
    static const struct shape shapes[] = {{0, 8, 4, 2, 0, 1, 0},   {1, 1, 1, 1, 0, 1, 1},      {13, 17, 5, 2, 0, 1, 0},
                                          {64, 64, 8, 8, 0, 0, 1}, {301, 33, 128, 4, 0, 1, 1}, {40, 515, 7, 3, 0, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 2; t++) {
            struct shape s = shapes[i];
            s.t = t ? DT_BF16 : DT_F32;
            hold("gather", gather, &s);
            hold("combine", combine, &s);
            hold("combine apart", combine_apart, &s);
            hold("combine backward", combine_backward, &s);
        }
    struct kernels sets[SETS_MAX + 1];
    int n = kernel_sets(sets);
    kernels_reference(&sets[n]);
    for (int s = 0; s <= n; s++) {
        differences(&sets[s]);
        without_places(&sets[s]);
    }
    return test_end();
}
