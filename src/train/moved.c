/* The check that no tensor stays frozen while the loss still falls (an expert that the optimizer forgets, say). It knows
 * nothing of the optimizer's code: it states anew what the first update of AdamW must do, from gradient and weight. */
#include "base/num.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

struct moved {
    int64_t count;
    uint64_t *hash; /* of each tensor's masters before the update */
    uint8_t *must;  /* 1: some element's update is at least one unit in the last place */
};

enum { PART = 1 << 16 };
struct look {
    struct run *r;
    struct moved *m;
    double lr;
    float scale;
    float w[PART], g[PART];
};

/* Elements of a tensor's masters, parts in order. */
static err_t hash_masters(struct run *r, const struct piece *own, float *w, uint64_t *out) {
    uint64_t hash = 0;
    for (int64_t done = 0; done < own->count; done += PART) {
        const int64_t n = i64_min(PART, own->count - done);
        TRY(run_fetch(r, r->optim.master, own->at + done, n, w));
        hash = XXH3_64bits_withSeed(w, sizeof *w * (size_t)n, hash);
    }
    *out = hash;
    return OK;
}

/* First step: both moments are those of this gradient alone, so the update is lr * g / (|g| + eps), plus the decay. */
static bool must_move(const struct look *k, float w, float g) {
    const double eps = k->r->optim.opts.eps, x = (double)(g * k->scale), ulp = (double)nextafterf(fabsf(w), INFINITY) - fabs((double)w);
    if (x * x < 1e-30) return false; /* its square may underflow in fp32 */
    return k->lr * fabs(x) / (fabs(x) + eps) > 2 * ulp;
}

static err_t look_at(struct look *k, int64_t i) {
    const struct piece own = store_piece(&k->r->store, &k->r->store.params->list[i]);
    TRY(hash_masters(k->r, &own, k->w, &k->m->hash[i]));
    for (int64_t done = 0; done < own.count && !k->m->must[i]; done += PART) {
        const int64_t n = i64_min(PART, own.count - done);
        TRY(run_fetch(k->r, k->r->optim.master, own.at + done, n, k->w));
        TRY(run_fetch(k->r, k->r->store.grad_acc, own.at + done, n, k->g));
        for (int64_t e = 0; e < n && !k->m->must[i]; e++) k->m->must[i] = must_move(k, k->w[e], k->g[e]);
    }
    return OK;
}

static void free_moved(struct moved *m) {
    if (!m) return;
    free(m->hash);
    free(m->must);
    free(m);
}

err_t moved_before(struct run *r, double lr, double norm, double clip, struct moved **out) {
    const int64_t n = r->store.params->count;
    struct moved *m = calloc(1, sizeof *m);
    struct look *k = malloc(sizeof *k);
    if (m) m->hash = calloc((size_t)n, sizeof *m->hash);
    if (m) m->must = calloc((size_t)n, sizeof *m->must);
    err_t err = OK;
    if (k && m && m->hash && m->must) {
        m->count = n;
        k->r = r;
        k->m = m;
        k->lr = lr;
        k->scale = clip > 0 && clip / (norm + 1e-6) < 1 ? (float)(clip / (norm + 1e-6)) : 1.0f;
        for (int64_t i = 0; i < n && err == OK; i++) err = look_at(k, i);
    } else {
        err = FAIL(ERR_NOMEM, "out of memory for the check of %lld tensors at the first step", (long long)n);
    }
    free(k);
    if (err == OK) *out = m;
    else free_moved(m);
    return err;
}

err_t moved_after(struct run *r, int64_t step, struct moved *m) {
    float *w = malloc(sizeof *w * PART);
    err_t err = w ? OK : FAIL(ERR_NOMEM, "out of memory for the check of %lld tensors at the first step", (long long)m->count);
    for (int64_t i = 0; i < m->count && err == OK; i++) {
        const struct param *p = &r->store.params->list[i];
        const struct piece own = store_piece(&r->store, p);
        uint64_t hash = 0;
        if (m->must[i]) err = hash_masters(r, &own, w, &hash);
        if (err == OK && m->must[i] && hash == m->hash[i])
            err = FAIL(ERR_BUG, "internal: step %lld had a gradient for %s, yet the tensor did not change; please report it with the command line",
                       (long long)step + 1, p->name);
    }
    free(w);
    free_moved(m);
    return err;
}
