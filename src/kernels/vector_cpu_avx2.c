/* Every vectorised operation for AVX2 with FMA. */
#include <immintrin.h>

#define VEC_LANES 8
typedef float vf __attribute__((vector_size(4 * VEC_LANES)));

static inline vf vf_set1(float x) { return (vf)_mm256_set1_ps(x); }
static inline vf vf_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
static inline vf vf_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
static inline vf vf_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
static inline vf vf_sqrt(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }

#include "kernels/vector_set.h"

void vector_install_avx2(struct kernels *k) { vector_set(k); }
