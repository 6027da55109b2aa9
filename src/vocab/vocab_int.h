/* What the files of this room share. Local. */
#ifndef MOP_VOCAB_VOCAB_INT_H
#define MOP_VOCAB_VOCAB_INT_H

#include "vocab/vocab.h"

/* Rows [col0, col0 + cols) of the head: so many columns of the logits. */
struct vocab_run {
    const void *w; /* (cols, H) act */
    float *dw_acc; /* (cols, H) fp32, or NULL */
    int64_t col0, cols;
};

/* ---- tiles.c ---- */

/* The head's unit: its own, or the embedding where they are tied. */
MUST err_t vocab_head(const struct vocab *v, const struct param **out);
/* m = -inf, z = yt = 0. All of these queue. */
void vocab_fresh(struct vocab *v, const struct vocab_tokens *t);
/* Logits of rows of x (n, H) into y, rows ld apart. */
void vocab_strip(const struct vocab *v, const struct vocab_run *r, const void *x, int64_t n, float *y, int64_t ld);
/* Fold all tokens with all of the run's columns. */
void vocab_fold(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t);
/* Their gradients, from final numbers: dw_acc added to, dx overwritten or (add) added to. */
void vocab_gradients(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t, float scale, bool add);
/* The same of one tile whose strip is in hand, into dx of either type. */
void vocab_tile_gradients(struct vocab *v, const struct vocab_run *r, const struct vocab_tokens *t, int64_t first, int64_t n, float scale, void *dx,
                          enum dtype dx_type, bool add);
/* Added to v->loss, in the tokens' order. */
void vocab_sum_losses(struct vocab *v, const struct vocab_tokens *t);
/* dx of `rows` tokens in fp32 to act. */
void vocab_round(struct vocab *v, const float *dx, void *dh, int64_t rows);

/* ---- loss.c: the rank's run of columns by way of the keeper. Collective over vocab_shard, with the whole head over vocab too. ---- */

/* This rank's run of columns (the whole head: one rank, dense_logits) for use, its gradient from zero; given up, the gradient to where it rests. */
MUST err_t vocab_run_open(struct vocab *v, bool backward, struct vocab_run *out);
MUST err_t vocab_run_close(struct vocab *v, bool backward);
/* A gradient of this rank's run (A, H) that was summed elsewhere, to where it rests. */
MUST err_t vocab_give(struct vocab *v, float *dw);
/* Columns of the run at a place of the vocab block. */
void vocab_run_at(const struct vocab *v, int place, struct vocab_run *out);

/* ---- strategies ---- */

MUST err_t vocab_loss_ring(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh);
MUST err_t vocab_loss_dtp(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh);
MUST err_t vocab_loss_dense(struct vocab *v, const void *h, const int32_t *targets, float scale, void *dh);

#endif
