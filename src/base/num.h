/* Numbers: bf16 and f16 conversion (round to nearest even, NaN stays NaN) and small integer help. */
#ifndef MOP_BASE_NUM_H
#define MOP_BASE_NUM_H

#include <stdint.h>
#include <string.h>

typedef uint16_t bf16; /* the upper half of an IEEE binary32 */

static inline float f32_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline uint32_t bits_of_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline float bf16_to_f32(bf16 x) { return f32_of_bits((uint32_t)x << 16); }

static inline bf16 bf16_of_f32(float f) {
    uint32_t u = bits_of_f32(f);
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    uint32_t nan = (u >> 16) | 0x40u; /* quiet, payload's upper part kept */
    return (bf16)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

/* IEEE binary16. f16_of_f32 gives infinity beyond 65504, as the hardware does. */
float f16_to_f32(uint16_t x);
uint16_t f16_of_f32(float f);

static inline int64_t i64_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t i64_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t i64_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t i64_round_up(int64_t a, int64_t b) { return i64_div_up(a, b) * b; }

#endif
