#include "kernels/matmul/matmul_int.h"

#include "base/num.h"

/* How one call is cut. An element of C is the same chain over k in whatever rectangle it lies, so the cut leaves no trace in the result, and
 * may follow the threads. */
struct cut {
    const struct matmul_args *a;
    const struct matmul_engine *e;
    int64_t rows, cols; /* of a task's rectangle of C, at most */
    int64_t across;     /* tasks beside each other in a group: cuts of n */
};

/* One task: C (rows, cols) = A . B over k, each operand from its first element. */
struct task {
    int64_t rows, cols, k;
    struct matmul_source a, b;
    void *c;
};

static int64_t group_begin(const struct matmul_args *a, int g) { return a->row_off ? a->row_off[g] : 0; }
static int64_t group_end(const struct matmul_args *a, int g) { return a->row_off ? a->row_off[g + 1] : a->rows; }

/* Rows of C that belong to group g. */
static int64_t group_rows(const struct matmul_args *a, int g) { return a->kind == MATMUL_TN ? a->m : group_end(a, g) - group_begin(a, g); }

static int64_t count_tasks(const struct cut *c) {
    int64_t down = 0;
    for (int g = 0; g < c->a->groups; g++) down += i64_div_up(group_rows(c->a, g), c->rows);
    return down * c->across;
}

/* C's rectangles when the tallest group is cut in `down` and the columns in `across` about equal parts. */
static struct cut cut_in(const struct matmul_args *a, const struct matmul_engine *e, int64_t tallest, int64_t down, int64_t across) {
    struct cut c = {.a = a, .e = e};
    c.rows = i64_round_up(i64_max(i64_div_up(tallest, down), 1), e->mr);
    c.cols = i64_round_up(i64_max(i64_div_up(a->n, across), 1), e->nr);
    c.across = i64_div_up(a->n, c.cols);
    return c;
}

/* From the largest rectangles, which keep packed operands in use the longest, halve the longer side until there are tasks for all
 * threads, or a task's work would no longer pay for packing. Every cut packs an operand once more: 32 tasks where two
 * threads need four cost a third of a tall product's time. */
static struct cut cut_call(const struct matmul_args *a, const struct matmul_engine *e, int threads) {
    const int64_t tasks_wanted = i64_max(4, 2 * threads);
    int64_t total = a->row_off ? a->row_off[a->groups] - a->row_off[0] : a->rows, tallest = 0;
    for (int g = 0; g < a->groups; g++) tallest = i64_max(tallest, group_rows(a, g));
    int64_t mac = total * a->n * (a->kind == MATMUL_TN ? a->m : a->k);
    int64_t wanted = i64_min(mac / e->task_mac, tasks_wanted);
    int64_t down = i64_max(i64_div_up(tallest, e->mc), 1), across = i64_max(i64_div_up(a->n, e->nc), 1);
    struct cut c = cut_in(a, e, tallest, down, across);
    while (count_tasks(&c) < wanted && (c.rows > 2 * e->mr || c.cols > 2 * e->nr)) {
        if (c.rows >= c.cols) down *= 2;
        else across *= 2;
        c = cut_in(a, e, tallest, down, across);
    }
    return c;
}

static const void *element(const void *at, enum dtype t, int64_t i) { return (const char *)at + i * dtype_bytes(t); }

/* The i-th task of the call. */
static struct task find_task(const struct cut *c, int64_t i) {
    const struct matmul_args *a = c->a;
    int64_t down = i / c->across, col = i % c->across * c->cols;
    int g = 0;
    for (int64_t here; down >= (here = i64_div_up(group_rows(a, g), c->rows)); g++) down -= here;
    int64_t row = down * c->rows, r0 = group_begin(a, g);
    struct task t = {.rows = i64_min(c->rows, group_rows(a, g) - row), .cols = i64_min(c->cols, a->n - col)};
    t.a = (struct matmul_source){.ld = a->lda, .dtype = a->a_dtype, .layout = MATMUL_ALONG};
    t.b = (struct matmul_source){.ld = a->ldb, .dtype = a->b_dtype, .layout = MATMUL_ACROSS};
    if (a->kind == MATMUL_TN) {
        t.k = group_end(a, g) - r0;
        t.a.layout = MATMUL_ACROSS;
        t.a.at = element(a->a, a->a_dtype, r0 * a->lda + row);
        t.b.at = element(a->b, a->b_dtype, r0 * a->ldb + col);
        t.c = (char *)(a->cs ? a->cs[g] : a->c) + (row * a->ldc + col) * dtype_bytes(a->c_dtype);
        return t;
    }
    const void *b = a->bs ? a->bs[g] : a->b;
    t.k = a->k;
    t.a.at = element(a->a, a->a_dtype, (r0 + row) * a->lda);
    t.c = (char *)a->c + ((r0 + row) * a->ldc + col) * dtype_bytes(a->c_dtype);
    if (a->kind == MATMUL_NT) t.b.layout = MATMUL_ALONG;
    t.b.at = element(b, a->b_dtype, a->kind == MATMUL_NT ? col * a->ldb : col);
    return t;
}

