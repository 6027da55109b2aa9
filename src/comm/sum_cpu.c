/* The ordered sum of reductions. Blocks of fixed length stay in the first cache while the ranks are added one after the other;
 * values are independent of each other, so neither the blocks nor vector units change a bit. */
#include "base/num.h"
#include "comm/comm_int.h"

enum { BLOCK_BYTES = 4096 };

static void add_f32(float *restrict acc, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

static void add_f64(double *restrict acc, const double *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

/* Wraps: signed overflow is undefined. */
static void add_i64(uint64_t *restrict acc, const uint64_t *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

void comm_sum(enum dtype t, const char *const *src, int64_t offset, int n, void *dst, int64_t count) {
    union {
        float f32[BLOCK_BYTES / 4];
        double f64[BLOCK_BYTES / 8];
        uint64_t i64[BLOCK_BYTES / 8];
    } acc;
    int64_t bytes = count * dtype_bytes(t);
    for (int64_t at = 0; at < bytes; at += BLOCK_BYTES) {
        int64_t len = i64_min(BLOCK_BYTES, bytes - at), from = offset + at;
        memcpy(&acc, src[0] + from, (size_t)len);
        for (int r = 1; r < n; r++) {
            const void *x = src[r] + from;
            if (t == DT_F32) add_f32(acc.f32, x, len / 4);
            else if (t == DT_F64) add_f64(acc.f64, x, len / 8);
            else add_i64(acc.i64, x, len / 8);
        }
        memcpy((char *)dst + at, &acc, (size_t)len);
    }
}
