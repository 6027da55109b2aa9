#include "train/train.h"

/* Which set of intermediates half-layer j uses: its own where all are kept, else the one there is. */
static int slot_of(const struct run *r, int own) { return shape_kept(&r->shape) ? own : 0; }

static struct normed *normed_of(struct run *r, int j) { return &r->dense.half[slot_of(r, j)]; }

err_t half_forward(struct run *r, int j, bool again) {
    const int l = j / 2;
    const bool attention = j % 2 == 0;
    const struct attention_batch starts = run_starts(r);
    const void *x = stash_boundary(&r->stash, j);
    void *y = stash_boundary(&r->stash, j + 1);
    struct normed *n = normed_of(r, j);
    TRY(dense_norm_forward(&r->dense, attention ? PARAM_ATTN_NORM : PARAM_FFN_NORM, l, x, n));
    if (attention) TRY(attention_forward(&r->attention, l, slot_of(r, l), &starts, n->h, y, again));
    else if (r->shape.spec->is_moe[l])
        TRY(experts_forward(&r->experts, &(struct moe_half){l, r->slot[l], slot_of(r, r->slot[l]), r->batch.doc_start, n->h}, y, again));
    else TRY(mlp_forward(&r->dense, l, slot_of(r, r->slot[l]), n->h, y, again));
    if (!again) dense_add(&r->dense, x, y);
    return OK;
}

/* r->dx: in the gradient of the half's output, out that of its input. */
err_t half_backward(struct run *r, int j) {
    const int l = j / 2;
    const bool attention = j % 2 == 0;
    const struct attention_batch starts = run_starts(r);
    if (!r->shape.keep) TRY(half_forward(r, j, true));
    struct normed *n = normed_of(r, j);
    if (attention) TRY(attention_backward(&r->attention, l, slot_of(r, l), &starts, n->h, r->dx, r->dh));
    else if (r->shape.spec->is_moe[l])
        TRY(experts_backward(&r->experts, &(struct moe_half){l, r->slot[l], slot_of(r, r->slot[l]), r->batch.doc_start, n->h}, r->dx, r->dh));
    else TRY(mlp_backward(&r->dense, l, slot_of(r, r->slot[l]), n->h, r->dx, r->dh));
    return dense_norm_backward(&r->dense, attention ? PARAM_ATTN_NORM : PARAM_FFN_NORM, l, stash_boundary(&r->stash, j), n, r->dh, r->dx);
}
