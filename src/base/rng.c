#include "base/rng.h"

#include <math.h>

void rng_block(uint64_t key, uint64_t hi, uint64_t lo, uint32_t out[4]) {
    uint32_t c[4] = {(uint32_t)lo, (uint32_t)(lo >> 32), (uint32_t)hi, (uint32_t)(hi >> 32)};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = n0;
        c[2] = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

uint64_t rng_u64(uint64_t key, uint64_t stream, uint64_t i) {
    uint32_t r[4];
    rng_block(key, stream, i, r);
    return (uint64_t)r[1] << 32 | r[0];
}

int64_t rng_below(uint64_t key, uint64_t stream, uint64_t i, int64_t n) {
    return (int64_t)(((unsigned __int128)rng_u64(key, stream, i) * (uint64_t)n) >> 64);
}

double rng_unit(uint64_t key, uint64_t stream, uint64_t i) { return (double)(rng_u64(key, stream, i) >> 11) * 0x1p-53; }

double rng_normal(uint64_t key, uint64_t stream, uint64_t i) {
    uint32_t r[4];
    rng_block(key, stream, i / 2, r);
    double u = ((double)(((uint64_t)r[1] << 32 | r[0]) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(((uint64_t)r[3] << 32 | r[2]) >> 11) * 0x1p-53;
    double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586476925 * v;
    return radius * (i % 2 ? sin(angle) : cos(angle));
}

uint64_t rng_stream(const char *name) {
    uint64_t h = 1469598103934665603u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}
