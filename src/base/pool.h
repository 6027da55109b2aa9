/* One pool of threads per rank; everything parallel in a rank runs here. The split of work into
 * tasks is the caller's and never depends on the number of threads, so results do not either. */
#ifndef MOP_BASE_POOL_H
#define MOP_BASE_POOL_H

#include "base/err.h"

struct pool;

/* threads >= 1, the caller's own included (it works too while it waits). New: pool_free. */
MUST err_t pool_new(int threads, struct pool **out);
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);

/* Call fn(arg, i, worker) once for every i in [0, n), in any order, on any thread; worker is in
 * [0, pool_threads). Returns when all are done. pool may be NULL: the caller does it alone, as
 * worker 0. Not to be nested, and one caller at a time. Stacks of workers hold THREAD_STACK bytes. */
void pool_run(struct pool *p, int64_t n, void (*fn)(void *arg, int64_t i, int worker), void *arg);

#endif
