/* The baseline: the whole head on every rank, whose logits exist all at once. */
#include "vocab/vocab_int.h"

err_t vocab_loss_dense(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh) {
    const struct vocab_tokens t = {h, targets, v->m, v->z, v->yt, NULL, v->shape.tokens};
    struct vocab_run r;
    TRY(vocab_run_open(v, dh != NULL, &r));
    vocab_fresh(v, &t);
    vocab_fold(v, &r, &t);
    vocab_sum_losses(v, &t);
    if (dh && t.n) vocab_tile_gradients(v, &r, &t, 0, t.n, scale, dh, v->shape.act, false);
    return vocab_run_close(v, dh != NULL);
}
