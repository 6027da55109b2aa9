/* What `mop bench NAME` runs: each reads its own options from argv[1] on and prints its result to standard output. Local. */
#ifndef MOP_CLI_BENCH_H
#define MOP_CLI_BENCH_H

#include "base/err.h"

err_t bench_dispatch(int argc, char **argv);
err_t bench_kernels(int argc, char **argv);

#endif
