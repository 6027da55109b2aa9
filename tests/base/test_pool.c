/* Every task runs once, whoever wakes when; a job is over when pool_run returns; what a task wrote is seen behind it. */
#include "base/pool.h"
#include "test.h"

#include <stdatomic.h>
#include <string.h>

enum { MOST = 300 };

struct work {
    _Atomic int ran[MOST];
    int plain[MOST]; /* without synchronisation but the pool's */
    _Atomic int wrong;
    int threads;
};

static void task(void *arg, int64_t i, int worker) {
    struct work *w = arg;
    if (worker < 0 || worker >= w->threads) atomic_fetch_add(&w->wrong, 1);
    atomic_fetch_add(&w->ran[i], 1);
    w->plain[i]++;
    for (volatile int spin = 0; spin < (int)(i % 7) * 200; spin++) continue;
}

static void jobs(int threads) {
    static struct work w;
    struct pool *p;
    memset(&w, 0, sizeof w);
    w.threads = threads;
    NEED(pool_new(threads, &p));
    int want[MOST] = {0}, bad = 0;
    for (int job = 0; job < 5000; job++) {
        const int n = job * 37 % (job % 10 ? 9 : MOST);
        pool_run(p, n, task, &w);
        for (int i = 0; i < n; i++) want[i]++;
        for (int i = 0; i < n; i++) bad += w.plain[i] != want[i];
    }
    for (int i = 0; i < MOST; i++) bad += atomic_load(&w.ran[i]) != want[i];
    CASE(bad == 0, "%d threads: %d counts are off", threads, bad);
    CASE(atomic_load(&w.wrong) == 0, "%d threads: a worker's number is out of range", threads);
    pool_free(p);
}

int main(void) {
    static const int threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) jobs(threads[i]);
    return test_end();
}
