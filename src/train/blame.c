#include "base/num.h"
#include "train/train.h"

#include <math.h>

static bool all_finite(enum dtype t, const void *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t == DT_F32 ? ((const float *)x)[i] : bf16_to_f32(((const uint16_t *)x)[i]))) return false;
    return true;
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

err_t blame_loss(struct run *r, int64_t step, double loss) {
    const struct params *p = r->store.params;
    for (int64_t i = 0; i < p->count; i++)
        if (!all_finite(r->store.act, store_weight(&r->store, &p->list[i]), p->list[i].count))
            return FAIL(ERR_FAILED, "the loss of step %lld is %g: layer %d, room %s, weight %s is not finite; %s", (long long)step + 1, loss,
                        p->list[i].layer, room_of(&p->list[i]), p->list[i].name, ADVICE);
    const int64_t n = r->shape.tokens * r->shape.spec->hidden;
    for (int j = 0; j <= 2 * r->shape.spec->layers; j++) {
        if (all_finite(r->shape.act, stash_boundary(&r->stash, j), n)) continue;
        const int l = (j - 1) / 2;
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
    const struct params *p = r->store.params;
    for (int64_t i = p->count - 1; i >= 0; i--) /* backward goes from the head down: the last tensor is the first to go wrong */
        if (!all_finite(DT_F32, store_grad(&r->store, &p->list[i]), p->list[i].count))
            return FAIL(ERR_FAILED, "the gradient norm of step %lld is %g: layer %d, room %s, the gradient of %s is not finite; %s",
                        (long long)step + 1, norm, p->list[i].layer, room_of(&p->list[i]), p->list[i].name, ADVICE);
    return FAIL(ERR_FAILED, "the gradient norm of step %lld is %g though every gradient is finite: their squares overflow; %s", (long long)step + 1,
                norm, ADVICE);
}
