/* Every vectorised operation for AVX-512 (F, BW, VL, DQ). */
#include <immintrin.h>

#define VEC_LANES 16
typedef float vf __attribute__((vector_size(4 * VEC_LANES)));

static inline vf vf_set1(float x) { return (vf)_mm512_set1_ps(x); }
static inline vf vf_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
static inline vf vf_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
static inline vf vf_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
static inline vf vf_sqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }

#include "kernels/vector_set.h"

void vector_install_avx512(struct kernels *k) { vector_set(k); }
