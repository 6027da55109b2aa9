#include "kernels/matmul/matmul_int.h"

#include <immintrin.h>

#define NAME(x) avx2_##x
#define VW 8
#define MR 6
#define KC 256
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#include "kernels/matmul/matmul_cpu_body.h"
#include "kernels/matmul/matmul_cpu_pack.h"

enum { NR = 2 * VW, MC = 384, NC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 4), "the block fits its buffers");

const struct matmul_engine matmul_f32_avx2 = {
    .mr = MR,
    .nr = NR,
    .step = 1,
    .elem_bytes = 4,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 8 << 20,
    .pack_a = avx2_pack_a,
    .pack_b = avx2_pack_b,
    .kernel = {avx2_kernel_along, avx2_kernel_across},
    .store = avx2_store,
};
