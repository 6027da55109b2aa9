#include "kernels/kernels_int.h"

#include <string.h>

void dispatch_count_ref(struct pool *pool, const struct dispatch_count_args *a) {
    (void)pool;
    for (int64_t first = 0; first < a->tokens; first += a->span) {
        int32_t *count = a->count + first / a->span * a->experts;
        for (int e = 0; e < a->experts; e++) count[e] = 0;
        for (int64_t i = first * a->k; i < i64_min(a->tokens, first + a->span) * a->k; i++)
            a->number[i] = a->ids[i] == 0xffff ? -1 : count[a->ids[i]]++;
    }
}

void dispatch_place_ref(struct pool *pool, const struct dispatch_place_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->chunks * a->lists; i++) a->count[i] = 0;
    for (int64_t i = 0; i < a->tokens * a->k; i++) {
        a->list[i] = -1;
        if (a->ids[i] == 0xffff) continue;
        int32_t piece = a->first[a->ids[i]];
        while (a->number[i] >= a->until[piece]) piece++;
        a->list[i] = a->place[piece];
        a->number[i] = a->count[i / a->k % a->chunks * a->lists + a->list[i]]++;
    }
}

void dispatch_rows_ref(struct pool *pool, const struct dispatch_rows_args *a) {
    (void)pool;
    for (int64_t j = 0; j < a->count; j++)
        for (int s = 0; s < a->k; s++) {
            const int64_t token = a->first + j * a->step, i = token * a->k + s;
            const int32_t list = a->ids ? (a->ids[i] == 0xffff ? -1 : a->ids[i]) : a->list[i];
            a->pos[j * a->k + s] = list < 0 ? -1 : a->base[list] + a->number[i];
            if (list >= 0) a->token[a->pos[j * a->k + s]] = (int32_t)token;
        }
}

void dispatch_weights_ref(struct pool *pool, const struct dispatch_weights_args *a) {
    (void)pool;
    for (int64_t i = 0; i < a->count * a->k; i++) {
        float *weight = &a->weights[(a->first + i / a->k * a->step) * a->k + i % a->k];
        if (a->home) *weight = a->pos[i] >= 0 ? a->of_rows[a->pos[i]] : 0;
        else if (a->pos[i] >= 0) a->of_rows[a->pos[i]] = *weight;
    }
}
