/* WHAT    Every kernel of the list on made-up numbers, on the machine at hand: held against its reference, and timed.
 *         `mop doctor` and `mop bench kernels` are made of it. It finds a set that computes wrong on this CPU; the tests in
 *         tests/kernels, with their many shapes and tighter bounds, are what kernels are developed against.
 * MATH    Inputs are uniform in [-1, 1), so each output has a bound from the number n of its roundings and the largest M that a
 *         term can be: two sums of n roundings differ by at most 2 n 2^-24 M, and two roundings to the output's type come on top.
 * Local. */
#ifndef MOP_KERNELS_CHECK_H
#define MOP_KERNELS_CHECK_H

#include "kernels/cost.h"
#include "kernels/kernels.h"

struct case_shape {
    int64_t tokens, seq; /* sequences of seq tokens one after the other */
    int64_t hidden;
    int heads, kv_heads, head_dim;
    int value_dim; /* this, window and sinks: as attention has them */
    int64_t window;
    bool sinks;
    int experts, top_k;
    int64_t width; /* of an expert */
    int64_t vocab, vocab_rows;
    int64_t weights; /* that AdamW and the norm of the gradient go over */
};
extern const struct case_shape case_awkward, case_demo; /* numbers that divide nothing; the README's model, 4 x 512 tokens */

/* The demo's tokens with what some families have instead, and the operations that it changes. */
struct case_family {
    const char *what;
    struct case_shape shape;
    enum kernel_id op[2];
};
enum { CASE_FAMILIES = 2 };
extern const struct case_family case_families[CASE_FAMILIES];

enum { CASE_OUTS = 6, CASE_AWKWARD_BYTES = 4 << 20, CASE_DEMO_BYTES = 256 << 20 };

struct case_out {
    const char *what;
    enum dtype t;
    const void *p;
    int64_t n;
    double bound; /* absolute; below 0: the same bits */
};

struct case_run {
    struct case_out out[CASE_OUTS];
    int outs;
    struct cost cost; /* of one launch of each kind, and the shortest time it took */
    int64_t ns;
};

/* Kernel `op` of the set on numbers of its own, which lie in `memory` (bytes of the shape's constant, any content, 64-aligned). Launches
 * are repeated for budget_ns where it is not 0, and then only the time counts. ERR_BUG: the memory is too small. */
MUST err_t case_launch(enum kernel_id op, const struct kernels *k, struct pool *pool, enum dtype act, const struct case_shape *s, void *memory,
                       int64_t bytes, int64_t budget_ns, struct case_run *out);

enum check_verdict { CHECK_EQUAL, CHECK_FAR, CHECK_THREADS, CHECK_ROWS }; /* beyond the bound; other bits with threads; a row on its own */
struct check_result {
    enum check_verdict verdict;
    const char *what; /* the output, and the first element that is off */
    int64_t at;
    double got, want, bound;
};

/* The set against the reference, alone and with the pool (of more than one thread, or threads are not checked); of the matrix product
 * also that rows do not depend on the rows beside them. ERR_NOMEM. */
MUST err_t kernels_check(const struct kernels *k, struct pool *pool, enum dtype act, struct check_result out[KERNEL_COUNT]);

#endif