/* The source from lane and step on. */
static struct matmul_source from(const struct matmul_source *s, int64_t lane, int64_t step) {
    struct matmul_source out = *s;
    out.at = element(s->at, s->dtype, s->layout == MATMUL_ALONG ? lane * s->ld + step : step * s->ld + lane);
    return out;
}

/* Steps [k, k + steps) of a task. A is packed, and B: all of it at once where its columns lie in rows of memory, which are then read
 * from end to end; else a panel when its turn comes, to be used up while it lies in the nearest cache. Sums rest between blocks
 * of k in t, a tile after the other, or, if they are all that a whole F32 tile is to hold, in C. */
static void multiply(const struct cut *c, const struct task *task, int64_t k, int64_t steps, const char *pa, char *pb, float *t) {
    const struct matmul_engine *e = c->e;
    const bool first = k == 0, last = k + steps == task->k, in_place = c->a->c_dtype == DT_F32 && !c->a->accumulate;
    const bool at_once = task->b.layout == MATMUL_ACROSS;
    const int64_t c_bytes = dtype_bytes(c->a->c_dtype), whole = i64_round_up(steps, e->step);
    const int64_t a_panel = (int64_t)e->mr * e->kc * e->elem_bytes, b_panel = at_once ? (int64_t)e->nr * e->kc * e->elem_bytes : 0;
    if (at_once) {
        const struct matmul_source b = from(&task->b, 0, k);
        e->pack_b(pb, &b, task->cols, steps);
    }
    for (int64_t j = 0; j < task->cols; j += e->nr, pb += b_panel) {
        const int64_t cols = i64_min(e->nr, task->cols - j);
        if (!at_once) {
            const struct matmul_source b = from(&task->b, j, k);
            e->pack_b(pb, &b, cols, steps);
        }
        const char *panel = pa;
        for (int64_t i = 0; i < task->rows; i += e->mr, panel += a_panel) {
            const int64_t rows = i64_min(e->mr, task->rows - i);
            char *to = (char *)task->c + (i * c->a->ldc + j) * c_bytes;
            if (in_place && rows == e->mr && cols == e->nr) {
                e->kernel[task->a.layout](whole, e->mr, panel, pb, (float *)(void *)to, c->a->ldc, first);
                continue;
            }
            e->kernel[task->a.layout](whole, (int)rows, panel, pb, t, e->nr, first);
            if (last) e->store(t, e->nr, rows, cols, c->a, to);
            if (!first || !last) t += (int64_t)e->mr * e->nr;
        }
    }
}

static void run_task(void *arg, int64_t index, int worker) {
    (void)worker;
    const struct cut *c = arg;
    const struct matmul_engine *e = c->e;
    struct task task = find_task(c, index);
    if (task.k == 0 && c->a->accumulate) return;
    _Alignas(64) char pa[MATMUL_A_BYTES];
    _Alignas(64) char pb[MATMUL_B_BYTES];
    _Alignas(64) float t[MATMUL_T_BYTES / sizeof(float)];
    int64_t k = 0;
    if (e->begin) e->begin();
    do {
        int64_t steps = i64_min(e->kc, task.k - k);
        struct matmul_source a = from(&task.a, 0, k);
        e->pack_a(pa, &a, task.rows, steps);
        multiply(c, &task, k, steps, pa, pb, t);
        k += steps;
    } while (k < task.k);
    if (e->end) e->end();
}

void matmul_drive(struct pool *pool, const struct matmul_args *a, const struct matmul_engine *wide, const struct matmul_engine *narrow) {
    bool both = a->a_dtype == DT_BF16 && a->b_dtype == DT_BF16;
    struct cut c = cut_call(a, narrow && both ? narrow : wide, pool_threads(pool));
    pool_run(pool, count_tasks(&c), run_task, &c);
}
