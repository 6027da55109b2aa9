#include "kernels/kernels_int.h"

void add_ref(struct pool *pool, const struct add_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->count; i++) act_store(a->act, a->y, i, act_load(a->act, a->a, i) + act_load(a->act, a->b, i));
}

void bias_forward_ref(struct pool *pool, const struct bias_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++)
            act_store(a->act, a->x, r * a->stride + c, act_load(a->act, a->x, r * a->stride + c) + act_load(a->act, a->bias, c));
}

/* The sum over rows is taken in fp64 here, to be what fp32 sums of any order are compared with. */
void bias_backward_ref(struct pool *pool, const struct bias_args *a) {
    (void)pool;
    for (int64_t c = 0; c < a->width; c++) {
        double sum = 0;
        for (int64_t r = 0; r < a->rows; r++) sum += act_load(a->act, a->x, r * a->stride + c);
        a->db_acc[c] += (float)sum;
    }
}

/* The limit is rounded to act before x is compared with it, as a tensor of that dtype would hold it. NaN stays NaN. */
void clamp_forward_ref(struct pool *pool, const struct clamp_args *a) {
    (void)pool;
    float limit = act_round(a->act, a->limit);
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            float x = act_load(a->act, a->y, r * a->stride + c);
            act_store(a->act, a->y, r * a->stride + c, x > limit ? limit : x < -limit ? -limit : x);
        }
}

void clamp_backward_ref(struct pool *pool, const struct clamp_args *a) {
    (void)pool;
    float limit = act_round(a->act, a->limit);
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) {
            float x = act_load(a->act, a->x, r * a->x_stride + c);
            if (x > limit || x < -limit) act_store(a->act, a->y, r * a->stride + c, 0);
        }
}
