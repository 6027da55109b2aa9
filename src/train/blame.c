#include "base/num.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

static bool all_finite(enum dtype t, const void *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t == DT_F32 ? ((const float *)x)[i] : bf16_to_f32(((const uint16_t *)x)[i]))) return false;
    return true;
}

/* The same of numbers on the device, a part at a time. */
static err_t finite_there(struct run *r, enum dtype t, const void *x, int64_t n, bool *out) {
    enum { PART = 4096 };
    float part[PART];
    *out = true;
    for (int64_t done = 0; done < n && *out; done += PART) {
        const int64_t some = i64_min(PART, n - done);
        TRY(STREAM_FETCH(r->ex.s, part, (const char *)x + done * dtype_bytes(t), some * dtype_bytes(t)));
        *out = all_finite(t, part, some);
    }
    return OK;
}

static const char *room_of(const struct param *p) {
    switch (p->unit) {
    case UNIT_ATTENTION: return "attention";
    case UNIT_EXPERTS: return "experts";
    case UNIT_HEAD: return "vocab";
    case UNIT_FFN: return p->kind == PARAM_ROUTER ? "experts" : "dense";
    default: return "dense";
    }
}

static const char *const ADVICE =
    "what was saved is intact; try a lower train.lr, a longer train.warmup or train.clip=1, and look at the data of this step";

/* The lowest of all ranks' numbers: all blame the same. */
static err_t lowest(struct run *r, int64_t mine, int64_t *out) {
    const int ranks = r->shape.split.ranks;
    int64_t *all = malloc(sizeof *all * (size_t)ranks);
    if (!all) return FAIL(ERR_NOMEM, "out of memory for %d numbers", ranks);
    err_t err = COMM(&r->mesh.control, all_gather, &mine, all, sizeof mine);
    for (int i = 0; err == OK && i < ranks; i++) mine = i64_min(mine, all[i]);
    free(all);
    *out = mine;
    return err;
}

/* The first tensor (from the last back where `back`) whose part at rest is not finite, or NULL. */
static err_t first_tensor(struct run *r, enum dtype t, const void *at_rest, bool back, const struct param **out) {
    const struct params *p = r->store.params;
    int64_t found = p->count;
    for (int64_t i = 0; i < p->count && found == p->count; i++) {
        const struct piece x = store_piece(&r->store, &p->list[back ? p->count - 1 - i : i]);
        bool finite;
        TRY(finite_there(r, t, (const char *)at_rest + x.at * dtype_bytes(t), x.count, &finite));
        if (!finite) found = i;
    }
    TRY(lowest(r, found, &found));
    *out = found == p->count ? NULL : &p->list[back ? p->count - 1 - found : found];
    return OK;
}

err_t blame_loss(struct run *r, int64_t step, double loss) {
    const struct param *p = NULL;
    const int halves = 2 * r->shape.spec->layers;
    TRY(first_tensor(r, r->store.act, r->store.w, false, &p));
    if (p)
        return FAIL(ERR_FAILED, "the loss of step %lld is %g: layer %d, room %s, weight %s is not finite; %s", (long long)step + 1, loss, p->layer,
                    room_of(p), p->name, ADVICE);
    int64_t j = 0;
    for (bool finite = true; j <= halves; j++) {
        TRY(finite_there(r, r->shape.act, stash_boundary(&r->stash, (int)j), r->shape.tokens * r->shape.spec->hidden, &finite));
        if (!finite) break;
    }
    TRY(lowest(r, j, &j));
    if (j <= halves) {
        const int l = (int)(j - 1) / 2;
        const char *room = j == 0 ? "dense" : j % 2 ? "attention" : r->shape.spec->is_moe[l] ? "experts" : "dense";
        return FAIL(ERR_FAILED, "the loss of step %lld is %g: layer %d, room %s, the output of its %s is the first that is not finite; %s",
                    (long long)step + 1, loss, j == 0 ? -1 : l, room,
                    j == 0  ? "embedding"
                    : j % 2 ? "attention half"
                            : "feed-forward half",
                    ADVICE);
    }
    return FAIL(ERR_FAILED, "the loss of step %lld is %g: room vocab, the logits of %s are not finite; %s", (long long)step + 1, loss,
                r->shape.spec->tied ? "the embedding as head" : "lm_head.weight", ADVICE);
}

err_t blame_gradient(struct run *r, int64_t step, double norm) {
    const struct param *p = NULL; /* backward goes from the head down: the last tensor is the first to go wrong */
    TRY(first_tensor(r, DT_F32, r->store.grad_acc, true, &p));
    if (p)
        return FAIL(ERR_FAILED, "the gradient norm of step %lld is %g: layer %d, room %s, the gradient of %s is not finite; %s", (long long)step + 1,
                    norm, p->layer, room_of(p), p->name, ADVICE);
    return FAIL(ERR_FAILED, "the gradient norm of step %lld is %g though every gradient is finite: their squares overflow; %s", (long long)step + 1,
                norm, ADVICE);
}
