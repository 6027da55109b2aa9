#include "kernels/kernels_int.h"

void embed_forward_ref(struct pool *pool, const struct embed_args *a) {
    (void)pool;
    int64_t bytes = a->width * act_bytes(a->act);
    for (int64_t t = 0; t < a->tokens; t++) memcpy((char *)a->y + t * bytes, (const char *)a->w + a->ids[t] * bytes, (size_t)bytes);
}

void embed_backward_ref(struct pool *pool, const struct embed_args *a) {
    (void)pool;
    for (int64_t t = 0; t < a->tokens; t++) {
        if (a->ids[t] == a->skip || (a->start && a->start[t] < 0)) continue;
        float *row = a->dw_acc + a->ids[t] * a->width;
        for (int64_t c = 0; c < a->width; c++) row[c] += act_load(a->act, a->dy, t * a->width + c);
    }
}
