/* The set of kernels for this CPU: the reference's, overridden level by level (BLIS does it so). */
#include "kernels/kernels_int.h"

#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[CPU_LEVELS] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};

/* Tiles need the CPU (leaf 7: AMX-TILE and AMX-BF16) and, for their 8 KiB of state, the kernel's leave,
 * asked once per process; asking again is harmless. */
static bool amx_usable(void) {
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!(d & AMX_BF16) || !(d & AMX_TILE)) return false;
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}

static bool avx512_bf16_usable(void) {
    enum { AVX512_BF16 = 1 << 5 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX512_BF16);
}

static enum cpu_level best_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CPU_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512dq"))
        return CPU_AVX2;
    if (!avx512_bf16_usable()) return CPU_AVX512;
    return amx_usable() ? CPU_AMX : CPU_AVX512_BF16;
}

err_t kernels_cpu(const char *isa, struct kernels *out) {
    int best = (int)best_level(), level = best;
    if (isa) {
        for (level = 0; level < CPU_LEVELS && strcmp(level_names[level], isa) != 0;) level++;
        if (level == CPU_LEVELS)
            return FAIL(ERR_USAGE, "there is no set of kernels named %s; the sets are portable, avx2, avx512, avx512_bf16 and amx", isa);
        if (level > best)
            return FAIL(ERR_USAGE,
                        "this CPU cannot run the kernels for %s; it runs %s and those before it in: portable, avx2, avx512, avx512_bf16, amx", isa,
                        level_names[best]);
    }
    kernels_reference(out);
    if (level >= CPU_AVX512) vector_install_avx512(out);
    else if (level == CPU_AVX2) vector_install_avx2(out);
    else vector_install_portable(out);
    matmul_install(out, level);
    out->isa = level_names[level];
    return OK;
}
