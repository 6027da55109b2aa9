/* What `mop doctor` and `mop bench kernels` both say: the machine, its roofline, the kernels' speed beside it. To standard output. Local. */
#ifndef MOP_CLI_MACHINE_H
#define MOP_CLI_MACHINE_H

#include "kernels/kernels.h"

/* CPU, its flags that count here, threads, memory, limits. */
void machine_print(int threads);

/* The two lines of the roofline of one set. */
struct machine_peaks {
    double copy;     /* bytes a second, read and written */
    double flops[2]; /* operations a second: fp32, bf16 */
};
/* Measure and print one line. with_copy: the copy too, which no set changes. */
MUST err_t machine_peaks(const struct kernels *k, struct pool *pool, bool with_copy, struct machine_peaks *out);

/* Every kernel on the shapes of case_demo in fp32 (0) or bf16 (1), budget_ns for each, beside what the roofline allows. */
MUST err_t machine_kernels(const struct kernels *k, struct pool *pool, int bf16, const struct machine_peaks *peaks, int64_t budget_ns);

#endif
