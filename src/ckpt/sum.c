#include "ckpt/ckpt_int.h"

#include <string.h>

void sum_init(XXH3_state_t *s) { (void)XXH3_128bits_reset(s); }

void sum_add(XXH3_state_t *s, const void *data, int64_t bytes) {
    if (bytes > 0) (void)XXH3_128bits_update(s, data, (size_t)bytes);
}

static void canonical(XXH128_hash_t hash, unsigned char sum[SUM_BYTES]) {
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, hash);
    memcpy(sum, c.digest, SUM_BYTES);
}

void sum_end(const XXH3_state_t *s, unsigned char sum[SUM_BYTES]) { canonical(XXH3_128bits_digest(s), sum); }

void sum_of(const void *data, int64_t bytes, unsigned char sum[SUM_BYTES]) { canonical(XXH3_128bits(data, (size_t)bytes), sum); }

void sum_hex(const unsigned char sum[SUM_BYTES], char hex[SUM_HEX]) {
    for (int i = 0; i < SUM_BYTES; i++) {
        hex[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    hex[SUM_HEX - 1] = 0;
}
