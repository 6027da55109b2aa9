/* A pause between two looks at a number that another thread is about to change. The one instruction of a CPU's own outside the kernels. */
#ifndef MOP_BASE_RELAX_H
#define MOP_BASE_RELAX_H

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
