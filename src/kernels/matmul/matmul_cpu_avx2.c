#include "kernels/matmul/matmul_int.h"

#include <immintrin.h>

#define NAME(x) avx2_##x
#define ENGINE matmul_f32_avx2
#define VW 8
#define MR 6
#define KC 256
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#include "kernels/matmul/matmul_cpu_body.h"
#include "kernels/matmul/matmul_cpu_pack.h"
