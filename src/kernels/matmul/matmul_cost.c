#include "kernels/cost_int.h"

struct cost matmul_cost(const struct matmul_args *a) {
    const bool tn = a->kind == MATMUL_TN;
    int used = 0; /* groups with rows: the others' weights are not read */
    for (int g = 0; a->row_off && g < a->groups; g++) used += a->row_off[g + 1] > a->row_off[g];
    if (!a->row_off) used = a->rows > 0;
    const double rows = (double)(a->row_off ? a->row_off[a->groups] - a->row_off[0] : a->rows), n = (double)a->n;
    const double inner = (double)(tn ? a->m : a->k), once = a->accumulate ? 2 : 1;
    double bytes = rows * inner * size_of(a->a_dtype);
    if (tn) bytes += rows * n * size_of(a->b_dtype) + used * inner * n * size_of(a->c_dtype) * once;
    else bytes += used * inner * n * size_of(a->b_dtype) + rows * n * size_of(a->c_dtype) * once;
    return (struct cost){2 * rows * inner * n, bytes};
}

/* Rows [from, to) of a group. */
static void group_touch(const struct matmul_args *a, int g, int64_t from, int64_t to, struct touch *t) {
    const int64_t ab = dtype_bytes(a->a_dtype), bb = dtype_bytes(a->b_dtype), cb = dtype_bytes(a->c_dtype);
    const enum access c = a->accumulate ? TOUCH_ADD : TOUCH_WRITE;
    const bool tn = a->kind == MATMUL_TN;
    if (tn && (from < to || !a->accumulate)) touch_rows(t, c, a->cs ? a->cs[g] : a->c, a->m, a->n * cb, a->ldc * cb);
    if (from == to) return;
    touch_rows(t, TOUCH_READ, (const char *)a->a + from * a->lda * ab, to - from, (tn ? a->m : a->k) * ab, a->lda * ab);
    if (tn) {
        touch_rows(t, TOUCH_READ, (const char *)a->b + from * a->ldb * bb, to - from, a->n * bb, a->ldb * bb);
        return;
    }
    const bool nt = a->kind == MATMUL_NT;
    touch_rows(t, TOUCH_READ, a->bs ? a->bs[g] : a->b, nt ? a->n : a->k, (nt ? a->k : a->n) * bb, a->ldb * bb);
    touch_rows(t, c, (char *)a->c + from * a->ldc * cb, to - from, a->n * cb, a->ldc * cb);
}

/* Groups without rows are not read, and their gradients, where they are added to, not touched. */
void matmul_touch(const struct matmul_args *a, struct touch *t) {
    for (int g = 0; g < a->groups; g++) group_touch(a, g, a->row_off ? a->row_off[g] : 0, a->row_off ? a->row_off[g + 1] : a->rows, t);
}

void matmul_tables(struct matmul_args *a, struct tables *t) {
    TABLE(t, &a->row_off, (int64_t)sizeof *a->row_off * (a->groups + 1));
    TABLE(t, &a->bs, (int64_t)sizeof *a->bs * a->groups);
    TABLE(t, &a->cs, (int64_t)sizeof *a->cs * a->groups);
}
