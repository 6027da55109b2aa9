/* The specification of the RMS norm. Sums over a row and over rows are taken in fp64 here, so that what fast
 * kernels are compared with is the mathematics; everything else is fp32 as the header says. */
#include "kernels/kernels_int.h"

#include <math.h>

/* What x*rstd is multiplied by. */
static float weight(enum dtype t, enum norm_way how, const void *w, int64_t c) {
    return how == NORM_WAY_PLUS_ONE ? 1.0f + act_load(t, w, c) : act_load(t, w, c);
}

/* x*rstd as the forward multiplies it. */
static float normed(enum dtype t, enum norm_way how, const void *x, int64_t at, float rstd) {
    const float n = act_load(t, x, at) * rstd;
    return how == NORM_WAY_TWICE ? act_round(t, n) : n;
}

static float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

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
                float out = normed(a->act, a->way, x, c, rstd) * weight(a->act, a->way, a->w, c);
                if (a->gate) {
                    const float z = act_load(a->act, a->gate, r * a->gate_stride + h * a->width + c);
                    out = act_round(a->act, out) * (z * sigmoid(z));
                }
                act_store(a->act, y, c, out);
            }
            if (a->rstd) a->rstd[r * a->heads + h] = rstd;
        }
    }
}

/* dL/dy of the norm itself: through the gate, dy times silu(z). */
static float dy_of(const struct norm_backward_args *a, int64_t r, int64_t h, int64_t c) {
    const float dy = act_load(a->act, a->dy, r * a->dy_stride + h * a->width + c);
    if (!a->gate) return dy;
    const float z = act_load(a->act, a->gate, r * a->gate_stride + h * a->width + c);
    return dy * (z * sigmoid(z));
}

/* dz = dy * y * silu'(z) with y as the norm gave it, rounded. */
static void gate_gradient(const struct norm_backward_args *a, int64_t r, int64_t h, int64_t c) {
    const int64_t at = r * a->gate_stride + h * a->width + c;
    const float n = normed(a->act, a->way, a->x, r * a->x_stride + h * a->width + c, a->rstd[r * a->heads + h]);
    const float y = act_round(a->act, n * weight(a->act, a->way, a->w, c));
    const float z = act_load(a->act, a->gate, at), s = sigmoid(z), slope = s + z * s * (1.0f - s);
    act_store(a->act, a->dgate, at, act_load(a->act, a->dy, r * a->dy_stride + h * a->width + c) * y * slope);
}

/* With n = x*rstd, y = n*w: dn = dy*w, dx = rstd*(dn - n*mean(dn*n)), dw = sum over rows of dy*n (n as the forward multiplied it). dw comes
 * first, because dx may lie over dy; in dx n is not rounded. */
void norm_backward_ref(struct pool *pool, const struct norm_backward_args *a) {
    (void)pool;
    enum dtype t = a->act;
    for (int64_t c = 0; c < a->width; c++) {
        double sum = 0;
        for (int64_t r = 0; r < a->rows; r++)
            for (int64_t h = 0; h < a->heads; h++)
                sum += (double)dy_of(a, r, h, c) * normed(t, a->way, a->x, r * a->x_stride + h * a->width + c, a->rstd[r * a->heads + h]);
        a->dw_acc[c] += (float)sum;
    }
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t h = 0; h < a->heads; h++) {
            float rstd = a->rstd[r * a->heads + h];
            int64_t at_x = r * a->x_stride + h * a->width, at_dx = r * a->dx_stride + h * a->width;
            double dot = 0;
            for (int64_t c = 0; c < a->width; c++) {
                float dn = dy_of(a, r, h, c) * weight(t, a->way, a->w, c);
                dot += (double)dn * (act_load(t, a->x, at_x + c) * rstd);
            }
            float mean = (float)(dot / (double)a->width);
            for (int64_t c = 0; c < a->width; c++) {
                float dn = dy_of(a, r, h, c) * weight(t, a->way, a->w, c), n = act_load(t, a->x, at_x + c) * rstd;
                float dx = rstd * (dn - n * mean);
                if (a->gate) gate_gradient(a, r, h, c);
                if (a->add) dx += act_load(t, a->add, at_dx + c);
                act_store(t, a->dx, at_dx + c, dx);
            }
        }
    }
}
