#include "kernels/kernels_int.h"
#include "kernels/matmul/matmul_int.h"

#define NAME(x) portable_##x
#define ENGINE matmul_f32_portable
#define VW 4
#define MR 6
#define KC 256
#define FMA(a, b, c) ((a) * (b) + (c))
#include "kernels/matmul/matmul_cpu_body.h"
#include "kernels/matmul/matmul_cpu_pack.h"

static void matmul_portable(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_portable, NULL); }
static void matmul_avx2(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx2, NULL); }
static void matmul_avx512(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx512, NULL); }
static void matmul_bf16(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx512, &matmul_bf16_avx512); }
static void matmul_amx(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_amx, &matmul_bf16_amx); }

void matmul_install(struct kernels *k, int level) {
    static void (*const of_level[CPU_LEVELS])(struct pool *, const struct matmul_args *) = {
        [CPU_PORTABLE] = matmul_portable, [CPU_AVX2] = matmul_avx2, [CPU_AVX512] = matmul_avx512,
        [CPU_AVX512_BF16] = matmul_bf16,  [CPU_AMX] = matmul_amx,
    };
    k->matmul = of_level[level];
}
