/* The expert's arithmetic: f_e(x) = (silu(x Wg^T) * (x Wu^T)) Wd^T over groups of rows, and its gradients. Everything is borrowed; nothing is
 * kept between calls. Called by moe.c where nothing is sent, and by dispatch.c on what has come. */
#include "experts/experts_int.h"

void groups_point(const struct experts *m, const struct groups *g) {
    const struct experts_work *w = m->work;
    for (int i = 0; i < g->count; i++) {
        const int e = g->expert[i];
        g->in[i] = w->w_in[e];
        g->out[i] = w->w_out[e];
        g->g_in[i] = w->g_in[e];
        g->g_out[i] = w->g_out[e];
    }
}

/* One product per group: y = x W^T (NT) or dx = dy W (NN). */
static void product(struct experts *m, const struct groups *g, enum matmul_kind kind, const void *a, int64_t k, const void *const *w, int64_t ldb,
                    void *y, int64_t n) {
    const enum dtype act = m->shape.act;
    RUN(m->ex, matmul, matmul_args, .kind = kind, .groups = g->count, .row_off = g->off, .n = n, .k = k, .a = a, .lda = k, .bs = w, .ldb = ldb,
        .c = y, .ldc = n, .a_dtype = act, .b_dtype = act, .c_dtype = act);
}

/* dW += dy^T x over the rows of each source in turn: groups of one expert add into one matrix. */
static void gradient(struct experts *m, const struct groups *g, const void *dy, int64_t rows_out, const void *x, int64_t cols, float *const *dw) {
    const enum dtype act = m->shape.act;
    for (int s = 0; s < g->sources; s++) {
        const int first = g->of_source[s], n = g->of_source[s + 1] - first;
        if (g->off[first + n] == g->off[first]) continue;
        RUN(m->ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = n, .row_off = g->off + first, .m = rows_out, .n = cols, .a = dy, .lda = rows_out,
            .b = x, .ldb = cols, .cs = (void *const *)(dw + first), .ldc = cols, .a_dtype = act, .b_dtype = act, .c_dtype = DT_F32,
            .accumulate = true);
    }
}

void experts_apply(struct experts *m, const struct groups *g, const struct expert_rows *r) {
    const int64_t hidden = m->shape.spec->hidden, i = m->shape.spec->expert_width;
    if (g->rows == 0) return;
    product(m, g, MATMUL_NT, r->x, hidden, g->in, hidden, r->gate_up, 2 * i);
    RUN(m->ex, swiglu_forward, swiglu_args, .act = m->shape.act, .rows = g->rows, .width = i, .gate_up = r->gate_up, .h = r->mid);
    product(m, g, MATMUL_NT, r->mid, i, g->out, i, r->out, hidden);
}

void experts_apply_backward(struct experts *m, const struct groups *g, const struct expert_rows *r, const void *dout, void *dmid, void *dx) {
    const int64_t hidden = m->shape.spec->hidden, i = m->shape.spec->expert_width;
    if (g->rows == 0) return;
    gradient(m, g, dout, hidden, r->mid, i, g->g_out);
    product(m, g, MATMUL_NN, dout, hidden, g->out, i, dmid, i);
    RUN(m->ex, swiglu_backward, swiglu_args, .act = m->shape.act, .rows = g->rows, .width = i, .gate_up = r->gate_up, .dh = dmid,
        .dgate_up = r->gate_up);
    gradient(m, g, r->gate_up, 2 * i, r->x, hidden, g->g_in);
    product(m, g, MATMUL_NN, r->gate_up, 2 * i, g->in, hidden, dx, hidden);
}
