/* The baseline: the whole head on every rank, whose logits exist all at once. */
#include "vocab/vocab_int.h"

#include <string.h>

err_t vocab_loss_dense(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh, double *loss_sum, int64_t *count) {
    const int64_t elements = v->run_rows * v->shape.spec->hidden;
    const struct vocab_tokens t = {h, targets, v->m, v->z, v->yt, NULL, v->shape.tokens};
    TRY(vocab_gather_whole(v));
    const struct vocab_run r = {.w = v->whole, .dw_acc = v->dwhole, .cols = v->shape.spec->vocab};
    vocab_fresh(t.m, t.z, t.yt, t.n);
    vocab_fold(v, &r, &t);
    vocab_sum_losses(&t, loss_sum, count);
    if (!dh) return OK;
    memset(v->dwhole, 0, sizeof *v->dwhole * (size_t)(elements * v->mesh->vocab.size));
    if (t.n) vocab_tile_gradients(v, &r, &t, 0, t.n, scale, dh, v->shape.act, false);
    float *own = v->dwhole + v->mesh->vocab.rank * elements;
    TRY(COMM(&v->mesh->vocab, reduce_scatter, v->dwhole, own, elements, DT_F32));
    return vocab_rest(v, own);
}
