#include "kernels/kernels_int.h"

#include <string.h>

void copy_rows_ref(struct pool *pool, const struct copy_rows_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++) memcpy((char *)a->to + r * a->to_stride, (const char *)a->from + r * a->from_stride, (size_t)a->bytes);
}

/* Numbers of one type keep their bits, a NaN its payload. */
void convert_ref(struct pool *pool, const struct convert_args *a) {
    (void)pool;
    const int64_t size = act_bytes(a->from_type);
    for (int64_t r = 0; r < a->rows; r++) {
        if (a->from_type == a->to_type) {
            memcpy((char *)a->to + r * a->to_stride * size, (const char *)a->from + r * a->from_stride * size, (size_t)(a->width * size));
            continue;
        }
        for (int64_t c = 0; c < a->width; c++)
            act_store(a->to_type, a->to, r * a->to_stride + c, act_load(a->from_type, a->from, r * a->from_stride + c));
    }
}

void accumulate_ref(struct pool *pool, const struct accumulate_args *a) {
    (void)pool;
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->width; c++) a->to_acc[r * a->to_stride + c] += act_load(a->from_type, a->from, r * a->from_stride + c);
}
