/* Random numbers as pure functions of (key, counter): no state, so any rank, thread or resumed run
 * draws the same numbers for the same thing. Philox-4x32-10 (Salmon et al., SC'11). */
#ifndef MOP_BASE_RNG_H
#define MOP_BASE_RNG_H

#include <stdint.h>

/* 128 random bits for (key, counter). */
void rng_block(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]);

/* Uniform 64 bits; uniform integer in [0, n) without bias worth naming (n < 2^40); uniform double in [0, 1). */
uint64_t rng_u64(uint64_t key, uint64_t stream, uint64_t i);
int64_t rng_below(uint64_t key, uint64_t stream, uint64_t i, int64_t n);
double rng_unit(uint64_t key, uint64_t stream, uint64_t i);

/* The i-th standard normal of stream (key, stream), Box-Muller in double. */
double rng_normal(uint64_t key, uint64_t stream, uint64_t i);

/* A 64-bit stream number from a name (FNV-1a). */
uint64_t rng_stream(const char *name);

#endif
