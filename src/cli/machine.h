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
/* The heading of the lines that machine_peaks prints. */
void machine_roofline_head(int threads);
/* Measure out->flops and print one line. */
MUST err_t machine_peaks(const struct kernels *k, struct pool *pool, struct machine_peaks *out);
/* Measure the copy, which no set changes, and print one line. */
MUST err_t machine_copy(struct pool *pool, double *bytes);

/* Every kernel on the shapes of case_demo in fp32 (0) or bf16 (1), budget_ns for each, beside what the roofline allows. */
MUST err_t machine_kernels(const struct kernels *k, struct pool *pool, int bf16, const struct machine_peaks *peaks, int64_t budget_ns);

#endif
