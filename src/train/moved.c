/* The check that no tensor stays frozen while the loss still falls (an expert that the optimizer forgets, say). It knows
 * nothing of the optimizer's code: it states anew what the first update of AdamW must do, from gradient and weight. */
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

struct moved {
    int64_t count;
    uint64_t *hash; /* of each tensor's masters before the update */
    uint8_t *must;  /* 1: some element's update is at least one unit in the last place */
};

struct look {
    struct run *r;
    struct moved *m;
    double lr;
    float scale;
};

/* First step: both moments are those of this gradient alone, so the update is lr * g / (|g| + eps), plus the decay. */
static void look_at(void *arg, int64_t i, int worker) {
    (void)worker;
    struct look *k = arg;
    const struct param *p = &k->r->store.params->list[i];
    const struct piece own = store_piece(&k->r->store, p);
    const float *w = k->r->optim.master + own.at, *g = k->r->store.grad_acc + own.at;
    const struct optim_opts *o = &k->r->optim.opts;
    k->m->hash[i] = XXH3_64bits(w, sizeof(float) * (size_t)own.count);
    for (int64_t e = 0; e < own.count && !k->m->must[i]; e++) {
        const double x = (double)(g[e] * k->scale), ulp = (double)nextafterf(fabsf(w[e]), INFINITY) - fabs((double)w[e]);
        if (x * x < 1e-30) continue; /* its square may underflow in fp32 */
        k->m->must[i] = k->lr * fabs(x) / (fabs(x) + o->eps) > 2 * ulp;
    }
}

err_t moved_before(struct run *r, double lr, double norm, double clip, struct moved **out) {
    const int64_t n = r->store.params->count;
    struct moved *m = calloc(1, sizeof *m);
    if (m) m->hash = calloc((size_t)n, sizeof *m->hash);
    if (m) m->must = calloc((size_t)n, sizeof *m->must);
    if (!m || !m->hash || !m->must) {
        if (m) {
            free(m->hash);
            free(m->must);
        }
        free(m);
        return FAIL(ERR_NOMEM, "out of memory for the check of %lld tensors at the first step", (long long)n);
    }
    m->count = n;
    struct look k = {r, m, lr, clip > 0 && clip / (norm + 1e-6) < 1 ? (float)(clip / (norm + 1e-6)) : 1.0f};
    pool_run(r->device.pool, n, look_at, &k);
    *out = m;
    return OK;
}

err_t moved_after(struct run *r, int64_t step, struct moved *m) {
    err_t err = OK;
    for (int64_t i = 0; i < m->count && err == OK; i++) {
        const struct param *p = &r->store.params->list[i];
        const struct piece own = store_piece(&r->store, p);
        if (m->must[i] && XXH3_64bits(r->optim.master + own.at, sizeof(float) * (size_t)own.count) == m->hash[i])
            err = FAIL(ERR_BUG, "internal: step %lld had a gradient for %s, yet the tensor did not change; please report it with the command line",
                       (long long)step + 1, p->name);
    }
    free(m->hash);
    free(m->must);
    free(m);
    return err;
}
