#include "kernels/kernels_int.h"
#include "kernels/matmul/matmul_int.h"

#define NAME(x) portable_##x
#define VW 4
#define MR 6
#define FMA(a, b, c) ((a) * (b) + (c))
#include "kernels/matmul/matmul_cpu_body.h"

enum { MC = 144, NC = 256, KC = 256 };
_Static_assert(MATMUL_FITS(MC, NC, KC, 4), "the block fits its buffers");

const struct matmul_engine matmul_f32_portable = {
    .mr = MR, .nr = 2 * VW, .step = 1, .elem_bytes = 4, .mc = MC, .nc = NC, .kc = KC, .task_mac = 1 << 20,
    .pack_a = portable_pack_a, .pack_b = portable_pack_b, .kernel = portable_kernel, .store = portable_store,
};

static void matmul_portable(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_portable, NULL); }
static void matmul_avx2(struct pool *pool, const struct matmul_args *a) { matmul_drive(pool, a, &matmul_f32_avx2, NULL); }

void matmul_install(struct kernels *k, int level) {
    if (level >= 1) k->matmul = matmul_avx2;
    else k->matmul = matmul_portable;
}
