#include "kernels/linear.h"

void linear_forward_at(const char *site, const struct exec *ex, const struct linear *l, const void *x, void *y) {
    RUN_SITE(site, ex, matmul, matmul_args, .kind = MATMUL_NT, .groups = 1, .rows = l->rows, .n = l->out, .k = l->in, .a = x, .lda = l->in, .b = l->w,
             .ldb = l->in, .c = y, .ldc = l->out, .a_dtype = l->act, .b_dtype = l->act, .c_dtype = l->act);
}

void linear_backward_at(const char *site, const struct exec *ex, const struct linear *l, const void *x, const void *dy, void *dx) {
    RUN_SITE(site, ex, matmul, matmul_args, .kind = MATMUL_TN, .groups = 1, .rows = l->rows, .m = l->out, .n = l->in, .a = dy, .lda = l->out, .b = x,
             .ldb = l->in, .c = l->dw_acc, .ldc = l->in, .a_dtype = l->act, .b_dtype = l->act, .c_dtype = DT_F32, .accumulate = true);
    RUN_SITE(site, ex, matmul, matmul_args, .kind = MATMUL_NN, .groups = 1, .rows = l->rows, .n = l->in, .k = l->out, .a = dy, .lda = l->out,
             .b = l->w, .ldb = l->in, .c = dx, .ldc = l->in, .a_dtype = l->act, .b_dtype = l->act, .c_dtype = l->act);
}
