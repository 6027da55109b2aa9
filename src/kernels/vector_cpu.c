/* Every vectorised operation without a word of one instruction set: four lanes, what the baseline of x86-64 and of
 * 64-bit ARM has. */
#define VEC_LANES 4
typedef float vf __attribute__((vector_size(4 * VEC_LANES)));

static inline vf vf_set1(float x) { return (vf){x, x, x, x}; }
static inline vf vf_fma(vf a, vf b, vf c) {
    vf product = a * b;
    return product + c;
}
static inline vf vf_max(vf a, vf b) {
    for (int i = 0; i < VEC_LANES; i++) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
static inline vf vf_min(vf a, vf b) {
    for (int i = 0; i < VEC_LANES; i++) b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}
static inline vf vf_sqrt(vf a) {
    for (int i = 0; i < VEC_LANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}

#include "kernels/vector_set.h"

void vector_install_portable(struct kernels *k) { vector_set(k); }
