/* What `mop bench NAME` runs: each reads its own options from argv[1] on and prints its result to standard output. Local. */
#ifndef MOP_CLI_BENCH_H
#define MOP_CLI_BENCH_H

#include "base/opt.h"

/* Sizes of the benches of ranks, in our letters. */
struct ranks_opts {
    int64_t ranks, tokens, hidden, width, experts, top_k, vocab, repeat;
    double budget; /* GiB a rank */
};
extern const struct opt ranks_opt_list[];
/* dispatch, vocab, attention or step (bench_ranks.c). */
MUST err_t bench_ranks(const char *name, const struct ranks_opts *o);

err_t bench_dispatch(int argc, char **argv);
err_t bench_kernels(int argc, char **argv);
err_t bench_vocab(int argc, char **argv);
err_t bench_attention(int argc, char **argv);
err_t bench_step(int argc, char **argv);

#endif
