#include "kernels/case_int.h"

/* A sum of n products and of what was there: n + 1 roundings on either side. Sets that make three BF16 of a number have n/16 + 2 more,
 * and leave out 2^-22 of each term, which is 4 (matmul_cpu_split_amx.c); no number here is so small that they lose it. */
static double product_error(int64_t n) { return roundings((double)n + 1 + ((double)n / 16 + 2 + 4) / 2, (double)n + 1); }

/* The experts' three products: up (NT), its gradient (NN), the weights' gradient (TN, added to what is there). One expert has no rows. */
void case_matmul(struct ctx *c) {
    const int64_t rows = c->s->tokens * c->s->top_k, in = c->s->hidden, out = 2 * c->s->width;
    const int e = c->s->experts;
    const void *x = numbers(c, c->act, rows * in);
    const char *w = numbers(c, c->act, e * out * in);
    void *y = room_for(c, rows * out * dtype_bytes(c->act)), *dx = room_for(c, rows * in * dtype_bytes(c->act));
    float *dw = numbers(c, DT_F32, e * out * in);
    int64_t *off = room_for(c, (e + 1) * 8);
    const void **bs = room_for(c, e * (int64_t)sizeof *bs);
    void **cs = room_for(c, e * (int64_t)sizeof *cs);
    const void *dy = numbers(c, c->act, rows * out);
    if (c->full) return;
    for (int g = 0; g < e; g++) {
        off[g + 1] = g == 0 ? 0 : rows * g / (e - 1);
        bs[g] = w + (int64_t)g * out * in * dtype_bytes(c->act);
        cs[g] = dw + (int64_t)g * out * in;
    }
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_NT, .groups = e, .row_off = off, .n = out, .k = in, .a = x, .lda = in, .b = w, .bs = bs, .ldb = in,
           .c = y, .ldc = out, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = c->act);
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_NN, .groups = e, .row_off = off, .n = in, .k = out, .a = dy, .lda = out, .b = w, .bs = bs,
           .ldb = in, .c = dx, .ldc = in, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = c->act);
    LAUNCH(c, matmul, matmul_args, .kind = MATMUL_TN, .groups = e, .row_off = off, .m = out, .n = in, .a = dy, .lda = out, .b = x, .ldb = in, .c = dw,
           .cs = cs, .ldc = in, .a_dtype = c->act, .b_dtype = c->act, .c_dtype = DT_F32, .accumulate = true);
    wrote(c, "y", c->act, y, rows * out, product_error(in));
    wrote(c, "dx", c->act, dx, rows * in, product_error(out));
    wrote(c, "dW", DT_F32, dw, e * out * in, product_error(rows));
}
