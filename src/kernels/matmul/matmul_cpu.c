#include "kernels/kernels_int.h"
#include "kernels/matmul/matmul_int.h"

#define NAME(x) portable_##x
#define VW 4
#define MR 6
#define KC 256
#define FMA(a, b, c) ((a) * (b) + (c))
#include "kernels/matmul/matmul_cpu_body.h"
#include "kernels/matmul/matmul_cpu_pack.h"

enum { NR = 2 * VW, MC = 384, NC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, MR, NR, 4), "the block fits its buffers");

const struct matmul_engine matmul_f32_portable = {
    .mr = MR,
    .nr = NR,
    .step = 1,
    .elem_bytes = 4,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .task_mac = 8 << 20,
    .pack_a = portable_pack_a,
    .pack_b = portable_pack_b,
    .kernel = {portable_kernel_along, portable_kernel_across},
    .store = portable_store,
};

static void matmul_portable(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_portable, NULL); }
static void matmul_avx2(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx2, NULL); }
static void matmul_avx512(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx512, NULL); }
static void matmul_bf16(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx512, &matmul_bf16_avx512); }
static void matmul_amx(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx512, &matmul_bf16_amx); }

void matmul_install(struct kernels *k, int level) {
    static void (*const of_level[CPU_LEVELS])(struct pool *, const struct matmul_args *) = {
        [CPU_PORTABLE] = matmul_portable, [CPU_AVX2] = matmul_avx2, [CPU_AVX512] = matmul_avx512,
        [CPU_AVX512_BF16] = matmul_bf16,  [CPU_AMX] = matmul_amx,
    };
    k->matmul = of_level[level];
}
