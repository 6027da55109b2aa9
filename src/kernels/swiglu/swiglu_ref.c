#include "kernels/kernels_int.h"

#include <math.h>

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* What h is made of, and its slopes: h = up * gate * s, dh/dgate = up * slope, dh/dup = gate * s, or 0 where the input was cut. */
struct parts {
    float gate, up, s, slope;
    bool gate_cut, up_cut;
};

static struct parts parts_of(const struct swiglu_args *a, int64_t r, int64_t c) {
    struct parts p = {.gate = act_load(a->act, a->gate_up, r * 2 * a->width + c), .up = act_load(a->act, a->gate_up, (r * 2 + 1) * a->width + c)};
    float alpha = 1;
    if (a->limit != 0) {
        const float limit = act_round(a->act, a->limit);
        p.gate_cut = p.gate > limit;
        p.up_cut = p.up > limit || p.up < -limit;
        if (p.gate_cut) p.gate = limit;
        if (p.up_cut) p.up = p.up > limit ? limit : -limit;
        p.up += 1.0f;
        alpha = a->alpha;
    }
    p.s = sigmoid(alpha * p.gate);
    p.slope = p.s + alpha * p.gate * p.s * (1.0f - p.s);
    return p;
}

void swiglu_forward_ref(struct pool *pool, const struct swiglu_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            const struct parts p = parts_of(a, r, c);
            act_store(a->act, a->h, r * a->width + c, p.gate * p.s * p.up);
        }
}

void swiglu_backward_ref(struct pool *pool, const struct swiglu_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            const struct parts p = parts_of(a, r, c);
            const float dh = act_load(a->act, a->dh, r * a->width + c), gs = p.gate * p.s;
            if (a->h) act_store(a->act, a->h, r * a->width + c, gs * p.up);
            act_store(a->act, a->dgate_up, r * 2 * a->width + c, p.gate_cut ? 0 : dh * p.up * p.slope);
            act_store(a->act, a->dgate_up, (r * 2 + 1) * a->width + c, p.up_cut ? 0 : dh * gs);
        }
}
