/* The specification of the RMS norm. Sums over a row and over rows are taken in fp64 here, so that what fast
 * kernels are compared with is the mathematics; everything else is fp32 as the header says. */
#include "kernels/kernels_int.h"

#include <math.h>

void norm_forward_ref(struct pool *pool, const struct norm_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t h = 0; h < a->heads; h++) {
            const void *x = act_at(a->act, a->x, r * a->x_stride + h * a->width);
            void *y = act_at_mut(a->act, a->y, r * a->y_stride + h * a->width);
            double sum = 0;
            for (int64_t c = 0; c < a->width; c++) sum += (double)act_load(a->act, x, c) * act_load(a->act, x, c);
            float rstd = (float)(1.0 / sqrt(sum / (double)a->width + a->eps));
            for (int64_t c = 0; c < a->width; c++) {
                float n = act_round(a->act, act_load(a->act, x, c) * rstd);
                act_store(a->act, y, c, n * act_load(a->act, a->w, c));
            }
            if (a->rstd) a->rstd[r * a->heads + h] = rstd;
        }
    }
}

/* With n = x*rstd, y = n*w: dn = dy*w, dx = rstd*(dn - n*mean(dn*n)), dw = sum over rows of dy*n (n as the forward
 * rounded it). dw comes first, because dx may lie over dy. */
void norm_backward_ref(struct pool *pool, const struct norm_backward_args *a) {
    (void)pool;
    enum dtype t = a->act;
    for (int64_t c = 0; c < a->width; c++) {
        double sum = 0;
        for (int64_t r = 0; r < a->rows; r++)
            for (int64_t h = 0; h < a->heads; h++) {
                float n = act_round(t, act_load(t, a->x, r * a->x_stride + h * a->width + c) * a->rstd[r * a->heads + h]);
                sum += (double)act_load(t, a->dy, r * a->dy_stride + h * a->width + c) * n;
            }
        a->dw_acc[c] += (float)sum;
    }
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t h = 0; h < a->heads; h++) {
            float rstd = a->rstd[r * a->heads + h];
            int64_t at_x = r * a->x_stride + h * a->width, at_dy = r * a->dy_stride + h * a->width, at_dx = r * a->dx_stride + h * a->width;
            double dot = 0;
            for (int64_t c = 0; c < a->width; c++) {
                float dn = act_load(t, a->dy, at_dy + c) * act_load(t, a->w, c);
                dot += (double)dn * (act_load(t, a->x, at_x + c) * rstd);
            }
            float mean = (float)(dot / (double)a->width);
            for (int64_t c = 0; c < a->width; c++) {
                float dn = act_load(t, a->dy, at_dy + c) * act_load(t, a->w, c), n = act_load(t, a->x, at_x + c) * rstd;
                float dx = rstd * (dn - n * mean);
                if (a->add) dx += act_load(t, a->add, at_dx + c);
                act_store(t, a->dx, at_dx + c, dx);
            }
        }
    }
}
