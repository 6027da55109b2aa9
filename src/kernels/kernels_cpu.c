/* The set of kernels for this CPU: the reference's, overridden level by level (BLIS does it so). */
#include "kernels/kernels_int.h"

#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[CPU_LEVELS] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};

static bool leaf7(unsigned sub, unsigned bit_of_a, unsigned bit_of_d) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, sub, &a, &b, &c, &d) && (a & bit_of_a) == bit_of_a && (d & bit_of_d) == bit_of_d;
}

/* Tiles need, beside the CPU, the operating system's leave for their 8 KiB of state, asked once per process; asking again is harmless. */
static bool amx_granted(void) {
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}

/* What a level lacks beyond the one before it; NULL: nothing. */
static const char *lacks(enum cpu_level level) {
    enum { AVX512_BF16 = 1 << 5, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    __builtin_cpu_init();
    switch (level) {
    case CPU_AVX2:
        if (!__builtin_cpu_supports("avx2")) return "the CPU has no AVX2";
        return __builtin_cpu_supports("fma") ? NULL : "the CPU has no FMA";
    case CPU_AVX512:
        if (!__builtin_cpu_supports("avx512f")) return "the CPU has no AVX512F";
        if (!__builtin_cpu_supports("avx512bw")) return "the CPU has no AVX512BW";
        if (!__builtin_cpu_supports("avx512vl")) return "the CPU has no AVX512VL";
        return __builtin_cpu_supports("avx512dq") ? NULL : "the CPU has no AVX512DQ";
    case CPU_AVX512_BF16: return leaf7(1, AVX512_BF16, 0) ? NULL : "the CPU has no AVX512_BF16";
    case CPU_AMX:
        if (!leaf7(0, 0, AMX_TILE)) return "the CPU has no AMX-TILE";
        if (!leaf7(0, 0, AMX_BF16)) return "the CPU has no AMX-BF16";
        return amx_granted() ? NULL : "the operating system does not grant AMX its state (Linux 5.16 and later do)";
    default: return NULL;
    }
}

static enum cpu_level best_level(void) {
    int level = CPU_PORTABLE;
    while (level + 1 < CPU_LEVELS && !lacks((enum cpu_level)(level + 1))) level++;
    return (enum cpu_level)level;
}

const char *kernels_cpu_set(int i, const char **lack) {
    *lack = NULL;
    if (i < 0 || i >= CPU_LEVELS) return NULL;
    for (int level = CPU_PORTABLE; level <= i && !*lack; level++) *lack = lacks((enum cpu_level)level);
    return level_names[i];
}

void kernels_cpu_name(char out[KERNELS_CPU_NAME]) {
    unsigned r[12] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3])) r[0] = 0;
    char text[sizeof r + 1] = {0};
    memcpy(text, r, sizeof r);
    const char *begin = text + strspn(text, " ");
    size_t n = strlen(begin);
    while (n > 0 && begin[n - 1] == ' ') n--;
    memcpy(out, begin, n);
    out[n] = 0;
    if (n == 0) memcpy(out, "a CPU without a name", sizeof "a CPU without a name");
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
    if (level >= CPU_AMX) attention_install_amx(out);
    matmul_install(out, level);
    out->isa = level_names[level];
    return OK;
}
