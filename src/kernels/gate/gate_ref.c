#include "kernels/kernels_int.h"

#include <math.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static int64_t gate_at(const struct gate_args *a, int64_t r, int64_t c) { return r * a->gate_stride + (a->one ? 0 : c); }

void gate_forward_ref(struct pool *pool, const struct gate_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            const float s = act_round(a->act, sigmoid(act_load(a->act, a->gate, gate_at(a, r, c))));
            act_store(a->act, a->y, r * a->y_stride + c, act_load(a->act, a->x, r * a->x_stride + c) * s);
        }
}

/* The sum over a row is taken in fp64 here, to be what fp32 sums of any order are compared with. Gradients of a row's one gate come last:
 * all of the row is multiplied by it. */
void gate_backward_ref(struct pool *pool, const struct gate_backward_args *b) {
    (void)pool;
    const struct gate_args *a = &b->fwd;
    for (int64_t r = 0; r < a->rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < a->width; c++) {
            const float s = sigmoid(act_load(a->act, a->gate, gate_at(a, r, c)));
            const float dy = act_load(a->act, b->dy, r * a->y_stride + c), x = act_load(a->act, a->x, r * a->x_stride + c);
            sum += (double)dy * x;
            act_store(a->act, b->dx, r * a->x_stride + c, dy * act_round(a->act, s));
            if (!a->one) act_store(a->act, b->dgate, gate_at(a, r, c), dy * x * (s * (1.0f - s)));
        }
        if (!a->one) continue;
        const float s = sigmoid(act_load(a->act, a->gate, gate_at(a, r, 0)));
        act_store(a->act, b->dgate, gate_at(a, r, 0), (float)sum * (s * (1.0f - s)));
    }
}
