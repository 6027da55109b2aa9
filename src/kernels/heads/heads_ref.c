#include "kernels/kernels_int.h"

void heads_forward_ref(struct pool *pool, const struct heads_args *a) {
    (void)pool;
    const int64_t dim = a->own_dim + a->shared_dim;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t d = 0; d < dim; d++)
                act_store(a->act, a->y, r * a->y_stride + h * dim + d,
                          d < a->own_dim ? act_load(a->act, a->own, r * a->own_stride + h * a->own_dim + d)
                                         : act_load(a->act, a->shared, r * a->shared_stride + d - a->own_dim));
}

void heads_backward_ref(struct pool *pool, const struct heads_args *a) {
    (void)pool;
    const int64_t dim = a->own_dim + a->shared_dim;
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t d = 0; d < a->own_dim; d++)
                act_store(a->act, a->own, r * a->own_stride + h * a->own_dim + d, act_load(a->act, a->y, r * a->y_stride + h * dim + d));
        for (int64_t d = 0; d < a->shared_dim; d++) {
            float sum = 0;
            for (int64_t h = 0; h < a->heads; h++) sum += act_load(a->act, a->y, r * a->y_stride + h * dim + a->own_dim + d);
            act_store(a->act, a->shared, r * a->shared_stride + d, sum);
        }
    }
}
