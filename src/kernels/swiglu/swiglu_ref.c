#include "kernels/kernels_int.h"

#include <math.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

void swiglu_forward_ref(struct pool *pool, const struct swiglu_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            float g = act_load(a->act, a->gate_up, r * 2 * a->width + c), u = act_load(a->act, a->gate_up, (r * 2 + 1) * a->width + c);
            act_store(a->act, a->h, r * a->width + c, g * sigmoid(g) * u);
        }
}

/* d silu(g) = s + g*s*(1 - s), s = sigmoid(g). */
void swiglu_backward_ref(struct pool *pool, const struct swiglu_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            int64_t at_g = r * 2 * a->width + c, at_u = at_g + a->width;
            float g = act_load(a->act, a->gate_up, at_g), u = act_load(a->act, a->gate_up, at_u);
            float dh = act_load(a->act, a->dh, r * a->width + c), s = sigmoid(g), gs = g * s;
            if (a->h) act_store(a->act, a->h, r * a->width + c, gs * u);
            act_store(a->act, a->dgate_up, at_g, dh * u * (s + gs * (1.0f - s)));
            act_store(a->act, a->dgate_up, at_u, dh * gs);
        }
}
