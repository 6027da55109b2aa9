#include "kernels/kernels_int.h"

void add_ref(struct pool *pool, const struct add_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->count; i++) act_store(a->act, a->y, i, act_load(a->act, a->a, i) + act_load(a->act, a->b, i));
}

static void add_bias(const struct bias_args *a, int64_t from, int64_t end, const void *bias) {
    for (int64_t r = from; r < end; r++)
        for (int64_t c = 0; c < a->width; c++)
            act_store(a->act, a->x, r * a->stride + c, act_load(a->act, a->x, r * a->stride + c) + act_load(a->act, bias, c));
}

void bias_forward_ref(struct pool *pool, const struct bias_args *a) {
    (void)pool;
    if (!a->groups) add_bias(a, 0, a->rows, a->bias);
    for (int g = 0; g < a->groups; g++) add_bias(a, a->row_off[g], a->row_off[g + 1], a->biases[g]);
}

/* The sum over rows is taken in fp64 here, to be what fp32 sums of any order are compared with. */
static void sum_rows(const struct bias_args *a, int64_t from, int64_t end, float *db_acc) {
    for (int64_t c = 0; from < end && c < a->width; c++) {
        double sum = 0;
        for (int64_t r = from; r < end; r++) sum += act_load(a->act, a->x, r * a->stride + c);
        db_acc[c] += (float)sum;
    }
}

void bias_backward_ref(struct pool *pool, const struct bias_args *a) {
    (void)pool;
    if (!a->groups) sum_rows(a, 0, a->rows, a->db_acc);
    for (int g = 0; g < a->groups; g++) sum_rows(a, a->row_off[g], a->row_off[g + 1], a->dbs_acc[g]);
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
